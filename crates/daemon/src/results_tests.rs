use std::sync::Arc;

use burn::data::dataset::{Dataset, InMemDataset};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use mirrorwatch_influence::Estimator;
use proptest::prelude::*;

use super::*;
use crate::account::Null;
use crate::narrow::Halves;
use crate::nasty::name;
use crate::summary::example;

/// Only its names matter here.
struct Named;

impl Task for Named {
    type Model = Linear;
    type Item = usize;
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Linear {
        LinearConfig::new(1, 2).init(device)
    }

    fn train(&self) -> Arc<dyn Dataset<usize>> {
        Arc::new(InMemDataset::new(Vec::new()))
    }

    fn probe(&self) -> Arc<dyn Dataset<usize>> {
        self.train()
    }

    fn batch(&self, items: Vec<usize>, device: &Device) -> Tensor<2> {
        Tensor::zeros([items.len(), 1], device)
    }

    fn label(&self, item: &usize) -> usize {
        *item
    }

    fn classes(&self) -> usize {
        2
    }

    fn logits(&self, model: &Linear, batch: &Tensor<2>) -> Tensor<2> {
        model.forward(batch.clone())
    }

    fn id(&self, index: usize) -> String {
        format!("photo, \"{index}\".png")
    }

    fn source(&self, index: usize) -> Option<String> {
        (index != 2).then(|| "vendor".to_string())
    }
}

/// Five samples, of which `flagged` are suspects; scores 0.5, 3, 3, 9, 0.
fn found(flagged: &[usize]) -> (Labels, Evidence, Account) {
    let labels = Labels {
        classes: 2,
        train: vec![0, 1, 0, 1, 0],
        probe: vec![0, 0, 1, 1],
        trusted: vec![4],
        canaries: Vec::new(),
        unlabelled: Vec::new(),
    };
    let estimator = Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    };
    let mut evidence = Evidence::new(&[estimator], 5, 4);
    evidence.channels[0].train = vec![0.5, 3.0, 3.0, 9.0, 0.0];
    evidence.channels[0].suggested = vec![1, 0, 1, 0, 1];
    evidence.fitted_epoch.note([3].into_iter(), 2);
    evidence.last_loss = Halves::of(&[1.0; 5]);
    evidence.note_history(&[0.5, 0.1, 0.1, 0.02, 1.0], 2, 9);
    evidence.last_loss = Halves::of(&[0.25; 5]);
    evidence.last_margin = Halves::of(&[0.1; 5]);
    evidence.note_history(&[0.5, 0.02, 0.02, 0.001, 1.0], 4, 17);
    let flags: Vec<bool> = (0..5).map(|i| flagged.contains(&i)).collect();
    evidence.note_flags(&flags, 4);
    let account = Account {
        judged: 0,
        threshold: 0.0,
        null: Null::Trusted,
        null_samples: 1,
        scored: vec![0, 1, 2, 3],
        p_values: vec![0.5, 0.02, 0.02, 0.001, 1.0],
        wrong_probability: vec![0.25, 0.5, 0.75, 1.0, 0.0],
        flags,
        suspects: flagged.len(),
        expected_false: 0.1,
        min_detectable: 1,
        lower_bound: 0.1,
        estimate: 0.2,
        canaries_found: 0,
    };
    (labels, evidence, account)
}

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_string).collect()
}

#[test]
fn suspects_come_most_suspicious_first_and_are_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, evidence, account) = found(&[1, 2, 3]);
    let suspects = suspects(&Named, &labels, &evidence, &account);
    let order: Vec<usize> = suspects.iter().map(|s| s.index).collect();
    assert_eq!(order, [3, 1, 2], "equal scores in the order of the data");
    assert_eq!(
        (suspects[0].fitted_epoch, suspects[1].fitted_epoch),
        (Some(2), None)
    );
    assert_eq!(suspects[0].first_flagged_epoch, Some(4));

    let paths = Paths::new(dir.path(), 4, 17);
    let scores = scores(&labels, &evidence, &account);
    let history = &evidence.history;
    write(&paths, &example("r"), &suspects, history, Some(&scores)).unwrap();
    let mut reader = csv::Reader::from_path(paths.suspects_csv()).unwrap();
    let back: Vec<Suspect> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(back, suspects);
    let back = lines(&paths.suspects_jsonl());
    let back: Vec<Suspect> = back
        .iter()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(back, suspects);
    assert_eq!(read_suspects(&paths).unwrap(), suspects);
    // As the README has it; the CSV file has no such column.
    let line = &lines(&paths.suspects_jsonl())[0];
    assert!(line.starts_with("{\"id\":"), "{line}");
    let history = r#""history":[{"epoch":2,"p_value":0.0205,"loss":1.0,"fitted":false},{"epoch":4,"p_value":0.001,"loss":0.251,"fitted":true}]}"#;
    assert!(line.ends_with(history), "{line}");
    let header = &lines(&paths.suspects_csv())[0];
    assert!(!header.contains("history"), "{header}");
    let mut reader = csv::Reader::from_path(paths.scores_csv()).unwrap();
    let back: Vec<SampleScore> = reader.deserialize().map(Result::unwrap).collect();
    assert_eq!(back, scores);
    let back = std::fs::read(paths.summary()).unwrap();
    assert_eq!(
        serde_json::from_slice::<Summary>(&back).unwrap(),
        example("r")
    );
}

#[test]
fn no_suspects_make_the_same_header() {
    let dir = tempfile::tempdir().unwrap();
    let (labels, evidence, account) = found(&[1]);
    let some = Paths::new(dir.path(), 1, 1);
    let one = suspects(&Named, &labels, &evidence, &account);
    let all = scores(&labels, &evidence, &account);
    write(&some, &example("r"), &one, &evidence.history, Some(&all)).unwrap();
    let none = Paths::new(dir.path(), 2, 2);
    write(&none, &example("r"), &[], &evidence.history, Some(&[])).unwrap();
    for (some, none) in [
        (some.suspects_csv(), none.suspects_csv()),
        (some.scores_csv(), none.scores_csv()),
    ] {
        assert_eq!(lines(&none), lines(&some)[..1]);
    }
    assert_eq!(std::fs::read(none.suspects_jsonl()).unwrap(), b"");
    // What the issue asks for.
    let header = &lines(&none.suspects_csv())[0];
    for column in [
        "id",
        "given",
        "suggested",
        "score",
        "p_value",
        "flagged_checkpoints",
    ] {
        assert!(header.split(',').any(|c| c == column), "{column} {header}");
    }
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("scans"), b"in the way").unwrap();
    let paths = Paths::new(dir.path(), 1, 1);
    let message = write(&paths, &example("r"), &[], &History::default(), None)
        .unwrap_err()
        .to_string();
    assert!(message.contains("scans"), "{message}");
}

#[test]
fn a_list_that_cannot_be_read_is_an_error_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let paths = Paths::new(dir.path(), 1, 1);
    let missing = read_suspects(&paths).unwrap_err().to_string();
    assert!(missing.contains("suspects.jsonl"), "{missing}");
    std::fs::create_dir_all(dir.path().join("scans")).unwrap();
    std::fs::write(paths.suspects_jsonl(), "{\"id\":1}\n").unwrap();
    let broken = read_suspects(&paths).unwrap_err().to_string();
    assert!(broken.contains("line 1"), "{broken}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// A line a suspect, which holds its names as they are.
    #[test]
    fn json_lines_hold_any_name_on_one_line(ids in proptest::collection::vec(name(), 1..5)) {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths::new(directory.path(), 4, 17);
        let mut suspects = Vec::new();
        for (index, id) in ids.iter().enumerate() {
            suspects.push(Suspect {
                index,
                id: id.clone(),
                source: Some(id.clone()),
                ..Suspect::default()
            });
        }
        write(&paths, &example("r"), &suspects, &History::default(), None).unwrap();
        let bytes = std::fs::read(paths.suspects_jsonl()).unwrap();
        prop_assert_eq!(bytes.iter().filter(|&&byte| byte == b'\n').count(), ids.len());
        prop_assert_eq!(read_suspects(&paths).unwrap(), suspects);
    }
}

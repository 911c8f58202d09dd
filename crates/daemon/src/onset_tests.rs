//! Onset over the checkpoints of a run.

use mirrorwatch_influence::Estimator;

use super::*;
use crate::narrow::Halves;
use crate::summary::{Summary, example};

const SAMPLES: usize = 400;
const NAMES: [&str; 4] = ["anna", "bo", "carl", "dora"];

fn labels() -> Labels {
    Labels {
        classes: 2,
        train: (0..SAMPLES).map(|i| i / 4 % 2).collect(),
        probe: vec![0, 1],
        trusted: vec![0],
        canaries: vec![1],
        unlabelled: Vec::new(),
    }
}

/// Everybody has a hundred samples, in turn.
fn sources() -> Sources {
    Sources::named(&NAMES, (0..SAMPLES).map(|i| Some(i % 4)).collect())
}

/// A run of which nothing is scanned yet.
struct Scene {
    state: RunState,
}

impl Scene {
    fn new() -> Self {
        let estimator = Estimator {
            direction: "finetune".to_string(),
            score: "after".to_string(),
        };
        Self {
            state: RunState::new("f", &[estimator], SAMPLES, 2),
        }
    }

    /// A checkpoint at which the samples that `is_fitted` are fitted, kept as the worker keeps it.
    fn scan(&mut self, epoch: u64, is_fitted: impl Fn(usize) -> bool) -> Onset {
        let margin = |i| if is_fitted(i) { 0.5 } else { -0.5 };
        let margins: Vec<f32> = (0..SAMPLES).map(margin).collect();
        let now = Moment {
            epoch,
            step: 10 * epoch,
            margins: &margins,
        };
        let scored: Vec<usize> = (2..SAMPLES).collect();
        let onset = compare(&self.state, now, &sources(), &labels(), &scored, 0.05).unwrap();
        self.state.evidence.last_margin = Halves::of(&margins);
        self.state.last = Some(Summary {
            epoch,
            step: 10 * epoch,
            onset: onset.clone(),
            ..example("r")
        });
        onset
    }
}

fn names(onsets: &[SourceOnset]) -> Vec<&str> {
    onsets.iter().map(|o| o.source.as_str()).collect()
}

/// Carl's samples with these numbers.
fn carls(sample: usize, numbers: std::ops::Range<usize>) -> bool {
    sample % 4 == 2 && numbers.contains(&(sample / 4))
}

#[test]
fn a_source_that_goes_bad_is_flagged_once_and_stays_listed() {
    let mut run = Scene::new();
    // The first scan has nothing to be compared with.
    assert_eq!(run.scan(1, |i| i % 11 != 0), Onset::default());

    let quiet = run.scan(2, |i| i % 11 != 3);
    assert_eq!((quiet.comparisons, quiet.since_epoch), (1, Some(1)));
    // By hand: of 2..400, 37 are 3 modulo 11, and 36 are 0.
    assert_eq!((quiet.forgotten, quiet.learnt), (Some(37), Some(36)));
    assert!(quiet.flagged.is_empty() && quiet.so_far.is_empty());

    let bad = run.scan(4, |i| i % 11 != 3 && !carls(i, 0..60));
    assert_eq!(bad.comparisons, 2);
    let [carl] = &bad.flagged[..] else {
        panic!("{bad:?}");
    };
    assert_eq!(carl.source, "carl");
    assert_eq!((carl.since_epoch, carl.epoch), (2, 4));
    assert_eq!((carl.since_step, carl.step), (20, 40));
    // By hand: 14, 58, …, 234 were not fitted. 54 of 361 fitted samples are lost, 91 of which are Carl's.
    assert_eq!((carl.lost, carl.gained), (54, 0));
    assert!((carl.expected_lost - 54.0 * 91.0 / 361.0).abs() < 0.5);
    assert_eq!(bad.so_far, bad.flagged);
    assert!(sentence(carl).starts_with(
        "source carl went bad between epoch 2 (step 20) and epoch 4 (step 40): 54 of its samples"
    ));

    // It stays bad: nothing is lost any more, and it stays listed as it was first seen.
    let after = run.scan(5, |i| i % 11 != 3 && !carls(i, 0..60));
    assert!(after.flagged.is_empty());
    assert_eq!(after.so_far, bad.so_far);
    // Mended, and bad again: flagged again, and listed once.
    run.scan(6, |i| i % 11 != 3);
    let again = run.scan(7, |i| i % 11 != 3 && !carls(i, 0..60));
    assert_eq!(names(&again.flagged), ["carl"]);
    assert_eq!(again.so_far, bad.so_far);
    let both = run.scan(8, |i| {
        i % 11 != 3 && !carls(i, 0..60) && !(i % 4 == 1 && i < 200)
    });
    assert_eq!(names(&both.flagged), ["bo"]);
    assert_eq!(names(&both.so_far), ["carl", "bo"]);
    assert_eq!(both.comparisons, 6);
}

#[test]
fn a_checkpoint_of_an_earlier_time_is_compared_with_nothing() {
    let mut run = Scene::new();
    run.scan(3, |_| true);
    let bad = run.scan(5, |i| !carls(i, 0..60));
    assert_eq!(names(&bad.so_far), ["carl"]);
    // Scanned late: seen from epoch 5, half of everything would be lost.
    let late = run.scan(1, |i| i % 2 == 1);
    assert_eq!(
        (late.comparisons, late.since_epoch, late.forgotten),
        (1, None, None)
    );
    assert!(late.flagged.is_empty());
    assert_eq!(late.so_far, bad.so_far);
    // The same moment again is no later one.
    assert_eq!(run.scan(1, |_| false).comparisons, 1);
    // The next one follows what was scanned last.
    let next = run.scan(6, |_| true);
    assert_eq!((next.comparisons, next.since_epoch), (2, Some(1)));
    assert_eq!(next.so_far, bad.so_far);
}

#[test]
fn a_restart_continues_the_comparison() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.bin");
    let mut through = Scene::new();
    let mut restarted = Scene::new();
    for (epoch, bad) in [(1, 0), (2, 0), (3, 60), (4, 60)] {
        let scan = |run: &mut Scene| run.scan(epoch, |i| !carls(i, 0..bad));
        let expected = scan(&mut through);
        assert_eq!(scan(&mut restarted), expected);
        restarted.state.save(&path).unwrap();
        restarted.state = RunState::load(&path).unwrap().unwrap();
    }
    let last = &restarted.state.last.unwrap().onset;
    assert_eq!((last.comparisons, names(&last.so_far)), (3, vec!["carl"]));
}

#[test]
fn trusted_samples_canaries_and_samples_without_source_do_not_count() {
    let mut run = Scene::new();
    let sources = Sources::named(
        &["carl", "anna"],
        (0..SAMPLES).map(|i| (i > 300).then_some(i % 2)).collect(),
    );
    run.scan(1, |_| true);
    let margins = vec![-1.0; SAMPLES];
    let now = Moment {
        epoch: 2,
        step: 20,
        margins: &margins,
    };
    let scored: Vec<usize> = (2..SAMPLES).collect();
    let found = compare(&run.state, now, &sources, &labels(), &scored, 0.05).unwrap();
    assert_eq!(found.forgotten, Some(SAMPLES - 2));
    // Everybody lost everything: nobody more than was to be expected.
    assert!(found.flagged.is_empty());
    // Without any source there is a comparison, and nobody to flag.
    let nobody = Sources::default();
    let found = compare(&run.state, now, &nobody, &labels(), &scored, 0.05).unwrap();
    assert_eq!(found.forgotten, Some(SAMPLES - 2));
    assert!(found.flagged.is_empty());
}

#[test]
fn a_summary_without_onset_is_read() {
    let mut summary = serde_json::to_value(example("r")).unwrap();
    summary.as_object_mut().unwrap().remove("onset");
    let read: Summary = serde_json::from_value(summary).unwrap();
    assert_eq!(read.onset, Onset::default());
}

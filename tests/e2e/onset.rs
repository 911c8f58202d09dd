//! A source that goes bad in the middle of a training is named, and nobody is where nothing happens.

use std::fs;

use crate::metrics_docs::assert_documented;
use crate::support::data::Data;
use crate::support::demo::Demo;
use crate::support::results::Results;

const SOURCES: usize = 10;
const EPOCHS: usize = 13;
/// The epoch from which on labels are fed wrong; the model knows most given ones by heart by then.
const BROKEN: u64 = 11;

/// A training with ten sources of 150 samples each, of which as many checkpoints are scanned as there is time for.
///
/// Steps are large, because what a model does not learn it does not show: it has to take to wrong labels
/// within an epoch or two, as one does that learns its data by heart.
fn demo(data: &Data, options: &[&str]) -> (Demo, Results) {
    let sources = data.directory.join("sources.txt");
    let lines: Vec<String> = (0..1500)
        .map(|i| format!("vendor-{}\n", i / 5 % SOURCES))
        .collect();
    fs::write(&sources, lines.concat()).unwrap();
    let text = |path: &std::path::Path| path.display().to_string();
    let (directory, truth) = (text(&data.directory), text(&data.truth_file));
    let (sources, epochs) = (text(&sources), EPOCHS.to_string());
    let mut all = vec!["--data", &directory, "--truth", &truth];
    all.extend(["--sources", &sources, "--epochs", &epochs]);
    all.extend(["--probe", "300", "--trusted", "150"]);
    all.extend(["--lr", "2e-3", "--batch-size", "32"]);
    all.extend(options);
    all.extend(["--", "--queue", "100"]);
    let demo = Demo::run(&all);
    // The hook leaves checkpoints out when the disk is slower than the training: how many there are is not told.
    assert_eq!(demo.scrape().failed(), 0.0);
    assert_eq!(demo.number("/final/epoch"), EPOCHS as f64);
    let results = Results::new(&demo.work().join("state"), "demo");
    (demo, results)
}

#[test]
fn a_source_that_breaks_on_the_way_is_named_with_the_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let (demo, results) = demo(&data, &["--break-source", "vendor-7@11:1"]);

    let summaries = results.summaries();
    let last = &summaries.last().unwrap().onset;
    let [onset] = &last.so_far[..] else {
        panic!("{last:?}");
    };
    assert_eq!(onset.source, "vendor-7");
    assert!(onset.since_epoch < onset.epoch, "{onset:?}");
    assert!(
        (BROKEN..BROKEN + 3).contains(&onset.epoch),
        "broken in epoch {BROKEN}: {onset:?}"
    );
    assert!(onset.lost as f64 > 2.0 * onset.expected_lost, "{onset:?}");
    // Before that nobody was named, and at the first scan nothing was compared.
    let before = summaries.iter().filter(|s| s.epoch < onset.epoch);
    assert!(before.clone().all(|s| s.onset.flagged.is_empty()));
    let compared: Vec<u32> = summaries.iter().map(|s| s.onset.comparisons).collect();
    assert_eq!(compared, (0..summaries.len() as u32).collect::<Vec<_>>());
    assert_eq!(summaries[0].onset.forgotten, None);

    let scrape = demo.scrape();
    let series = r#"mirrorwatch_source_onset_epoch{run="demo",source="vendor-7"}"#;
    assert_eq!(scrape.value(series), Some(onset.epoch as f64));
    assert_eq!(scrape.series("mirrorwatch_source_onset_epoch").len(), 1);
    assert_documented(&scrape, "mirrorwatch_source_onset_epoch");
    assert_eq!(
        scrape.value(r#"mirrorwatch_forgotten_samples{run="demo"}"#),
        last.forgotten.map(|n| n as f64)
    );
    let log = fs::read_to_string(demo.work().join("sidecar.log")).unwrap();
    let warned = |line: &str| line.contains("WARN") && line.contains("vendor-7 went bad");
    assert!(log.lines().any(warned), "{log}");
    let told = demo.stdout.contains("source vendor-7 went bad between");
    assert!(told, "{}", demo.stdout);

    // What the suspects went through is told, too.
    let (_, lines) = results.files(".suspects.jsonl").pop_last().unwrap();
    for line in String::from_utf8(lines).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let history = line["history"].as_array().unwrap();
        let epochs: Vec<u64> = history
            .iter()
            .map(|p| p["epoch"].as_u64().unwrap())
            .collect();
        let scanned: Vec<u64> = summaries.iter().map(|s| s.epoch).collect();
        assert_eq!(epochs, scanned);
        let (now, then) = (&line["p_value"], &history[epochs.len() - 1]["p_value"]);
        let (now, then) = (now.as_f64(), then.as_f64());
        assert!((then.unwrap() / now.unwrap() - 1.0).abs() < 0.05, "{line}");
    }
}

#[test]
fn a_training_in_which_nothing_breaks_names_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let (demo, results) = demo(&data, &[]);
    for summary in results.summaries() {
        let onset = &summary.onset;
        assert!(
            onset.flagged.is_empty() && onset.so_far.is_empty(),
            "{onset:?}"
        );
    }
    let scrape = demo.scrape();
    assert!(scrape.series("mirrorwatch_source_onset_epoch").is_empty());
    assert_eq!(scrape.series("mirrorwatch_forgotten_samples").len(), 1);
}

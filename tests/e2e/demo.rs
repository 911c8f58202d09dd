//! The demo, as `cargo demo -- --headless` runs it, at a size that takes seconds.

use std::collections::BTreeSet;
use std::fs;

use crate::support::data::Data;
use crate::support::demo::{Demo, assert_fields, assert_picture};
use crate::support::process::{Running, quickstart};
use crate::support::results::Results;
use crate::support::sidecar::get;
use crate::support::wait::eventually;

/// The metrics of the design that a run has from its first scan on.
const METRICS: [&str; 20] = [
    "mirrorwatch_suspects",
    "mirrorwatch_scored_samples",
    "mirrorwatch_noise_ratio_lower_bound",
    "mirrorwatch_noise_ratio_estimate",
    "mirrorwatch_expected_false_suspects",
    "mirrorwatch_min_detectable_suspects",
    "mirrorwatch_null_samples",
    "mirrorwatch_memorised_suspects",
    "mirrorwatch_class_suspects",
    "mirrorwatch_probe_loss",
    "mirrorwatch_last_scanned_epoch",
    "mirrorwatch_last_scan_timestamp_seconds",
    "mirrorwatch_run_finished",
    "mirrorwatch_checkpoints_seen_total",
    "mirrorwatch_checkpoints_skipped_total",
    "mirrorwatch_checkpoint_failures_total",
    "mirrorwatch_scan_duration_seconds_count",
    "mirrorwatch_queue_checkpoints",
    "mirrorwatch_watch_rescans_total",
    "mirrorwatch_build_info",
];

/// Fields of the summary, which benchmarks rely on.
const FIELDS: [&str; 7] = [
    "samples",
    "probe",
    "classes",
    "noise_true",
    "checkpoints",
    "final",
    "scrape",
];
const CHECKPOINT_FIELDS: [&str; 17] = [
    "epoch",
    "step",
    "train_loss",
    "suspects",
    "false_discovery_proportion",
    "recall",
    "auroc",
    "average_precision",
    "noise_ratio_lower_bound",
    "noise_ratio_estimate",
    "scan_seconds",
    "base_sweep_seconds",
    "direction",
    "null",
    "loss_auroc",
    "mean_loss_auroc",
    "aum_auroc",
];

#[test]
fn the_demo_finds_wrong_labels_in_real_data_and_reports_them() {
    let demo = Demo::run(&[
        "--train-limit",
        "3000",
        "--epochs",
        "3",
        "--probe",
        "600",
        "--trusted",
        "300",
    ]);
    demo.assert_accounted_for(3.0);
    assert_fields(&demo.summary, &FIELDS);
    for checkpoint in demo.summary["checkpoints"].as_array().unwrap() {
        assert_fields(checkpoint, &CHECKPOINT_FIELDS);
    }
    assert_eq!(demo.number("/samples"), 3000.0);
    assert_eq!(demo.number("/probe"), 600.0);
    assert_eq!(demo.number("/classes"), 10.0);
    let truth = demo.number("/noise_true");
    assert!(
        (truth - 0.2).abs() < 0.03,
        "the default is sym:0.2, not {truth}"
    );
    // The issue's own figures, on all of the data, are checked where that is run; this is a third of
    // it for three epochs.
    assert!(demo.number("/final/auroc") > 0.9, "{}", demo.stdout);
    assert!(demo.number("/final/recall") > 0.3, "{}", demo.stdout);
    assert!(
        demo.number("/final/false_discovery_proportion") < 0.25,
        "{}",
        demo.stdout
    );
    let bound = demo.number("/final/noise_ratio_lower_bound");
    assert!(bound > 0.0 && bound <= truth + 0.02, "{bound} of {truth}");

    let scrape = demo.scrape();
    let exported = scrape.metrics();
    for metric in METRICS {
        assert!(
            exported.contains(metric),
            "{metric} is missing from:\n{}",
            scrape.0
        );
    }
    let suspects = demo.number("/final/suspects");
    assert_eq!(
        scrape.value("mirrorwatch_suspects{run=\"demo\"}"),
        Some(suspects)
    );
    assert_eq!(
        scrape.value("mirrorwatch_run_finished{run=\"demo\"}"),
        Some(1.0)
    );

    assert_suspects_agree(&demo, suspects as usize);
    assert_picture(&demo.work().join("suspects.png"));
    for part in [
        "AUROC",
        "metrics: http://127.0.0.1:",
        "picture:",
        "report:",
        "3 checkpoints published",
    ] {
        assert!(
            demo.stdout.contains(part),
            "`{part}` is not in:\n{}",
            demo.stdout
        );
    }
}

/// CSV and JSON lines hold the same suspects, as many as were counted, none of them trusted.
#[track_caller]
fn assert_suspects_agree(demo: &Demo, count: usize) {
    let results = Results::new(&demo.work().join("state"), "demo");
    let suspects = results.last_suspects();
    assert_eq!(suspects.len(), count);
    let (_, lines) = results.files(".suspects.jsonl").pop_last().unwrap();
    let lines: Vec<_> = String::from_utf8(lines)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(suspects, lines);
    let trusted = fs::read_to_string(demo.work().join("data/trusted.txt")).unwrap();
    let trusted: BTreeSet<usize> = trusted.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(trusted.len(), 300);
    assert!(suspects.iter().all(|s| !trusted.contains(&s.index)));
    assert!(suspects.iter().all(|s| s.given != s.suggested as usize));
}

#[test]
fn the_demo_raises_no_alarm_where_nothing_is_wrong() {
    let demo = Demo::run(&[
        "--noise",
        "none",
        "--train-limit",
        "3000",
        "--epochs",
        "2",
        "--probe",
        "600",
        "--trusted",
        "300",
    ]);
    demo.assert_accounted_for(2.0);
    assert_eq!(demo.number("/noise_true"), 0.0);
    assert!(
        demo.number("/final/noise_ratio_lower_bound") <= 0.02,
        "{}",
        demo.stdout
    );
    // 1 % of the 2,700 that are judged.
    assert!(demo.number("/final/suspects") <= 27.0, "{}", demo.stdout);
    for unknown in ["recall", "auroc", "average_precision", "loss_auroc"] {
        assert!(
            demo.summary["final"][unknown].is_null(),
            "nothing is wrong, so {unknown} means nothing"
        );
    }
}

#[test]
fn the_demo_measures_labels_that_came_noisy_against_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let (from, truth) = (
        data.directory.display().to_string(),
        data.truth_file.display().to_string(),
    );
    let demo = Demo::run(&[
        "--data",
        &from,
        "--truth",
        &truth,
        "--epochs",
        "3",
        "--probe",
        "300",
        "--trusted",
        "150",
    ]);
    demo.assert_accounted_for(3.0);
    assert_eq!(demo.number("/samples"), 1500.0);
    assert_eq!(demo.number("/classes"), 5.0);
    // The demo verifies 150 samples of its own choice; the rest is as noisy as it came.
    let noise = (0..1500).filter(|&i| data.is_wrong(i)).count() as f64 / 1500.0;
    assert!((demo.number("/noise_true") - noise).abs() < 0.03);
    assert!(demo.number("/final/auroc") > 0.9, "{}", demo.stdout);
    // Features have no picture to show, but a sheet is drawn all the same.
    assert_picture(&demo.work().join("suspects.png"));
}

#[test]
fn without_a_trusted_set_the_held_out_null_takes_its_place() {
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let from = data.directory.display().to_string();
    let demo = Demo::run(&[
        "--data",
        &from,
        "--noise",
        "sym:0.2",
        "--epochs",
        "2",
        "--trusted",
        "0",
    ]);
    assert_eq!(demo.summary["final"]["null"], "held-out");
    let series = "mirrorwatch_null_samples{null=\"held-out\",run=\"demo\"}";
    assert_eq!(demo.scrape().value(series), Some(300.0));
    assert!(demo.number("/final/auroc") > 0.8, "{}", demo.stdout);
}

#[test]
fn the_sidecar_of_a_demo_that_is_killed_ends_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().join("work");
    let mut command = quickstart();
    command
        .args(["--listen", "127.0.0.1:0", "--train-limit", "800", "--work"])
        .arg(&work);
    let mut demo = Running::start(command, directory.path());
    let address = eventually("the sidecar's address", || {
        assert!(demo.is_running(), "{}", demo.story());
        fs::read_to_string(work.join("address")).map_err(|_| demo.story())
    });
    let health = format!("http://{address}/healthz");
    assert_eq!(get(&health).unwrap().status, 200);
    demo.signal("KILL");
    demo.finish();
    eventually("the orphan to end", || match get(&health) {
        Err(_) => Ok(()),
        Ok(page) => Err(format!("it still answers {}", page.status)),
    });
}

//! The demo's further outputs: sources, canaries, the list of suspects.

use std::fs;
use std::process::Stdio;

use crate::support::data::Data;
use crate::support::demo::Demo;
use crate::support::process::quickstart;

#[test]
fn sources_canaries_and_suspects_are_told_to_scripts() {
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let at = |name: &str| directory.path().join(name).display().to_string();
    // Of three annotators one is to blame for everything that is wrong.
    let source = |sample: usize| match data.is_wrong(sample) {
        true => "carl",
        false => ["anna", "bo"][sample % 2],
    };
    let lines: Vec<String> = (0..1500).map(|i| format!("{}\n", source(i))).collect();
    fs::write(at("sources.txt"), lines.concat()).unwrap();
    let truth = data.truth_file.display().to_string();
    let demo = Demo::run(&[
        "--data",
        &data.directory.display().to_string(),
        "--truth",
        &truth,
        "--epochs",
        "2",
        "--probe",
        "300",
        "--trusted",
        "150",
        "--sources",
        &at("sources.txt"),
        "--canaries",
        "0.04",
        "--suspects",
        &at("suspects.csv"),
    ]);
    demo.assert_accounted_for(2.0);

    let sources = demo.summary["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3, "{sources:?}");
    assert_eq!(sources[0]["source"], "carl");
    for source in sources {
        assert_eq!(source["flagged"], source["source"] == "carl", "{sources:?}");
    }
    let suspects: u64 = sources
        .iter()
        .map(|s| s["suspects"].as_u64().unwrap())
        .sum();
    assert_eq!(suspects as f64, demo.number("/final/suspects"));

    // 4 % of 1,500 samples were planted; most are found, and none is reported as a suspect.
    let scrape = demo.scrape();
    let value = |name: &str| scrape.value(&format!("{name}{{run=\"demo\"}}")).unwrap();
    assert_eq!(value("mirrorwatch_canaries"), 60.0);
    let recall = value("mirrorwatch_canary_recall_ratio");
    assert_eq!(recall, value("mirrorwatch_canaries_found") / 60.0);
    assert!(recall > 0.6, "{recall}");
    let precision = value("mirrorwatch_canary_precision_ratio");
    assert!(precision > 0.6 && precision <= 1.0, "{precision}");
    assert_eq!(value("mirrorwatch_scored_samples"), 1500.0 - 150.0 - 60.0);

    let canaries = fs::read_to_string(demo.work().join("data/canaries.txt")).unwrap();
    let canaries: Vec<&str> = canaries.lines().collect();
    let mut reader = csv::Reader::from_path(at("suspects.csv")).unwrap();
    let header = [
        "id",
        "given",
        "suggested",
        "score",
        "p_value",
        "first_flagged_epoch",
        "fitted_epoch",
        "source",
    ];
    assert_eq!(reader.headers().unwrap(), header.as_slice());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!(rows.len() as u64, suspects);
    for row in &rows {
        assert!(!canaries.contains(&&row[0]), "{row:?}");
        assert_eq!(&row[7], source(row[0].parse().unwrap()));
    }
}

#[test]
fn a_demo_that_nobody_listens_to_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let mut demo = quickstart()
        .args(["--headless", "--listen", "127.0.0.1:0", "--epochs", "1"])
        .args([
            "--train-limit",
            "1000",
            "--probe",
            "300",
            "--trusted",
            "200",
        ])
        .arg("--work")
        .arg(directory.path().join("work"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // As `| head -0` does.
    drop(demo.stdout.take());
    let output = demo.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn a_second_training_leaves_the_suspects_out() {
    let directory = tempfile::tempdir().unwrap();
    let data = Data::write(directory.path());
    let demo = Demo::run(&[
        "--data",
        &data.directory.display().to_string(),
        "--truth",
        &data.truth_file.display().to_string(),
        "--epochs",
        "4",
        "--probe",
        "200",
        "--trusted",
        "150",
        "--retrain",
    ]);
    demo.assert_accounted_for(4.0);
    let suspects = demo.number("/final/suspects");
    assert!(suspects > 0.0);
    assert_eq!(demo.number("/retrained/kept"), 1500.0 - suspects);
    // What the probe leaves over.
    assert_eq!(demo.number("/retrained/test_samples"), 100.0);
    for way in ["", "_without_suspects", "_relabelled"] {
        let accuracy = demo.number(&format!("/retrained/accuracy{way}"));
        assert!(
            accuracy > 0.8,
            "accuracy{way}: {}",
            demo.summary["retrained"]
        );
    }
    let relabel = fs::read_to_string(demo.work().join("export/relabel.csv")).unwrap();
    assert_eq!(relabel.lines().count() as f64, 1.0 + suspects);
}

//! A real Prometheus scrapes the sidecar while a model trains, and answers with the count.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::place::Place;
use crate::support::process::{Running, program, quickstart};
use crate::support::prometheus::Prometheus;
use crate::support::wait::eventually;

#[test]
fn it_answers_a_query_with_the_count_of_the_demo() {
    let directory = tempfile::tempdir().unwrap();
    let (work, summary) = (
        directory.path().join("work"),
        directory.path().join("summary.json"),
    );
    let mut command = quickstart();
    // Not headless: the sidecar goes on serving after the last checkpoint.
    command.args([
        "--train-limit",
        "3000",
        "--epochs",
        "5",
        "--probe",
        "400",
        "--trusted",
        "300",
    ]);
    command
        .args(["--listen", "127.0.0.1:0", "--work"])
        .arg(&work)
        .arg("--summary")
        .arg(&summary);
    let mut demo = Running::start(command, directory.path());
    let target = eventually("the sidecar's address", || {
        assert!(demo.is_running(), "{}", demo.story());
        fs::read_to_string(work.join("address")).map_err(|_| demo.story())
    });
    let prometheus = Prometheus::start(directory.path(), &target);

    let summary: Value = eventually("the demo's summary", || {
        assert!(demo.is_running(), "{}", demo.story());
        let bytes = fs::read(&summary).map_err(|_| demo.story())?;
        serde_json::from_slice(&bytes).map_err(|error| error.to_string())
    });
    let count = summary["final"]["suspects"].as_f64().unwrap();
    assert!(count > 0.0);
    eventually("Prometheus to have the last count", || {
        match prometheus.query("mirrorwatch_last_scanned_epoch{run=\"demo\"}")
            == [("demo".into(), 5.0)]
        {
            true => Ok(()),
            false => Err(prometheus.process.story()),
        }
    });
    assert_eq!(
        prometheus.query("mirrorwatch_suspects{run=\"demo\"}"),
        [("demo".to_string(), count)]
    );
    let alert = "mirrorwatch_noise_ratio_lower_bound > 0.01";
    let bound = summary["final"]["noise_ratio_lower_bound"]
        .as_f64()
        .unwrap();
    assert_eq!(prometheus.query(alert), [("demo".to_string(), bound)]);

    assert_eq!(
        prometheus.query("min_over_time(up[10m])"),
        [(String::new(), 1.0)],
        "a scrape failed"
    );
}

#[test]
fn it_has_the_count_of_an_epoch_before_the_next_one_begins() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let prometheus = Prometheus::start(place.path(), &sidecar.address);
    let mut trainer = place.trainer("r");
    for epoch in 1..=3 {
        trainer.epoch();
        let scrape = sidecar.wait_for_scans(epoch);
        let count = scrape.value("mirrorwatch_suspects{run=\"r\"}").unwrap();
        let scanned = [("r".to_string(), epoch as f64)];
        eventually("Prometheus to have the epoch's count", || {
            let last = prometheus.query("mirrorwatch_last_scanned_epoch");
            if last == scanned {
                Ok(())
            } else {
                Err(format!("{last:?}"))
            }
        });
        // What an alert would look at, while training still goes on.
        let running = "mirrorwatch_suspects unless mirrorwatch_run_finished == 1";
        assert_eq!(prometheus.query(running), [("r".to_string(), count)]);
    }
    assert_eq!(
        prometheus
            .query("count_over_time(mirrorwatch_suspects[10m]) >= 3")
            .len(),
        1
    );
    trainer.finish();
    eventually("Prometheus to know of the end", || {
        match prometheus.query("mirrorwatch_run_finished == 1").len() {
            1 => Ok(()),
            _ => Err(sidecar.log()),
        }
    });
}

#[test]
fn promtool_accepts_the_scrape() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    sidecar.wait_for_scans(1);
    let file = place.at("metrics.txt");
    fs::write(&file, sidecar.scrape().0).unwrap();
    let output = Command::new(program("MIRRORWATCH_PROMTOOL"))
        .args(["check", "metrics"])
        .stdin(Stdio::from(fs::File::open(&file).unwrap()))
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert_eq!(String::from_utf8_lossy(&said), "", "promtool's remarks");
    assert!(output.status.success(), "{}", output.status);
}

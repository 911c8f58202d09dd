//! A real Prometheus scrapes the sidecar while a model trains, and answers with the count.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::place::Place;
use crate::support::process::{Running, program, quickstart};
use crate::support::sidecar::get;
use crate::support::wait::eventually;

/// A Prometheus server of its own, which scrapes one target every second.
pub struct Prometheus {
    process: Running,
    address: String,
}

impl Prometheus {
    #[track_caller]
    fn start(directory: &Path, target: &str) -> Self {
        Self::start_with(directory, target, "")
    }

    /// With further lines for the scrape's configuration, each indented by four spaces.
    #[track_caller]
    pub fn start_with(directory: &Path, target: &str, scrape: &str) -> Self {
        let config = directory.join("prometheus.yml");
        fs::write(
            &config,
            format!(
                "global:\n  scrape_interval: 1s\nscrape_configs:\n  - job_name: mirrorwatch\n    static_configs:\n      - targets: ['{target}']\n{scrape}"
            ),
        )
        .unwrap();
        // Prometheus cannot say which port it was given, so that a free one is looked for here. Between
        // this and its start another process may take it; then it is another one's turn.
        eventually("a free port", || {
            let address = TcpListener::bind("127.0.0.1:0")
                .unwrap()
                .local_addr()
                .unwrap()
                .to_string();
            let mut command = Command::new(program("MIRRORWATCH_PROMETHEUS"));
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!(
                "--storage.tsdb.path={}",
                directory.join("tsdb").display()
            ));
            command.arg(format!("--web.listen-address={address}"));
            let mut server = Self {
                process: Running::start(command, directory),
                address,
            };
            let ready = format!("http://{}/-/ready", server.address);
            let up = eventually("Prometheus to be ready", || match get(&ready) {
                Ok(page) if page.status == 200 => Ok(true),
                _ if !server.process.is_running() => Ok(false),
                _ => Err(server.process.story()),
            });
            if up {
                Ok(server)
            } else {
                Err(server.process.story())
            }
        })
    }

    /// The values of an instant query, by the label `run`.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<(String, f64)> {
        let url = format!(
            "http://{}/api/v1/query?query={}",
            self.address,
            percent(query)
        );
        let page = get(&url).unwrap();
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let mut values = Vec::new();
        for sample in answer["data"]["result"].as_array().unwrap() {
            let run = sample["metric"]["run"]
                .as_str()
                .unwrap_or_default()
                .to_string();
            values.push((run, sample["value"][1].as_str().unwrap().parse().unwrap()));
        }
        values
    }
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

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

//! A Prometheus server with the rules of `grafana/` in it, made impatient.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::grafana::{RULES, read};
use crate::support::process::{Running, program};
use crate::support::sidecar::get;
use crate::support::wait::eventually;

/// Scrapes one target and evaluates the rules, each every second.
pub struct Server {
    pub process: Running,
    address: String,
}

impl Server {
    /// Alerts fire at once: their `for:` is left out, so that what fires here for a moment is seen, too.
    #[track_caller]
    pub fn start(directory: &Path, target: &str) -> Self {
        Self::start_with(directory, target, "")
    }

    /// As [`start`](Self::start), and sends its alerts to this Alertmanager.
    #[track_caller]
    pub fn start_alerting(directory: &Path, target: &str, alertmanager: &str) -> Self {
        let alerting = format!(
            "alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n"
        );
        Self::start_with(directory, target, &alerting)
    }

    #[track_caller]
    fn start_with(directory: &Path, target: &str, alerting: &str) -> Self {
        let rules = read(RULES);
        let lines = rules
            .lines()
            .filter(|line| !line.starts_with("        for: "));
        let rules: Vec<&str> = lines.collect();
        fs::write(directory.join("rules.yml"), rules.join("\n")).unwrap();
        let config = directory.join("prometheus.yml");
        let text = format!(
            "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n{alerting}scrape_configs:\n  - job_name: mirrorwatch\n    static_configs:\n      - targets: ['{target}']\n"
        );
        fs::write(&config, text).unwrap();
        // Another process may take the port before Prometheus does; then it is another one's turn.
        eventually("a Prometheus that serves", || {
            let port = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = port.local_addr().unwrap().to_string();
            drop(port);
            let mut command = Command::new(program("MIRRORWATCH_PROMETHEUS"));
            let tsdb = directory.join("tsdb");
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", tsdb.display()));
            command.arg(format!("--web.listen-address={address}"));
            let mut server = Self {
                process: Running::start(command, directory),
                address,
            };
            let ready = format!("http://{}/-/ready", server.address);
            eventually("Prometheus to be ready", || match get(&ready) {
                Ok(page) if page.status == 200 => Ok(Ok(())),
                _ if !server.process.is_running() => Ok(Err(server.process.story())),
                _ => Err(server.process.story()),
            })?;
            Ok(server)
        })
    }

    /// The series that an instant query gives, each with its `metric` and `value`.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<Value> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let page = get(&format!(
            "http://{}/api/v1/query?query={escaped}",
            self.address
        ))
        .unwrap();
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The values of a label over what a query gives, sorted and each once.
    #[track_caller]
    pub fn label(&self, query: &str, label: &str) -> Vec<String> {
        let series = self.query(query);
        let values = series.iter().map(|s| s["metric"][label].as_str());
        let mut values: Vec<String> = values.map(|v| v.unwrap_or_default().to_string()).collect();
        values.sort();
        values.dedup();
        values
    }
}

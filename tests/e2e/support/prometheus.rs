//! A real Prometheus server.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::process::{Running, program};
use super::server::started;
use super::sidecar::get;

/// What a server does besides scraping its target every second.
#[derive(Default)]
pub struct Setting<'a> {
    /// Further lines for the scrape's configuration, each indented by four spaces.
    pub scrape: &'a str,
    /// Rules to evaluate every second.
    pub rules: Option<&'a str>,
    /// Address of the Alertmanager that its alerts go to.
    pub alertmanager: Option<&'a str>,
}

/// A server of its own, which scrapes one target every second.
pub struct Prometheus {
    pub process: Running,
    address: String,
}

impl Prometheus {
    #[track_caller]
    pub fn start(directory: &Path, target: &str) -> Self {
        Self::start_with(directory, target, &Setting::default())
    }

    #[track_caller]
    pub fn start_with(directory: &Path, target: &str, setting: &Setting<'_>) -> Self {
        let config = directory.join("prometheus.yml");
        let mut text = String::from("global: {scrape_interval: 1s, evaluation_interval: 1s}\n");
        if let Some(rules) = setting.rules {
            fs::write(directory.join("rules.yml"), rules).unwrap();
            text += "rule_files: [rules.yml]\n";
        }
        if let Some(alertmanager) = setting.alertmanager {
            text += &format!(
                "alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{alertmanager}']}}]}}]}}\n"
            );
        }
        text += &format!(
            "scrape_configs:\n  - job_name: mirrorwatch\n    static_configs:\n      - targets: ['{target}']\n{}",
            setting.scrape
        );
        fs::write(&config, text).unwrap();
        let (process, address) = started("Prometheus", "/-/ready", directory, |address| {
            let mut command = Command::new(program("MIRRORWATCH_PROMETHEUS"));
            let tsdb = directory.join("tsdb");
            command.arg(format!("--config.file={}", config.display()));
            command.arg(format!("--storage.tsdb.path={}", tsdb.display()));
            command.arg(format!("--web.listen-address={address}"));
            command
        });
        Self { process, address }
    }

    /// The series that an instant query gives, each with its `metric` and `value`.
    #[track_caller]
    pub fn series(&self, query: &str) -> Vec<Value> {
        let escaped: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let url = format!("http://{}/api/v1/query?query={escaped}", self.address);
        let page = get(&url).unwrap();
        let answer: Value = serde_json::from_str(&page.body).unwrap();
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        answer["data"]["result"].as_array().unwrap().clone()
    }

    /// The values of an instant query, by the label `run`.
    #[track_caller]
    pub fn query(&self, query: &str) -> Vec<(String, f64)> {
        let series = self.series(query);
        let values = series.iter().map(|sample| {
            let run = sample["metric"]["run"].as_str().unwrap_or_default();
            let value = sample["value"][1].as_str().unwrap().parse().unwrap();
            (run.to_string(), value)
        });
        values.collect()
    }

    /// The values of a label over what a query gives, sorted and each once.
    #[track_caller]
    pub fn label(&self, query: &str, label: &str) -> Vec<String> {
        let series = self.series(query);
        let values = series.iter().map(|s| s["metric"][label].as_str());
        let mut values: Vec<String> = values.map(|v| v.unwrap_or_default().to_string()).collect();
        values.sort();
        values.dedup();
        values
    }
}

//! From a training with wrong labels to whoever is on call: sidecar, Prometheus, Alertmanager, webhook.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::grafana::impatient_rules;
use crate::support::place::Place;
use crate::support::process::{Running, program};
use crate::support::prometheus::{Prometheus, Setting};
use crate::support::server::started;
use crate::support::wait::eventually;
use crate::support::webhook::Webhook;

/// A real Alertmanager that tells the webhook at once.
#[track_caller]
fn alertmanager(place: &Place, webhook: &Webhook) -> (Running, String) {
    let config = place.at("alertmanager.yml");
    let text = format!(
        "route: {{receiver: hook, group_by: [alertname, run], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}}\nreceivers:\n  - name: hook\n    webhook_configs: [{{url: 'http://{}/', send_resolved: true}}]\n",
        webhook.address
    );
    fs::write(&config, text).unwrap();
    started("Alertmanager", "/-/ready", place.path(), |address| {
        let mut command = Command::new(program("MIRRORWATCH_ALERTMANAGER"));
        let storage = place.at("alertmanager");
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.path={}", storage.display()));
        command.arg(format!("--web.listen-address={address}"));
        command.arg("--cluster.listen-address=");
        command
    })
}

/// A Prometheus with the rules of `grafana/` that sends its alerts there.
#[track_caller]
fn prometheus(place: &Place, target: &str, alertmanager: &str) -> Prometheus {
    let setting = Setting {
        rules: Some(&impatient_rules()),
        alertmanager: Some(alertmanager),
        ..Setting::default()
    };
    Prometheus::start_with(place.path(), target, &setting)
}

fn text<'a>(alert: &'a Value, pointer: &str) -> &'a str {
    alert
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[test]
fn prometheus_alerts_reach_the_webhook_before_the_run_ends() {
    let place = Place::new();
    let webhook = Webhook::start();
    let (_alertmanager, address) = alertmanager(&place, &webhook);
    let mut sidecar = place.watch("state").start();
    let _prometheus = prometheus(&place, &sidecar.address, &address);
    let mut trainer = place.trainer("resnet-7");
    trainer.epochs(2);
    let scrape = sidecar.wait_for_scans(2);
    let bound = scrape
        .value("mirrorwatch_noise_ratio_lower_bound{run=\"resnet-7\"}")
        .unwrap();
    assert!(bound >= 0.1 && bound <= place.data.noise(), "{bound}");

    let alert = eventually("the alert at the webhook", || {
        let alerts = webhook.alerts();
        let found = alerts.iter().find(|alert| {
            text(alert, "/labels/alertname") == "MirrorwatchLabelNoise"
                && text(alert, "/labels/severity") == "critical"
                // Of the second scan, which is the one that is looked at here.
                && text(alert, "/annotations/description").contains(&percentage(bound))
        });
        found.cloned().ok_or_else(|| format!("{alerts:?}"))
    });
    // The run goes on meanwhile.
    assert_eq!(
        sidecar
            .scrape()
            .value("mirrorwatch_run_finished{run=\"resnet-7\"}"),
        Some(0.0)
    );
    assert_eq!(text(&alert, "/status"), "firing");
    assert_eq!(text(&alert, "/labels/run"), "resnet-7");
    assert!(
        text(&alert, "/annotations/description").contains("resnet-7"),
        "{alert}"
    );
    let runbook = text(&alert, "/annotations/runbook_url");
    assert!(
        runbook.ends_with("/grafana/runbooks/MirrorwatchLabelNoise.md"),
        "{alert}"
    );
    trainer.finish();
}

/// As Prometheus' templates write a share.
fn percentage(share: f64) -> String {
    let percent = 100.0 * share;
    // Four significant digits, without zeros at the end.
    let digits = 3 - percent.log10().floor() as i32;
    let rounded = format!("{percent:.*}", digits.max(0) as usize);
    format!("{}%", rounded.trim_end_matches('0').trim_end_matches('.'))
}

#[test]
fn prometheus_sends_nothing_for_a_run_without_wrong_labels() {
    let mut place = Place::new();
    place.data.correct();
    let webhook = Webhook::start();
    let (_alertmanager, address) = alertmanager(&place, &webhook);
    let mut sidecar = place.watch("state").start();
    let prometheus = prometheus(&place, &sidecar.address, &address);
    let mut trainer = place.trainer("resnet-7");
    trainer.epochs(4);
    sidecar.wait_for_scans(4);
    trainer.finish();
    eventually("Prometheus to have seen the whole run", || {
        let finished = prometheus.query("mirrorwatch_run_finished{run=\"resnet-7\"} == 1");
        let again = prometheus.query("count_over_time(mirrorwatch_run_finished[20s]) > 8");
        if finished.is_empty() || again.is_empty() {
            return Err(format!("{finished:?} {again:?}"));
        }
        Ok(())
    });
    let of_the_run: Vec<Value> = webhook
        .alerts()
        .into_iter()
        .filter(|alert| !text(alert, "/labels/run").is_empty())
        .collect();
    assert!(of_the_run.is_empty(), "{of_the_run:?}");
}

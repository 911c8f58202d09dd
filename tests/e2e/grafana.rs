//! What is in `grafana/`: promtool accepts the rules and their tests, alerts and panels say what they
//! mean, and neither names a metric that a sidecar does not export.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::place::Place;
use crate::support::process::{program, run};

const RULES: &str = "prometheus/mirrorwatch.rules.yml";
const RULE_TESTS: &str = "prometheus/mirrorwatch.test.yml";
const DASHBOARD: &str = "dashboards/mirrorwatch.json";
const RUNBOOKS: &str = "https://github.com/mirrorwatch/mirrorwatch/blob/main/grafana/runbooks";

/// What a sidecar exports only after something went wrong; that it does is tested where it is made to.
const AFTER_AN_ONSET: &str = "mirrorwatch_source_onset_epoch";

/// What every query on the dashboard must select by.
const VARIABLES: &str = r#"job=~"$job", instance=~"$instance""#;

fn grafana() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../grafana")
}

#[track_caller]
fn read(name: &str) -> String {
    let path = grafana().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs promtool where the rules are.
#[track_caller]
fn promtool(arguments: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program("MIRRORWATCH_PROMTOOL"));
    command
        .args(arguments)
        .current_dir(grafana().join("prometheus"));
    run(command, directory.path()).expect(0);
}

#[test]
fn prometheus_promtool_checks_the_rules() {
    let strict = ["--lint=all", "--lint-fatal"];
    promtool(&[
        "check",
        "rules",
        strict[0],
        strict[1],
        "mirrorwatch.rules.yml",
    ]);
}

#[test]
fn prometheus_promtool_tests_the_rules() {
    promtool(&["test", "rules", "mirrorwatch.test.yml"]);
}

#[test]
fn prometheus_promtool_checks_the_config() {
    promtool(&["check", "config", "prometheus.yml"]);
}

/// Every query of the dashboard, as a rule: what Prometheus cannot parse is no rule.
#[test]
fn prometheus_promtool_parses_every_query_of_the_dashboard() {
    let mut rules = Vec::new();
    for panel in panels() {
        for expression in expressions(&panel) {
            let record = format!("query:{}", rules.len());
            let expr = expression
                .replace("$__rate_interval", "1m")
                .replace("$job", ".+")
                .replace("$instance", ".+")
                .replace("$run", ".+");
            assert!(!expr.contains('$'), "an unknown variable in {expression}");
            rules.push(json!({"record": record, "expr": expr}));
        }
    }
    let directory = tempfile::tempdir().unwrap();
    // JSON is YAML, too.
    let file = directory.path().join("dashboard.yml");
    let groups = json!({"groups": [{"name": "dashboard", "rules": rules}]});
    fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

/// The items of a list in one of our YAML files that start with `key`: what follows it on the line,
/// and the whole item. Enough for how these files are written; promtool sees to it that they are valid.
fn items<'a>(yaml: &'a str, indent: &str, key: &str) -> Vec<(&'a str, String)> {
    let start = format!("{indent}- ");
    let inside = format!("{indent}  ");
    let mut items: Vec<(&str, String)> = Vec::new();
    let mut open = false;
    for line in yaml.lines() {
        if let Some(item) = line.strip_prefix(&start) {
            let named = item.strip_prefix(key).and_then(|i| i.strip_prefix(": "));
            open = named.is_some();
            items.extend(named.map(|name| (name, String::new())));
        } else if !line.is_empty() && !line.starts_with(&inside) {
            open = false;
        }
        if let (true, Some((_, item))) = (open, items.last_mut()) {
            item.push_str(line);
            item.push('\n');
        }
    }
    items
}

/// The first value of a key in an item.
fn field<'a>(item: &'a str, key: &str) -> Option<&'a str> {
    let mut values = item.lines().filter_map(|line| {
        let value = line.trim().strip_prefix(key)?.strip_prefix(':')?.trim();
        (!value.is_empty()).then_some(value)
    });
    values.next()
}

#[test]
fn every_alert_says_what_it_means_and_has_a_runbook() {
    let rules = read(RULES);
    let alerts = items(&rules, "      ", "alert");
    assert_eq!(alerts.len(), rules.matches("alert: ").count());
    assert!(!alerts.is_empty());
    let mut runbooks = BTreeSet::new();
    for (name, alert) in &alerts {
        assert!(name.starts_with("Mirrorwatch"), "{name}");
        let severity = field(alert, "severity").unwrap_or_default();
        assert!(
            ["info", "warning", "critical"].contains(&severity),
            "{name}: severity {severity:?}"
        );
        let summary = field(alert, "summary").unwrap_or_default();
        assert!(
            summary.ends_with('.') && !summary.contains("{{"),
            "{name}: the summary {summary:?} is not a fixed sentence"
        );
        assert!(field(alert, "description").is_some(), "{name}");
        let page = format!("{RUNBOOKS}/{name}.md");
        assert_eq!(field(alert, "runbook_url"), Some(page.as_str()), "{name}");
        let runbook = read(&format!("runbooks/{name}.md"));
        assert!(runbook.starts_with(&format!("# {name}\n")), "{name}");
        for part in [
            "What it means",
            "How to look",
            "What to do",
            "How to silence",
        ] {
            assert!(
                runbook.contains(&format!("\n## {part}\n")),
                "{name}: {part}"
            );
        }
        runbooks.insert(format!("{name}.md"));
    }
    let mut pages = BTreeSet::new();
    for entry in fs::read_dir(grafana().join("runbooks")).unwrap() {
        pages.insert(entry.unwrap().file_name().into_string().unwrap());
    }
    assert_eq!(pages, runbooks, "runbooks, and alerts that lead to them");
}

#[test]
fn every_alert_is_tested_firing_and_not_firing() {
    let (rules, tests) = (read(RULES), read(RULE_TESTS));
    let cases = items(&tests, "      ", "alertname");
    for (name, alert) in items(&rules, "      ", "alert") {
        let severity = format!("severity: {}", field(&alert, "severity").unwrap());
        let fires = |case: &str| case.contains(&severity);
        let of_it = || cases.iter().filter(|(tested, _)| *tested == name);
        assert!(of_it().any(|(_, case)| fires(case)), "{name}, {severity}");
        assert!(
            of_it().any(|(_, case)| !fires(case)),
            "{name}, no {severity}"
        );
    }
}

#[track_caller]
fn dashboard() -> Value {
    serde_json::from_str(&read(DASHBOARD)).unwrap()
}

/// The panels that show something, not the rows they are in.
#[track_caller]
fn panels() -> Vec<Value> {
    let mut panels = dashboard()["panels"].as_array().unwrap().clone();
    panels.retain(|panel| panel["type"] != "row");
    assert!(!panels.is_empty());
    panels
}

#[track_caller]
fn expressions(panel: &Value) -> Vec<String> {
    let targets = panel["targets"].as_array().unwrap();
    let text = |target: &Value| target["expr"].as_str().unwrap().to_string();
    targets.iter().map(text).collect()
}

#[test]
fn the_dashboard_has_a_variable_for_each_choice_and_cannot_be_edited() {
    let dashboard = dashboard();
    assert_eq!(dashboard["editable"], false);
    assert_eq!(dashboard["title"], "mirrorwatch");
    let mut names = Vec::new();
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        names.push(variable["name"].as_str().unwrap());
        assert!(!variable["label"].as_str().unwrap().is_empty());
        if variable["type"] != "datasource" {
            assert_eq!(variable["datasource"]["uid"], "${datasource}");
            assert_eq!(variable["allValue"], ".+");
            assert_eq!(variable["refresh"], 2, "on change of the time range");
        }
    }
    assert_eq!(names, ["datasource", "job", "instance", "run"]);
}

#[test]
fn every_panel_has_title_description_and_unit_and_follows_the_variables() {
    let mut ids = BTreeSet::new();
    for panel in panels() {
        let title = panel["title"].as_str().unwrap_or_default();
        assert!(!title.is_empty(), "{panel}");
        assert!(ids.insert(panel["id"].as_u64()), "{title}: the id is taken");
        let description = panel["description"].as_str().unwrap_or_default();
        assert!(description.ends_with('.'), "{title}: {description:?}");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
        let expressions = expressions(&panel);
        assert!(!expressions.is_empty(), "{title}");
        for expression in expressions {
            // Every selector, and nothing else here has braces.
            let selectors = expression.matches('{').count();
            let selected = expression.matches(&format!("{{{VARIABLES}")).count();
            assert!(selectors > 0 && selectors == selected, "{expression}");
            // A counter on its own only ever rises.
            let counters = expression.matches("_total{").count();
            let ranges = expression.matches("[$__rate_interval]").count();
            assert!(ranges >= counters, "{title}: {expression}");
            assert_eq!(ranges, expression.matches('[').count(), "{expression}");
        }
    }
}

/// The words in a text that are names of our metrics or of rules that record them.
fn names(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.starts_with("mirrorwatch_") || word.contains(":mirrorwatch_"))
        .collect()
}

#[test]
fn names_are_whole_words() {
    let text = r#"expr: run:mirrorwatch_a:ratio{x="mirrorwatch"} / rate(mirrorwatch_b_total[5m])"#;
    let expected = ["mirrorwatch_b_total", "run:mirrorwatch_a:ratio"];
    assert_eq!(names(text), BTreeSet::from(expected));
}

#[test]
fn rules_and_dashboard_name_only_metrics_that_a_sidecar_exports() {
    let (rules, tests, dashboard) = (read(RULES), read(RULE_TESTS), read(DASHBOARD));
    let place = Place::new();
    // Some metrics are there only for those who name sources.
    let sources = place.at("sources.txt");
    fs::write(&sources, "one\n".repeat(1500)).unwrap();
    let sources = sources.display().to_string();
    let watch = place.watch("state").with(&["--sources", &sources]);
    let mut sidecar = watch.start();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let scrape = sidecar.wait_for_scans(1);
    let mut known = scrape.metrics();
    known.insert(AFTER_AN_ONSET);
    for (record, _) in items(&rules, "      ", "record") {
        known.insert(record);
    }
    for (file, text) in [
        (RULES, &rules),
        (RULE_TESTS, &tests),
        (DASHBOARD, &dashboard),
    ] {
        let names = names(text);
        assert!(names.len() > 5, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(
            unknown.is_empty(),
            "{file} names {unknown:?}; exported: {known:?}"
        );
    }
}

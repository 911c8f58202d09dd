//! The rules in `grafana/`: promtool accepts them and their tests, every alert says what it means and has a
//! runbook, and their thresholds are explained.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::process::{program, run};

pub const RULES: &str = "prometheus/mirrorwatch.rules.yml";
/// By what they are about: one run or sidecar, or what is compared with something else.
pub const RULE_TESTS: [&str; 2] = [
    "prometheus/mirrorwatch.test.yml",
    "prometheus/mirrorwatch.more.test.yml",
];
const RUNBOOKS: &str = "https://github.com/mirrorwatch/mirrorwatch/blob/main/grafana/runbooks";

pub fn grafana() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../grafana")
}

#[track_caller]
pub fn read(name: &str) -> String {
    let path = grafana().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Runs promtool where the rules are.
#[track_caller]
pub fn promtool(arguments: &[&str]) {
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
    for tests in RULE_TESTS {
        let file = grafana().join(tests).display().to_string();
        promtool(&["test", "rules", &file]);
    }
}

#[test]
fn prometheus_promtool_checks_the_config() {
    promtool(&["check", "config", "prometheus.yml"]);
}

/// The items of a list in one of our YAML files that start with `key`: what follows it on the line,
/// and the whole item. Enough for how these files are written; promtool sees to it that they are valid.
pub fn items<'a>(yaml: &'a str, indent: &str, key: &str) -> Vec<(&'a str, String)> {
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
    let (rules, tests) = (read(RULES), RULE_TESTS.map(read).concat());
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

/// The numbers in the lines of an item that say that they are thresholds, by line.
fn thresholds(item: &str) -> Vec<(&str, Vec<&str>)> {
    let lines = item.lines().filter_map(|line| {
        let (code, about) = line.split_once("  # threshold: ")?;
        let words = code.split(|c: char| !(c.is_ascii_alphanumeric() || "._:".contains(c)));
        let numbers = words.filter(|word| word.parse::<f64>().is_ok()).collect();
        Some((about, numbers))
    });
    lines.collect()
}

/// All thresholds of the rules, as numbers.
pub fn all_thresholds() -> Vec<f64> {
    let rules = read(RULES);
    let numbers = thresholds(&rules)
        .into_iter()
        .flat_map(|(_, numbers)| numbers);
    numbers.map(|number| number.parse().unwrap()).collect()
}

#[test]
fn every_threshold_is_explained_beside_its_rule_and_in_the_readme() {
    let (rules, readme) = (read(RULES), read("README.md"));
    let mut alerts = items(&rules, "      ", "alert");
    alerts.extend(items(&rules, "      ", "record"));
    let mut explained = 0;
    for (name, rule) in &alerts {
        for (about, numbers) in thresholds(rule) {
            assert!(!numbers.is_empty(), "{name}: no number for {about:?}");
            explained += 1;
            let row = format!("| `{name}` | {about} | {} |", numbers.join(", "));
            assert!(
                readme.contains(&row),
                "the README has no row that starts with {row}"
            );
        }
    }
    assert_eq!(explained, rules.matches("  # threshold: ").count());
    // A comparison without a number to turn needs none.
    for (name, alert) in alerts.iter().filter(|(name, _)| name.starts_with("Mirror")) {
        let expr = alert.split("annotations:").next().unwrap_or_default();
        let compares = |line: &&str| line.contains(" >= ") || line.contains(" > ");
        for line in expr.lines().filter(compares) {
            let plain = ["> 0", "min_over_time"].iter().any(|p| line.contains(p));
            assert!(plain || line.contains("  # threshold: "), "{name}: {line}");
        }
    }
}

/// The words in a text that are names of our metrics or of rules that record them.
pub fn names(text: &str) -> BTreeSet<&str> {
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

/// The rules, made impatient: without their `for:`, so that what fires for a moment is seen, too.
pub fn impatient_rules() -> String {
    let rules = read(RULES);
    let lines = rules
        .lines()
        .filter(|line| !line.starts_with("        for: "));
    lines.collect::<Vec<_>>().join("\n")
}

//! The table of metrics in the documentation is what a sidecar exports: names, types, labels and help.

use std::collections::BTreeSet;
use std::path::Path;

use crate::grafana_metrics::{AFTER_AN_ONSET, everything};
use crate::support::place::Place;
use crate::support::scrape::Scrape;

const TABLE: &str = "../docs/metrics.md";

/// The rows of the table, as written.
fn documented() -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(TABLE);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(String::from).collect()
}

/// The row of every metric in a scrape.
fn exported(scrape: &Scrape) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for line in scrape.0.lines() {
        let Some((name, help)) = line
            .strip_prefix("# HELP ")
            .and_then(|line| line.split_once(' '))
        else {
            continue;
        };
        let kind = scrape
            .0
            .lines()
            .find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")))
            .unwrap_or_else(|| panic!("{name} has no type"));
        let labels = labels(scrape, name).join(", ");
        rows.insert(format!("| `{name}` | {kind} | {labels} | {help} |"));
    }
    rows
}

/// Names of a metric's labels, but for the bounds of a histogram.
fn labels(scrape: &Scrape, name: &str) -> Vec<String> {
    let mut series = scrape.series(name);
    series.extend(scrape.series(&format!("{name}_bucket")));
    let mut names = Vec::new();
    let within = series.first().and_then(|series| series.split_once('{'));
    for part in within.map_or("", |(_, labels)| labels).split("\",") {
        match part.split_once("=\"") {
            Some((label, _)) if label != "le" => names.push(format!("`{label}`")),
            _ => {}
        }
    }
    names
}

/// Asserts that the row of a metric is in the table, for one that is seen rarely.
#[track_caller]
pub fn assert_documented(scrape: &Scrape, name: &str) {
    let begin = format!("| `{name}` ");
    let rows = exported(scrape);
    let row = rows.iter().find(|row| row.starts_with(&begin));
    let row = row.unwrap_or_else(|| panic!("{name} is not exported"));
    assert!(documented().contains(row), "{TABLE} has no row {row}");
}

#[test]
fn every_exported_metric_is_in_the_table_and_the_other_way_round() {
    let place = Place::new();
    let mut sidecar = everything(&place);
    place.trainer("r").epochs(2);
    let exported = exported(&sidecar.wait_for_scans(2));
    let mut documented = documented();
    // Not exported here; its row is compared where a source goes bad.
    documented.retain(|row| !row.starts_with(&format!("| `{AFTER_AN_ONSET}` ")));
    // Nor these; compared in `shards`.
    documented.retain(|row| !row.starts_with("| `mirrorwatch_shard"));
    let show = |rows: Vec<&String>| {
        rows.iter()
            .map(|row| format!("{row}\n"))
            .collect::<String>()
    };
    let missing = show(exported.difference(&documented).collect());
    let stale = show(documented.difference(&exported).collect());
    assert!(
        missing.is_empty() && stale.is_empty(),
        "{TABLE} lacks\n{missing}and has what is not exported:\n{stale}"
    );
    assert!(exported.len() > 40, "{exported:?}");
}

//! Means and tables over made-up records.

use std::collections::BTreeMap;

use super::{Summary, brief, markdown};
use crate::grid::{Cell, Overrides, cells};
use crate::phases::Phase;
use crate::record::{Checkpoint, Count, Rank, Ranks, Record, Setting};
use crate::store::tests::empty_record;

fn rank(auroc: f64, average_precision: f64) -> Rank {
    Rank {
        auroc: Some(auroc),
        average_precision: Some(average_precision),
        subset: None,
    }
}

fn count(suspects: usize, found: usize, wrong: usize, lower_bound: f64) -> Count {
    let false_ones = (suspects - found) as f64;
    Count {
        setting: Setting::WithTrusted,
        null: "pooled".to_string(),
        refused: None,
        null_samples: 100,
        scored: 100,
        wrong,
        noise_ratio: wrong as f64 / 100.0,
        suspects,
        found,
        precision: Some(found as f64 / suspects as f64),
        recall: Some(found as f64 / wrong as f64),
        false_discovery_proportion: false_ones / suspects as f64,
        expected_false: 0.0,
        lower_bound,
        bound_holds: lower_bound <= wrong as f64 / 100.0,
        estimate: 0.2,
        min_detectable: 5,
        suggested_accuracy: None,
        sure: None,
        hard: None,
        sources: Vec::new(),
        top_source: None,
    }
}

/// A record of two checkpoints; the second one has the given figures.
fn record(cell: &Cell, ours: f64, theirs: f64, count: Count) -> Record {
    let checkpoint = |epoch, auroc, counts| Checkpoint {
        epoch,
        train_loss: 1.0,
        probe_loss: 1.0,
        probe_accuracy: 0.5,
        fitted: 0.5,
        probe_noise: 0.0,
        scan_seconds: 1.0,
        base_sweep_seconds: 0.1,
        read: 1.0,
        choices: BTreeMap::new(),
        ranks: Ranks::from([("mirrorwatch".to_string(), rank(auroc, auroc))]),
        counts,
    };
    Record {
        samples: 100,
        wrong: count.wrong,
        checkpoints: vec![
            checkpoint(1, 0.1, Vec::new()),
            checkpoint(2, ours, vec![count]),
        ],
        phases: BTreeMap::from([(Phase::Early, 1), (Phase::Best, 0), (Phase::Memorised, 1)]),
        once: Ranks::from([("out-of-sample".to_string(), rank(theirs, theirs))]),
        ..empty_record(cell)
    }
}

/// A record that keeps all promises.
pub fn good() -> Record {
    two_seeds().remove(0)
}

fn two_seeds() -> Vec<Record> {
    let only = ["cifar10_sym-0.2".to_string()];
    let cells = cells(false, &[0, 1], &only, &Overrides::default());
    vec![
        record(&cells[0], 0.9, 0.8, count(20, 19, 20, 0.15)),
        record(&cells[1], 0.7, 0.8, count(10, 8, 20, 0.25)),
    ]
}

#[test]
fn seeds_are_averaged_at_each_phase() {
    let summary = Summary::new(&two_seeds(), Vec::new());
    assert_eq!(summary.groups.len(), 1);
    let group = &summary.groups[0];
    assert_eq!(group.seeds, [0, 1]);
    let last = &group.phases[&Phase::Memorised];
    let close = |value: Option<f64>, expected: f64| (value.unwrap() - expected).abs() < 1e-12;
    assert!(close(last.ranks["mirrorwatch"].auroc, 0.8));
    assert!(close(
        group.phases[&Phase::Best].ranks["mirrorwatch"].auroc,
        0.1
    ));
    assert!(close(last.ranks["out-of-sample"].auroc, 0.8));
    // The first checkpoint does not count.
    assert_eq!(group.lowest_auroc, Some(0.7));
    let count = &last.counts[&Setting::WithTrusted];
    assert!(close(count.recall, (0.95 + 0.4) / 2.0));
    assert!(close(count.false_discovery_proportion, (0.05 + 0.2) / 2.0));
    assert_eq!(count.suspects_median, Some(15.0));
    assert_eq!(count.bound_holds, Some(0.5));
    assert_eq!(count.bad_annotator_on_top, None);
}

#[test]
fn the_brief_table_has_a_row_per_group_and_a_cell_per_column() {
    let text = brief(&Summary::new(&two_seeds(), Vec::new()));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    let cells = |line: &str| line.matches('|').count();
    assert!(lines.iter().all(|line| cells(line) == cells(lines[0])));
    assert_eq!(
        lines[2],
        "| cifar10 | sym:0.2 | 2 | .800 | – | – | – | .800 | – | .800 | 15 | .675 | .125 | .200 / .200 |  |  |  | – |"
    );
}

#[test]
fn honesty_and_wins_over_all_cells() {
    let overall = Summary::new(&two_seeds(), Vec::new()).overall;
    assert_eq!(overall.honesty[&Setting::WithTrusted].checkpoints, 2);
    assert_eq!(
        overall.honesty[&Setting::WithTrusted].bound_fails,
        Some(0.5)
    );
    assert!(!overall.honesty.contains_key(&Setting::WithoutTrusted));
    assert_eq!(overall.at_least_out_of_sample[&Phase::Memorised], 0.5);
    assert_eq!(overall.at_least_out_of_sample[&Phase::Best], 0.0);
    assert_eq!(overall.ranked_cells, 2);
}

#[test]
fn variants_are_groups_of_their_own_and_do_not_rank() {
    let mut records = two_seeds();
    let overrides = Overrides {
        probe: Some(2000),
        ..Overrides::default()
    };
    let only = ["cifar10_sym-0.2".to_string()];
    let cell = cells(false, &[0], &only, &overrides).remove(0);
    records.push(record(&cell, 0.9, 0.8, count(20, 19, 20, 0.15)));
    let summary = Summary::new(&records, Vec::new());
    assert_eq!(summary.groups.len(), 2);
    assert_eq!(summary.overall.ranked_cells, 2);
    assert_eq!(
        summary.overall.honesty[&Setting::WithTrusted].checkpoints,
        3
    );
}

#[test]
fn the_tables_say_what_was_run_and_what_is_missing() {
    let missing = vec!["tabular_none_s0: skipped: no data".to_string()];
    let text = markdown(&Summary::new(&two_seeds(), missing));
    assert!(
        text.contains("| cifar10 | sym:0.2 |  | 0, 1 | 100 |"),
        "{text}"
    );
    assert!(
        text.contains("\n- tabular_none_s0: skipped: no data\n"),
        "{text}"
    );
    assert!(text.contains(".800 / .800"), "{text}");
    // Every table has as many columns in each row as in its head.
    for table in text.split("\n\n").filter(|part| part.starts_with('|')) {
        let columns = |line: &str| line.matches('|').count();
        let mut lines = table.lines();
        let head = columns(lines.next().unwrap());
        assert!(lines.all(|line| columns(line) == head), "{table}");
    }
}

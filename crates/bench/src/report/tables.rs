//! The report for people.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::overall::RIVAL;
use super::summary::{Group, Summary};
use super::table::{Table, share, whole};
use crate::phases::Phase;
use crate::record::{Setting, Told};

/// Methods that come first, in this order; the others follow by name.
const FIRST: &[&str] = &[
    "mirrorwatch",
    "loss",
    "cumulative-loss",
    "aum",
    "out-of-sample",
    "out-of-sample-margin",
    "probe-lr",
];
/// Running evidence of single estimators is in the JSON only: with it, no page is wide enough.
const LEFT_OUT: &str = " evidence";

/// All tables.
pub fn markdown(summary: &Summary) -> String {
    let mut text = String::from("# Detection benchmark\n\n");
    let _ = writeln!(
        text,
        "{} cells, revision {}. Means over seeds. The product: {}.\n",
        summary.cells,
        or_unknown(&summary.revisions),
        or_unknown(&summary.products)
    );
    text.push_str(&cells(summary));
    text.push_str(&overall(summary));
    for phase in Phase::ALL {
        let _ = writeln!(
            text,
            "## Ranking, {}\n\nAUROC / average precision over all but the trusted samples.\n\n{}",
            phase.name(),
            ranking(summary, phase)
        );
    }
    for setting in Setting::ALL {
        let (name, counts) = (setting.name(), counting(summary, setting));
        let _ = writeln!(text, "## Counts {name}\n\n{counts}");
    }
    text
}

fn or_unknown(texts: &[String]) -> String {
    if texts.is_empty() {
        String::from("unknown")
    } else {
        texts.join(" and ")
    }
}

/// Which cells were run, and which were not.
fn cells(summary: &Summary) -> String {
    let head = [
        "data",
        "noise",
        "variant",
        "seeds",
        "train",
        "probe",
        "trusted",
        "wrong",
        "s per cell",
    ];
    let mut table = Table::new(head.map(String::from).to_vec(), 4);
    for group in &summary.groups {
        let seeds: Vec<String> = group.seeds.iter().map(u64::to_string).collect();
        let mut row = names(group);
        row.extend([
            seeds.join(", "),
            group.samples.to_string(),
            group.probe.to_string(),
            group.trusted.to_string(),
            whole(group.wrong),
            whole(group.seconds),
        ]);
        table.row(row);
    }
    let mut text = format!("## Cells\n\n{table}\n");
    if summary.missing.is_empty() {
        text.push_str("None of the cells that were asked for is missing.\n\n");
    } else {
        text.push_str("Missing:\n\n");
        for missing in &summary.missing {
            let _ = writeln!(text, "- {missing}");
        }
        text.push('\n');
    }
    text
}

fn names(group: &Group) -> Vec<String> {
    let variant = group.variant.trim_start_matches('_').replace('_', " ");
    vec![group.dataset.clone(), group.noise.clone(), variant]
}

fn overall(summary: &Summary) -> String {
    let head = [
        "counts",
        "checkpoints",
        "mean FDP",
        "worst mean over seeds",
        "bound above truth",
        "at the last checkpoint",
        "wrong of those with a chance ≥ .9",
        "< .5",
    ];
    let mut honesty = Table::new(head.map(String::from).to_vec(), 1);
    for (setting, of) in &summary.overall.honesty {
        honesty.row(vec![
            setting.name().to_string(),
            of.checkpoints.to_string(),
            share(of.false_discovery_proportion),
            share(of.worst_group),
            share(of.bound_fails),
            share(of.bound_fails_at_the_end),
            told(of.sure),
            told(of.hard),
        ]);
    }
    let phases = Phase::ALL.map(|phase| phase.name().to_string());
    let mut head = vec![format!("mean AP, {} cells", summary.overall.ranked_cells)];
    head.extend(phases);
    let mut means = Table::new(head, 1);
    let of = |phase: &Phase| summary.overall.average_precision.get(phase);
    let all: BTreeSet<&String> = Phase::ALL
        .iter()
        .filter_map(of)
        .flat_map(|means| means.keys())
        .collect();
    for name in in_order(all) {
        let mut row = vec![name.clone()];
        for phase in &Phase::ALL {
            row.push(share(of(phase).and_then(|means| means.get(&name).copied())));
        }
        means.row(row);
    }
    let mut wins = vec![format!("share of cells with mirrorwatch ≥ {RIVAL}")];
    for phase in &Phase::ALL {
        wins.push(share(
            summary.overall.at_least_out_of_sample.get(phase).copied(),
        ));
    }
    means.row(wins);
    let note = "Average precision over the cells of the full grid, without variants, in which something is wrong.";
    format!("## Over all cells\n\n{honesty}\n{note}\n\n{means}\n")
}

fn told(told: Told) -> String {
    let wrong = told.wrong as f64 / told.suspects.max(1) as f64;
    format!(
        "{} of {}",
        share((told.suspects > 0).then_some(wrong)),
        told.suspects
    )
}

fn in_order(names: BTreeSet<&String>) -> Vec<String> {
    let mut ordered: Vec<String> = names.into_iter().cloned().collect();
    ordered.sort_by_key(|name| {
        FIRST
            .iter()
            .position(|first| first == name)
            .unwrap_or(FIRST.len())
    });
    ordered
}

fn ranking(summary: &Summary, phase: Phase) -> Table {
    let at = |group: &'_ Group| group.phases.get(&phase).cloned();
    let found: BTreeSet<String> = summary
        .groups
        .iter()
        .filter_map(at)
        .flat_map(|at| at.ranks.into_keys())
        .filter(|name| !name.ends_with(LEFT_OUT))
        .collect();
    let methods = in_order(found.iter().collect());
    let mut head = ["data", "noise", "variant", "epoch", "fitted"]
        .map(String::from)
        .to_vec();
    head.extend(methods.iter().cloned());
    let mut table = Table::new(head, 3);
    for group in &summary.groups {
        let Some(at) = at(group) else { continue };
        if at.ranks.values().all(|rank| rank.auroc.is_none()) {
            continue;
        }
        let mut row = names(group);
        row.extend([whole(at.epoch), share(at.fitted)]);
        for method in &methods {
            row.push(at.ranks.get(method).map_or_else(String::new, |rank| {
                let (auroc, precision) = (share(rank.auroc), share(rank.average_precision));
                format!("{auroc} / {precision}")
            }));
        }
        table.row(row);
    }
    table
}

fn counting(summary: &Summary, setting: Setting) -> Table {
    let head = [
        "data",
        "noise",
        "variant",
        "phase",
        "null",
        "refused",
        "truth",
        "bound",
        "holds",
        "estimate",
        "suspects",
        "precision",
        "recall",
        "FDP",
        "suggested right",
        "min. detectable",
        "bad annotator on top",
        "flagged",
        "others flagged",
        "lowest AUROC from the 2nd on",
    ];
    let mut table = Table::new(head.map(String::from).to_vec(), 5);
    for group in &summary.groups {
        for (phase, at) in &group.phases {
            let Some(count) = at.counts.get(&setting) else {
                continue;
            };
            let mut row = names(group);
            row.extend([
                phase.name().to_string(),
                count.nulls.join(", "),
                count.refused.to_string(),
                share(count.noise_ratio),
                share(count.lower_bound),
                share(count.bound_holds),
                share(count.estimate),
                whole(count.suspects_median),
                share(count.precision),
                share(count.recall),
                share(count.false_discovery_proportion),
                share(count.suggested_accuracy),
                whole(count.min_detectable),
                share(count.bad_annotator_on_top),
                share(count.bad_annotator_flagged),
                share(count.wrongly_flagged_annotators),
                share(group.lowest_auroc),
            ]);
            table.row(row);
        }
    }
    table
}

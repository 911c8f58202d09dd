//! The table for the README: one row per data set, noise and variant, at the end of training, when the
//! labels are memorised.

use super::summary::{Group, Summary};
use super::table::{Table, share, whole};
use crate::phases::Phase;
use crate::record::Setting;

/// The product, and what it is held against: name of the method, head of its column.
const RANKED: &[(&str, &str)] = &[
    ("mirrorwatch", "mirrorwatch"),
    ("loss", "loss"),
    ("cumulative-loss", "cumulative loss"),
    ("aum", "AUM"),
    ("out-of-sample", "out-of-sample"),
    ("probe-lr", "probe only"),
];

/// The table.
pub fn brief(summary: &Summary) -> String {
    let mut head = ["data", "noise", "seeds"].map(String::from).to_vec();
    for (_, name) in RANKED {
        head.push(format!("AP {name}"));
    }
    let counts = [
        "AUROC mirrorwatch",
        "trusted: suspects",
        "recall",
        "FDP",
        "bound / truth",
        "held-out: recall",
        "FDP",
        "bound / truth",
        "suggested right",
    ];
    head.extend(counts.map(String::from));
    let mut table = Table::new(head, 2);
    for group in &summary.groups {
        if let Some(row) = row(group) {
            table.row(row);
        }
    }
    table.to_string()
}

fn row(group: &Group) -> Option<Vec<String>> {
    let at = group.phases.get(&Phase::Memorised)?;
    let variant = group.variant.replace('_', " ");
    let mut row = vec![
        group.dataset.clone(),
        format!("{}{variant}", group.noise),
        group.seeds.len().to_string(),
    ];
    let rank = |name: &str| at.ranks.get(name);
    for (name, _) in RANKED {
        row.push(share(rank(name).and_then(|rank| rank.average_precision)));
    }
    row.push(share(rank("mirrorwatch").and_then(|rank| rank.auroc)));
    for setting in Setting::ALL {
        let Some(count) = at.counts.get(&setting) else {
            row.extend(vec![
                String::new();
                if setting == Setting::WithTrusted {
                    4
                } else {
                    3
                }
            ]);
            continue;
        };
        if setting == Setting::WithTrusted {
            row.push(whole(count.suspects));
        }
        row.extend([
            share(count.recall),
            share(count.false_discovery_proportion),
            format!(
                "{} / {}",
                share(count.lower_bound),
                share(count.noise_ratio)
            ),
        ]);
    }
    let counts = Setting::ALL
        .iter()
        .filter_map(|setting| at.counts.get(setting));
    let suggested = counts
        .map(|count| count.suggested_accuracy)
        .next()
        .flatten();
    row.push(share(suggested));
    Some(row)
}

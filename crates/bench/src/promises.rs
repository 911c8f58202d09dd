//! What must hold of every cell, whatever the data: floors far below what is measured, so that only a
//! mistake in the code goes below them.

use crate::labels::BAD_ANNOTATOR;
use crate::phases::Phase;
use crate::record::{Count, Record};

/// Floor of the product's AUROC at the end of training.
const AUROC: f64 = 0.9;
/// Ceiling of the false-discovery proportion of one cell; q = 0.1 holds on average only.
const FALSE_SHARE: f64 = 0.25;
/// From this share of wrong labels on, some must be named.
const NOISY: f64 = 0.1;

/// Every promise that a cell breaks at its last checkpoint, in words.
pub fn broken(record: &Record) -> Vec<String> {
    let Some(last) = record.at(Phase::Memorised) else {
        return vec![format!("{}: there is no checkpoint", record.name)];
    };
    let mut broken = Vec::new();
    let auroc = |name: &str| last.ranks.get(name).and_then(|rank| rank.auroc);
    if let Some(ours) = auroc("mirrorwatch") {
        if ours < AUROC {
            broken.push(format!("AUROC is {ours:.3}, below {AUROC}"));
        }
        if let Some(loss) = auroc("loss").filter(|loss| ours < *loss) {
            broken.push(format!(
                "AUROC is {ours:.3}, below that of the loss, {loss:.3}"
            ));
        }
    }
    for count in &last.counts {
        let of_count = broken_by(count).into_iter();
        broken.extend(of_count.map(|what| format!("{}: {what}", count.setting.name())));
    }
    let named = broken.into_iter();
    named
        .map(|what| format!("{}: {what}", record.name))
        .collect()
}

fn broken_by(count: &Count) -> Vec<String> {
    let mut broken = Vec::new();
    if let Some(reason) = &count.refused {
        broken.push(format!("nobody is named: {reason}"));
    }
    if count.wrong == 0 && count.suspects > 0 {
        broken.push(format!(
            "{} suspects where nothing is wrong",
            count.suspects
        ));
    }
    if count.wrong > 0 && count.false_discovery_proportion > FALSE_SHARE {
        broken.push(format!(
            "{:.3} of the suspects are right",
            count.false_discovery_proportion
        ));
    }
    if !count.bound_holds {
        broken.push(format!(
            "the lower bound {:.3} is above the truth, {:.3}",
            count.lower_bound, count.noise_ratio
        ));
    }
    if count.noise_ratio >= NOISY && count.suspects == 0 {
        broken.push(format!("no suspect where {} labels are wrong", count.wrong));
    }
    for source in &count.sources {
        if source.flagged && source.source != BAD_ANNOTATOR {
            broken.push(format!("annotator {} is blamed", source.source));
        }
        if source.flagged && count.wrong == 0 {
            broken.push(format!(
                "annotator {} is blamed where nothing is wrong",
                source.source
            ));
        }
    }
    if count.suspects > 0 && count.top_source.is_some_and(|top| top != BAD_ANNOTATOR) {
        broken.push("the bad annotator is not on top".to_string());
    }
    broken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SourceCount;
    use crate::report::tests::good;

    #[test]
    fn a_good_cell_breaks_nothing_and_each_promise_can_be_broken() {
        let good = good();
        assert_eq!(broken(&good), Vec::<String>::new());
        let spoilt: [fn(&mut Count); 6] = [
            |c| c.refused = Some("model-at-chance".to_string()),
            |c| c.false_discovery_proportion = 0.3,
            |c| c.bound_holds = false,
            |c| (c.suspects, c.noise_ratio) = (0, 0.2),
            |c| c.wrong = 0,
            |c| {
                c.sources.push(SourceCount {
                    source: 3,
                    samples: 10,
                    suspects: 9,
                    flagged: true,
                    wrong: 0,
                });
            },
        ];
        for spoil in spoilt {
            let mut bad = good.clone();
            spoil(&mut bad.checkpoints.last_mut().unwrap().counts[0]);
            assert_eq!(broken(&bad).len(), 1, "{:?}", broken(&bad));
        }
        let mut bad = good.clone();
        for checkpoint in &mut bad.checkpoints {
            checkpoint.ranks.get_mut("mirrorwatch").unwrap().auroc = Some(0.6);
        }
        assert!(!broken(&bad).is_empty());
        let mut bad = good;
        bad.checkpoints.clear();
        assert_eq!(broken(&bad).len(), 1);
    }
}

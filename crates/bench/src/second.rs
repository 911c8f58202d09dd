//! What the second look adds: suspects of a cell, ranked by one stage and by both.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use mirrorwatch_daemon::account::account;
use mirrorwatch_daemon::verdict::{Verdict, Verdicts, verdicts};
use mirrorwatch_influence::SweepOptions;
use mirrorwatch_influence::exact::{Confirm, ConfirmOptions};
use mirrorwatch_stats::ranking::auroc;

use crate::cell::watch;
use crate::grid::Cell;
use crate::options::Options;
use crate::product::Product;
use crate::setup::Setup;
use crate::store::Store;

/// Checkpoints that the hook keeps by default.
const KEPT: usize = 5;
/// Trusted samples that verdicts are calibrated on, as `confirm` has it.
const NULL: usize = 500;
/// Share of the wrong labels among the suspects that must stay, for precision at equal recall.
const STAY: f64 = 0.9;

/// Runs the cells and prints a table.
///
/// # Errors
///
/// No cell of such a name, or one that failed, in words.
pub fn run(options: &Options) -> Result<(), String> {
    let cells = options.cells();
    if cells.is_empty() {
        return Err("no cell has such a name; see detection --list".to_string());
    }
    // Fails only when the pool exists already, and it does not yet.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(options.threads)
        .build_global();
    println!(
        "AUROC and precision among the suspects of the last checkpoint; `at 90 %`: precision of as many of the worst as hold 90 % of the wrong ones\n"
    );
    println!(
        "| cell | suspects | precision | AUROC stage one | support | both | at 90 % stage one | both | confirmed | precision | cleared | of them right |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let store = Store::new(&options.out);
    for cell in &cells {
        println!("{}", measure(cell, options, &store)?);
    }
    Ok(())
}

fn measure(cell: &Cell, options: &Options, store: &Store) -> Result<String, String> {
    let data = options.directories().get(cell.dataset.name).copied();
    let setup = Setup::new(cell, data, &store.work(cell))?;
    let mut product = Product::new(&[])?;
    product.config.estimators.truncate(product.own);
    let watched = watch(cell, &setup, &product, &|_| ())?;
    let labels = &setup.labels;
    let account = account(&watched.evidence, labels, product.levels)?;
    let channel = watched.evidence.channels.first().ok_or("no scores")?;
    let suspects: Vec<usize> = (0..account.flags.len())
        .filter(|&index| account.flags[index])
        .collect();
    let null = &labels.trusted[..labels.trusted.len().min(NULL)];
    let mut confirm = Confirm::new(labels, &suspects, null, ConfirmOptions::default());
    let forward = SweepOptions {
        device: &Device::flex(),
        batch_size: 500,
        progress: &|_| (),
        cancel: &AtomicBool::new(false),
    };
    let kept = watched.models.len().saturating_sub(KEPT);
    for model in &watched.models[kept..] {
        confirm
            .add(&setup.task, model, &forward)
            .map_err(|error| error.to_string())?;
    }
    let stage_one: Vec<f32> = suspects.iter().map(|&i| channel.train[i]).collect();
    let wrong: Vec<bool> = suspects.iter().map(|&i| setup.wrong[i]).collect();
    let chances: Vec<f32> = suspects
        .iter()
        .map(|&i| account.wrong_probability[i])
        .collect();
    let found = verdicts(&confirm.finish(), (&stage_one, &chances));
    Ok(row(&cell.name(), &stage_one, &found, &wrong))
}

/// A line of the table.
fn row(name: &str, stage_one: &[f32], found: &Verdicts, wrong: &[bool]) -> String {
    let figure = |value: Option<f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
    let all = wrong.iter().filter(|w| **w).count();
    let of = |verdict: Verdict| {
        let places = (0..wrong.len()).filter(|&i| found.suspects[i].verdict == verdict);
        let places: Vec<usize> = places.collect();
        let wrong = places.iter().filter(|&&i| wrong[i]).count();
        (places.len(), wrong)
    };
    let (confirmed, confirmed_wrong) = of(Verdict::Confirmed);
    let (cleared, cleared_wrong) = of(Verdict::Cleared);
    format!(
        "| {name} | {} | {} | {} | {} | {} | {} | {} | {confirmed} | {} | {cleared} | {} |",
        wrong.len(),
        figure(share(all, wrong.len())),
        figure(auroc(stage_one, wrong)),
        figure(auroc(&found.scores, wrong)),
        figure(auroc(&found.fused, wrong)),
        figure(precision_at(stage_one, wrong)),
        figure(precision_at(&found.fused, wrong)),
        figure(share(confirmed_wrong, confirmed)),
        figure(share(cleared - cleared_wrong, cleared)),
    )
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Precision of the shortest list, worst first, that holds [`STAY`] of all wrong labels.
fn precision_at(scores: &[f32], wrong: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let all = wrong.iter().filter(|w| **w).count();
    let needed = (STAY * all as f64).ceil() as usize;
    let mut hits = 0;
    for (place, &sample) in order.iter().enumerate() {
        hits += usize::from(wrong[sample]);
        if hits >= needed && hits > 0 {
            return share(hits, place + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_counts_down_to_the_share_that_stays() {
        let mut wrong = vec![true; 10];
        let mut scores: Vec<f32> = (0..10).map(|i| i as f32).collect();
        assert_eq!(precision_at(&scores, &wrong), Some(1.0));
        // A right one above all, and nine of the ten wrong ones needed.
        wrong.push(false);
        scores.push(99.0);
        assert_eq!(precision_at(&scores, &wrong), Some(0.9));
        assert_eq!(precision_at(&[1.0], &[false]), None);
    }
}

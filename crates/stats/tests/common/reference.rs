//! The statistics on whole sorted lists, score by score, as they were before they were taken from cells: written to be
//! obvious, to hold the faster ones against.

#![allow(dead_code)]

use mirrorwatch_stats::band::UpperBand;

fn descending(scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(|a, b| b.total_cmp(a));
    sorted
}

fn at_least(scores: &[f32], t: f32) -> usize {
    scores.iter().filter(|&&s| s >= t).count()
}

/// Flags, largest selected p-value and share of clean samples.
pub fn suspects(p: &[f64], null_n: usize, q: f64) -> (Vec<bool>, f64, f64) {
    let lambda = null_n.div_ceil(2) as f64 / (null_n + 1) as f64;
    let above = p.iter().filter(|&&p| p > lambda).count();
    let share = ((1 + above) as f64 / (p.len() as f64 * (1.0 - lambda))).min(1.0);
    let mut sorted = p.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    for (index, &value) in sorted.iter().enumerate().rev() {
        let bar = q * (index + 1) as f64 * (1.0 + 1e-12);
        if value * p.len() as f64 * share <= bar {
            return (p.iter().map(|&p| p <= value).collect(), value, share);
        }
    }
    (vec![false; p.len()], 0.0, share)
}

/// Unclipped bound, threshold, and the training and null samples that reach it: over every training score.
pub fn bound(band: &UpperBand, null: &[f32], train: &[f32]) -> (f64, f32, usize, usize) {
    let samples = train.len() as f64;
    let both = samples + null.len() as f64;
    let mut best = (f64::NEG_INFINITY, f32::INFINITY, 0, 0);
    let mut consider = |threshold: f32, train_exceeding: usize, null_exceeding: usize| {
        let clean = band.at(null_exceeding);
        if clean < 1.0 {
            let excess = (train_exceeding + null_exceeding) as f64 - both * clean;
            let value = excess / (samples * (1.0 - clean));
            if value > best.0 {
                best = (value, threshold, train_exceeding, null_exceeding);
            }
        }
    };
    consider(f32::INFINITY, 0, 0);
    for threshold in descending(train).into_iter().rev() {
        consider(
            threshold,
            at_least(train, threshold),
            at_least(null, threshold),
        );
    }
    best
}

/// Local rates by pool-adjacent-violators on every distinct score.
pub fn rates(null: &[f32], scores: &[f32], clean_share: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let known = descending(null);
    let each = clean_share * scores.len() as f64 / (null.len() + 1) as f64;
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    let (mut from, mut above) = (0, 0);
    while from < order.len() {
        let score = scores[order[from]];
        let mut to = from;
        while to < order.len() && scores[order[to]] == score {
            to += 1;
        }
        let reached = above + known[above..].partition_point(|&s| s >= score);
        blocks.push((reached - above + usize::from(from == 0), to - from));
        while let [.., higher, lower] = blocks[..] {
            if higher.0 * lower.1 <= lower.0 * higher.1 {
                break;
            }
            blocks.truncate(blocks.len() - 2);
            blocks.push((higher.0 + lower.0, higher.1 + lower.1));
        }
        (from, above) = (to, reached);
    }
    let mut rates = vec![1.0; scores.len()];
    let mut position = 0;
    for (clean, all) in blocks {
        for _ in 0..all {
            rates[order[position]] = (each * (clean as f64 / all as f64)).min(1.0);
            position += 1;
        }
    }
    rates
}

/// Median and 1.4826 times the median absolute deviation; none where that is not above 0 and finite.
pub fn location_scale(values: &[f32]) -> Option<(f64, f64)> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let (low, high) = ((sorted.len() - 1) / 2, sorted.len() / 2);
    let (lower, upper) = (f64::from(sorted[low]), f64::from(sorted[high]));
    let median = if lower == upper {
        lower
    } else {
        lower + 0.5 * (upper - lower)
    };
    let mut deviations: Vec<f64> = values
        .iter()
        .map(|&v| (f64::from(v) - median).abs())
        .collect();
    deviations.sort_unstable_by(f64::total_cmp);
    let mad = 1.4826 * 0.5 * (deviations[low] + deviations[high]);
    (median.is_finite() && mad > 0.0 && mad.is_finite()).then_some((median, mad))
}

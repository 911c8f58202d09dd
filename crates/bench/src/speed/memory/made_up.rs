//! A scan of made-up scores.

use mirrorwatch_influence::{Estimate, Estimator, Labels, Scan};

/// Classes.
const CLASSES: usize = 10;
/// Probe samples, and trusted ones.
const KNOWN: usize = 1000;
/// One label in so many is wrong.
const WRONG: usize = 10;
/// How much higher wrong labels score.
const APART: f32 = 6.0;

/// Labels of so many training samples, the first of which are trusted.
pub fn labels(samples: usize) -> Labels {
    Labels {
        classes: CLASSES,
        train: (0..samples).map(|i| i % CLASSES).collect(),
        probe: (0..KNOWN).map(|i| i % CLASSES).collect(),
        trusted: (0..KNOWN.min(samples / 2)).collect(),
        canaries: Vec::new(),
        unlabelled: Vec::new(),
    }
}

/// The estimator that the scores are said to come from.
pub fn estimator() -> Estimator {
    Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    }
}

/// A scan in which a tenth of the samples that are not trusted scores higher; another one for each `seed`.
pub fn scan(labels: &Labels, seed: u64) -> Scan {
    let samples = labels.train.len();
    let mut scan = Scan {
        train_losses: Vec::with_capacity(samples),
        train_margins: Vec::with_capacity(samples),
        probe_losses: vec![0.3; labels.probe.len()],
        probe_loss: 0.3,
        probe_accuracy: 0.9,
        chance: 1.0 / CLASSES as f64,
        probe_fitted: 0.9,
        estimates: Vec::new(),
        base_sweep_seconds: 0.0,
        probe_seconds: 0.0,
        seconds: 0.0,
    };
    let mut scores = Vec::with_capacity(samples);
    let mut suggested = Vec::with_capacity(samples);
    for (i, &label) in labels.train.iter().enumerate() {
        let wrong = i >= labels.trusted.len() && i % WRONG == 0;
        let score = logistic(seed, i as u64) + if wrong { APART } else { 0.0 };
        scores.push(score);
        suggested.push(((label + 1 + i % (CLASSES - 1)) % CLASSES) as u32);
        let margin = 2.0 - score;
        scan.train_margins.push(margin);
        scan.train_losses.push((-margin).exp().ln_1p());
    }
    let held_out: Vec<f32> = (0..labels.probe.len() as u64)
        .map(|i| logistic(!seed, i))
        .collect();
    scan.estimates.push(Estimate {
        estimator: estimator(),
        held_out_null: true,
        train: scores,
        probe: held_out.clone(),
        probe_mean: held_out,
        suggested,
        probe_accuracy: 0.9,
        probe_noise: 0.0,
        choices: Vec::new(),
    });
    scan
}

/// A number that follows the logistic distribution, the same for the same `seed` and `index`.
fn logistic(seed: u64, index: u64) -> f32 {
    // 53 bits, moved off 0 and 1.
    let uniform = ((mixed(seed, index) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    (uniform / (1.0 - uniform)).ln() as f32
}

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) at place `index` of the sequence of `seed`.
fn mixed(seed: u64, index: u64) -> u64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(STEP));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first outputs for seed 1234567: https://rosettacode.org/wiki/Pseudo-random_numbers/Splitmix64
    #[test]
    fn the_sequence_is_the_published_one() {
        let first: Vec<u64> = (0..3).map(|i| mixed(1_234_567, i)).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!(first, published);
    }

    #[test]
    fn wrong_labels_score_higher_and_are_not_trusted() {
        let labels = labels(4000);
        let scan = scan(&labels, 7);
        let scores = &scan.estimates[0].train;
        let mean = |of: &dyn Fn(usize) -> bool| {
            let picked: Vec<f32> = (0..4000).filter(|i| of(*i)).map(|i| scores[i]).collect();
            picked.iter().sum::<f32>() / picked.len() as f32
        };
        let wrong = |i: usize| i >= KNOWN && i.is_multiple_of(WRONG);
        // The standard deviation of the logistic distribution is π / √3.
        assert!((mean(&wrong) - APART).abs() < 0.5);
        assert!(mean(&|i| !wrong(i)).abs() < 0.15);
    }
}

//! Wrong labels: the quickstart's noises, and one bad annotator among ten.

use std::fmt;

use quickstart::noise::Noise;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Annotators of a data set, each of whom labels a random share.
pub const ANNOTATORS: usize = 10;
/// The one whose labels are bad.
pub const BAD_ANNOTATOR: usize = 0;

/// Keep the draws apart from each other and from those of the quickstart's noise.
const SOURCE_STREAM: u64 = 0x616e_6e6f_7461_746f;
const MISTAKE_STREAM: u64 = 0x6d69_7374_616b_6500;

/// Which labels are made wrong, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LabelNoise {
    /// One of the quickstart's.
    Everywhere(Noise),
    /// Each label of one annotator in ten is a random other one with this probability.
    Annotator(f64),
}

/// The labels that are trained on, and who gave them.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// One label per training sample.
    pub labels: Vec<u32>,
    /// The annotator of each training sample.
    pub annotators: Vec<usize>,
}

impl LabelNoise {
    /// Reads `none`, `sym:RATE`, `asym:RATE` or `annotator:RATE`.
    ///
    /// # Errors
    ///
    /// In words, what is not one of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rate) = text.strip_prefix("annotator:") else {
            let noise = Noise::parse(text).map_err(|error| error.to_string())?;
            return Ok(Self::Everywhere(noise));
        };
        match rate.parse() {
            Ok(rate) if (0.0..1.0).contains(&rate) => Ok(Self::Annotator(rate)),
            _ => Err(format!(
                "`{text}` has no rate of label noise: give a number from 0 up to but not including 1"
            )),
        }
    }

    /// Labels with noise; annotators are drawn for every noise, so that a blameless one can be blamed.
    pub fn apply(&self, truth: &[u32], class_names: &[String], seed: u64) -> Given {
        let mut rng = StdRng::seed_from_u64(seed ^ SOURCE_STREAM);
        let mut annotators = Vec::with_capacity(truth.len());
        for _ in truth {
            annotators.push(rng.random_range(0..ANNOTATORS));
        }
        let labels = match self {
            Self::Everywhere(noise) => noise.apply(truth, class_names, seed),
            Self::Annotator(rate) => mistaken(truth, &annotators, class_names.len(), *rate, seed),
        };
        Given { labels, annotators }
    }
}

fn mistaken(truth: &[u32], annotators: &[usize], classes: usize, rate: f64, seed: u64) -> Vec<u32> {
    let mut labels = truth.to_vec();
    let others = u32::try_from(classes).unwrap_or(u32::MAX).saturating_sub(1);
    if others == 0 {
        return labels;
    }
    let mut rng = StdRng::seed_from_u64(seed ^ MISTAKE_STREAM);
    for (label, annotator) in labels.iter_mut().zip(annotators) {
        if *annotator == BAD_ANNOTATOR && rng.random::<f64>() < rate {
            // One of the others: those from the label on move up by one.
            let other = rng.random_range(0..others);
            *label = if other < *label { other } else { other + 1 };
        }
    }
    labels
}

impl fmt::Display for LabelNoise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere(noise) => noise.fmt(f),
            Self::Annotator(rate) => write!(f, "annotator:{rate}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(classes: usize) -> Vec<String> {
        (0..classes).map(|class| class.to_string()).collect()
    }

    #[test]
    fn only_the_bad_annotator_errs_at_the_rate_and_never_by_giving_the_truth() {
        let truth: Vec<u32> = (0..20_000).map(|i| i % 5).collect();
        let given = LabelNoise::Annotator(0.6).apply(&truth, &names(5), 3);
        let (mut samples, mut wrong) = ([0usize; ANNOTATORS], [0usize; ANNOTATORS]);
        let mut shifts = [0usize; 5];
        for (i, annotator) in given.annotators.iter().enumerate() {
            samples[*annotator] += 1;
            wrong[*annotator] += usize::from(given.labels[i] != truth[i]);
            shifts[((given.labels[i] + 5 - truth[i]) % 5) as usize] += 1;
        }
        // Binomial(20,000, 0.1) has standard deviation 42, Binomial(2,000, 0.6) one of 22.
        assert!(samples.iter().all(|n| (1800..2200).contains(n)));
        let rate = wrong[BAD_ANNOTATOR] as f64 / samples[BAD_ANNOTATOR] as f64;
        assert!((rate - 0.6).abs() < 0.05, "{rate}");
        assert!(wrong[1..].iter().all(|n| *n == 0));
        // Uniform over the four others: 300 each, standard deviation 15.
        assert!(shifts[1..].iter().all(|n| (230..370).contains(n)));
    }

    #[test]
    fn the_seed_decides_and_the_noise_does_not_change_the_annotators() {
        let truth: Vec<u32> = (0..500).map(|i| i % 5).collect();
        let bad = LabelNoise::Annotator(0.6);
        let one = bad.apply(&truth, &names(5), 1);
        assert_eq!(one, bad.apply(&truth, &names(5), 1));
        assert_ne!(one, bad.apply(&truth, &names(5), 2));
        let none = LabelNoise::Everywhere(Noise::None).apply(&truth, &names(5), 1);
        assert_eq!(none.annotators, one.annotators);
        assert_eq!(none.labels, truth);
    }

    #[test]
    fn forms_are_read_and_shown() {
        for text in ["none", "sym:0.2", "asym:0.4", "annotator:0.6"] {
            assert_eq!(LabelNoise::parse(text).unwrap().to_string(), text);
        }
        for text in ["annotator:1", "annotator:", "annotators:0.2"] {
            assert!(LabelNoise::parse(text).is_err(), "{text}");
        }
    }
}

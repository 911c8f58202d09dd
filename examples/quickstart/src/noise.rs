//! Wrong labels, put in on purpose, so that it is known what should be found.

#[cfg(test)]
mod tests;

use std::fmt;

use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};
use thiserror::Error;

use crate::data::FASHION_MNIST;

/// Keep the draws apart: with the same generator for both, the trusted samples would be the very
/// samples that were made wrong.
const NOISE_STREAM: u64 = 0x6e6f_6973_6500_0000;
const TRUSTED_STREAM: u64 = 0x7472_7573_7465_6400;
const CANARY_STREAM: u64 = 0x6361_6e61_7279_0000;

/// What each class of Fashion-MNIST is taken for: T-shirt and shirt for each other, likewise pullover
/// and coat; trousers for a dress, a dress for a coat, a sandal for a sneaker, sneaker and ankle boot
/// for each other, and a bag for a shirt, as which bags are most often mistaken.
const LOOK_ALIKE: [u32; 10] = [6, 3, 4, 4, 2, 7, 0, 9, 6, 7];

/// Why there is no noise, or no trusted samples.
#[derive(Debug, Error, PartialEq)]
pub enum NoiseError {
    /// Not one of the three forms.
    #[error(
        "`{0}` is no kind of label noise: give `none`, `sym:RATE` or `asym:RATE`, e.g. `sym:0.2`"
    )]
    Kind(String),
    /// The rate is not a number from 0 to 1.
    #[error(
        "`{0}` is no rate of label noise: give a number from 0 up to but not including 1, e.g. `sym:0.2`"
    )]
    Rate(String),
    /// There are not that many samples to trust.
    #[error("cannot trust {wanted} of {available} training samples: ask for at most {available}")]
    Trusted {
        /// How many were asked for.
        wanted: usize,
        /// How many there are.
        available: usize,
    },
}

/// Which labels are made wrong, and how.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Noise {
    /// None.
    None,
    /// This share of all samples, each with a random other label.
    Symmetric(f64),
    /// This share of all samples, each with the label that its class is easily taken for.
    Asymmetric(f64),
}

impl Noise {
    /// Reads `none`, `sym:RATE` or `asym:RATE`.
    pub fn parse(text: &str) -> Result<Noise, NoiseError> {
        let kind: fn(f64) -> Noise = match text.split_once(':') {
            None if text == "none" => return Ok(Noise::None),
            Some(("sym", _)) => Noise::Symmetric,
            Some(("asym", _)) => Noise::Asymmetric,
            _ => return Err(NoiseError::Kind(String::from(text))),
        };
        let rate = text.split_once(':').map_or("", |(_, rate)| rate);
        match rate.parse() {
            Ok(number) if (0.0..1.0).contains(&number) => Ok(kind(number)),
            _ => Err(NoiseError::Rate(String::from(text))),
        }
    }

    /// The labels with noise: exactly `rate * labels` of them, rounded, are other ones.
    ///
    /// Asymmetric noise takes a class of Fashion-MNIST for its look-alike, and a class of other data
    /// for the next one, the last for the first. With a single class nothing can be mistaken, and the
    /// labels stay as they are.
    ///
    /// The same labels, names and seed give the same noise with every run of one build; another
    /// version of `rand` may draw differently.
    pub fn apply(&self, labels: &[u32], class_names: &[String], seed: u64) -> Vec<u32> {
        let mut noisy = labels.to_vec();
        let (rate, random) = match self {
            Noise::None => return noisy,
            Noise::Symmetric(rate) => (*rate, true),
            Noise::Asymmetric(rate) => (*rate, false),
        };
        let classes = u32::try_from(class_names.len()).unwrap_or(u32::MAX);
        if classes < 2 {
            return noisy;
        }
        let amount = (rate * labels.len() as f64).round() as usize;
        let mut rng = StdRng::seed_from_u64(seed ^ NOISE_STREAM);
        for sample in index::sample(&mut rng, labels.len(), amount) {
            let label = labels[sample];
            noisy[sample] = if random {
                // One of the others: those from the label on move up by one.
                let other = rng.random_range(0..classes - 1);
                if other < label { other } else { other + 1 }
            } else {
                mistaken(label, class_names, classes)
            };
        }
        noisy
    }
}

impl fmt::Display for Noise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Noise::None => f.write_str("none"),
            Noise::Symmetric(rate) => write!(f, "sym:{rate}"),
            Noise::Asymmetric(rate) => write!(f, "asym:{rate}"),
        }
    }
}

/// Draws `n` training samples, sorted, and puts their true labels in, as if someone had looked at
/// them again.
pub fn trusted(
    n: usize,
    seed: u64,
    truth: &[u32],
    given: &mut [u32],
) -> Result<Vec<usize>, NoiseError> {
    let available = truth.len().min(given.len());
    if n > available {
        return Err(NoiseError::Trusted {
            wanted: n,
            available,
        });
    }
    let mut rng = StdRng::seed_from_u64(seed ^ TRUSTED_STREAM);
    let mut chosen = index::sample(&mut rng, available, n).into_vec();
    chosen.sort_unstable();
    for sample in &chosen {
        given[*sample] = truth[*sample];
    }
    Ok(chosen)
}

/// Draws a share `rate` of all samples among those that are neither trusted nor wrong already, sorted, and
/// gives each a random other label: canaries, to measure what is found.
pub fn canaries(
    rate: f64,
    seed: u64,
    truth: &[u32],
    given: &mut [u32],
    trusted: &[usize],
    classes: u32,
) -> Vec<usize> {
    let free: Vec<usize> = (0..truth.len().min(given.len()))
        .filter(|&i| truth[i] == given[i] && trusted.binary_search(&i).is_err())
        .collect();
    let amount = ((rate * truth.len() as f64).round() as usize).min(free.len());
    if classes < 2 {
        return Vec::new();
    }
    let mut rng = StdRng::seed_from_u64(seed ^ CANARY_STREAM);
    let mut chosen = Vec::with_capacity(amount);
    for position in index::sample(&mut rng, free.len(), amount) {
        let sample = free[position];
        let other = rng.random_range(0..classes - 1);
        given[sample] = if other < truth[sample] {
            other
        } else {
            other + 1
        };
        chosen.push(sample);
    }
    chosen.sort_unstable();
    chosen
}

fn mistaken(label: u32, class_names: &[String], classes: u32) -> u32 {
    let fashion = class_names.iter().eq(FASHION_MNIST.iter());
    match LOOK_ALIKE.get(label as usize) {
        Some(look_alike) if fashion => *look_alike,
        _ => (label + 1) % classes,
    }
}

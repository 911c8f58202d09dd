//! Options of the demo. Benchmarks use them, too: keep them stable.

use std::path::PathBuf;

use clap::Parser;
use mirrorwatch::stock::Architecture;

use quickstart::broken::Break;
use quickstart::noise::Noise;

/// Train a model on data with wrong labels while a sidecar finds them.
#[derive(Debug, Clone, Parser)]
#[command(version, about, name = "cargo demo --")]
pub struct Options {
    /// Directory with IDX files (train-images-* or train-features-*, train-labels-*, t10k-…), gzipped or not [default: the embedded Fashion-MNIST subset]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,

    /// Label noise to inject: none, sym:R or asym:R [default: sym:0.2, or none with --truth]
    #[arg(long, value_name = "NOISE", value_parser = Noise::parse)]
    pub noise: Option<Noise>,

    /// IDX file with the clean training labels, when the given ones are noisy already
    #[arg(long, value_name = "FILE")]
    pub truth: Option<PathBuf>,

    /// Use the first N training samples only
    #[arg(long, value_name = "N")]
    pub train_limit: Option<usize>,

    /// Use the first N test samples as the probe
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub probe: usize,

    /// Verify the labels of N random training samples and trust them; 0 for none
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub trusted: usize,

    /// Plant this share of wrong labels as canaries, which measure what is found
    #[arg(long, value_name = "RATE", default_value_t = 0.0, value_parser = share)]
    pub canaries: f64,

    /// File with the source of each training sample (annotator, file, batch, vendor), one a line
    #[arg(long, value_name = "FILE")]
    pub sources: Option<PathBuf>,

    /// Feed this share of a source's labels wrong to the training from EPOCH on; the files stay as they are
    #[arg(
        long,
        value_name = "SOURCE@EPOCH:SHARE",
        requires = "sources",
        help_heading = "Advanced"
    )]
    pub break_source: Option<Break>,

    /// Model to train [default: cnn on images, mlp on features]
    #[arg(long, value_name = "NAME")]
    pub model: Option<Architecture>,

    /// Epochs to train
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = at_least_one)]
    pub epochs: usize,

    /// Learning rate (Adam)
    #[arg(long, value_name = "RATE", default_value_t = 1e-3, value_parser = above_zero)]
    pub lr: f64,

    /// Samples in a training batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = at_least_one)]
    pub batch_size: usize,

    /// Seed of noise, trusted set, weights and batches
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Threads of each of the two processes; 0 = half the cores
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub threads: usize,

    /// Address of the sidecar's /metrics; port 0 for a free one. For everybody's: `-- --web.allow-insecure`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9464")]
    pub listen: String,

    /// Exit when the last checkpoint is scanned; 1 if a scan failed
    #[arg(long)]
    pub headless: bool,

    /// At the end, train again without the suspects and with their suggested labels, and compare on test samples
    #[arg(long, conflicts_with_all = ["break_source", "sidecar"])]
    pub retrain: bool,

    /// Write what was found, measured against the truth, to this JSON file
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,

    /// Write the suspects of the last scan to this CSV file
    #[arg(long, value_name = "FILE")]
    pub suspects: Option<PathBuf>,

    /// Directory for everything the demo writes [default: a new one below target/demo]
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,

    /// Further options for the sidecar's `watch`, after `--`
    #[arg(last = true, value_name = "OPTION")]
    pub sidecar: Vec<String>,
}

impl Options {
    /// The noise to inject.
    pub fn noise(&self) -> Noise {
        match (self.noise, &self.truth) {
            (Some(noise), _) => noise,
            (None, Some(_)) => Noise::None,
            (None, None) => Noise::Symmetric(0.2),
        }
    }

    /// Threads of each process.
    pub fn threads(&self) -> usize {
        if self.threads > 0 {
            return self.threads;
        }
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        (cores / 2).max(1)
    }
}

/// A batch of nothing, for one, would never end.
fn at_least_one(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("must be a whole number from 1 upwards".to_string()),
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number.is_finite() => Ok(number),
        _ => Err("must be a number above 0".to_string()),
    }
}

/// A number from 0 up to but not including 1.
fn share(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..1.0).contains(&value) => Ok(value),
        _ => Err("must be a number from 0 up to but not including 1".to_string()),
    }
}

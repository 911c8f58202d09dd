//! Trains; the argument is the artifact directory.

use burn::optim::AdamConfig;
use burn::prelude::*;
use existing::model::ModelConfig;
use existing::training::{TrainingConfig, train};

fn main() {
    let artifacts = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "artifacts".to_string());
    let config = TrainingConfig::new(ModelConfig::new(10, 128), AdamConfig::new());
    train(&artifacts, config, Device::flex());
}

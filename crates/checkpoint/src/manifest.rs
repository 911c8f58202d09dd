//! What is said about checkpoints and runs, in memory and in the files.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Consumed, name};

/// What a checkpoint is, beside its weights.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Snapshot {
    /// Epoch of the training, as the training counts.
    pub epoch: u64,
    /// Optimiser steps since the training began.
    pub step: u64,
    /// Mean training loss, if known; NaN and infinities count as unknown.
    pub train_loss: Option<f64>,
    /// Mean validation loss, likewise.
    pub valid_loss: Option<f64>,
    /// Learning rate, likewise.
    pub learning_rate: Option<f64>,
    /// Training samples consumed since the checkpoint before, if known.
    pub consumed: Option<Consumed>,
    /// The parameters of the model.
    pub parameters: Vec<Parameter>,
    /// Whatever else there is to say.
    pub tags: BTreeMap<String, String>,
}

/// One published checkpoint. Fields that this build does not know are ignored when reading.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the protocol, [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// Name of the run as it was created. If its directory was renamed since, the directory counts.
    pub run: String,
    /// Random id of the writer that published this. A resumed run has a new one.
    pub instance: String,
    /// 1, 2, 3 … per instance: a gap is a checkpoint that a reader never saw.
    pub sequence: u64,
    /// Epoch of the training, as the training counts.
    pub epoch: u64,
    /// Optimiser steps since the training began.
    pub step: u64,
    /// When it was published, in seconds since 1970; never less than for the one before.
    pub time: f64,
    /// Mean training loss; absent if it was not given, NaN or infinite.
    #[serde(default)]
    pub train_loss: Option<f64>,
    /// Mean validation loss, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_loss: Option<f64>,
    /// Learning rate, likewise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// Training samples consumed since the checkpoint before; absent if the training has not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consumed: Option<Consumed>,
    /// Where the weights are, and what they must be.
    pub weights: Weights,
    /// The parameters of the model, for comparing architectures without reading the weights.
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// Whatever else the training process wants to say.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
}

/// The weights of a checkpoint, opaque to this crate.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weights {
    /// File name, in the directory of the manifest.
    pub file: String,
    /// Format of the bytes: [`BURNPACK`](crate::BURNPACK) or [`SAFETENSORS`](crate::SAFETENSORS). Whether it can be read is for
    /// whoever loads the weights to decide.
    pub format: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 in lower-case hexadecimal.
    pub sha256: String,
}

/// One parameter of the model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Dotted path in the model.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Element type, e.g. `f32`.
    pub dtype: String,
}

/// How a run is doing. The counters are those of the current instance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunStatus {
    /// Version of the protocol, [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// Name of the run as it was created.
    pub run: String,
    /// Random id of the writer.
    pub instance: String,
    /// When the writer was created, in seconds since 1970.
    pub started: f64,
    /// When this was written, in seconds since 1970.
    pub updated: f64,
    /// When the training said that it was done, in seconds since 1970.
    #[serde(default)]
    pub finished: Option<f64>,
    /// Checkpoints published.
    pub published: u64,
    /// Checkpoints that could not be published.
    pub failed: u64,
    /// Checkpoints that were not even tried, so as not to slow the training.
    pub dropped: u64,
}

/// Identifies a checkpoint by what it is, never by where it lies: two keys are equal if run, epoch,
/// step and content are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The run's directory name.
    pub run: String,
    /// Epoch of the training.
    pub epoch: u64,
    /// Optimiser steps since the training began.
    pub step: u64,
    /// SHA-256 of the weights in lower-case hexadecimal.
    pub sha256: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hash = name::short_hash(&self.sha256);
        write!(
            f,
            "{}/epoch {} step {} ({hash})",
            self.run, self.epoch, self.step
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_by_people() {
        let key = Key {
            run: String::from("mnist"),
            epoch: 3,
            step: 471,
            sha256: "0123456789abcdef".repeat(4),
        };
        assert_eq!(key.to_string(), "mnist/epoch 3 step 471 (0123456789ab)");
    }
}

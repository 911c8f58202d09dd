//! What is said about checkpoints and runs, in memory and in the files.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Consumed, name};

/// What a checkpoint is, beside its weights.
///
/// ```
/// use mirrorwatch_checkpoint::{Consumed, RunWriter, Snapshot};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let snapshot = Snapshot {
///     epoch: 2,
///     step: 940,
///     train_loss: Some(0.31),
///     valid_loss: Some(f64::NAN),
///     consumed: Some(Consumed::of((0..640).collect())),
///     ..Snapshot::default()
/// };
/// let manifest = RunWriter::create(root, "mnist")?.publish(snapshot, b"the weights")?;
/// assert_eq!((manifest.train_loss, manifest.valid_loss), (Some(0.31), None));
/// assert_eq!(manifest.consumed.map(|c| c.samples), Some(640));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use mirrorwatch_checkpoint::{Manifest, RunWriter, SCHEMA, Snapshot};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?;
/// let manifest = writer.publish(Snapshot { epoch: 1, step: 470, ..Snapshot::default() }, b"weights")?;
/// let path = writer.directory().join("epoch-000001-step-0000000470.json");
/// assert_eq!(serde_json::from_slice::<Manifest>(&std::fs::read(path)?)?, manifest);
/// assert_eq!((manifest.schema, manifest.run.as_str(), manifest.sequence), (SCHEMA, "mnist", 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use mirrorwatch_checkpoint::{BURNPACK, RunWriter, Snapshot};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?;
/// let weights = writer.publish(Snapshot::default(), b"hello")?.weights;
/// assert_eq!((weights.format.as_str(), weights.bytes), (BURNPACK, 5));
/// assert!(weights.sha256.starts_with("2cf24dba5fb0"));
/// assert!(weights.file.ends_with("-2cf24dba5fb0.bpk"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use mirrorwatch_checkpoint::{Parameter, RunWriter, Snapshot};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let bias = Parameter { name: "head.bias".into(), shape: vec![10], dtype: "f32".into() };
/// let snapshot = Snapshot { parameters: vec![bias], ..Snapshot::default() };
/// let manifest = RunWriter::create(root, "mnist")?.publish(snapshot, b"weights")?;
/// let listed = &manifest.parameters[0];
/// assert_eq!((listed.name.as_str(), &listed.shape[..]), ("head.bias", &[10][..]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use mirrorwatch_checkpoint::{RunWriter, Snapshot, list_checkpoints};
///
/// # let root = tempfile::tempdir()?;
/// # let root = root.path();
/// let mut writer = RunWriter::create(root, "mnist")?;
/// writer.publish(Snapshot::default(), b"weights")?;
/// writer.note_dropped();
/// writer.finish()?;
/// let status = list_checkpoints(root, "mnist")?.status.ok_or("no run.json")?;
/// assert_eq!((status.published, status.failed, status.dropped), (1, 0, 1));
/// assert!(status.finished.is_some_and(|time| time <= status.updated));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
/// use mirrorwatch_checkpoint::Key;
///
/// let key = Key { run: "mnist".into(), epoch: 3, step: 471, sha256: "ab".repeat(32) };
/// assert_eq!(key.to_string(), "mnist/epoch 3 step 471 (abababababab)");
/// // The same step with other weights is another checkpoint.
/// assert_ne!(key, Key { sha256: "cd".repeat(32), ..key.clone() });
/// ```
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

//! What can go wrong in a scan.

use mirrorwatch_stats::shards::ShardError;
use thiserror::Error;

/// Why a task cannot be scanned, or a scan could not be finished.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let unknown = Estimator::parse::<Line>("sideways");
/// assert!(matches!(&unknown, Err(InfluenceError::Unknown { kind: "direction", name, .. }) if name == "sideways"));
///
/// let weight = Param::from_data([[1.0, f32::NAN]], &device);
/// let diverged = model::check_finite(&Linear { weight, bias: None });
/// assert!(matches!(diverged, Err(InfluenceError::NotFinite { position: 1, .. })));
///
/// let damaged = model::load(&task, &[], b"no weights".to_vec(), &device);
/// assert!(matches!(&damaged, Err(InfluenceError::Record(_))));
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Error)]
pub enum InfluenceError {
    /// The task's data cannot be used for a scan.
    #[error("{0}")]
    Data(String),
    /// A dataset could not hand out a sample.
    #[error(
        "cannot read sample {index} of the {set} set: {message}; check the dataset behind the task"
    )]
    Read {
        /// `training` or `probe`.
        set: &'static str,
        /// Position of the sample in its set.
        index: usize,
        /// What the dataset said.
        message: String,
    },
    /// The weights do not belong to the model that the task builds.
    #[error(
        "the checkpoint holds another architecture: {0}; start the sidecar with the model that is being trained"
    )]
    Architecture(String),
    /// The bytes are not a record that Burn can read.
    #[error(
        "the weights are not a readable burnpack record: {0}; the file is damaged or was not written by the hook"
    )]
    Record(String),
    /// A safetensors file does not hold the model's weights, or cannot be read.
    #[error("the safetensors file does not fit the task's model: {0}")]
    Safetensors(String),
    /// Weights in a format that this build does not read.
    #[error(
        "the weights are in the format {0:?}: burnpack and safetensors are read, publish one of them"
    )]
    Format(String),
    /// A weight is NaN or infinite.
    #[error(
        "parameter {parameter} holds a value that is not finite at position {position}; training has diverged, nothing can be scanned"
    )]
    NotFinite {
        /// Dotted path of the parameter in the model.
        parameter: String,
        /// Position in the flattened parameter.
        position: usize,
    },
    /// The model's outputs are unusable.
    #[error("{0}")]
    Outputs(String),
    /// A name that no direction or score carries.
    #[error("unknown {kind} {name:?}: choose one of {known}")]
    Unknown {
        /// `direction` or `score`.
        kind: &'static str,
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: String,
    },
    /// The outputs cannot be compared, or those of other processes are not to be had.
    #[error("cannot tell what the outputs of all samples come to: {0}")]
    Together(#[from] ShardError),
    /// The caller asked the scan to stop.
    #[error("the scan was cancelled")]
    Cancelled,
}

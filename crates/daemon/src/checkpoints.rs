//! Opening checkpoints for the commands that look at one, or at all that a run has kept.

use std::path::Path;

use burn::tensor::Device;
use mirrorwatch_checkpoint::{BURNPACK, Found, SAFETENSORS, list_checkpoints, spool};
use mirrorwatch_influence::{Task, model};

use crate::error::DaemonError;
use crate::worker;

/// A checkpoint whose weights are in memory and are what its manifest says.
pub struct Opened {
    described: Vec<model::Parameter>,
    format: String,
    bytes: Vec<u8>,
    /// Epoch; 0 for a bare file.
    pub epoch: u64,
    /// Optimizer step; 0 for a bare file.
    pub step: u64,
    /// SHA-256 of the weights, from the manifest; empty for a bare file.
    pub sha256: String,
}

impl Opened {
    /// The model with these weights.
    ///
    /// # Errors
    ///
    /// Another architecture, damaged weights, or weights that are not finite.
    pub fn model<T: Task>(self, task: &T, device: &Device) -> Result<T::Model, DaemonError> {
        let (format, described) = (&self.format, &self.described);
        Ok(model::load_as(task, format, described, self.bytes, device)?)
    }
}

/// Opens what a user names: a run's directory (its newest checkpoint is taken), a manifest, or a burnpack or safetensors file.
///
/// # Errors
///
/// Nothing of that kind there, or weights that are not what the manifest says.
pub fn open(path: &Path) -> Result<Opened, DaemonError> {
    if path.is_dir() {
        return match list(path)?.pop() {
            Some(found) => read(&found),
            None => Err(unusable(path, "it holds no checkpoint")),
        };
    }
    if path.extension().is_some_and(|e| e == "json") {
        // The parent of a bare name is the empty path.
        let parent = path.parent().filter(|p| *p != Path::new(""));
        for found in list(parent.unwrap_or(Path::new(".")))? {
            if found.path.file_name() == path.file_name() {
                return read(&found);
            }
        }
        return Err(unusable(path, "it is not a checkpoint's manifest"));
    }
    let bytes = std::fs::read(path).map_err(|error| unusable(path, &error.to_string()))?;
    let safetensors = path.extension().is_some_and(|e| e == SAFETENSORS);
    Ok(Opened {
        described: Vec::new(),
        format: if safetensors { SAFETENSORS } else { BURNPACK }.to_string(),
        bytes,
        epoch: 0,
        step: 0,
        sha256: String::new(),
    })
}

/// The checkpoints of a run's directory, oldest first.
///
/// # Errors
///
/// No directory of a run, or none of its manifests can be used.
pub fn list(directory: &Path) -> Result<Vec<Found>, DaemonError> {
    let directory = directory
        .canonicalize()
        .map_err(|error| unusable(directory, &error.to_string()))?;
    let (Some(root), Some(run)) = (directory.parent(), directory.file_name()) else {
        return Err(unusable(&directory, "it is not a run's directory"));
    };
    let listing = list_checkpoints(root, &run.to_string_lossy())?;
    match listing.rejected.into_iter().next() {
        Some((_, error)) if listing.manifests.is_empty() => Err(error.into()),
        _ => Ok(listing.manifests),
    }
}

/// Reads the weights of a checkpoint that was found.
///
/// # Errors
///
/// Weights that are gone or are not what the manifest says.
pub fn read(found: &Found) -> Result<Opened, DaemonError> {
    // Spooled like the daemon does: the hook may delete the file at any moment.
    let directory = std::env::temp_dir().join(format!("mirrorwatch-open-{}", std::process::id()));
    let bytes = spool(found, &directory, u64::MAX).and_then(|spooled| spooled.read_verified());
    // Nothing else is in it; if it cannot be removed, an empty directory stays behind.
    let _ = std::fs::remove_dir(&directory);
    Ok(Opened {
        described: worker::described(&found.manifest),
        format: found.manifest.weights.format.clone(),
        bytes: bytes?,
        epoch: found.manifest.epoch,
        step: found.manifest.step,
        sha256: found.manifest.weights.sha256.clone(),
    })
}

fn unusable(path: &Path, problem: &str) -> DaemonError {
    DaemonError::Option(format!(
        "cannot open {}: {problem}; name a run's directory, a manifest or a burnpack or safetensors file",
        path.display()
    ))
}

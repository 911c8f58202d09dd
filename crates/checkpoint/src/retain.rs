//! Removes old checkpoints, and nothing that this protocol did not write.
//!
//! The manifest goes first: from then on the checkpoint is not listed, and a crash in between leaves
//! weights without a manifest, which nobody reads and a later call removes. A reader that has
//! spooled a checkpoint holds a hard link; removing our name for it takes nothing away from it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::name::Stem;
use crate::reader::{self, Listing};
use crate::{CheckpointError, Found, System};

/// Age from which weights without a manifest are rubbish, and not a checkpoint that another process
/// is about to commit.
const ORPHANED_AFTER: Duration = Duration::from_secs(600);

/// Keeps the newest `keep` checkpoints, `current` always among them. Of the others, weights that are `spared` are left to be
/// removed once they are old.
///
/// Manifests that this build cannot read are left alone, and so are weights that belong to them.
pub(crate) fn retain(
    system: &dyn System,
    directory: &Path,
    run: &str,
    keep: usize,
    current: &Path,
    spared: impl Fn(&Found) -> bool,
) -> Result<(), CheckpointError> {
    let Listing { manifests, .. } = reader::scan(directory, run)?;
    let excess = manifests.len().saturating_sub(keep);
    let mut first_failure = Ok(());
    for found in &manifests[..excess] {
        if found.path != current {
            first_failure = first_failure.and(remove_checkpoint(system, found, spared(found)));
        }
    }
    first_failure.and(remove_orphans(system, directory, run))
}

/// The manifest, then the weights.
fn remove_checkpoint(
    system: &dyn System,
    found: &Found,
    spared: bool,
) -> Result<(), CheckpointError> {
    remove(system, &found.path)?;
    if spared {
        return Ok(());
    }
    remove_weights(system, found)
}

/// The weights of a manifest that is gone or replaced, if their name is one of ours.
pub(crate) fn remove_weights(system: &dyn System, found: &Found) -> Result<(), CheckpointError> {
    let stem = Stem {
        epoch: found.manifest.epoch,
        step: found.manifest.step,
    };
    if Stem::of_weights(&found.manifest.weights.file) == Some(stem) {
        remove(system, &found.weights_path())?;
    }
    Ok(())
}

/// What crashes between weights and manifest have left behind.
fn remove_orphans(system: &dyn System, directory: &Path, run: &str) -> Result<(), CheckpointError> {
    let listing = reader::scan(directory, run)?;
    for name in reader::file_names(directory)? {
        let Some(stem) = Stem::of_weights(&name) else {
            continue;
        };
        let path = directory.join(&name);
        let manifest = directory.join(stem.manifest_name());
        let mut of_this_stem = listing.manifests.iter().filter(|m| m.path == manifest);
        let needed = match of_this_stem.next() {
            Some(found) => found.manifest.weights.file == name,
            // There may be one that this build cannot read.
            None => manifest.exists(),
        };
        if !needed && is_old(system, &path) {
            remove(system, &path)?;
        }
    }
    Ok(())
}

fn is_old(system: &dyn System, path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|metadata| metadata.modified());
    let age = modified
        .ok()
        .and_then(|time| system.now().duration_since(time).ok());
    age.is_some_and(|age| age > ORPHANED_AFTER)
}

/// Removes a file that may be gone already.
pub(crate) fn remove(system: &dyn System, path: &Path) -> Result<(), CheckpointError> {
    match system.remove(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(CheckpointError::writing(path, e)),
        _ => Ok(()),
    }
}

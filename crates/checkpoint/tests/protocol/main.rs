//! The protocol from both ends: what a writer publishes is what a reader gets, whatever happens in
//! between.

#![allow(clippy::unwrap_used)]

mod clock;
mod concurrent;
mod faulty;
mod hostile;
mod model;
mod power;
mod publish;
mod replay;
mod spooling;

use std::fs;
use std::path::Path;

use mirrorwatch_checkpoint::{Found, Listing, Snapshot, list_checkpoints};
use tempfile::TempDir;

/// Cap on weights in these tests, in bytes.
const MAX: u64 = 1 << 20;

fn root() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn at(epoch: u64, step: u64) -> Snapshot {
    Snapshot {
        epoch,
        step,
        ..Snapshot::default()
    }
}

/// The listing of run `r`, which must have nothing to complain about.
fn listed(root: &Path) -> Listing {
    let listing = list_checkpoints(root, "r").unwrap();
    assert!(listing.rejected.is_empty(), "{:?}", listing.rejected);
    listing
}

/// The only checkpoint of run `r`.
fn only(root: &Path) -> Found {
    let mut manifests = listed(root).manifests;
    assert_eq!(manifests.len(), 1);
    manifests.remove(0)
}

/// Sorted names in a directory.
fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    names.sort();
    names
}

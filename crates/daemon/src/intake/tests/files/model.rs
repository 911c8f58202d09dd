//! What must be taken at a listing, told in the plainest way: no JSON is read, bytes are compared with what was committed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::place::{LENGTH, OUTSIDE, Place, Published, Which, weights};
use crate::intake::Job;

/// What is known of checkpoints.
#[derive(Default)]
pub struct Model {
    /// Seen once, and never to be taken again.
    seen: BTreeSet<Which>,
    /// Those whose weights were not there, or not a plain file of their length.
    pub lost: u64,
}

impl Model {
    /// What a listing that comes now takes.
    pub fn listed(&mut self, root: &Path, place: &Place) -> BTreeSet<Which> {
        let mut taken = BTreeSet::new();
        for run in names(root) {
            let directory = root.join(&run);
            if run.starts_with('.') || directory.is_symlink() || !directory.is_dir() {
                continue;
            }
            for name in names(&directory) {
                if !is_plain(&directory.join(&name)) {
                    continue;
                }
                let bytes = fs::read(directory.join(&name)).unwrap();
                let Some(it) = place.committed.get(&(name, bytes)) else {
                    continue;
                };
                let which = which(&run, it);
                if !self.seen.insert(which.clone()) {
                    continue;
                }
                let path = directory.join(&it.weights);
                if is_plain(&path) && fs::metadata(path).unwrap().len() == LENGTH as u64 {
                    taken.insert(which);
                } else {
                    self.lost += 1;
                }
            }
        }
        taken
    }
}

fn which(run: &str, it: &Published) -> Which {
    (run.to_string(), it.epoch, it.step, it.content)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        names.push(entry.unwrap().file_name().into_string().unwrap());
    }
    names
}

fn is_plain(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// Which checkpoint a job is of, by its manifest, and whether its weights can be used.
///
/// # Panics
///
/// Its weights are used though they are not the ones that were published, or are not used though they are.
pub fn identify(job: &Job, place: &Place) -> (Which, bool) {
    let key = job.spooled.key();
    let manifest = job.spooled.manifest();
    let it = place.committed.values().find(|it| {
        (it.epoch, it.step, &it.weights) == (key.epoch, key.step, &manifest.weights.file)
    });
    let it = it.expect("a manifest that nobody has committed");
    assert_ne!(it.content, OUTSIDE, "{key} lies outside of the root");
    let whole = fs::read(job.spooled.path()).unwrap() == weights(it.content);
    let read = job.spooled.read_verified();
    assert_eq!(read.is_ok(), whole, "{key}: {read:?}");
    assert!(read.is_err() || read.unwrap() == weights(it.content));
    (which(&job.run, it), whole)
}

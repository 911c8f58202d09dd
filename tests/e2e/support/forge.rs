//! Checkpoints that no hook would publish.

use std::fs;
use std::path::{Path, PathBuf};

use mirrorwatch::checkpoint::{Manifest, RunWriter, Snapshot, write_atomic};
use mirrorwatch::hook::Hook;
use mirrorwatch::stock::Net;

use super::place::Place;

/// A published checkpoint, about to be tampered with.
pub struct Forgery {
    /// The manifest's text.
    pub manifest: Vec<u8>,
    /// The weights.
    pub weights: Vec<u8>,
}

impl Forgery {
    /// Replaces a part of the manifest's text, which must be there.
    #[track_caller]
    pub fn replace(&mut self, from: &str, to: &str) {
        let text = String::from_utf8(self.manifest.clone()).unwrap();
        let changed = text.replace(from, to);
        assert_ne!(changed, text, "{from} is not there");
        self.manifest = changed.into_bytes();
    }

    /// Other weights, with the length and the hash that they should have.
    #[track_caller]
    pub fn sealed(&mut self, weights: Vec<u8>) {
        let elsewhere = tempfile::tempdir().unwrap();
        let mut writer = RunWriter::create(elsewhere.path(), "r").unwrap();
        let other = writer.publish(Snapshot::default(), &weights).unwrap();
        let mut manifest: Manifest = serde_json::from_slice(&self.manifest).unwrap();
        manifest.weights.bytes = other.weights.bytes;
        manifest.weights.sha256 = other.weights.sha256;
        self.manifest = serde_json::to_vec_pretty(&manifest).unwrap();
        self.weights = weights;
    }
}

/// Publishes `net` elsewhere and puts the checkpoint into `run` after `tamper` has been at it. Returns
/// the path of the manifest.
///
/// A training process of its own, as far as the sidecar can see: no sequence number is missing.
pub fn forge(
    place: &Place,
    run: &str,
    epoch: usize,
    net: &Net,
    tamper: impl FnOnce(&mut Forgery),
) -> PathBuf {
    forge_with(place, run, epoch, net, |it, path| {
        tamper(it);
        write_atomic(path, &it.weights).unwrap();
    })
}

/// As [`forge`]; `put` leaves whatever it likes where the weights belong.
pub fn forge_with(
    place: &Place,
    run: &str,
    epoch: usize,
    net: &Net,
    put: impl FnOnce(&mut Forgery, &Path),
) -> PathBuf {
    let elsewhere = tempfile::tempdir_in(place.path()).unwrap();
    let hook = Hook::new(elsewhere.path(), run);
    hook.on_epoch_end(epoch, epoch, None, net);
    assert!(hook.finish(), "{:?}", hook.stats());
    let (mut manifest_name, mut weights_name) = (None, None);
    for entry in fs::read_dir(elsewhere.path().join(run)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".bpk") {
            weights_name = Some(name);
        } else if name.starts_with("epoch-") {
            manifest_name = Some(name);
        }
    }
    let (manifest_name, weights_name) = (manifest_name.unwrap(), weights_name.unwrap());
    let from = elsewhere.path().join(run);
    let mut forgery = Forgery {
        manifest: fs::read(from.join(&manifest_name)).unwrap(),
        weights: fs::read(from.join(&weights_name)).unwrap(),
    };
    let to = place.root().join(run);
    fs::create_dir_all(&to).unwrap();
    // As the hook does it: the manifest comes last and whole.
    put(&mut forgery, &to.join(&weights_name));
    let manifest = to.join(&manifest_name);
    write_atomic(&manifest, &forgery.manifest).unwrap();
    manifest
}

//! Checkpoints that no hook would publish.

use std::fs;

use mirrorwatch::checkpoint::write_atomic;
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
) -> std::path::PathBuf {
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
    tamper(&mut forgery);
    let to = place.root().join(run);
    fs::create_dir_all(&to).unwrap();
    // As the hook does it: the manifest comes last and whole.
    write_atomic(to.join(&weights_name), &forgery.weights).unwrap();
    let manifest = to.join(&manifest_name);
    write_atomic(&manifest, &forgery.manifest).unwrap();
    manifest
}

//! What whoever can write into a run's directory may put there: each costs its checkpoint, and nobody waits.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::{
    CheckpointError, Found, Listing, MAX_MANIFEST_BYTES, Manifest, RunWriter, list_checkpoints,
    spool,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{MAX, at, root};

const WEIGHTS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A run with one checkpoint, and the path of its manifest.
fn published() -> (TempDir, PathBuf) {
    let root = root();
    let mut writer = RunWriter::create(root.path(), "r").unwrap();
    writer.publish(at(3, 471), WEIGHTS).unwrap();
    let path = writer.directory().join("epoch-000003-step-0000000471.json");
    (root, path)
}

fn listed(root: &Path) -> Listing {
    list_checkpoints(root, "r").unwrap()
}

/// Weights as a reader gets them.
fn weights(root: &Path, found: &Found) -> Result<Vec<u8>, CheckpointError> {
    spool(found, root.join(".spool"), MAX)?.read_verified()
}

/// The manifest with a change.
fn changed(path: &Path, change: impl FnOnce(&mut Value)) -> String {
    let mut value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    value.to_string()
}

/// The error that the only manifest is refused with.
#[track_caller]
fn refused(root: &Path) -> CheckpointError {
    let mut listing = listed(root);
    assert!(listing.manifests.is_empty());
    assert_eq!(listing.rejected.len(), 1);
    listing.rejected.remove(0).1
}

#[test]
fn a_manifest_that_is_cut_anywhere_is_refused() {
    let (root, path) = published();
    let whole = fs::read(&path).unwrap();
    let end = whole.trim_ascii_end().len();
    for length in 0..end {
        fs::write(&path, &whole[..length]).unwrap();
        assert_eq!(refused(root.path()).reason(), "manifest", "{length}");
    }
    fs::write(&path, &whole[..end]).unwrap();
    assert_eq!(listed(root.path()).manifests.len(), 1);
}

/// A manifest has no hash of its own: what matters is that no change of it makes a reader take other weights.
#[test]
fn a_manifest_with_any_bit_flipped_is_refused_or_leads_to_the_same_weights_or_to_none() {
    let (root, path) = published();
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut same, mut none) = (0, 0, 0);
    for bit in 0..8 * whole.len() {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &flipped).unwrap();
        let listing = listed(root.path());
        assert_eq!(listing.manifests.len() + listing.rejected.len(), 1, "{bit}");
        match listing
            .manifests
            .first()
            .map(|found| weights(root.path(), found))
        {
            None => refused += 1,
            Some(Ok(bytes)) => {
                assert_eq!(bytes, WEIGHTS, "{bit}");
                same += 1;
            }
            Some(Err(_)) => none += 1,
        }
    }
    println!("{refused} refused, {same} with the same weights, {none} without any");
    // Of a file name and a hash, of 100 characters, every flip leads nowhere or is refused.
    assert!(none > 100 && refused > none && same > 0);
}

#[test]
fn what_is_deep_or_long_is_refused_in_few_words() {
    let (root, path) = published();
    let whole = fs::read(&path).unwrap();
    let most = MAX_MANIFEST_BYTES as usize - 2000;
    let long = "x".repeat(most);
    let deep = |key: &str, open: &str, close: &str| {
        let levels = most / (open.len() + close.len());
        let inner = open.repeat(levels) + "0" + &close.repeat(levels);
        changed(&path, |value| value[key] = json!("HERE")).replace("\"HERE\"", &inner)
    };
    // What nobody asks for is passed over, without a call of a function for each level.
    for text in [
        deep("of_the_future", "[", "]"),
        deep("of_the_future", "{\"a\":", "}"),
    ] {
        fs::write(&path, text).unwrap();
        assert_eq!(listed(root.path()).manifests.len(), 1);
    }
    fs::write(&path, &whole).unwrap();
    let texts = [
        deep("parameters", "[", "]"),
        deep("tags", "{\"a\":", "}"),
        changed(&path, |value| value["weights"]["file"] = json!(long)),
        changed(&path, |value| value["weights"]["format"] = json!(long)),
        changed(&path, |value| value["weights"]["sha256"] = json!(long)),
        changed(&path, |value| value["instance"] = json!(long)),
        changed(&path, |value| value["sequence"] = json!(long)),
        changed(&path, |value| value["tags"] = json!({ "a": [long] })),
        changed(&path, |value| {
            value["weights"]["file"] = json!("../".repeat(most / 3))
        }),
    ];
    for text in texts {
        assert!(text.len() as u64 <= MAX_MANIFEST_BYTES);
        fs::write(&path, text).unwrap();
        let error = refused(root.path());
        assert!(
            ["manifest", "unsafe_path"].contains(&error.reason()),
            "{error}"
        );
        let message = error.to_string().replace(&path.display().to_string(), "");
        assert!(
            message.len() < 500,
            "{} bytes: {message:.200}",
            message.len()
        );
    }
}

#[test]
fn giant_maps_and_lists_are_read_within_the_cap_and_not_beyond() {
    let (root, path) = published();
    let tags: serde_json::Map<_, _> = (0..90_000).map(|i| (format!("{i:x}"), json!(""))).collect();
    let dimensions = vec![0; 500_000];
    for text in [
        changed(&path, |value| value["tags"] = tags.clone().into()),
        changed(&path, |value| {
            value["parameters"] = json!([{ "name": "", "shape": dimensions, "dtype": "" }]);
        }),
    ] {
        assert!(text.len() as u64 <= MAX_MANIFEST_BYTES, "{}", text.len());
        fs::write(&path, &text).unwrap();
        let found = listed(root.path()).manifests.remove(0);
        assert_eq!(weights(root.path(), &found).unwrap(), WEIGHTS);
        fs::write(&path, text + &" ".repeat(MAX_MANIFEST_BYTES as usize)).unwrap();
        assert_eq!(refused(root.path()).reason(), "too_large");
    }
}

#[test]
#[cfg(unix)]
fn pipes_devices_and_links_keep_nobody_waiting() {
    use std::os::unix::fs::symlink;
    let place = |what: &str, path: &Path| {
        fs::remove_file(path).unwrap();
        match what {
            "pipe" => {
                let made = std::process::Command::new("mkfifo").arg(path).status();
                assert!(made.unwrap().success());
            }
            // A test may not make devices: links to them have to do.
            other => symlink(other, path).unwrap(),
        }
    };
    for what in [
        "pipe",
        "/dev/zero",
        "/dev/tty",
        "/etc/passwd",
        "../../secret",
    ] {
        let (root, path) = published();
        let found = listed(root.path()).manifests.remove(0);
        place(what, &found.weights_path());
        let error = weights(root.path(), &found).unwrap_err();
        assert_eq!(error.reason(), "unsafe_path", "{what}");
        place(what, &path);
        assert_eq!(refused(root.path()).reason(), "unsafe_path", "{what}");
        place(what, &root.path().join("r/run.json"));
        let listing = listed(root.path());
        assert_eq!((listing.status, listing.rejected.len()), (None, 2));
    }
}

#[test]
fn declared_sizes_take_no_memory_and_no_disk() {
    let (root, path) = published();
    let found = listed(root.path()).manifests.remove(0);
    // A terabyte that takes no room: it must not be read, copied or asked memory for.
    let sparse = fs::File::create(found.weights_path()).unwrap();
    sparse.set_len(1 << 40).unwrap();
    for (bytes, reason) in [
        (u64::MAX, "too_large"),
        (1 << 40, "too_large"),
        (36, "corrupt"),
    ] {
        fs::write(
            &path,
            changed(&path, |value| value["weights"]["bytes"] = bytes.into()),
        )
        .unwrap();
        let found = listed(root.path()).manifests.remove(0);
        assert_eq!(weights(root.path(), &found).unwrap_err().reason(), reason);
    }
    sparse.set_len(36).unwrap();
    let found = listed(root.path()).manifests.remove(0);
    assert_eq!(
        weights(root.path(), &found).unwrap_err().reason(),
        "corrupt"
    );
    // No limit is no promise of memory: what cannot be had is an error.
    fs::write(
        &path,
        changed(&path, |value| {
            value["weights"]["bytes"] = (1u64 << 62).into()
        }),
    )
    .unwrap();
    let found = listed(root.path()).manifests.remove(0);
    if sparse.set_len(1 << 62).is_ok() {
        let spooled = spool(&found, root.path().join(".spool"), u64::MAX).unwrap();
        assert_eq!(spooled.read_verified().unwrap_err().reason(), "io");
    }
}

/// A hard link is the same file: who still writes to it is seen.
#[test]
fn a_file_that_grows_while_it_is_read_is_whole_or_refused() {
    let (root, _) = published();
    let found = listed(root.path()).manifests.remove(0);
    let path = found.weights_path();
    let (mut whole, mut longer) = (0, 0);
    for _ in 0..50 {
        fs::write(&path, WEIGHTS).unwrap();
        std::thread::scope(|scope| {
            let spooled = spool(&found, root.path().join(".spool"), MAX).unwrap();
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            scope.spawn(move || file.write_all(&[7; 1 << 16]).unwrap());
            for _ in 0..20 {
                match spooled.read_verified() {
                    Ok(bytes) => {
                        assert_eq!(bytes, WEIGHTS);
                        whole += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.reason(), "corrupt", "{error}");
                        longer += 1;
                    }
                }
            }
        });
    }
    println!("{whole} whole, {longer} refused");
    assert_eq!(whole + longer, 1000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a manifest says, its weights are in its own directory.
    #[test]
    fn no_name_leads_out_of_the_directory(parts in prop::collection::vec(
        prop_oneof!["[a-z.]{0,3}", Just("..".to_string()), Just("/".to_string()), Just("\\".to_string()), ".{0,3}"],
        0..6,
    )) {
        let (root, path) = published();
        fs::write(&path, changed(&path, |value| value["weights"]["file"] = parts.concat().into())).unwrap();
        for found in listed(root.path()).manifests {
            let weights = found.weights_path();
            prop_assert_eq!(weights.parent(), path.parent());
            prop_assert_eq!(weights.components().count(), path.components().count());
            prop_assert!(weights.file_name().is_some());
        }
    }

    /// Damage of any size at any place of weights of any length.
    #[test]
    fn a_damaged_region_is_seen(
        length in 1usize..5000,
        (start, size, mask) in (any::<prop::sample::Index>(), 1usize..600, 1u8..=255),
    ) {
        let root = root();
        let whole: Vec<u8> = (0..length).map(|i| (i * 31 % 251) as u8).collect();
        RunWriter::create(root.path(), "r").unwrap().publish(at(3, 471), &whole).unwrap();
        let found = listed(root.path()).manifests.remove(0);
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().skip(start.index(length)).take(size) {
            *byte ^= mask;
        }
        fs::write(found.weights_path(), &damaged).unwrap();
        prop_assert_eq!(weights(root.path(), &found).unwrap_err().reason(), "corrupt");
        fs::write(found.weights_path(), &whole).unwrap();
        prop_assert_eq!(weights(root.path(), &found).unwrap(), whole);
    }

    /// Bytes of which nothing is right, and ones of which nearly everything is.
    #[test]
    fn any_bytes_are_a_manifest_or_an_error(
        noise in prop::collection::vec(any::<u8>(), 0..300),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (_root, path) = published();
        let mut text = fs::read(&path).unwrap();
        for (at, byte) in edits {
            let at = at.index(text.len());
            text[at] = byte;
        }
        for bytes in [noise, text] {
            if let Ok(manifest) = Manifest::from_bytes(&path, &bytes) {
                prop_assert_eq!((manifest.epoch, manifest.step), (3, 471));
                prop_assert_eq!(manifest.weights.sha256.len(), 64);
            }
        }
    }
}

//! Manifests: whatever is in the file, its weights are in the same directory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_checkpoint::Manifest;

fuzz_target!(|bytes: &[u8]| {
    match Manifest::from_bytes("epoch-000003-step-0000000471.json", bytes) {
        Ok(manifest) => {
            let file = &manifest.weights.file;
            assert!(!file.contains(['/', '\\']) && file != ".." && file.len() <= 255);
            assert_eq!((manifest.epoch, manifest.step), (3, 471));
        }
        Err(error) => assert!(error.to_string().len() < 2000),
    }
});

//! Features in IDX files, plain and gzipped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_idx::features_from_bytes;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(features) = features_from_bytes("features", bytes) {
        let last = features.sample(features.count() - 1);
        assert_eq!(last.map(|values| values.len()), Some(features.sample_len()));
        assert_eq!(features.sample(features.count()), None);
    }
});

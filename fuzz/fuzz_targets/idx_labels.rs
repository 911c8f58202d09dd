//! Labels in IDX files, plain and gzipped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_idx::{check_labels, labels_from_bytes};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(labels) = labels_from_bytes("labels", bytes) {
        let classes = labels.iter().max().map_or(0, |label| label + 1);
        assert!(check_labels(&labels, classes, "labels").is_ok());
    }
});

//! Configurations of TLS and passwords.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use mirrorwatch_http::WebConfig;
use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

fuzz_target!(|bytes: &[u8]| {
    // Files that it names are read, and a fuzzer would find a pipe sooner or later.
    if bytes.windows(5).any(|window| window == b"_file") {
        return;
    }
    let path = PLACE.path().join("web.yml");
    std::fs::write(&path, bytes).expect("a file");
    if let Err(error) = WebConfig::load(&path) {
        assert!(!error.to_string().is_empty());
    }
});

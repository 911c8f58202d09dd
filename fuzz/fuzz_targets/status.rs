//! Status files of runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_checkpoint::RunStatus;

fuzz_target!(|bytes: &[u8]| {
    if let Err(error) = RunStatus::from_bytes("run.json", bytes) {
        assert!(error.to_string().len() < 2000);
    }
});

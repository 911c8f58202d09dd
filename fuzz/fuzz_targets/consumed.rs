//! Lists of consumed samples, as a manifest has them: positions that make sense come back as they were.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_checkpoint::Consumed;

fuzz_target!(|bytes: &[u8]| {
    let Ok(consumed) = serde_json::from_slice::<Consumed>(bytes) else {
        return;
    };
    if let Some(positions) = consumed.positions() {
        assert_eq!(positions.len() as u64, consumed.samples);
        assert!(positions.is_sorted());
        assert_eq!(Consumed::of(positions.clone()).positions(), Some(positions));
    }
});

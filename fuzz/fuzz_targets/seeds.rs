//! No target: writes the inputs to start from to `corpus`, or with `MIRRORWATCH_SEEDS=check` compares those that are there.
//! It looks like a target so that whatever builds them builds it.
#![no_main]

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;

fn write_or_check() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let check = std::env::var("MIRRORWATCH_SEEDS").is_ok_and(|what| what == "check");
    for (target, name, bytes) in mirrorwatch_fuzz::seeds::all().expect("seeds") {
        let path = corpus.join(target).join(name);
        if check {
            let there = fs::read(&path).unwrap_or_default();
            assert!(
                there == bytes,
                "{} is not what it should be: run the target seeds",
                path.display()
            );
        } else {
            fs::create_dir_all(corpus.join(target)).expect("a directory");
            fs::write(&path, bytes).expect("a file");
        }
    }
    std::process::exit(0);
}

fuzz_target!(
    init: write_or_check(),
    |_bytes: &[u8]| {}
);

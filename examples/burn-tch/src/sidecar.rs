//! The sidecar: the task and one line. It scans on libtorch, unless another device is named.

use std::ffi::OsString;
use std::process::ExitCode;

use example_burn_tch::{Fashion, Options};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let scans = |word: &OsString| word == "watch" || word == "scan";
    let names = |word: &OsString| word.to_string_lossy().starts_with("--device");
    // A build that has Flex, too, would choose that.
    if arguments.get(1).is_some_and(scans) && !arguments.iter().any(names) {
        arguments.extend(["--device", "tch"].map(OsString::from));
    }
    mirrorwatch::sidecar_with(arguments, |options: Options| Fashion::open(&options))
}

//! The stock sidecar: `mirrorwatch watch --data DIR`, with no Rust written.

use std::process::ExitCode;

use mirrorwatch::stock::{IdxTask, StockArgs};

fn main() -> ExitCode {
    mirrorwatch::sidecar_with(std::env::args_os(), |args: StockArgs| IdxTask::open(&args))
}

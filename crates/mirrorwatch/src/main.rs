//! The stock sidecar: `mirrorwatch watch --data DIR`, with no Rust written; and `mirrorwatch init`, for those who do.

use std::process::ExitCode;

use mirrorwatch::stock::{IdxTask, StockArgs};

fn main() -> ExitCode {
    mirrorwatch::daemon::sidecar_and(
        std::env::args_os(),
        |args: StockArgs| IdxTask::open(&args),
        &[mirrorwatch::init::COMMAND],
    )
}

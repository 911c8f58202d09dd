//! The main job, end to end: train a model on real data with wrong labels while a sidecar process
//! watches its checkpoints and counts them.
//!
//! ```text
//! this process                                    this program again, as `sidecar watch`
//! data + noise ─► Burn training ─ hook ─► runs/ ─► watch ─► scan ─► /metrics
//!                                                              └─► results ─► the table below
//! ```

/// Prints a line. Where nobody reads any more, as behind `| head`, the demo goes on without.
macro_rules! say {
    ($($argument:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($argument)*);
    }};
}

mod demo;
mod follow;
mod options;
mod report;
mod retrain;
mod sheet;
mod sidecar;
mod silent;
mod train;

use std::process::ExitCode;

use clap::Parser;
use mirrorwatch::stock::{IdxTask, StockArgs};

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().collect();
    if arguments.get(1).is_some_and(|a| a == "sidecar") {
        arguments.remove(1);
        // What its help calls it must be what a person can type.
        arguments[0].push(" sidecar");
        // All there is to a sidecar: a task and this line.
        return mirrorwatch::sidecar_with(arguments, |args: StockArgs| IdxTask::open(&args));
    }
    match demo::run(&options::Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

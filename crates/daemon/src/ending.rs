//! Who may end the daemon: a signal, and where it was asked for the end of its standard input.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mirrorwatch_http::wait_for_shutdown_signal;

use crate::daemon::spawn;
use crate::options::WatchArgs;

/// A flag that is set when the process is to end.
pub(crate) fn of(args: &WatchArgs) -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    follow_signals(flag.clone());
    if args.exit_on_stdin_close {
        follow_stdin(flag.clone());
    }
    flag
}

/// Sets the flag at the first signal; the second one ends the process.
pub(crate) fn follow_signals(flag: Arc<AtomicBool>) {
    let spawned = spawn(
        "mirrorwatch-signals",
        move || match wait_for_shutdown_signal() {
            Ok(signal) => {
                tracing::info!("{signal} received, finishing");
                flag.store(true, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::warn!("{error}; stop the daemon with SIGKILL, no evidence is lost")
            }
        },
    );
    if let Err(error) = spawned {
        tracing::warn!("{error}");
    }
}

fn follow_stdin(flag: Arc<AtomicBool>) {
    let spawned = spawn("mirrorwatch-stdin", move || {
        // Whatever is written to it is of no interest.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        tracing::info!("standard input closed, finishing");
        flag.store(true, Ordering::Relaxed);
    });
    if let Err(error) = spawned {
        tracing::warn!("{error}");
    }
}

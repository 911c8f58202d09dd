//! Tells the supervisor what it is to answer to scrapes when this process is not there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, Sender, bounded};

use super::Link;
use crate::daemon::spawn;
use crate::error::DaemonError;
use crate::hub::Hub;
use crate::metrics::Metrics;

/// How often it is looked whether there is anything new.
const LOOK: Duration = Duration::from_millis(200);
/// What changes without news of a run, as counters do, is told so often.
const ANYWAY: Duration = Duration::from_secs(5);

/// Reports until it is dropped, which says that this process ends on purpose.
pub(crate) struct Reporter {
    link: Arc<Link>,
    _stop: Sender<()>,
}

impl Drop for Reporter {
    fn drop(&mut self) {
        // A panic on the way out is no end on purpose.
        if !std::thread::panicking() {
            self.link.ending();
        }
    }
}

/// Says that the daemon serves, and begins to report.
///
/// # Errors
///
/// A thread that cannot be started.
pub(crate) fn start(
    link: Arc<Link>,
    hub: Arc<Hub>,
    metrics: Arc<Metrics>,
) -> Result<Reporter, DaemonError> {
    link.ready();
    let (stop, stopped) = bounded::<()>(0);
    let to = link.clone();
    spawn("mirrorwatch-report", move || {
        let (mut seen, mut last) = (None, Instant::now());
        loop {
            let count = hub.changes().count();
            // Before the first listing it knows of no run: what the last one said is better.
            if hub.listed() && (seen != Some(count) || last.elapsed() >= ANYWAY) {
                if let Ok(text) = metrics.render() {
                    to.metrics(text);
                }
                (seen, last) = (Some(count), Instant::now());
            }
            if stopped.recv_timeout(LOOK) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    })?;
    Ok(Reporter { link, _stop: stop })
}

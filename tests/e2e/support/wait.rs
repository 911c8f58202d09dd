//! Waiting for something, never for ever.

use std::time::{Duration, Instant};

/// Long enough for a machine that builds something else at the same time.
pub const PATIENCE: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(50);

/// Tries until `attempt` succeeds and returns what it gave.
///
/// # Panics
///
/// After [`PATIENCE`], with what was waited for and the last thing that `attempt` had to say.
#[track_caller]
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(instead) if start.elapsed() > PATIENCE => panic!(
                "waited {} s in vain for {what}; instead:\n{instead}",
                PATIENCE.as_secs()
            ),
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

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
pub fn eventually<T>(what: &str, attempt: impl FnMut() -> Result<T, String>) -> T {
    eventually_within(PATIENCE.as_secs(), what, attempt)
}

/// As [`eventually`], for as many seconds.
#[track_caller]
pub fn eventually_within<T>(
    seconds: u64,
    what: &str,
    mut attempt: impl FnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(instead) if start.elapsed().as_secs() > seconds => {
                panic!("waited {seconds} s in vain for {what}; instead:\n{instead}")
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

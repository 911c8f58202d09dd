//! (d) What the hook costs the training that it is in.

mod cpu;
mod epochs;
mod latency;

use mirrorwatch::hook::Stats;
use mirrorwatch::prelude::Hook;

use super::data::{Amount, Planted};
use super::nets::Kind;
use super::{Found, Part, Suite};

/// Trains with and without the hook.
pub const PART: Part = Part {
    name: "hook",
    about: "a training with the hook as it is by default (a checkpoint an epoch, onto a disk) against the same one without, \
        in pieces that take turns; and what publishing adds to single steps, beside a bare copy of the weights",
    run,
};

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let settings: &[(Kind, usize)] = match suite.quick {
        true => &[(Kind::Mlp, 2000)],
        false => &[(Kind::Mlp, 20_000), (Kind::Cnn, 8000)],
    };
    let mut found = Found::default();
    for &(kind, train) in settings {
        let amount = Amount {
            train,
            probe: 1,
            trusted: 0,
            noise: 0.0,
        };
        let task = Planted::new(kind, amount, 0);
        epochs::measure(suite, kind, &task, &mut found)?;
        latency::measure(suite, kind, &task, &mut found)?;
    }
    Ok(found)
}

/// Waits, outside of what is measured, until everything that was taken is on the disk.
///
/// # Errors
///
/// What the hook could not do.
pub fn written(hook: &Hook, published: u64) -> Result<Stats, String> {
    loop {
        let stats = hook.stats();
        if let Some(error) = stats.last_error {
            return Err(format!("the hook could not publish: {error}"));
        }
        if stats.published + stats.dropped >= published {
            return Ok(stats);
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

//! CPU time of this process, to the nanosecond.

use std::path::Path;

/// CPU time that the threads of this process which are still there have had, in seconds.
///
/// # Errors
///
/// The operating system does not tell.
pub fn seconds() -> Result<f64, String> {
    let path = Path::new("/proc/self/task");
    let tasks = std::fs::read_dir(path).map_err(|error| {
        format!(
            "cannot list {}, which tells CPU time; measure it on Linux: {error}",
            path.display()
        )
    })?;
    let mut nanoseconds = 0;
    for task in tasks.flatten() {
        // A thread may end at any time.
        if let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) {
            nanoseconds += parse(&text).ok_or("schedstat is not as the kernel documents it")?;
        }
    }
    match nanoseconds {
        0 => Err(format!(
            "{} has no schedstat, which tells CPU time",
            path.display()
        )),
        _ => Ok(nanoseconds as f64 / 1e9),
    }
}

/// The first of three numbers: time on a CPU in nanoseconds (Documentation/scheduler/sched-stats.rst of the kernel).
fn parse(schedstat: &str) -> Option<u64> {
    schedstat.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn the_first_number_counts() {
        assert_eq!(parse("2500000000 17 3\n"), Some(2_500_000_000));
        assert_eq!((parse(""), parse("x 1 2")), (None, None));
    }

    #[test]
    fn it_rises_by_what_is_computed_and_not_by_what_is_slept() {
        let before = seconds().unwrap();
        let start = std::time::Instant::now();
        while start.elapsed().as_millis() < 50 {
            std::hint::spin_loop();
        }
        // A busy machine gives less than one core; other tests of this process use more.
        assert!(seconds().unwrap() > before + 0.001);
    }
}

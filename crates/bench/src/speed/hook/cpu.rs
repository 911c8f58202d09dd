//! CPU time of this process, to the nanosecond.

use std::path::Path;

/// CPU time that the threads of this process which are still there have had, in seconds.
///
/// # Errors
///
/// The operating system does not tell.
pub fn seconds() -> Result<f64, String> {
    of_threads(|_| true)
}

/// What those have had whose name begins so; the kernel keeps 15 bytes of a name.
///
/// # Errors
///
/// The operating system does not tell.
pub fn seconds_of(name: &str) -> Result<f64, String> {
    of_threads(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.starts_with(name))
    })
}

fn of_threads(wanted: impl Fn(&Path) -> bool) -> Result<f64, String> {
    let path = Path::new("/proc/self/task");
    let tasks = std::fs::read_dir(path).map_err(|error| {
        format!(
            "cannot list {}, which tells CPU time; measure it on Linux: {error}",
            path.display()
        )
    })?;
    let mut nanoseconds = None;
    for task in tasks.flatten() {
        if !wanted(&task.path()) {
            continue;
        }
        // A thread may end at any time.
        if let Ok(text) = std::fs::read_to_string(task.path().join("schedstat")) {
            let had = parse(&text).ok_or("schedstat is not as the kernel documents it")?;
            nanoseconds = Some(nanoseconds.unwrap_or(0) + had);
        }
    }
    match nanoseconds {
        Some(nanoseconds) => Ok(nanoseconds as f64 / 1e9),
        None => Err(format!(
            "no thread of {} that is looked for has a schedstat, which tells CPU time",
            path.display()
        )),
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

    #[test]
    fn a_thread_is_found_by_its_name() {
        let busy = std::thread::Builder::new().name("counted-for-its-name".to_string());
        let thread = busy.spawn(|| {
            let start = std::time::Instant::now();
            while start.elapsed().as_millis() < 20 {
                std::hint::spin_loop();
            }
            (seconds_of("counted-for-its").unwrap(), seconds().unwrap())
        });
        let (its, all) = thread.unwrap().join().unwrap();
        assert!(its > 0.0005 && its <= all);
        assert!(seconds_of("nobody-has-this").is_err());
    }
}

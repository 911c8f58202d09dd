//! The training comes first: the sidecar computes at a lower priority.

/// The highest nice value that there is.
pub(crate) const MOST: i32 = 19;

/// Threads to compute with beside a training, where `asked` for none in particular (0): one for every two cores, at
/// least one. On two cores, scans one after another so take a tenth of a training's time instead of a quarter, and last
/// a fifth to a half longer.
pub(crate) fn threads_beside(asked: usize) -> usize {
    match asked {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        asked => asked,
    }
}

/// Gives every thread of this process the nice value `nice`, and with them all that they will start; those that are
/// nicer already stay so, as they do where a service manager has said it.
///
/// To be called before threads are started: nobody's are missed then.
///
/// # Errors
///
/// In words, when the operating system does not let it.
#[cfg(unix)]
pub(crate) fn lower(nice: i32) -> Result<(), String> {
    if nice <= 0 {
        return Ok(());
    }
    for thread in threads() {
        lower_one(thread, nice).map_err(|error| {
            format!("cannot lower the priority to nice {nice}, going on without: {error}")
        })?;
    }
    Ok(())
}

/// There is no such thing here.
#[cfg(not(unix))]
pub(crate) fn lower(_: i32) -> Result<(), String> {
    Ok(())
}

#[cfg(unix)]
type Thread = Option<rustix::process::Pid>;

#[cfg(unix)]
fn lower_one(thread: Thread, nice: i32) -> rustix::io::Result<()> {
    if rustix::process::getpriority_process(thread)? < nice {
        rustix::process::setpriority_process(thread, nice)?;
    }
    Ok(())
}

/// The threads of this process: on Linux each has a nice value of its own. None stands for the calling one, or for the
/// process where it has only one value.
#[cfg(unix)]
fn threads() -> Vec<Thread> {
    let mut threads = vec![None];
    let Ok(tasks) = std::fs::read_dir("/proc/self/task") else {
        return threads;
    };
    for task in tasks.flatten() {
        let number = task.file_name().to_string_lossy().parse::<i32>();
        threads.extend(
            number
                .ok()
                .and_then(rustix::process::Pid::from_raw)
                .map(Some),
        );
    }
    threads
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    /// The nice value of the calling thread: the 19th field of its `stat`, see proc(5), of which the second, a name in
    /// brackets, may hold anything.
    fn nice() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let (_, after) = stat.rsplit_once(')').unwrap();
        after.split_whitespace().nth(16).unwrap().parse().unwrap()
    }

    /// In a thread of its own: what is given away here does not come back.
    #[test]
    fn a_thread_and_what_it_starts_get_nicer_and_never_less_nice() {
        let of_child = std::thread::spawn(|| {
            let before = nice();
            lower_one(None, 3).unwrap();
            assert_eq!(nice(), before.max(3));
            lower_one(None, 5).unwrap();
            lower_one(None, 1).unwrap();
            assert_eq!(nice(), before.max(5));
            std::thread::spawn(nice).join().unwrap()
        });
        assert!(of_child.join().unwrap() >= 5);
    }

    #[test]
    fn half_of_the_cores_are_left_to_the_training() {
        let half = threads_beside(0);
        let cores = std::thread::available_parallelism().unwrap().get();
        assert!(half >= 1 && (2 * half == cores || 2 * half == cores + 1));
        assert_eq!(threads_beside(7), 7);
    }

    #[test]
    fn nothing_is_changed_without_being_asked_to() {
        let before = nice();
        lower(0).unwrap();
        assert_eq!(nice(), before);
        assert!(threads().len() >= 2);
    }
}

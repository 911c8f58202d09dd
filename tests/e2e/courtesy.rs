//! The training comes first.

use crate::support::place::Place;

/// The nice value of each thread of a process: the 19th field of `stat`, see proc(5), of which the second, a name in
/// brackets, may hold anything.
fn nice(process: &str) -> Vec<i32> {
    let mut values = Vec::new();
    for task in std::fs::read_dir(format!("/proc/{process}/task")).unwrap() {
        // A thread may end at any time.
        let Ok(stat) = std::fs::read_to_string(task.unwrap().path().join("stat")) else {
            continue;
        };
        let (_, after) = stat.rsplit_once(')').unwrap();
        values.push(after.split_whitespace().nth(16).unwrap().parse().unwrap());
    }
    values
}

#[test]
fn a_sidecar_computes_at_a_lower_priority_unless_told_otherwise() {
    let place = Place::new();
    place.finished_run("r", 1);
    let own = nice("self")[0];
    for (options, expected) in [
        (&[][..], own.max(10)),
        (&["--nice", "15"], own.max(15)),
        (&["--nice", "0"], own),
    ] {
        let state = format!("state-{}", options.len() + expected as usize);
        let mut watch = place.watch(&state);
        if !options.is_empty() {
            watch = watch.with(options);
        }
        let mut sidecar = watch.start();
        // Those that compute are there by then.
        sidecar.wait_for_scans(1);
        let values = nice(&sidecar.scanner());
        assert!(values.len() > 3, "{values:?}");
        assert!(
            values.iter().all(|value| *value == expected),
            "{options:?}: {values:?}"
        );
        sidecar.terminate().expect(0);
    }
}

//! What the sidecar took over time, and whether that is bounded.

use std::fmt;
use std::time::Duration;

use crate::support::footprint::{Footprint, on_disk};
use crate::support::sidecar::Sidecar;
use crate::support::wait::eventually;

/// Between two looks.
pub const EVERY: Duration = Duration::from_secs(5);

/// Growth of memory that is taken for noise, of the median of the last third over that of the second one: allocators
/// keep what was freed, and the runs of the two thirds are not the same. Ten minutes bring some 5,000 checkpoints, 20,000
/// requests and 50 runs a third: a kilobyte lost with each request, or a run's evidence with each run, is more.
const GROWTH: f64 = 0.05;
const GROWTH_KIB: f64 = 4096.0;
/// The same for descriptors and threads: what happens to be open at the moment of a look.
const MORE: f64 = 3.0;
/// What may wait at some moment: as many as the queue holds of each run, and of a finished one, which does not give way, as
/// many as its hook has kept. On a machine that has hardly time to scan, several of these wait: 160 files were seen. At the
/// end there must be none.
const SPOOL_FILES: u64 = 400;
/// What it holds at rest, of what it held at work: half of that was its work's.
const AT_REST: f64 = 0.75;
/// What a run and a scan leave behind in the state directory for good: evidence, and results with all scores.
const BYTES: u64 = 1 << 20;

#[derive(Default)]
pub struct Course {
    looks: Vec<Look>,
    /// Anonymous memory in KiB when all was done.
    at_rest: Option<u64>,
}

struct Look {
    footprint: Footprint,
    /// Files and bytes.
    state: (u64, u64),
    spool: (u64, u64),
}

impl Course {
    pub fn look(&mut self, sidecar: &Sidecar) {
        self.looks.push(Look {
            footprint: Footprint::of(sidecar.process.id()),
            state: on_disk(&sidecar.state),
            spool: on_disk(&sidecar.state.join("spool")),
        });
    }

    /// Waits until what is free was given back, when there is nothing left to do.
    pub fn rest(&mut self, sidecar: &Sidecar) {
        let most = AT_REST * median(&self.of(|l| l.footprint.anonymous as f64));
        eventually("free memory to be given back", || {
            match Footprint::of(sidecar.process.id()).anonymous {
                now if now as f64 <= most => {
                    self.at_rest = Some(now);
                    Ok(())
                }
                now => Err(format!("{now} KiB, of at most {most}")),
            }
        });
    }

    fn of(&self, what: impl Fn(&Look) -> f64) -> Vec<f64> {
        self.looks.iter().map(what).collect()
    }

    /// Memory, descriptors and threads of the last third are those of the second one, and what is on disk is what is
    /// said to be kept.
    pub fn assert_bounded(&self, runs_and_scans: u64) {
        for (name, series) in [
            (
                "anonymous memory",
                self.of(|l| l.footprint.anonymous as f64),
            ),
            ("resident memory", self.of(|l| l.footprint.resident as f64)),
        ] {
            let (before, after) = thirds(&series);
            let most = before + (GROWTH * before).max(GROWTH_KIB);
            assert!(
                after <= most,
                "{name} grows: {before} KiB, then {after}; {series:?}"
            );
        }
        for (name, series) in [
            ("descriptors", self.of(|l| l.footprint.descriptors as f64)),
            ("threads", self.of(|l| l.footprint.threads as f64)),
        ] {
            let (before, after) = thirds(&series);
            assert!(
                after <= before + MORE,
                "{name} grow: {before}, then {after}; {series:?}"
            );
        }
        for look in &self.looks {
            assert!(
                look.spool.0 <= SPOOL_FILES,
                "{} files in the spool",
                look.spool.0
            );
        }
        let state = self.looks.last().map_or(0, |look| look.state.1);
        assert!(
            state <= runs_and_scans * BYTES,
            "{state} bytes of state for {runs_and_scans} runs and scans"
        );
    }
}

impl fmt::Display for Course {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: f64| kib / 1024.0;
        for (name, series) in [
            ("anonymous", self.of(|l| l.footprint.anonymous as f64)),
            ("resident", self.of(|l| l.footprint.resident as f64)),
        ] {
            let (before, after) = thirds(&series);
            let most = series.iter().fold(0.0, |a: f64, b| a.max(*b));
            let (before, after, most) = (mib(before), mib(after), mib(most));
            write!(
                f,
                "{name} {before:.1} then {after:.1} MiB (at most {most:.1}), "
            )?;
        }
        for (name, series) in [
            ("descriptors", self.of(|l| l.footprint.descriptors as f64)),
            ("threads", self.of(|l| l.footprint.threads as f64)),
            ("processes", self.of(|l| l.footprint.processes as f64)),
        ] {
            let (before, after) = thirds(&series);
            write!(f, "{name} {before} then {after}, ")?;
        }
        if let Some(kib) = self.at_rest {
            write!(f, "{:.1} MiB at rest, ", mib(kib as f64))?;
        }
        let spool = self.looks.iter().map(|look| look.spool.0).max();
        let (files, bytes) = self.looks.last().map_or((0, 0), |look| look.state);
        let bytes = bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "spool at most {} files, state {files} files, {bytes:.1} MiB",
            spool.unwrap_or(0)
        )
    }
}

/// Medians of the second and of the last third; in the first, things get going.
fn thirds(series: &[f64]) -> (f64, f64) {
    let third = series.len() / 3;
    assert!(third > 0, "too short to say anything");
    (
        median(&series[third..2 * third]),
        median(&series[2 * third..]),
    )
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn what_grows_is_told_from_what_does_not() {
    let course = |kib: &dyn Fn(u64) -> u64, descriptors: &dyn Fn(usize) -> usize| Course {
        looks: (0..120)
            .map(|look| Look {
                footprint: Footprint {
                    processes: 1,
                    resident: kib(look),
                    anonymous: kib(look),
                    descriptors: descriptors(look as usize),
                    threads: 10,
                },
                state: (1, 1),
                spool: (1, 1),
            })
            .collect(),
        at_rest: None,
    };
    let bounded = |course: Course| {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| course.assert_bounded(1))).is_ok()
    };
    // It warms up, and goes up and down.
    let noise = |look: u64| 60_000 + 1000 * look.min(30) + 3000 * (look % 3);
    assert!(bounded(course(&noise, &|look| 30 + look % 4)));
    assert!(!bounded(course(&|look| 60_000 + 130 * look, &|_| 30)));
    assert!(!bounded(course(&noise, &|look| 30 + look / 8)));
}

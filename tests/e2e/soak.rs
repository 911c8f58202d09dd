//! Soak: a sidecar that is given more than it can scan, for as long as one likes, neither grows nor loses count.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mirrorwatch::checkpoint::write_atomic;
use mirrorwatch::hook::Hook;
use mirrorwatch::stock::Net;

use crate::support::forge::forge;
use crate::support::place::Place;
use crate::support::scrape::Scrape;
use crate::support::sidecar::Sidecar;
use crate::support::trainer::Trainer;
use crate::support::wait::eventually;

mod measured;
mod readers;

use measured::Course;

/// For how long; ten minutes unless this says otherwise.
const MINUTES: &str = "MIRRORWATCH_SOAK_MINUTES";
/// Trainings at the same time, besides the steady one.
const TRAININGS: usize = 3;
/// How long each of them goes on, and the pause between two checkpoints: together they publish far more than is scanned.
const LASTS: Duration = Duration::from_secs(12);
const PAUSE: Duration = Duration::from_millis(20);
/// Checkpoints that a hook keeps.
const KEEP: usize = 4;
/// Between two bad checkpoints.
const BAD: Duration = Duration::from_secs(3);
/// Runs are forgotten after 36 seconds.
const EXPIRE_HOURS: &str = "0.01";

/// What everybody in the soak knows.
struct Soak<'a> {
    place: &'a Place,
    sidecar: &'a Sidecar,
    nets: &'a [Net],
    over: AtomicBool,
    /// Good and bad checkpoints that were published.
    published: AtomicU64,
    runs: AtomicU64,
}

/// Whoever ends, ends the soak: a failure is not to be waited for.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Soak<'_> {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Sleeps, unless it is over.
    fn rest(&self, pause: Duration) {
        let start = Instant::now();
        while !self.is_over() && start.elapsed() < pause {
            std::thread::sleep(pause.min(Duration::from_millis(100)));
        }
    }

    /// Publishes checkpoints of a run for so long, and ends it. Those of the same offset are the same ones.
    fn train(&self, run: &str, offset: usize, lasts: Duration, pause: Duration) {
        self.runs.fetch_add(1, Ordering::Relaxed);
        let hook = Hook::new(self.place.root(), run).keep(KEEP);
        let start = Instant::now();
        let mut epoch = 0;
        while !self.is_over() && start.elapsed() < lasts {
            epoch += 1;
            let net = &self.nets[epoch % self.nets.len()];
            hook.on_epoch_end(epoch, 15 * epoch + offset, Some(1.0 / epoch as f64), net);
            eventually("the hook to have written a checkpoint", || {
                let stats = hook.stats();
                match stats.published as usize {
                    published if published == epoch => Ok(()),
                    _ => Err(format!("{stats:?}")),
                }
            });
            self.rest(pause);
        }
        assert!(hook.finish(), "{:?}", hook.stats());
        let published = hook.stats().published;
        self.published.fetch_add(published, Ordering::Relaxed);
    }

    /// Waits until all that is published has been seen: of what is removed before, nobody could know.
    fn seen(&self) {
        let listings = || self.sidecar.scrape().sum("mirrorwatch_watch_rescans_total");
        let before = listings();
        // One that is under way, one that sees what is missing, one that confirms it, and the beginning of another.
        eventually("three listings", || match listings() - before {
            more if more >= 4.0 => Ok(()),
            more => Err(format!("{more}, {}", self.sidecar.log())),
        });
    }

    /// Run after run: new ones, and every now and then one of a name that there was before: with the checkpoints of the
    /// first one right after it, and with others when the run has been forgotten.
    fn trainings(&self, number: usize) {
        let _ends = Ends(&self.over);
        for turn in 0.. {
            if self.is_over() {
                return;
            }
            let run = match turn % 6 {
                0 | 1 => format!("again-{number}"),
                _ => format!("new-{number}-{turn}"),
            };
            self.train(&run, turn / 6, LASTS, PAUSE);
            self.seen();
            fs::remove_dir_all(self.place.root().join(run)).unwrap();
        }
    }

    /// One that begins with all and ends with all, at the pace of a training that can be followed.
    fn steady(&self) {
        let _ends = Ends(&self.over);
        self.train("steady", 0, Duration::MAX, Duration::from_secs(1));
    }

    /// Checkpoints that nobody can scan: too short, of nonsense, and with a manifest that is none.
    fn bad(&self) {
        let _ends = Ends(&self.over);
        for turn in 0.. {
            if self.is_over() {
                return;
            }
            let net = &self.nets[0];
            match turn % 3 {
                0 => forge(self.place, "bad", turn, net, |it| it.weights.truncate(100)),
                1 => forge(self.place, "bad", turn, net, |it| it.sealed(vec![7; 5000])),
                _ => {
                    let directory = self.place.root().join("bad");
                    fs::create_dir_all(&directory).unwrap();
                    let name = format!("epoch-{turn:06}-step-{turn:010}.json");
                    write_atomic(directory.join(&name), b"{ \"no\": \"manifest\" }").unwrap();
                    directory.join(name)
                }
            };
            self.published.fetch_add(1, Ordering::Relaxed);
            self.seen();
            fs::remove_dir_all(self.place.root().join("bad")).unwrap();
            self.rest(BAD);
        }
    }
}

/// Models of one training, a few steps from each other.
fn nets(place: &Place) -> Vec<Net> {
    let elsewhere = tempfile::tempdir_in(place.path()).unwrap();
    let mut trainer = Trainer::new(&place.data, Hook::new(elsewhere.path(), "r"));
    let mut nets = Vec::new();
    for _ in 0..8 {
        trainer.epoch();
        nets.push(trainer.net().clone());
    }
    trainer.finish();
    nets
}

#[test]
#[ignore = "long: ten minutes, or as many as MIRRORWATCH_SOAK_MINUTES says"]
fn a_sidecar_under_more_than_it_can_scan_neither_grows_nor_loses_count() {
    let minutes: f64 = std::env::var(MINUTES).map_or(10.0, |minutes| minutes.parse().unwrap());
    let lasts = Duration::from_secs_f64(60.0 * minutes);
    let place = Place::new();
    let options = ["--queue", "2"];
    let watch = place.watch("state").with(&options);
    let watch = watch.with(&["--expire-hours", EXPIRE_HOURS]);
    let mut sidecar = watch.with(&["--rescan-seconds", "1"]).start();
    let nets = nets(&place);
    let soak = Soak {
        place: &place,
        sidecar: &sidecar,
        nets: &nets,
        over: AtomicBool::new(false),
        published: AtomicU64::new(0),
        runs: AtomicU64::new(0),
    };
    let (mut course, mut read) = (Course::default(), readers::Read::default());
    std::thread::scope(|scope| {
        let soak = &soak;
        let _ends = Ends(&soak.over);
        for number in 0..TRAININGS {
            scope.spawn(move || soak.trainings(number));
        }
        scope.spawn(|| soak.steady());
        scope.spawn(|| soak.bad());
        let reader = scope.spawn(|| readers::read(soak));
        let start = Instant::now();
        while !soak.is_over() && start.elapsed() < lasts {
            course.look(&sidecar);
            soak.rest(measured::EVERY);
        }
        soak.over.store(true, Ordering::Relaxed);
        read = reader.join().unwrap();
    });
    let published = soak.published.load(Ordering::Relaxed);
    let runs = soak.runs.load(Ordering::Relaxed);
    let scrape = accounted_for(&mut sidecar, published);
    assert_gone(&mut sidecar, &place.at("state"));
    course.rest(&sidecar);
    println!(
        "soak of {minutes} minutes: {runs} runs, {published} checkpoints published = {} scanned + {} left out + {} failed; {read}; {course}",
        scrape.scanned(),
        scrape.skipped(),
        scrape.failed()
    );
    course.assert_bounded(runs + scrape.scanned() as u64);
}

/// Waits until nothing is queued; then every checkpoint has come to exactly one end.
fn accounted_for(sidecar: &mut Sidecar, published: u64) -> Scrape {
    let published = published as f64;
    let is_all =
        |s: &Scrape| s.done() >= published && s.sum("mirrorwatch_queue_checkpoints") == 0.0;
    // It gives way to whatever else computes: as long as it goes on, it may take its time.
    let mut scrape = sidecar.scrape();
    while !is_all(&scrape) {
        let done = scrape.done();
        let what = format!("{published} checkpoints to be accounted for, beyond {done}");
        scrape = sidecar.wait_for(&what, |s| is_all(s) || s.done() > done);
    }
    assert_eq!(scrape.done(), published, "{}", scrape.0);
    let seen = scrape.sum("mirrorwatch_checkpoints_seen_total");
    assert_eq!(seen, published, "{}", scrape.0);
    // What was asked for has happened: too much, and bad ones.
    assert!(
        scrape.skipped() > scrape.scanned() && scrape.scanned() > 0.0,
        "{}",
        scrape.0
    );
    for stage in ["manifest", "spool", "load"] {
        let series = format!("mirrorwatch_checkpoint_failures_total{{stage=\"{stage}\"}}");
        assert!(scrape.value(&series) > Some(0.0), "{series}: {}", scrape.0);
    }
    scrape
}

/// Of runs that were not heard of for long there is nothing on `/metrics`, and nothing in the spool.
fn assert_gone(sidecar: &mut Sidecar, state: &Path) {
    sidecar.wait_for("the series of all runs to go", |scrape| {
        scrape.series("mirrorwatch_run_finished").is_empty()
    });
    let spool = fs::read_dir(state.join("spool")).map_or(0, Iterator::count);
    assert_eq!(spool, 0, "left in the spool");
}

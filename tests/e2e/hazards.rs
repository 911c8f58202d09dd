//! A task that panics, hangs or ends the process costs the checkpoint that it was scanning, and no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use burn::data::dataset::Dataset;
use burn::tensor::{Device, Tensor};
use mirrorwatch::influence::Task;
use mirrorwatch::stock::{Batch, IdxTask, Net, Sample, StockArgs};

use crate::support::again::told;
use crate::support::place::Place;
use crate::support::scrape::Scrape;
use crate::support::sidecar::{Sidecar, get};
use crate::support::wait::eventually;

/// The file that says what the task is to do.
pub const HAZARD: &str = "MIRRORWATCH_HAZARD";
/// The sidecar's arguments, as JSON.
pub const ARGUMENTS: &str = "MIRRORWATCH_HAZARD_ARGUMENTS";
/// Samples that a sidecar tries its task with before it begins.
const REHEARSED: usize = 2;
/// Memory that a sidecar may have, in MiB, where it is limited.
const LIMIT: u64 = 700;

/// Takes memory until there is none.
fn grow() {
    let mut taken = Vec::new();
    while taken.len() < 400 {
        taken.push(std::hint::black_box(vec![1u8; 8 << 20]));
    }
    panic!("{} times 8 MiB were to be had", taken.len());
}

/// The stock task with a model that does what a file says.
struct Hazard {
    task: IdxTask,
    file: PathBuf,
}

impl Hazard {
    fn does(&self) -> String {
        fs::read_to_string(&self.file).unwrap_or_default()
    }
}

impl Task for Hazard {
    type Model = Net;
    type Item = Sample;
    type Batch = Batch;

    fn model(&self, device: &Device) -> Net {
        self.task.model(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        self.task.train()
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        self.task.probe()
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        self.task.batch(items, device)
    }

    fn classes(&self) -> usize {
        self.task.classes()
    }

    fn label(&self, item: &Sample) -> usize {
        self.task.label(item)
    }

    fn logits(&self, model: &Net, batch: &Batch) -> Tensor<2> {
        let logits = self.task.logits(model, batch);
        // What is rehearsed at the start is not what is to be seen here.
        if logits.dims()[0] <= REHEARSED {
            return logits;
        }
        match self.does().as_str() {
            "panic" => panic!("there is no such layer"),
            "abort" => std::process::abort(),
            "grow" => grow(),
            "hang for ever" => loop {
                std::thread::sleep(Duration::from_secs(1));
            },
            "hang" => {
                while self.does() == "hang" {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            _ => {}
        }
        logits
    }

    fn trusted(&self) -> Vec<usize> {
        self.task.trusted()
    }
}

#[test]
#[ignore = "a program: a sidecar for a hazardous task"]
fn a_sidecar() {
    let (Some(arguments), Some(file)) = (told(ARGUMENTS), told(HAZARD)) else {
        return;
    };
    let arguments: Vec<String> = serde_json::from_str(&arguments).unwrap();
    let file = PathBuf::from(file);
    let arguments = std::iter::once("hazardous".to_string()).chain(arguments);
    let arguments = arguments.map(std::ffi::OsString::from);
    let code = mirrorwatch::sidecar_with(arguments, |args: StockArgs| {
        let task = IdxTask::open(&args)?;
        Ok::<_, mirrorwatch::stock::StockError>(Hazard { task, file })
    });
    // `ExitCode` cannot be compared, nor a process ended with it.
    if format!("{code:?}") != format!("{:?}", ExitCode::SUCCESS) {
        std::process::exit(1);
    }
}

fn set(file: &Path, what: &str) {
    fs::write(file, what).unwrap();
}

fn failures(sidecar: &Sidecar, stage: &str) -> Option<f64> {
    let series = format!("mirrorwatch_checkpoint_failures_total{{stage=\"{stage}\"}}");
    sidecar.scrape().value(&series)
}

#[test]
fn a_panic_and_a_hang_cost_a_checkpoint_each_and_the_others_are_scanned() {
    let place = Place::new();
    let file = place.at("hazard");
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let watch = place.watch("state").hazardous(&file);
    let mut sidecar = watch.with(&["--scan-timeout", "2"]).start();
    sidecar.wait_for_scans(1);
    for (what, stage, says) in [
        ("panic", "scan", "there is no such layer"),
        ("hang", "timeout", "no sign of life for 2 s"),
    ] {
        set(&file, what);
        trainer.epoch();
        sidecar.wait_for("the failure", |scrape| {
            scrape.failed() > 0.0 && {
                let series = format!("mirrorwatch_checkpoint_failures_total{{stage=\"{stage}\"}}");
                scrape.value(&series) == Some(1.0)
            }
        });
        assert!(sidecar.log().contains(says), "{}", sidecar.log());
        // The exporter is there, and says that all is well: one checkpoint is lost.
        assert_eq!(sidecar.get("/healthz").status, 200);
        set(&file, "");
        trainer.epoch();
        sidecar.wait_for("the next one to be scanned", |scrape| {
            scrape.scanned() == if what == "panic" { 2.0 } else { 3.0 }
        });
    }
    // The thread that hung has come back meanwhile, and is not heard any more.
    let scrape = sidecar.scrape();
    assert_eq!(
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}"),
        Some(3.0)
    );
    assert_eq!(
        (failures(&sidecar, "scan"), failures(&sidecar, "timeout")),
        (Some(1.0), Some(1.0))
    );
    trainer.finish();
    // Not every checkpoint was scanned.
    sidecar.terminate().expect(1);
}

/// Scrapes without rest until it is told to stop.
struct Scrapes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What came of all those scrapes.
#[derive(Debug, Default)]
struct Seen {
    answered: usize,
    /// Answered while there was nobody to scan.
    meanwhile: usize,
    /// Refused, or cut off by the end of a process.
    lost: Vec<String>,
    /// Without the run's count, which was there before.
    without: usize,
    /// Most memory that a scanning process had of its own, in MiB.
    most: u64,
}

impl Scrapes {
    fn of(sidecar: &Sidecar) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let url = format!("http://{}/metrics", sidecar.address);
        let (stopped, state) = (stop.clone(), sidecar.state.clone());
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !stopped.load(Ordering::Relaxed) {
                match get(&url) {
                    Ok(page) if page.status == 200 => {
                        seen.answered += 1;
                        let scrape = Scrape(page.body);
                        let up = scrape.value("mirrorwatch_scanner_up");
                        seen.meanwhile += usize::from(up == Some(0.0));
                        let known = scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}");
                        seen.without += usize::from(known.is_none());
                    }
                    Ok(page) => seen.lost.push(page.body),
                    Err(error) => seen.lost.push(error),
                }
                seen.most = seen.most.max(anonymous(&state));
            }
            seen
        });
        Self { stop, thread }
    }

    fn seen(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Memory of the scanning process that is no file's, in MiB; 0 where there is none at the moment.
fn anonymous(state: &Path) -> u64 {
    let process = fs::read_to_string(state.join("daemon.pid")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    line.map_or(0, |line| {
        let kilobytes = line.trim().trim_end_matches(" kB");
        kilobytes.parse::<u64>().unwrap() / 1024
    })
}

/// A checkpoint that ends the process which scans is given up after five times; scrapes are answered all the while, and
/// the next checkpoint is scanned.
#[track_caller]
fn ends_the_scanner(what: &str, options: &[&str]) -> Seen {
    let place = Place::new();
    let file = place.at("hazard");
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let mut watch = place.watch("state").hazardous(&file);
    if !options.is_empty() {
        watch = watch.with(options);
    }
    let mut sidecar = watch.start();
    sidecar.wait_for_scans(1);
    let scrapes = Scrapes::of(&sidecar);
    set(&file, what);
    trainer.epoch();
    sidecar.wait_for("the checkpoint to be given up", |scrape| {
        scrape.failed() == 1.0
    });
    let log = sidecar.log();
    assert!(log.contains("ended 5 times while it scanned"), "{log}");
    set(&file, "");
    trainer.epoch();
    let scrape = sidecar.wait_for("the next one to be scanned", |scrape| {
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}") == Some(2.0)
    });
    assert_eq!(
        scrape.value("mirrorwatch_scanner_restarts_total"),
        Some(5.0)
    );
    assert_eq!(scrape.value("mirrorwatch_scanner_up"), Some(1.0));
    let seen = scrapes.seen();
    // An answer that a process was about to give when it died is lost; nobody is refused.
    assert!(seen.lost.len() <= 5, "{seen:?}");
    assert!(
        !seen.lost.iter().any(|error| error.contains("refused")),
        "{seen:?}"
    );
    assert_eq!(seen.without, 0, "{seen:?}");
    assert!(seen.meanwhile > 0, "{seen:?}");
    println!("{what}: {seen:?}");
    trainer.finish();
    sidecar.terminate().expect(1);
    seen
}

#[test]
fn a_crash_costs_its_checkpoint_and_scrapes_are_answered_all_the_while() {
    ends_the_scanner("abort", &[]);
}

#[test]
fn more_memory_than_is_allowed_costs_its_checkpoint() {
    let seen = ends_the_scanner("grow", &["--memory-limit-mib", &LIMIT.to_string()]);
    assert!((LIMIT / 2..=LIMIT).contains(&seen.most), "{seen:?}");
}

#[test]
fn scans_that_hang_for_ever_cost_their_checkpoints_and_no_more() {
    let place = Place::new();
    let file = place.at("hazard");
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let watch = place.watch("state").hazardous(&file);
    let mut sidecar = watch.with(&["--scan-timeout", "2"]).start();
    sidecar.wait_for_scans(1);
    set(&file, "hang for ever");
    trainer.epochs(2);
    let timeout = "mirrorwatch_checkpoint_failures_total{stage=\"timeout\"}";
    sidecar.wait_for("both to be given up", |scrape| {
        scrape.value(timeout) == Some(2.0)
    });
    set(&file, "");
    trainer.epoch();
    let scrape = sidecar.wait_for("the next one to be scanned", |scrape| {
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}") == Some(2.0)
    });
    assert_eq!(
        scrape.value("mirrorwatch_scanner_restarts_total"),
        Some(1.0)
    );
    let log = sidecar.log();
    assert!(log.contains("ended (2 scans hang)"), "{log}");
    // Both are settled: whoever was started again does not try them again.
    assert_eq!((scrape.failed(), scrape.scanned()), (0.0, 1.0));
    // What an earlier one could not scan is not forgotten in the exit code.
    sidecar.terminate().expect(1);
}

/// Without a supervisor it is for whatever has started the sidecar to start it again.
#[test]
fn a_crash_of_a_single_process_is_not_tried_for_ever() {
    let place = Place::new();
    let file = place.at("hazard");
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let start = || {
        let watch = place.watch("state").hazardous(&file);
        watch.with(&["--single-process"]).start()
    };
    let mut sidecar = start();
    sidecar.wait_for_scans(1);
    assert_eq!(sidecar.scanner(), sidecar.process.id().to_string());
    set(&file, "abort");
    trainer.epoch();
    for _ in 0..5 {
        let ended = sidecar.process.finish();
        assert_eq!(ended.code, None, "{}", ended.story());
        sidecar = start();
    }
    sidecar.wait_for("the checkpoint to be given up", |scrape| {
        scrape.failed() == 1.0
    });
    set(&file, "");
    trainer.epoch();
    sidecar.wait_for("the next one to be scanned", |scrape| {
        scrape.value("mirrorwatch_evidence_checkpoints{run=\"r\"}") == Some(2.0)
    });
    // It is settled: another restart does not try it again.
    sidecar.kill();
    let mut last = start();
    trainer.epoch();
    let scrape = last.wait_for_scans(1);
    assert_eq!((scrape.failed(), scrape.done()), (0.0, 1.0));
    trainer.finish();
}

#[test]
fn a_scanner_does_not_outlive_its_supervisor_and_a_state_has_one_sidecar() {
    let place = Place::new();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let mut sidecar = place.watch("state").start();
    sidecar.wait_for_scans(1);
    let scanner = sidecar.scanner();
    let environment = fs::read(format!("/proc/{scanner}/environ")).unwrap();
    let environment = String::from_utf8_lossy(&environment);
    assert!(environment.contains("MALLOC_ARENA_MAX=2"), "{environment}");
    let second = place.watch("state").run().expect(2);
    assert!(
        second.stderr.contains(&format!(
            "another sidecar, process {scanner}, keeps its evidence"
        )),
        "{}",
        second.story()
    );
    // Killed, it cannot tell anybody.
    sidecar.kill();
    eventually("the scanner's end", || {
        match Path::new("/proc").join(&scanner).exists() {
            false => Ok(()),
            true => Err(format!("{scanner} lives")),
        }
    });
    let mut next = place.watch("state").start();
    trainer.epoch();
    next.wait_for_scans(1);
    next.terminate().expect(0);
}

#[test]
fn what_keeps_a_sidecar_from_starting_is_told_once() {
    let place = Place::new();
    let refused = place.watch("state").with(&["--data", "/nowhere"]).run();
    let refused = refused.expect(2);
    assert_eq!(
        refused.stderr.matches("error:").count(),
        1,
        "{}",
        refused.story()
    );
    // Not enough to begin with.
    let died = place
        .watch("state")
        .with(&["--memory-limit-mib", "1"])
        .run();
    assert!(
        died.stderr.contains("memory allocation of") || died.stderr.contains("before it was ready"),
        "{}",
        died.story()
    );
}

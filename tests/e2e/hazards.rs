//! A task that panics, hangs or ends the process costs the checkpoint that it was scanning, and no other.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use burn::data::dataset::Dataset;
use burn::tensor::{Device, Tensor};
use mirrorwatch::influence::Task;
use mirrorwatch::stock::{Batch, IdxTask, Net, Sample, StockArgs};

use crate::support::again::told;
use crate::support::place::Place;
use crate::support::sidecar::Sidecar;

/// The file that says what the task is to do.
pub const HAZARD: &str = "MIRRORWATCH_HAZARD";
/// The sidecar's arguments, as JSON.
pub const ARGUMENTS: &str = "MIRRORWATCH_HAZARD_ARGUMENTS";
/// More than any machine has.
const TOO_MUCH: usize = 1 << 46;

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
        match self.does().as_str() {
            "panic" => panic!("there is no such layer"),
            "abort" => std::process::abort(),
            "allocate" => drop(std::hint::black_box(vec![1u8; TOO_MUCH])),
            "hang" => {
                while self.does() == "hang" {
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
            _ => {}
        }
        self.task.logits(model, batch)
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

/// A sidecar that ends by what its task does is started again, as a service manager would, until it gives up the
/// checkpoint.
#[track_caller]
fn ends_the_process(what: &str) {
    let place = Place::new();
    let file = place.at("hazard");
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let start = || {
        let watch = place.watch("state").hazardous(&file);
        watch.with(&["--scan-timeout", "60"]).start()
    };
    let mut sidecar = start();
    sidecar.wait_for_scans(1);
    set(&file, what);
    trainer.epoch();
    for _ in 0..5 {
        let ended = sidecar.process.finish();
        assert_eq!(ended.code, None, "{}", ended.story());
        // What is rehearsed at the start is not what is to be seen here.
        set(&file, "");
        sidecar = start();
        set(&file, what);
    }
    sidecar.wait_for("the checkpoint to be given up", |scrape| {
        scrape.failed() == 1.0
    });
    assert!(
        sidecar.log().contains("ended 5 times while it scanned"),
        "{}",
        sidecar.log()
    );
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
fn a_crash_is_not_tried_for_ever() {
    ends_the_process("abort");
}

#[test]
fn more_memory_than_there_is_is_not_tried_for_ever() {
    ends_the_process("allocate");
}

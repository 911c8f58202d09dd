//! Turns snapshots into files, through the protocol of `mirrorwatch-checkpoint`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use burn::module::{Module, ModuleVisitor, Param, Parameter as BurnParameter};
use burn::tensor::{Bool, DType, Int, Tensor};
use mirrorwatch_checkpoint::{
    CheckpointError, Consumed, DEFAULT_KEEP, Native, Parameter, RunWriter, Snapshot, System,
};

use crate::error::HookError;
use crate::positions::Positions;
use crate::queue::{Checkpoint, Moment, Parameters};
use crate::stats::Stats;
use crate::tape::Tape;
use crate::trigger::REQUEST_FILE;

/// Where and how a run is published.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) root: PathBuf,
    pub(crate) run: String,
    pub(crate) keep: usize,
    pub(crate) tags: BTreeMap<String, String>,
    /// Only epochs whose validation loss is the best so far are published.
    pub(crate) on_improvement: bool,
    /// Bytes that the run's checkpoints may take.
    pub(crate) disk: Option<u64>,
    pub(crate) system: Arc<dyn System>,
}

impl Settings {
    pub(crate) fn new(root: PathBuf, run: String) -> Self {
        Self {
            root,
            run,
            keep: DEFAULT_KEEP,
            tags: BTreeMap::new(),
            on_improvement: false,
            disk: None,
            system: Arc::new(Native),
        }
    }

    /// Creates the directory of the run, or takes up the one that is there.
    pub(crate) fn create(&self) -> Result<RunWriter, HookError> {
        RunWriter::create_on(Arc::clone(&self.system), &self.root, &self.run)
            .map(|writer| writer.with_keep(self.keep))
            .map_err(HookError::Open)
    }
}

/// Writes the checkpoints of one run. Lives on the writer thread.
pub(crate) struct Publisher {
    settings: Settings,
    writer: Option<RunWriter>,
    /// Failures and drops that the run's status already counts.
    failed: u64,
    dropped: u64,
    /// The best validation loss that was published so far.
    best: Option<f64>,
    /// Samples consumed before checkpoints that were not published.
    carried: Positions,
    /// Whether it was said that another training publishes the same run.
    told_shared: bool,
}

impl Publisher {
    /// `so_far` is what was counted before: it belongs to an earlier instance of the run.
    pub(crate) fn new(settings: Settings, so_far: &Stats) -> Self {
        Self {
            settings,
            writer: None,
            failed: so_far.failed,
            dropped: so_far.dropped,
            best: None,
            carried: Positions::default(),
            told_shared: false,
        }
    }

    /// Opens the run if it is not open yet. After a failure the next call tries again: a volume may
    /// only be mounted later, and a run of days should not be lost for that.
    pub(crate) fn open(&mut self) -> Result<(), HookError> {
        self.writer().map(drop)
    }

    /// Whether the end of an epoch with this validation loss is wanted.
    pub(crate) fn wants(&mut self, checkpoint: &mut Checkpoint, valid_loss: Option<f64>) -> bool {
        if !self.settings.on_improvement || checkpoint.moment == Moment::Step {
            return true;
        }
        let improved = match (valid_loss, self.best) {
            (Some(loss), Some(best)) => loss < best,
            // Without a validation there is nothing to wait for.
            _ => true,
        };
        if !improved {
            self.carried.append(&mut checkpoint.consumed);
        }
        improved
    }

    /// Writes one checkpoint. What went wrong after it was on the disk is returned as a remark.
    pub(crate) fn publish(
        &mut self,
        mut checkpoint: Checkpoint,
        (train_loss, valid_loss): (Option<f64>, Option<f64>),
    ) -> Result<Option<HookError>, HookError> {
        self.carried.append(&mut checkpoint.consumed);
        let is_end = checkpoint.moment == Moment::EpochEnd;
        // First, so that nothing is serialised for a directory that is not there.
        self.open()?;

        let consumed = (!self.carried.is_empty()).then(|| Consumed::of(self.carried.to_vec()));
        let snapshot = Snapshot {
            epoch: checkpoint.epoch as u64,
            step: checkpoint.step as u64,
            train_loss,
            valid_loss,
            learning_rate: checkpoint.learning_rate,
            consumed,
            parameters: match &checkpoint.parameters {
                Parameters::Tape(tape) => parameters(tape),
                // A record keeps its list to itself.
                Parameters::Record(_) => Vec::new(),
            },
            tags: self.settings.tags.clone(),
        };
        let record = match checkpoint.parameters {
            Parameters::Tape(tape) => tape.into_record(),
            Parameters::Record(record) => *record,
        };
        let weights = record.into_bytes().map_err(HookError::Record)?;

        let keep = self.room(weights.len() as u64)?;
        let writer = self.writer()?;
        writer.set_keep(keep);
        let published = write(writer, snapshot, &weights).map_err(HookError::Publish);
        let mut remark = writer.take_warning().map(HookError::Tidy);
        let is_shared = writer.is_shared();
        if published.is_err() && !writer.directory().is_dir() {
            // Someone removed the directory of the run: the next checkpoint creates it again.
            self.writer = None;
        }
        if published.is_ok() {
            self.carried.clear();
            // Only now: a best epoch that is lost must not hold back those that are better than what is there.
            self.best = valid_loss.filter(|_| is_end).or(self.best);
        }
        if remark.is_none() && is_shared && !self.told_shared {
            self.told_shared = true;
            let run = self.settings.run.clone();
            remark = Some(HookError::Shared { run });
        }
        published.map(|()| remark)
    }

    /// How many checkpoints of this size may be kept. The one that is being written is beside the others until they
    /// are removed, where there is room for two.
    fn room(&self, bytes: u64) -> Result<usize, HookError> {
        let Some(limit) = self.settings.disk else {
            return Ok(self.settings.keep);
        };
        match limit / bytes.max(1) {
            0 => Err(HookError::Budget { bytes, limit }),
            fit => {
                let fit = usize::try_from(fit).unwrap_or(usize::MAX);
                Ok(self.settings.keep.min(fit.saturating_sub(1)).max(1))
            }
        }
    }

    /// Whether someone asks for a checkpoint by a file in the run's directory, which is then taken away.
    pub(crate) fn is_asked(&self) -> bool {
        let writer = self.writer.as_ref();
        writer.is_some_and(|writer| {
            std::fs::remove_file(writer.directory().join(REQUEST_FILE)).is_ok()
        })
    }

    /// Carries the hook's counters over into the run's status, which is written with the next
    /// checkpoint.
    pub(crate) fn count(&mut self, stats: &Stats) {
        let Some(writer) = &mut self.writer else {
            return;
        };
        for _ in self.failed..stats.failed {
            writer.note_failure();
        }
        for _ in self.dropped..stats.dropped {
            writer.note_dropped();
        }
        self.failed = stats.failed;
        self.dropped = stats.dropped;
    }

    /// Writes the run's status now, if that is possible at all.
    pub(crate) fn say_so(&mut self) {
        // Called where something has failed already and was reported: nothing to add to that.
        if let Some(writer) = &mut self.writer {
            let _ = writer.write_status();
        }
    }

    /// Marks the run as finished.
    pub(crate) fn finish(&mut self) -> Result<(), HookError> {
        self.writer()?.finish().map_err(HookError::Publish)
    }

    fn writer(&mut self) -> Result<&mut RunWriter, HookError> {
        match &mut self.writer {
            Some(writer) => Ok(writer),
            closed => Ok(closed.insert(self.settings.create()?)),
        }
    }
}

fn write(writer: &mut RunWriter, what: Snapshot, weights: &[u8]) -> Result<(), CheckpointError> {
    match writer.publish(what.clone(), weights) {
        // Thousands of tensors outgrow a manifest. Their list is a convenience, the weights are not.
        Err(CheckpointError::TooLarge { .. })
            if !what.parameters.is_empty() || what.consumed.is_some() =>
        {
            let bare = Snapshot {
                parameters: Vec::new(),
                consumed: None,
                ..what
            };
            writer.publish(bare, weights).map(drop)
        }
        published => published.map(drop),
    }
}

/// The parameters as a record holds them: the same walk, names and transformation as Burn's own
/// collector, which keeps its result to itself.
fn parameters(tape: &Tape) -> Vec<Parameter> {
    let mut lister = Lister::default();
    tape.visit(&mut lister);
    lister.parameters
}

#[derive(Default)]
struct Lister {
    path: Vec<String>,
    parameters: Vec<Parameter>,
}

impl Lister {
    fn list<T: BurnParameter>(&mut self, param: &Param<T>, dtype: impl FnOnce(&T) -> DType) {
        let saved = param.transform_for_save().val();
        self.parameters.push(Parameter {
            name: self.path.join("."),
            shape: saved.shape().to_vec(),
            dtype: dtype(&saved).name().to_string(),
        });
    }
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.list(param, |tensor| tensor.dtype());
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.list(param, |tensor| tensor.dtype());
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.list(param, |tensor| tensor.dtype());
    }
}

//! From a spooled checkpoint to a model, whatever is in the file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mirrorwatch_checkpoint::SAFETENSORS;
use mirrorwatch_influence::{Task, model, panic_text};

use super::{Failure, Worker, described};
use crate::intake::Job;

/// The stage at which weights become a model.
const LOAD: &str = "load";

impl<T: Task> Worker<T> {
    /// The model of a checkpoint.
    pub(super) fn load(&self, job: &Job) -> Result<T::Model, Failure> {
        let loaded = catch_unwind(AssertUnwindSafe(|| self.try_load(job)));
        loaded.unwrap_or_else(|panic| {
            let text = panic_text(panic.as_ref());
            Err((LOAD, format!("the weights cannot be loaded: {text}")))
        })
    }

    fn try_load(&self, job: &Job) -> Result<T::Model, Failure> {
        let (task, device) = (self.task.as_ref(), &self.config.device);
        let weights = &job.spooled.manifest().weights;
        let described = described(job.spooled.manifest());
        let failed = |error: mirrorwatch_influence::InfluenceError| (LOAD, error.to_string());
        // Names and shapes in safetensors may be those of PyTorch.
        let comparable = match &*weights.format {
            SAFETENSORS => &[][..],
            _ => &described[..],
        };
        let own = self
            .parameters
            .get_or_init(|| model::parameters(&task.model(device)));
        model::plausible(own, comparable, weights.bytes).map_err(failed)?;
        let bytes = job.spooled.read_verified();
        let bytes = bytes.map_err(|error| ("spool", error.to_string()))?;
        model::load_as(task, &weights.format, &described, bytes, device).map_err(failed)
    }
}

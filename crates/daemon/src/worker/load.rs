//! From a spooled checkpoint to a model, whatever is in the file.

use std::panic::{AssertUnwindSafe, catch_unwind};

use burn::tensor::Device;
use mirrorwatch_checkpoint::SAFETENSORS;
use mirrorwatch_influence::{InfluenceError, Task, model, panic_text};

use super::{Failure, Worker, described};
use crate::intake::Job;

/// The stage at which weights become a model.
const LOAD: &str = "load";

impl<T: Task> Worker<T> {
    /// The weights of a checkpoint, which are what their manifest says, and may be those of the task's model.
    pub(super) fn weights(&self, job: &Job) -> Result<Vec<u8>, Failure> {
        let own = self.parameters(job)?;
        contained(|| {
            let weights = &job.spooled.manifest().weights;
            let described = described(job.spooled.manifest());
            // Names and shapes in safetensors may be those of PyTorch.
            let comparable = match &*weights.format {
                SAFETENSORS => &[][..],
                _ => &described[..],
            };
            model::plausible(own, comparable, weights.bytes).map_err(failed)?;
            let bytes = job.spooled.read_verified();
            bytes.map_err(|error| ("spool", error.to_string()))
        })
    }

    /// The parameters of the task's model.
    fn parameters(&self, job: &Job) -> Result<&Vec<model::Parameter>, Failure> {
        if let Some(known) = self.parameters.get() {
            return Ok(known);
        }
        let (task, config) = (self.task.clone(), self.config.clone());
        let made = self.apart.run(&job.spooled.key().to_string(), move |_| {
            model::parameters(&task.model(&config.device))
        });
        let made = made.map_err(|lost| lost.failure(LOAD))?;
        Ok(self.parameters.get_or_init(|| made))
    }
}

/// The model that weights are of.
pub(super) fn loaded<T: Task>(
    task: &T,
    format: &str,
    described: &[model::Parameter],
    bytes: Vec<u8>,
    device: &Device,
) -> Result<T::Model, Failure> {
    contained(|| model::load_as(task, format, described, bytes, device).map_err(failed))
}

fn failed(error: InfluenceError) -> Failure {
    (LOAD, error.to_string())
}

fn contained<R>(load: impl FnOnce() -> Result<R, Failure>) -> Result<R, Failure> {
    catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|panic| {
        let text = panic_text(panic.as_ref());
        Err((LOAD, format!("the weights cannot be loaded: {text}")))
    })
}

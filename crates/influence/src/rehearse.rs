//! Trying a task on two samples, before anything depends on it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::error::InfluenceError;
use crate::sweep::{SweepOptions, mean_loss, read_items, sweep};
use crate::task::{Labels, Set, Task, dataset};

/// Runs a fresh model of `task` forward on two probe samples and one training sample, and backward on the former.
///
/// What would otherwise come out at the first checkpoint, hours later maybe, is told at once: a method that is
/// missing or panics, logits or losses of the wrong shape, a loss that is no function of the model.
///
/// # Errors
///
/// What is wrong with the task, and what to do about it.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// // A task that forgets to flatten what its model says.
/// # struct Broken;
/// # impl Task for Broken {
/// #     type Model = Linear;
/// #     type Item = (f32, usize);
/// #     type Batch = Tensor<2>;
/// #     fn model(&self, device: &Device) -> Linear { Line.model(device) }
/// #     fn train(&self) -> Arc<dyn Dataset<(f32, usize)>> { Line.train() }
/// #     fn probe(&self) -> Arc<dyn Dataset<(f32, usize)>> { Line.probe() }
/// #     fn batch(&self, items: Vec<(f32, usize)>, device: &Device) -> Tensor<2> { Line.batch(items, device) }
/// #     fn label(&self, item: &(f32, usize)) -> usize { item.1 }
/// #     fn classes(&self) -> usize { 2 }
/// #     fn logits(&self, model: &Linear, batch: &Tensor<2>) -> Tensor<2> {
/// #         model.forward(batch.clone()).reshape([1, -1])
/// #     }
/// # }
/// rehearse(&task, &labels, &device)?;
/// let refused = rehearse(&Broken, &labels, &device).map_err(|error| error.to_string());
/// assert!(refused.is_err_and(|text| text.contains("have shape [1, 4] for a batch of 2; they must be [2, 2]")));
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn rehearse<T: Task>(task: &T, labels: &Labels, device: &Device) -> Result<(), InfluenceError> {
    contained("a fresh model was tried on two probe samples", || {
        attempt(task, labels, device)
    })
}

/// Runs the user's code; a panic in it becomes an error that says when it was.
pub(crate) fn contained<R>(
    when: &str,
    action: impl FnOnce() -> Result<R, InfluenceError>,
) -> Result<R, InfluenceError> {
    match catch_unwind(AssertUnwindSafe(action)) {
        Ok(result) => result,
        Err(panic) => {
            let text = panic_text(panic.as_ref());
            Err(InfluenceError::Data(format!(
                "the task panicked when {when}: {text}"
            )))
        }
    }
}

/// What a panic said, if it said anything.
///
/// ```
/// use mirrorwatch_influence::panic_text;
///
/// let panic = std::panic::catch_unwind(|| -> () { panic!("no sample {}", 7) }).err();
/// assert!(panic.is_some_and(|panic| panic_text(panic.as_ref()) == "no sample 7"));
/// ```
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_string())
}

fn attempt<T: Task>(task: &T, labels: &Labels, device: &Device) -> Result<(), InfluenceError> {
    let model = task.model(device);
    let options = SweepOptions {
        device,
        batch_size: 2,
        progress: &|_| (),
        cancel: &AtomicBool::new(false),
    };
    let two: Vec<usize> = (0..labels.probe.len().min(2)).collect();
    let first: Vec<usize> = labels.labelled().into_iter().take(1).collect();
    sweep(task, &model, Set::Probe, &two, &labels.probe, &options)?;
    sweep(task, &model, Set::Training, &first, &labels.train, &options)?;

    let theta = crate::model::fork(&model);
    let device = device.clone().autodiff();
    let items = read_items(dataset(task, Set::Probe).as_ref(), Set::Probe, &two)?;
    let given: Vec<i64> = two.iter().map(|&i| labels.probe[i] as i64).collect();
    let given: Tensor<1, Int> = Tensor::from_data(TensorData::new(given, [two.len()]), &device);
    let loss = mean_loss(task, &theta, &task.batch(items, &device), given);
    if GradientsParams::from_grads(loss.backward(), &theta).is_empty() {
        return Err(InfluenceError::Outputs(
            "no parameter of the model received a gradient from two probe samples; check that the task's logits or losses come from its model, on the batch's device".to_string(),
        ));
    }
    Ok(())
}

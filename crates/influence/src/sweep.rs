//! Sweeps: forward passes over a set of samples at given weights.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::data::dataset::Dataset;
use burn::tensor::{Device, Int, Tensor};

use crate::crew::{computes_in_callers, side_by_side, workers_on};
use crate::direction::cross_entropy as cross_entropy_of;
use crate::error::InfluenceError;
use crate::task::{Set, Task, dataset};

/// What a model says of a set of samples at one set of weights.
///
/// ```
/// use mirrorwatch_influence::Outputs;
///
/// let outputs = Outputs { classes: 2, logits: vec![2.0, -1.0, 0.0, 0.5], losses: vec![0.25, 0.75] };
/// assert_eq!((outputs.len(), outputs.row(1)), (2, &[0.0, 0.5][..]));
/// assert_eq!((outputs.mean_loss(), outputs.accuracy(&[0, 0])), (0.5, 0.5));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    /// Number of classes K; 0 for a task that has losses instead.
    pub classes: usize,
    /// Logits, `K` per sample, sample by sample.
    pub logits: Vec<f32>,
    /// Cross-entropy (nats) of each sample under its given label; without classes, the task's own loss.
    pub losses: Vec<f32>,
}

impl Outputs {
    /// The number of samples.
    ///
    /// ```
    /// # use mirrorwatch_influence::Outputs;
    /// let outputs = Outputs { classes: 0, logits: vec![], losses: vec![0.1, 0.2, 0.3] };
    /// assert_eq!(outputs.len(), 3);
    /// ```
    pub fn len(&self) -> usize {
        self.losses.len()
    }

    /// Whether there are no samples.
    ///
    /// ```
    /// # use mirrorwatch_influence::Outputs;
    /// assert!(Outputs { classes: 2, logits: vec![], losses: vec![] }.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.losses.is_empty()
    }

    /// The K logits of a sample.
    ///
    /// ```
    /// # use mirrorwatch_influence::Outputs;
    /// let outputs = Outputs { classes: 3, logits: vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0], losses: vec![2.4, 2.4] };
    /// assert_eq!(outputs.row(1), [3.0, 4.0, 5.0]);
    /// ```
    pub fn row(&self, sample: usize) -> &[f32] {
        &self.logits[sample * self.classes..(sample + 1) * self.classes]
    }

    /// Mean loss, cross-entropy in nats; 0 when there are no samples.
    ///
    /// ```
    /// # use mirrorwatch_influence::Outputs;
    /// let outputs = Outputs { classes: 0, logits: vec![], losses: vec![0.25, 0.75] };
    /// assert_eq!(outputs.mean_loss(), 0.5);
    /// ```
    pub fn mean_loss(&self) -> f64 {
        let sum: f64 = self.losses.iter().map(|&l| f64::from(l)).sum();
        sum / self.losses.len().max(1) as f64
    }

    /// The share of samples whose largest logit is that of their label. For a task with classes.
    ///
    /// ```
    /// # use mirrorwatch_influence::Outputs;
    /// let outputs = Outputs { classes: 2, logits: vec![1.0, 0.0, 0.0, 1.0], losses: vec![0.3, 0.3] };
    /// assert_eq!((outputs.accuracy(&[0, 1]), outputs.accuracy(&[0, 0])), (1.0, 0.5));
    /// ```
    pub fn accuracy(&self, labels: &[usize]) -> f64 {
        let mut right = 0usize;
        for (sample, &label) in labels.iter().enumerate() {
            right += usize::from(arg_max(self.row(sample)) == label);
        }
        right as f64 / labels.len().max(1) as f64
    }
}

/// How a sweep runs: where, in what batches, and who is told.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let passed = std::cell::Cell::new(0);
/// let progress = |samples: usize| passed.set(passed.get() + samples);
/// let cancel = AtomicBool::new(false);
/// let options = SweepOptions { device: &device, batch_size: 2, progress: &progress, cancel: &cancel };
/// let all = [0, 1, 2, 3, 4];
/// sweep(&task, &model, Set::Training, &all, &labels.train, &options)?;
/// assert_eq!(passed.get(), 5);
/// cancel.store(true, std::sync::atomic::Ordering::Relaxed);
/// let stopped = sweep(&task, &model, Set::Training, &all, &labels.train, &options);
/// assert!(matches!(stopped, Err(InfluenceError::Cancelled)));
/// # Ok::<(), InfluenceError>(())
/// ```
pub struct SweepOptions<'a> {
    /// The device to compute on, without autodiff.
    pub device: &'a Device,
    /// Samples in a batch.
    pub batch_size: usize,
    /// Told after each batch how many samples it held.
    pub progress: &'a dyn Fn(usize),
    /// Set from elsewhere to stop the sweep.
    pub cancel: &'a AtomicBool,
}

/// Runs the model forward over samples `indices` of `set`, in this order.
///
/// `labels` are the labels of the whole set, as in [`crate::Labels`].
///
/// # Errors
///
/// A sample that cannot be read, logits of the wrong shape or not finite, or cancellation.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// // A label of sample 2 that says 0 where the model says 1.
/// let outputs = sweep(&task, &model, Set::Training, &[0, 2], &labels.train, &options)?;
/// assert_eq!((outputs.row(0), outputs.row(1)), (&[1.5, -1.5][..], &[-1.6, 1.6][..]));
/// assert!(outputs.losses[0] < 0.1 && outputs.losses[1] > 3.0);
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn sweep<T: Task>(
    task: &T,
    model: &T::Model,
    set: Set,
    indices: &[usize],
    labels: &[usize],
    options: &SweepOptions<'_>,
) -> Result<Outputs, InfluenceError> {
    let (mut swept, _) = sweep_together(task, vec![model.clone()], set, indices, labels, options)?;
    Ok(swept.pop().unwrap_or_default())
}

/// As [`sweep`], at several models: what each of them says of all samples, to be kept, and the seconds of
/// [`sweep_reduced`].
pub(crate) fn sweep_together<T: Task>(
    task: &T,
    models: Vec<T::Model>,
    set: Set,
    indices: &[usize],
    labels: &[usize],
    options: &SweepOptions<'_>,
) -> Result<(Vec<Outputs>, Vec<f64>), InfluenceError> {
    let classes = task.classes();
    let empty = || Outputs {
        classes,
        logits: vec![0.0; indices.len() * classes],
        losses: vec![0.0; indices.len()],
    };
    let mut swept: Vec<Outputs> = models.iter().map(|_| empty()).collect();
    let keep = |from: usize, parts: Vec<Outputs>| {
        for (whole, part) in swept.iter_mut().zip(parts) {
            whole.losses[from..from + part.len()].copy_from_slice(&part.losses);
            whole.logits[from * classes..(from + part.len()) * classes]
                .copy_from_slice(&part.logits);
        }
    };
    let seconds = sweep_reduced(
        task,
        models,
        (set, indices, labels),
        options,
        &|_, parts| parts,
        keep,
    )?;
    Ok((swept, seconds))
}

/// A sweep at several models of which only what `reduce` makes of each batch is kept, so that memory does not grow by
/// K logits a sample. Each batch is read and put together once; as many batches at a time as the device has workers.
///
/// `reduce` is given the position in `indices` at which a batch begins and what each model says of it, on the worker's
/// thread; `take` what it returns, on this one. Returns the seconds that the share of each model would have taken
/// alone, reading and putting batches together included.
pub(crate) fn sweep_reduced<T: Task, R: Send>(
    task: &T,
    models: Vec<T::Model>,
    (set, indices, labels): (Set, &[usize], &[usize]),
    options: &SweepOptions<'_>,
    reduce: &(dyn Fn(usize, Vec<Outputs>) -> R + Sync),
    mut take: impl FnMut(usize, R),
) -> Result<Vec<f64>, InfluenceError> {
    let mut seconds = vec![0.0; models.len()];
    let data = dataset(task, set);
    let size = match computes_in_callers(options.device) {
        true => options.batch_size.clamp(1, ENOUGH),
        false => options.batch_size.max(1),
    };
    let chunks: Vec<&[usize]> = indices.chunks(size).collect();
    let workers = workers_on(options.device).min(chunks.len()).max(1);
    // A model is sent to a thread, never shared between two; a clone shares the weights.
    let tools = vec![(models, options.device.clone()); workers];
    let cancel = options.cancel;
    side_by_side(
        tools,
        chunks.len(),
        options.progress,
        |(models, device), job, tell| {
            if cancel.load(Ordering::Relaxed) {
                return Err(InfluenceError::Cancelled);
            }
            let chunk = chunks[job];
            let start = Instant::now();
            let items = read_items(data.as_ref(), set, chunk)?;
            let batch = task.batch(items, device);
            let reading = start.elapsed();
            let (mut parts, mut times) = (Vec::new(), Vec::new());
            for model in models {
                let start = Instant::now();
                parts.push(outputs_of(task, model, &batch, set, chunk, labels)?);
                tell(chunk.len());
                times.push(start.elapsed() + reading);
            }
            Ok((reduce(job * size, parts), times))
        },
        |job, (reduced, times)| {
            for (seconds, time) in seconds.iter_mut().zip(times) {
                *seconds += time.as_secs_f64() / workers as f64;
            }
            take(job * size, reduced);
        },
    )?;
    Ok(seconds)
}

/// Samples that one core computes at a time as fast as any more: a convolutional model's layers still fit into its cache
/// then, those of an MLP are still multiplied at full speed. Measured on the benchmark's two with 32 to 500.
const ENOUGH: usize = 128;

/// What a model says of one batch, `chunk` of `set`.
fn outputs_of<T: Task>(
    task: &T,
    model: &T::Model,
    batch: &T::Batch,
    set: Set,
    chunk: &[usize],
    labels: &[usize],
) -> Result<Outputs, InfluenceError> {
    let classes = task.classes();
    if classes == 0 {
        let losses = losses_of(task, model, batch, chunk.len())?;
        if let Some(bad) = losses.iter().position(|loss| !loss.is_finite()) {
            return Err(not_finite("loss", set, chunk[bad]));
        }
        return Ok(Outputs {
            classes,
            logits: Vec::new(),
            losses,
        });
    }
    let logits = logits_of(task, model, batch, chunk.len())?;
    let mut losses = Vec::with_capacity(chunk.len());
    for (row, &index) in logits.chunks(classes).zip(chunk) {
        let loss = cross_entropy(row, labels[index]);
        if !loss.is_finite() || row.iter().any(|z| !z.is_finite()) {
            return Err(not_finite("output", set, index));
        }
        losses.push(loss);
    }
    Ok(Outputs {
        classes,
        logits,
        losses,
    })
}

fn not_finite(what: &str, set: Set, index: usize) -> InfluenceError {
    InfluenceError::Outputs(format!(
        "the model's {what} for {} sample {index} is not finite; training has diverged or the sample is damaged",
        set.name()
    ))
}

/// The losses of one batch of a task without classes.
fn losses_of<T: Task>(
    task: &T,
    model: &T::Model,
    batch: &T::Batch,
    count: usize,
) -> Result<Vec<f32>, InfluenceError> {
    let tensor = task.losses(model, batch);
    let shape = tensor.dims();
    if shape != [count] {
        return Err(InfluenceError::Outputs(format!(
            "the task's losses have shape {shape:?} for a batch of {count}; they must be [{count}], one per sample"
        )));
    }
    read(tensor, "losses")
}

/// A tensor's values in host memory.
fn read<const D: usize>(tensor: Tensor<D>, what: &str) -> Result<Vec<f32>, InfluenceError> {
    tensor
        .into_data()
        .convert::<f32>()
        .try_to_vec::<f32>()
        .map_err(|error| InfluenceError::Outputs(format!("cannot read the {what}: {error:?}")))
}

/// The mean loss of a batch, of shape `[1]`, to be differentiated: cross-entropy in nats under `labels` (`[B]`), or
/// the task's own.
pub(crate) fn mean_loss<T: Task>(
    task: &T,
    model: &T::Model,
    batch: &T::Batch,
    labels: Tensor<1, Int>,
) -> Tensor<1> {
    if task.classes() == 0 {
        task.losses(model, batch).mean()
    } else {
        cross_entropy_of(task.logits(model, batch), labels)
    }
}

/// The logits of one batch, K per sample.
pub(crate) fn logits_of<T: Task>(
    task: &T,
    model: &T::Model,
    batch: &T::Batch,
    count: usize,
) -> Result<Vec<f32>, InfluenceError> {
    let classes = task.classes();
    let tensor = task.logits(model, batch);
    let shape = tensor.dims();
    if shape != [count, classes] {
        return Err(InfluenceError::Outputs(format!(
            "the task's logits have shape {shape:?} for a batch of {count}; they must be [{count}, {classes}]"
        )));
    }
    read(tensor, "logits")
}

/// Reads samples by index, naming the first that fails.
pub(crate) fn read_items<I>(
    data: &dyn Dataset<I>,
    set: Set,
    indices: &[usize],
) -> Result<Vec<I>, InfluenceError> {
    let mut items = Vec::with_capacity(indices.len());
    for &index in indices {
        items.push(data.get(index).map_err(|error| InfluenceError::Read {
            set: set.name(),
            index,
            message: error.to_string(),
        })?);
    }
    Ok(items)
}

/// Cross-entropy in nats of one row of logits under `label`, stable for large logits.
///
/// ```
/// use mirrorwatch_influence::cross_entropy;
///
/// assert_eq!(cross_entropy(&[0.0, 0.0], 1), std::f32::consts::LN_2);
/// assert_eq!(cross_entropy(&[1e4, -1e4], 1), 2e4);
/// ```
pub fn cross_entropy(row: &[f32], label: usize) -> f32 {
    let mut max = f32::NEG_INFINITY;
    for &z in row {
        max = max.max(z);
    }
    let mut sum = 0.0f64;
    for &z in row {
        sum += f64::from(z - max).exp();
    }
    (sum.ln() - f64::from(row[label] - max)) as f32
}

/// Position of the largest value; the first of equals.
///
/// ```
/// assert_eq!(mirrorwatch_influence::arg_max(&[0.0, 3.0, -1.0, 3.0]), 1);
/// ```
pub fn arg_max(row: &[f32]) -> usize {
    let mut best = 0;
    for (k, &z) in row.iter().enumerate() {
        if z > row[best] {
            best = k;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cross_entropy_matches_scipy() {
        // scipy 1.17: -scipy.special.log_softmax([2.0, -1.0, 0.5])[k]
        let row = [2.0f32, -1.0, 0.5];
        let expected = [0.241_313_f32, 3.241_313, 1.741_313];
        for (label, want) in expected.into_iter().enumerate() {
            assert!((cross_entropy(&row, label) - want).abs() < 1e-5);
        }
    }

    #[test]
    fn cross_entropy_survives_large_logits() {
        assert_eq!(cross_entropy(&[1e4, -1e4], 0), 0.0);
        assert_eq!(cross_entropy(&[1e4, -1e4], 1), 2e4);
    }

    #[test]
    fn arg_max_takes_the_first_of_equals() {
        assert_eq!(arg_max(&[0.0, 3.0, 3.0]), 1);
    }
}

//! The sketch: what random changes of the weights do to every sample.

use super::{InfluenceError, SweepOptions, Tensor, TensorData, change};

/// Probe rows that are compared with all training samples at a time.
const CHUNK: usize = 64;

/// Rows of `width` numbers: one per training sample, and one per view of each probe sample.
pub(super) struct Sketch {
    classes: usize,
    width: usize,
    train: Vec<f32>,
    probe: Vec<f32>,
}

/// A training sample near a probe sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Near {
    /// Position in the training set.
    pub train: usize,
    /// The view of the probe sample that it is nearest to.
    pub view: usize,
    /// Cosine of the two rows.
    pub cosine: f64,
}

impl Sketch {
    /// Rows for as many samples as there are logits, K each.
    pub fn new(classes: usize, width: usize, train_logits: usize, probe_logits: usize) -> Self {
        Self {
            classes,
            width,
            train: vec![0.0; train_logits / classes * width],
            probe: vec![0.0; probe_logits / classes * width],
        }
    }

    /// Writes what the `nth` change did to the logits of both sets beside what the others did.
    pub fn note(
        &mut self,
        nth: usize,
        before: &(Vec<f32>, Vec<f32>),
        after: &(Vec<f32>, Vec<f32>),
    ) {
        let (classes, width) = (self.classes, self.width);
        let write = |rows: &mut [f32], before: &[f32], after: &[f32]| {
            let samples = before.chunks(classes).zip(after.chunks(classes));
            for (row, (before, after)) in rows.chunks_mut(width).zip(samples) {
                for (place, value) in row[nth * classes..].iter_mut().zip(change(before, after)) {
                    *place = value as f32;
                }
            }
        };
        write(&mut self.train, &before.0, &after.0);
        write(&mut self.probe, &before.1, &after.1);
    }

    /// Gives every dimension mean 0 and variance 1 over the training samples, and every row length 1.
    pub fn standardise(&mut self) {
        let width = self.width;
        let count = (self.train.len() / width.max(1)).max(1) as f64;
        let (mut means, mut squares) = (vec![0.0f64; width], vec![0.0f64; width]);
        for row in self.train.chunks(width) {
            for (k, &value) in row.iter().enumerate() {
                means[k] += f64::from(value) / count;
                squares[k] += f64::from(value) * f64::from(value) / count;
            }
        }
        for set in [&mut self.train, &mut self.probe] {
            for row in set.chunks_mut(width) {
                let mut squared = 0.0f64;
                for (k, value) in row.iter_mut().enumerate() {
                    let spread = (squares[k] - means[k] * means[k]).max(0.0).sqrt();
                    let scaled = if spread > 0.0 {
                        (f64::from(*value) - means[k]) / spread
                    } else {
                        0.0
                    };
                    squared += scaled * scaled;
                    *value = scaled as f32;
                }
                let length = squared.sqrt();
                if length > 0.0 {
                    for value in row {
                        *value = (f64::from(*value) / length) as f32;
                    }
                }
            }
        }
    }
}

/// The `amount` training samples whose row has the largest cosine with one of a probe sample's, largest first.
/// `views` says how many rows each probe sample has.
pub(super) fn nearest(
    sketch: &Sketch,
    views: &[usize],
    amount: usize,
    forward: &SweepOptions<'_>,
) -> Result<Vec<Vec<Near>>, InfluenceError> {
    let width = sketch.width;
    let samples = sketch.train.len() / width;
    let data = TensorData::new(sketch.train.clone(), [samples, width]);
    let columns = Tensor::<2>::from_data(data, forward.device).transpose();
    let mut best = Vec::new();
    let mut all = Vec::with_capacity(views.len());
    let (mut probe, mut view) = (0, 0);
    for chunk in sketch.probe.chunks(CHUNK * width) {
        let data = TensorData::new(chunk.to_vec(), [chunk.len() / width, width]);
        let cosines = Tensor::<2>::from_data(data, forward.device)
            .matmul(columns.clone())
            .into_data()
            .try_to_vec::<f32>()
            .map_err(|error| {
                InfluenceError::Outputs(format!("cannot read similarities: {error:?}"))
            })?;
        for row in cosines.chunks(samples) {
            if view == 0 {
                best = vec![(f32::NEG_INFINITY, 0); samples];
            }
            for (best, &cosine) in best.iter_mut().zip(row) {
                if cosine > best.0 {
                    *best = (cosine, view);
                }
            }
            view += 1;
            if views.get(probe) == Some(&view) {
                all.push(first(&best, amount));
                (probe, view) = (probe + 1, 0);
            }
        }
    }
    Ok(all)
}

/// The largest of all, largest first.
fn first(best: &[(f32, usize)], amount: usize) -> Vec<Near> {
    let mut order: Vec<usize> = (0..best.len()).collect();
    let amount = amount.clamp(1, best.len());
    let by = |a: &usize, b: &usize| best[*b].0.total_cmp(&best[*a].0).then(a.cmp(b));
    if amount < best.len() {
        order.select_nth_unstable_by(amount, by);
        order.truncate(amount);
    }
    order.sort_by(by);
    let near = |train: usize| Near {
        train,
        view: best[train].1,
        cosine: f64::from(best[train].0),
    };
    order.into_iter().map(near).collect()
}

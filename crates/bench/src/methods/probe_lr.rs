//! Logistic regression on the clean probe alone: the baseline a user will ask about.

use burn::data::dataset::Dataset;
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch::stock::Samples;
use mirrorwatch_influence::cross_entropy;

use super::{Scored, Trained};

/// Full-batch steps of Adam; the loss has settled by then.
const STEPS: usize = 500;
const LEARNING_RATE: f64 = 0.1;
/// Penalty on ½‖W‖² beside the *sum* of losses, as scikit-learn's default C = 1 has it.
const PENALTY: f64 = 1.0;

/// The loss of each given label under softmax regression on the probe's raw inputs.
pub fn probe_lr(trained: &Trained<'_>) -> Result<Vec<Scored>, String> {
    let setup = trained.setup;
    let probe = Rows::read(&setup.task.probe_samples())?;
    let train = Rows::read(&setup.task.train_samples())?;
    let model = fit(&probe, &setup.labels.probe, setup.labels.classes);
    let logits = model
        .forward(train.tensor(&Device::flex()))
        .into_data()
        .try_to_vec::<f32>()
        .map_err(|error| format!("cannot read the logits: {error:?}"))?;
    let mut scores = Vec::with_capacity(setup.labels.train.len());
    for (row, &label) in logits.chunks(setup.labels.classes).zip(&setup.labels.train) {
        scores.push(cross_entropy(row, label));
    }
    Ok(vec![Scored::new("probe-lr", scores)])
}

fn fit(inputs: &Rows, labels: &[usize], classes: usize) -> Linear {
    let device = Device::flex().autodiff();
    device.seed(0);
    let mut model = LinearConfig::new(inputs.width, classes).init(&device);
    let mut optimizer = AdamConfig::new().init();
    let penalty = PENALTY / (2.0 * labels.len().max(1) as f64);
    let numbers: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
    let count = numbers.len();
    let targets: Tensor<1, Int> = Tensor::from_data(TensorData::new(numbers, [count]), &device);
    let batch = inputs.tensor(&device);
    for step in 0..STEPS {
        let logits = model.forward(batch.clone());
        let picked = log_softmax(logits, 1).gather(1, targets.clone().unsqueeze_dim(1));
        let squares = model.weight.val().powf_scalar(2.0).sum();
        let loss = picked.mean().neg() + squares.mul_scalar(penalty);
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        // A falling rate, so that the last steps settle.
        let rate = LEARNING_RATE * (1.0 - step as f64 / STEPS as f64);
        model = optimizer.step(rate, model, gradients);
    }
    model.valid()
}

/// Samples as one matrix.
struct Rows {
    values: Vec<f32>,
    width: usize,
}

impl Rows {
    fn read(samples: &Samples) -> Result<Self, String> {
        let mut values = Vec::new();
        for index in 0..samples.len() {
            let sample = samples.get(index).map_err(|error| error.to_string())?;
            values.extend(sample.values);
        }
        Ok(Self {
            width: values.len() / samples.len().max(1),
            values,
        })
    }

    fn tensor(&self, device: &Device) -> Tensor<2> {
        let count = self.values.len() / self.width.max(1);
        Tensor::from_data(
            TensorData::new(self.values.clone(), [count, self.width]),
            device,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// scikit-learn 1.9.1, with X and y as below:
    /// `LogisticRegression(tol=1e-10).fit(X, y).decision_function([[0.5, 0.5]])`.
    #[test]
    fn it_agrees_with_scikit_learn() {
        let values = vec![
            0.0, 0.0, 1.0, 0.2, 2.0, 0.1, 0.3, 1.0, 1.1, 1.4, 1.9, 0.9, 0.1, 2.0, 1.2, 2.2, 2.1,
            1.8,
        ];
        let labels = [0, 0, 1, 0, 1, 1, 2, 2, 2];
        let rows = Rows { values, width: 2 };
        let model = fit(&rows, &labels, 3);
        let point = Rows {
            values: vec![0.5, 0.5],
            width: 2,
        };
        let logits: Vec<f32> = model
            .forward(point.tensor(&Device::flex()))
            .into_data()
            .try_to_vec()
            .unwrap();
        let mean = logits.iter().sum::<f32>() / 3.0;
        let expected: [f32; 3] = SKLEARN;
        for (ours, theirs) in logits.iter().zip(expected) {
            assert!((ours - mean - theirs).abs() < 0.01, "{logits:?}");
        }
    }

    const SKLEARN: [f32; 3] = [0.864_804, -0.085_204, -0.779_599];
}

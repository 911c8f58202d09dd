//! TracIn (Pruthi et al., NeurIPS 2020), exactly: a backward pass for every training sample.
//!
//! The slow reference for the estimators, at the phases only.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use mirrorwatch::stock::{Batch, Net, Sample, SampleBatcher, Samples};
use mirrorwatch_influence::model::fork;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;

use super::{AtPhases, Scored, Trained};

/// Larger training sets are measured on a random subset of [`SUBSET`] samples: a backward pass of a
/// single sample takes milliseconds, and a minute is what a reference may take.
const IN_FULL: usize = 2000;
const SUBSET: usize = 1000;
const SUBSET_STREAM: u64 = 0x7472_6163_696e_0000;
const PROBE_BATCH: usize = 250;

/// −⟨∇ℓ_i, ∇L_P⟩ at the checkpoint of each phase, over all layers and over the last one; and both
/// summed over the phases so far (TracInCP).
pub fn tracin(trained: &Trained<'_>) -> Result<AtPhases, String> {
    let setup = trained.setup;
    let subset = subset(
        setup.labels.train.len(),
        &setup.labels.trusted,
        trained.settings.seed,
    );
    let train = setup.task.train_samples();
    let probe = setup.task.probe_samples();
    let mut by_epoch = BTreeMap::new();
    for &(_, epoch, model) in &trained.models {
        // Two phases may share a checkpoint.
        if let Entry::Vacant(entry) = by_epoch.entry(epoch) {
            entry.insert(products(model, &train, &probe, &subset)?);
        }
    }
    let mut all = Vec::new();
    for &(phase, epoch, _) in &trained.models {
        let mut sums = vec![Products::default(); subset.len()];
        for (_, products) in by_epoch.range(..=epoch) {
            for (sum, product) in sums.iter_mut().zip(products) {
                sum.full += product.full;
                sum.last += product.last;
            }
        }
        let mut scored = Vec::new();
        for (name, products) in [("tracin", &by_epoch[&epoch]), ("tracin-cp", &sums)] {
            let read = |pick: fn(&Products) -> f64| -> Vec<f32> {
                products.iter().map(|p| -pick(p) as f32).collect()
            };
            for (name, scores) in [
                (name.to_string(), read(|p| p.full)),
                (format!("{name}-last-layer"), read(|p| p.last)),
            ] {
                scored.push(Scored {
                    name,
                    scores,
                    subset: Some(subset.clone()),
                });
            }
        }
        all.push((phase, scored));
    }
    Ok(all)
}

/// All samples of a small training set; a random draw of untrusted ones from a large one.
fn subset(samples: usize, trusted: &[usize], seed: u64) -> Vec<usize> {
    let mut judged: Vec<usize> = (0..samples)
        .filter(|sample| trusted.binary_search(sample).is_err())
        .collect();
    if samples > IN_FULL {
        let mut rng = StdRng::seed_from_u64(seed ^ SUBSET_STREAM);
        let amount = SUBSET.min(judged.len());
        let mut chosen = Vec::with_capacity(amount);
        for position in index::sample(&mut rng, judged.len(), amount) {
            chosen.push(judged[position]);
        }
        chosen.sort_unstable();
        judged = chosen;
    }
    judged
}

/// ⟨∇ℓ_i, ∇L_P⟩ over all parameters and over those of the last layer.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Products {
    full: f64,
    last: f64,
}

fn products(
    model: &Net,
    train: &Samples,
    probe: &Samples,
    subset: &[usize],
) -> Result<Vec<Products>, String> {
    let theta = fork(model);
    let device = Device::flex().autodiff();
    let mut accumulator = GradientsAccumulator::new();
    let everything: Vec<usize> = (0..probe.len()).collect();
    for chunk in everything.chunks(PROBE_BATCH) {
        let share = chunk.len() as f64 / probe.len() as f64;
        let gradients = gradient(&theta, batch(probe, chunk, &device)?, share);
        accumulator.accumulate(&theta, gradients);
    }
    let of_probe = accumulator.grads();
    let mut products = Vec::with_capacity(subset.len());
    for &sample in subset {
        let of_sample = gradient(&theta, batch(train, &[sample], &device)?, 1.0);
        let mut dot = Dot {
            one: &of_sample,
            other: &of_probe,
            path: Vec::new(),
            products: Products::default(),
        };
        theta.visit(&mut dot);
        products.push(dot.products);
    }
    Ok(products)
}

fn batch(samples: &Samples, indices: &[usize], device: &Device) -> Result<Batch, String> {
    let mut items: Vec<Sample> = Vec::with_capacity(indices.len());
    for &index in indices {
        items.push(samples.get(index).map_err(|error| error.to_string())?);
    }
    Ok(SampleBatcher.batch(items, device))
}

/// The gradient of `share` times the mean loss of a batch.
fn gradient(model: &Net, batch: Batch, share: f64) -> GradientsParams {
    let logits = model.forward(batch.inputs);
    let picked = log_softmax(logits, 1).gather(1, batch.targets.unsqueeze_dim(1));
    let loss = picked.mean().neg().mul_scalar(share);
    GradientsParams::from_grads(loss.backward(), model)
}

/// Multiplies two gradients parameter by parameter.
struct Dot<'a> {
    one: &'a GradientsParams,
    other: &'a GradientsParams,
    path: Vec<String>,
    products: Products,
}

impl ModuleVisitor for Dot<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let (Some(one), Some(other)) =
            (self.one.get::<D>(param.id), self.other.get::<D>(param.id))
        {
            let product = (one * other).sum().into_scalar::<f64>();
            self.products.full += product;
            // The name of both stock models' last layer.
            if self.path.iter().any(|name| name == "head") {
                self.products.last += product;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grid::{Overrides, cells};
    use crate::setup::Setup;
    use mirrorwatch_influence::Task;

    #[test]
    fn the_subset_holds_untrusted_samples_only_and_small_sets_are_taken_in_full() {
        let trusted: Vec<usize> = (0..300).map(|i| i * 7).collect();
        let large = subset(5000, &trusted, 1);
        assert_eq!(large.len(), SUBSET);
        assert!(large.is_sorted());
        assert!(large.iter().all(|i| trusted.binary_search(i).is_err()));
        assert_ne!(large, subset(5000, &trusted, 2));
        assert_eq!(subset(4, &[1], 1), [0, 2, 3]);
    }

    /// The mean of the probe's products with itself, sample by sample, is the squared length of its
    /// gradient; the last layer's share of it is smaller, and not nothing.
    #[test]
    fn products_add_up_to_the_squared_length() {
        let overrides = Overrides {
            train: Some(100),
            probe: Some(60),
            trusted: Some(0),
            ..Overrides::default()
        };
        let cell = cells(true, &[0], &["none".to_string()], &overrides).remove(0);
        let work = tempfile::tempdir().unwrap();
        let setup = Setup::new(&cell, None, &work.path().join("work")).unwrap();
        let device = Device::flex();
        device.seed(1);
        let model = setup.task.model(&device);
        let probe = setup.task.probe_samples();
        let everything: Vec<usize> = (0..probe.len()).collect();
        let each = products(&model, &probe, &probe, &everything).unwrap();
        let mean =
            |pick: fn(&Products) -> f64| each.iter().map(pick).sum::<f64>() / each.len() as f64;
        let theta = fork(&model);
        let autodiff = Device::flex().autodiff();
        let gradients = gradient(&theta, batch(&probe, &everything, &autodiff).unwrap(), 1.0);
        let mut dot = Dot {
            one: &gradients,
            other: &gradients,
            path: Vec::new(),
            products: Products::default(),
        };
        theta.visit(&mut dot);
        let relative = |a: f64, b: f64| (a - b).abs() / b;
        assert!(relative(mean(|p| p.full), dot.products.full) < 1e-3);
        assert!(relative(mean(|p| p.last), dot.products.last) < 1e-3);
        assert!(dot.products.last > 0.0 && dot.products.last < dot.products.full);
    }
}

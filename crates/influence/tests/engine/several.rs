//! Tasks with a loss per sample that is a mean over its parts: several labels at once, and sequences of words.

use std::sync::Arc;

use burn::data::dataset::{Dataset, InMemDataset};
use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::{log_softmax, softplus, tanh};
use burn::tensor::{Device, Int, Tensor, TensorData};
use mirrorwatch_influence::{Preview, Task};
use mirrorwatch_stats::ranking::auroc;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::common::turn;
use crate::losses::scanned;
use crate::weights::values;

/// Inputs of a sample with several labels.
const INPUTS: usize = 8;
/// Labels of it, each of which holds or not.
const LABELS: usize = 5;

#[derive(Debug, Clone)]
struct Tagged {
    x: [f32; INPUTS],
    tags: [bool; LABELS],
}

#[derive(Module, Debug)]
struct Tagger {
    hidden: Linear,
    head: Linear,
}

/// Samples whose labels follow from their inputs; of some, two are turned over.
struct Tags {
    train: Vec<Tagged>,
    probe: Vec<Tagged>,
    wrong: Vec<bool>,
}

impl Tags {
    fn new(train: usize, probe: usize, noise: f64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let planes: Vec<[f32; INPUTS]> = (0..LABELS)
            .map(|_| [0; INPUTS].map(|_| rng.random_range(-1.0..1.0)))
            .collect();
        let mut draw = |count: usize| {
            let mut samples = Vec::with_capacity(count);
            for _ in 0..count {
                let x = [0; INPUTS].map(|_| rng.random_range(-1.0..1.0_f32));
                let mut tags = [false; LABELS];
                for (tag, plane) in tags.iter_mut().zip(&planes) {
                    *tag = plane.iter().zip(&x).map(|(a, b)| a * b).sum::<f32>() > 0.0;
                }
                samples.push(Tagged { x, tags });
            }
            samples
        };
        let (mut train, probe) = (draw(train), draw(probe));
        let mut wrong = vec![false; train.len()];
        for (sample, wrong) in train.iter_mut().zip(&mut wrong) {
            *wrong = rng.random_bool(noise);
            if *wrong {
                let first = rng.random_range(0..LABELS);
                for tag in [first, (first + 2) % LABELS] {
                    sample.tags[tag] = !sample.tags[tag];
                }
            }
        }
        Self {
            train,
            probe,
            wrong,
        }
    }
}

impl Task for Tags {
    type Model = Tagger;
    type Item = Tagged;
    type Batch = (Tensor<2>, Tensor<2>);

    fn model(&self, device: &Device) -> Tagger {
        Tagger {
            hidden: LinearConfig::new(INPUTS, 64).init(device),
            head: LinearConfig::new(64, LABELS).init(device),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<Tagged>> {
        Arc::new(InMemDataset::new(self.train.clone()))
    }

    fn probe(&self) -> Arc<dyn Dataset<Tagged>> {
        Arc::new(InMemDataset::new(self.probe.clone()))
    }

    fn batch(&self, items: Vec<Tagged>, device: &Device) -> Self::Batch {
        let x: Vec<f32> = items.iter().flat_map(|s| s.x).collect();
        let tags: Vec<f32> = items
            .iter()
            .flat_map(|s| s.tags.map(|tag| f32::from(u8::from(tag))))
            .collect();
        (
            Tensor::from_data(TensorData::new(x, [items.len(), INPUTS]), device),
            Tensor::from_data(TensorData::new(tags, [items.len(), LABELS]), device),
        )
    }

    /// The mean of the labels' binary cross-entropies.
    fn losses(&self, model: &Tagger, (x, tags): &Self::Batch) -> Tensor<1> {
        let logits = model.head.forward(tanh(model.hidden.forward(x.clone())));
        let each = softplus(logits.clone(), 1.0) - logits * tags.clone();
        each.mean_dim(1).squeeze_dim::<1>(1)
    }
}

/// Words that there are; one more stands for no word.
const WORDS: usize = 12;
/// Places in a padded sentence.
const PLACES: usize = 10;

/// The next word from this one.
#[derive(Module, Debug)]
struct Speaker {
    embedding: Embedding,
    hidden: Linear,
    head: Linear,
}

/// Sentences of a made-up language, of different lengths; some have their words in another order.
struct Sentences {
    train: Vec<Vec<i64>>,
    probe: Vec<Vec<i64>>,
    wrong: Vec<bool>,
}

impl Sentences {
    fn new(train: usize, probe: usize, noise: f64, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        // After each word, one of two.
        let follow: Vec<[i64; 2]> = (0..WORDS)
            .map(|_| [0; 2].map(|_| rng.random_range(0..WORDS as i64)))
            .collect();
        let mut draw = |count: usize| {
            let mut sentences = Vec::with_capacity(count);
            for _ in 0..count {
                let mut sentence = vec![rng.random_range(0..WORDS as i64)];
                for _ in 1..rng.random_range(6..=PLACES) {
                    let last = sentence[sentence.len() - 1] as usize;
                    sentence.push(follow[last][rng.random_range(0..2)]);
                }
                sentences.push(sentence);
            }
            sentences
        };
        let (mut train, probe) = (draw(train), draw(probe));
        let mut wrong = vec![false; train.len()];
        for (sentence, wrong) in train.iter_mut().zip(&mut wrong) {
            *wrong = rng.random_bool(noise);
            if *wrong {
                for word in sentence.iter_mut() {
                    *word = rng.random_range(0..WORDS as i64);
                }
            }
        }
        Self {
            train,
            probe,
            wrong,
        }
    }
}

impl Task for Sentences {
    type Model = Speaker;
    type Item = Vec<i64>;
    type Batch = Tensor<2, Int>;

    fn model(&self, device: &Device) -> Speaker {
        Speaker {
            embedding: EmbeddingConfig::new(WORDS + 1, 16).init(device),
            hidden: LinearConfig::new(16, 32).init(device),
            head: LinearConfig::new(32, WORDS).init(device),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<Vec<i64>>> {
        Arc::new(InMemDataset::new(self.train.clone()))
    }

    fn probe(&self) -> Arc<dyn Dataset<Vec<i64>>> {
        Arc::new(InMemDataset::new(self.probe.clone()))
    }

    fn batch(&self, items: Vec<Vec<i64>>, device: &Device) -> Tensor<2, Int> {
        let count = items.len();
        let mut words = Vec::with_capacity(count * PLACES);
        for mut sentence in items {
            sentence.resize(PLACES, WORDS as i64);
            words.extend(sentence);
        }
        Tensor::from_data(TensorData::new(words, [count, PLACES]), device)
    }

    /// Cross-entropy of each next word, as a mean over the words that there are.
    fn losses(&self, model: &Speaker, words: &Tensor<2, Int>) -> Tensor<1> {
        let now = words.clone().narrow(1, 0, PLACES - 1);
        let next = words.clone().narrow(1, 1, PLACES - 1);
        let there = next.clone().lower_elem(WORDS as i64).float();
        let hidden = tanh(model.hidden.forward(model.embedding.forward(now)));
        let says = log_softmax(model.head.forward(hidden), 2);
        // Padding takes any word's place; its loss does not count.
        let next = next.clamp_max(WORDS as i64 - 1).unsqueeze_dim::<3>(2);
        let each = says.gather(2, next).squeeze_dim::<2>(2).neg() * there.clone();
        (each.sum_dim(1) / there.sum_dim(1)).squeeze_dim::<1>(1)
    }

    fn preview(&self, item: &Vec<i64>) -> Option<Preview> {
        Some(Preview::text(format!("{item:?}")))
    }
}

/// Passes of Adam over all of a task's training samples; call it on your [`turn`].
fn trained<T: Task>(task: &T, epochs: usize) -> T::Model {
    let device = Device::flex();
    device.seed(3);
    let model = task.model(&device);
    // Burn draws weights at first use.
    values(&model);
    let device = device.autodiff();
    let (mut model, mut optimizer) = (model.train(), AdamConfig::new().init());
    let data = task.train();
    let samples: Vec<usize> = (0..data.len()).collect();
    for _ in 0..epochs {
        for chunk in samples.chunks(32) {
            let items = chunk.iter().map(|&i| data.get(i).unwrap()).collect();
            let loss = task.losses(&model, &task.batch(items, &device)).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(5e-3, model, gradients);
        }
    }
    model.valid()
}

/// AUROC of the default estimator and of the plain loss.
fn found<T: Task>(task: &T, wrong: &[bool], epochs: usize) -> (f64, f64) {
    let scan = scanned(task, &trained(task, epochs), "finetune");
    let found = auroc(&scan.estimates[0].train, wrong).unwrap();
    let plain = auroc(&scan.train_losses, wrong).unwrap();
    println!("AUROC {found:.3}, of the loss {plain:.3}");
    (found, plain)
}

#[test]
fn samples_with_some_of_several_labels_wrong_are_found() {
    let _turn = turn();
    for seed in 0..3 {
        let task = Tags::new(800, 300, 0.15, seed);
        let (found, _) = found(&task, &task.wrong, 80);
        assert!(found > 0.9, "seed {seed}: {found}");
    }
}

#[test]
fn sentences_that_are_none_are_found_in_a_language_model() {
    let _turn = turn();
    for seed in 0..3 {
        let task = Sentences::new(600, 300, 0.15, seed);
        let (found, _) = found(&task, &task.wrong, 40);
        assert!(found > 0.9, "seed {seed}: {found}");
    }
}

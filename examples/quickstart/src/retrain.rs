//! `--retrain`: training again without the suspects, and what that is worth on test samples that nobody has seen.

use std::path::Path;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::tensor::Device;
use mirrorwatch::cleaned::{relabelled, without_suspects};
use mirrorwatch::stock::{IdxTask, Net, Sample, SampleBatcher, Samples, StockArgs};
use serde::Serialize;

use crate::sidecar;
use crate::train::Training;

/// From this chance of being wrong on a suspect gets its suggested label.
const SURE: f32 = 0.5;

/// Test accuracy with each treatment of the suspects.
#[derive(Debug, Clone, Serialize)]
pub struct Retrained {
    /// Test samples: those that are not in the probe.
    pub test_samples: usize,
    /// Training samples without the suspects.
    pub kept: usize,
    /// Trained on everything.
    pub accuracy: f64,
    /// Trained without the suspects.
    pub accuracy_without_suspects: f64,
    /// Trained on everything, suspects with their suggested labels.
    pub accuracy_relabelled: f64,
}

/// Exports the suspects, trains again both ways, and prints how good the three models are.
///
/// `first` is the model of the training that the suspects were found in.
///
/// # Errors
///
/// In words: an export or a training that fails.
pub fn run(
    training: &Training<'_>,
    first: &Net,
    task_arguments: &[String],
    stock: &StockArgs,
    run: &str,
    work: &Path,
) -> Result<Retrained, String> {
    let test = test_samples(stock)?;
    let export = work.join("export");
    let out = export.display().to_string();
    sidecar::command("export", &[run, "--out", &out], task_arguments)?;
    let file = export.join("export.json");
    let samples = training.task.train_samples();
    let clean = without_suspects(samples.clone(), &file).map_err(|e| e.to_string())?;
    let label = |sample: &mut Sample, label| sample.label = label;
    let corrected = relabelled(samples, &file, SURE, label).map_err(|e| e.to_string())?;
    let kept = clean.len();

    say!(
        "\ntraining again without {} samples that look wrong, then with their suggested labels",
        training.task.train_samples().len() - kept
    );
    let artifacts = |name: &str| work.join("artifacts").join(name);
    // As many optimizer steps as before, up to a part of an epoch: what fewer samples lack in steps is no fault of the labels.
    let epochs = (training.epochs * training.task.train_samples().len()).div_ceil(kept.max(1));
    let without = training.on(Arc::new(clean), epochs, &artifacts("without"), None)?;
    let epochs = training.epochs;
    let relabelled = training.on(Arc::new(corrected), epochs, &artifacts("relabelled"), None)?;
    let retrained = Retrained {
        test_samples: test.len(),
        kept,
        accuracy: accuracy(first, &test)?,
        accuracy_without_suspects: accuracy(&without, &test)?,
        accuracy_relabelled: accuracy(&relabelled, &test)?,
    };
    say!(
        "trained on                        right of {} test samples",
        retrained.test_samples
    );
    for (name, share) in [
        ("all labels as given", retrained.accuracy),
        ("all but the suspects", retrained.accuracy_without_suspects),
        (
            "suspects with suggested labels",
            retrained.accuracy_relabelled,
        ),
    ] {
        say!("{name:32}  {:5.1} %", 100.0 * share);
    }
    Ok(retrained)
}

/// The test samples that are not in the probe, as positions in a task whose probe is the whole test set.
struct Test {
    samples: Arc<Samples>,
    first: usize,
}

impl Test {
    fn len(&self) -> usize {
        self.samples.len() - self.first
    }
}

fn test_samples(stock: &StockArgs) -> Result<Test, String> {
    let mut whole = stock.clone();
    whole.probe = usize::MAX;
    // A trusted sample that is like a test sample is trained on all the same.
    whole.trusted = None;
    whole.canaries = None;
    let task = IdxTask::open(&whole).map_err(|e| e.to_string())?;
    Ok(Test {
        samples: task.probe_samples(),
        first: stock.probe,
    })
}

/// Says before the first training, not after it, that there is nothing to compare on.
///
/// # Errors
///
/// A test set that is all probe.
pub fn check(samples: usize, probe: usize) -> Result<(), String> {
    if samples > probe {
        return Ok(());
    }
    Err(format!(
        "cannot compare trainings: all {samples} test samples are in the probe; give --probe fewer, or do without --retrain"
    ))
}

/// Share of the test samples that `model` classifies right.
fn accuracy(model: &Net, test: &Test) -> Result<f64, String> {
    let device = Device::flex();
    let mut right = 0;
    let positions: Vec<usize> = (test.first..test.samples.len()).collect();
    for part in positions.chunks(500) {
        let mut items = Vec::with_capacity(part.len());
        for &position in part {
            items.push(test.samples.get(position).map_err(|e| e.to_string())?);
        }
        let labels: Vec<usize> = items.iter().map(|item| item.label).collect();
        let batch = Batcher::batch(&SampleBatcher, items, &device);
        let said = model.forward(batch.inputs).argmax(1).into_data();
        let said = said
            .convert::<i64>()
            .try_to_vec::<i64>()
            .map_err(|e| format!("{e:?}"))?;
        right += said
            .iter()
            .zip(&labels)
            .filter(|(s, l)| **s == **l as i64)
            .count();
    }
    Ok(right as f64 / test.len().max(1) as f64)
}

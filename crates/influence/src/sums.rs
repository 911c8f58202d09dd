//! What the forks say by one estimator, summed up.

use mirrorwatch_stats::confident;
use mirrorwatch_stats::shards::Exchange;

use crate::error::InfluenceError;
use crate::estimator::Estimator;
use crate::fork_mean::ForkMean;
use crate::scan::Estimate;
use crate::score::{self, Score, View};
use crate::sweep::arg_max;
use crate::task::Labels;

/// Scores of one estimator summed over forks.
pub(crate) struct Sums {
    /// Which estimator.
    pub estimator: Estimator,
    score: &'static dyn Score,
    scores: ForkMean,
    /// Support for each class of each training sample, K per sample.
    support: Vec<f32>,
    /// Probe samples that the forks which did not learn from them classify right; without classes, whose loss is
    /// below that of an untaught model.
    right: f64,
    /// Logits of each probe sample by the fork which did not learn from it, K per sample.
    told: Vec<f32>,
    choices: Vec<String>,
}

impl Sums {
    /// Nothing yet, for as many training samples as are judged.
    ///
    /// # Errors
    ///
    /// A score that does not exist.
    pub fn new(
        estimator: &Estimator,
        labels: &Labels,
        judged: usize,
    ) -> Result<Self, InfluenceError> {
        Ok(Self {
            estimator: estimator.clone(),
            score: score::by_name(&estimator.score)?,
            scores: ForkMean::new(labels.probe.len()),
            support: vec![0.0; judged * labels.classes],
            right: 0.0,
            told: vec![0.0; labels.probe.len() * labels.classes],
            choices: Vec::new(),
        })
    }

    /// Takes in what a fork says of the training samples, and of the probe samples `held_out` that it did not learn
    /// from.
    ///
    /// `untaught` has the losses of all probe samples by a model that knows nothing, where there are no classes.
    pub fn add(
        &mut self,
        train: &View<'_>,
        probe: &View<'_>,
        held_out: &[usize],
        untaught: &[f32],
        choice: &str,
    ) {
        self.scores
            .add(self.score.score(train), held_out, self.score.score(probe));
        self.choices.push(choice.to_string());
        let told_nothing = probe.told_nothing();
        if told_nothing.classes == 0 {
            let losses = told_nothing.losses.iter().zip(held_out);
            self.right += losses.filter(|(loss, i)| **loss < untaught[**i]).count() as f64;
            return;
        }
        self.right += told_nothing.accuracy(probe.labels) * held_out.len() as f64;
        for (position, &index) in held_out.iter().enumerate() {
            let classes = told_nothing.classes;
            self.told[index * classes..(index + 1) * classes]
                .copy_from_slice(told_nothing.row(position));
        }
        self.score.support(train, &mut self.support);
    }

    /// The estimate by all forks so far. `given` has the labels of the judged training samples, `probe` those of the
    /// probe.
    ///
    /// # Errors
    ///
    /// A probe that cannot be judged.
    pub fn finish(
        mut self,
        given: &[usize],
        probe: &[usize],
        exchange: &dyn Exchange,
    ) -> Result<Estimate, InfluenceError> {
        let classes = self.support.len() / given.len().max(1);
        let mut suggested = Vec::with_capacity(given.len());
        if classes == 0 {
            suggested.resize(given.len(), 0);
        }
        for (row, &label) in self.support.chunks_mut(classes.max(1)).zip(given) {
            row[label] = f32::NEG_INFINITY;
            suggested.push(arg_max(row) as u32);
        }
        let probe_noise = confident::wrong_labels(&self.told, probe, classes)
            .map_err(|error| InfluenceError::Outputs(format!("cannot judge the probe: {error}")))?;
        let scores = self.scores.finish(exchange)?;
        Ok(Estimate {
            estimator: self.estimator,
            held_out_null: self.score.held_out_null(),
            probe_accuracy: self.right / scores.probe.len().max(1) as f64,
            train: scores.train,
            probe: scores.probe,
            probe_mean: scores.probe_mean,
            suggested,
            probe_noise,
            choices: self.choices,
        })
    }
}

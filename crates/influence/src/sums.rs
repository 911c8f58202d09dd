//! What the forks say by one estimator, summed up.

use mirrorwatch_stats::confident;
use mirrorwatch_stats::shards::Exchange;

use crate::error::InfluenceError;
use crate::estimator::Estimator;
use crate::fork_mean::ForkMean;
use crate::kept::Told;
use crate::scan::Estimate;
use crate::score::{self, Score, View};
use crate::task::Labels;

/// Scores of one estimator summed over forks.
pub(crate) struct Sums {
    /// Which estimator.
    pub estimator: Estimator,
    /// Its score.
    pub score: &'static dyn Score,
    scores: ForkMean,
    /// Probe samples that the forks which did not learn from them classify right; without classes, whose loss is
    /// below that of an untaught model.
    right: f64,
    /// Logits of each probe sample by the fork which did not learn from it, K per sample.
    told: Vec<f32>,
    choices: Vec<String>,
}

impl Sums {
    /// Nothing yet.
    ///
    /// # Errors
    ///
    /// A score that does not exist.
    pub fn new(estimator: &Estimator, labels: &Labels) -> Result<Self, InfluenceError> {
        Ok(Self {
            estimator: estimator.clone(),
            score: score::by_name(&estimator.score)?,
            scores: ForkMean::new(labels.probe.len()),
            right: 0.0,
            told: vec![0.0; labels.probe.len() * labels.classes],
            choices: Vec::new(),
        })
    }

    /// Takes in what a fork says of the probe samples `held_out` that it did not learn from. Forks come in the order of
    /// [`Told::forks`].
    ///
    /// `untaught` has the losses of all probe samples by a model that knows nothing, where there are no classes.
    pub fn add(&mut self, probe: &View<'_>, held_out: &[usize], untaught: &[f32], choice: &str) {
        self.scores.add(held_out, self.score.score(probe));
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
    }

    /// The estimate by all forks so far. `told` has what they say of the judged training samples, `probe` the labels of
    /// the probe, of so many classes.
    ///
    /// # Errors
    ///
    /// A probe that cannot be judged.
    pub fn finish(
        self,
        told: Told,
        probe: &[usize],
        classes: usize,
        exchange: &dyn Exchange,
    ) -> Result<Estimate, InfluenceError> {
        let probe_noise = confident::wrong_labels(&self.told, probe, classes)
            .map_err(|error| InfluenceError::Outputs(format!("cannot judge the probe: {error}")))?;
        let scores = self.scores.finish(told.forks, exchange)?;
        Ok(Estimate {
            estimator: self.estimator,
            held_out_null: self.score.held_out_null(),
            probe_accuracy: self.right / scores.probe.len().max(1) as f64,
            train: scores.train,
            probe: scores.probe,
            probe_mean: scores.probe_mean,
            suggested: told.suggested,
            probe_noise,
            choices: self.choices,
        })
    }
}

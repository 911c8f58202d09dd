//! What is kept of what models say of training samples: a few numbers each, however many classes there are.

use crate::direction::Forks;
use crate::error::InfluenceError;
use crate::knowledge::Knowledge;
use crate::scan::gather;
use crate::score::{Centres, Score, View};
use crate::sums::Sums;
use crate::sweep::{Outputs, SweepOptions, arg_max, sweep_reduced, sweep_together};
use crate::task::{Labels, Set, Task};
use crate::teach::Taught;

/// What is kept of some training samples.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Kept {
    /// Losses at θ.
    pub losses: Vec<f32>,
    /// Margins at θ.
    pub margins: Vec<f32>,
    /// What each estimator says, in their order.
    pub estimators: Vec<Told>,
}

/// What an estimator says of some training samples.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Told {
    /// Scores by each of its forks.
    pub forks: Vec<Vec<f32>>,
    /// The label other than the given one that all of them speak most for.
    pub suggested: Vec<u32>,
}

impl Kept {
    /// Nothing yet, of `samples` samples.
    fn empty(samples: usize, reader: &Reader<'_>) -> Self {
        let told = |(_, places): &(_, Vec<usize>)| Told {
            forks: vec![vec![0.0; samples]; places.len()],
            suggested: vec![0; samples],
        };
        Self {
            losses: vec![0.0; samples],
            margins: vec![0.0; samples],
            estimators: reader.estimators.iter().map(told).collect(),
        }
    }

    /// Writes what was kept of a batch over the places from `from`.
    fn put(&mut self, from: usize, batch: &Kept) {
        put(&mut self.losses, from, &batch.losses);
        put(&mut self.margins, from, &batch.margins);
        for (all, told) in self.estimators.iter_mut().zip(&batch.estimators) {
            put(&mut all.suggested, from, &told.suggested);
            for (all, scores) in all.forks.iter_mut().zip(&told.forks) {
                put(all, from, scores);
            }
        }
    }
}

fn put<V: Copy>(all: &mut [V], from: usize, part: &[V]) {
    all[from..from + part.len()].copy_from_slice(part);
}

/// Reads outputs for estimators, each of which is a score and the places of its forks among all views.
pub(crate) struct Reader<'a> {
    /// What the model knows, by the probe.
    knowledge: &'a Knowledge,
    /// Scores, and which of the views they are read from.
    estimators: Vec<(&'static dyn Score, Vec<usize>)>,
}

impl<'a> Reader<'a> {
    /// For the estimators of `sums`, by whichever of the forks are of their direction.
    pub fn of<M>(knowledge: &'a Knowledge, sums: &[Sums], taught: &[&Taught<M>]) -> Self {
        let mut estimators = Vec::with_capacity(sums.len());
        for sum in sums {
            let is_its = |place: &usize| taught[*place].direction == sum.estimator.direction;
            let places = (0..taught.len()).filter(is_its).collect();
            estimators.push((sum.score, places));
        }
        Self {
            knowledge,
            estimators,
        }
    }

    /// What is to be kept of samples with labels `given`. `base` has the outputs at θ, `views` those of each fork.
    fn read(&self, base: &Outputs, views: &[View<'_>], given: &[usize]) -> Kept {
        let mut estimators = Vec::with_capacity(self.estimators.len());
        for (score, places) in &self.estimators {
            let mut told = Told::default();
            let mut support = vec![0.0; given.len() * base.classes];
            for &place in places {
                told.forks.push(score.score(&views[place]));
                if base.classes > 0 {
                    score.support(&views[place], &mut support);
                }
            }
            told.suggested = suggested(&mut support, base.classes, given);
            estimators.push(told);
        }
        Kept {
            losses: base.losses.clone(),
            margins: self.knowledge.margins(base, given),
            estimators,
        }
    }
}

/// Reads all training samples that have a label at θ and at every fork, in one pass over the data.
///
/// Returns what is kept of them, the centre of each fork's view, where any score needs one, and the seconds of the sweep
/// at θ.
pub(crate) fn read_training<T: Task>(
    task: &T,
    model: &T::Model,
    labels: &Labels,
    reader: &Reader<'_>,
    taught: &[&Taught<T::Model>],
    options: &SweepOptions<'_>,
) -> Result<(Kept, Vec<Centres>, f64), InfluenceError> {
    let everything = labels.labelled();
    let given = gather(&labels.train, &everything);
    let what = (Set::Training, &everything[..], &labels.train[..]);
    let mut models = vec![model.clone()];
    for taught in taught {
        if let Forks::One(model) = &taught.step.forks {
            models.push(model.clone());
        }
    }
    let all_read_all = models.len() == 1 + taught.len();
    let needs_centre = reader.estimators.iter().any(|(s, _)| s.needs_centre());
    if all_read_all && !needs_centre {
        let mut kept = Kept::empty(given.len(), reader);
        let reduce = |from: usize, outputs: Vec<Outputs>| {
            let (base, forks) = (&outputs[0], &outputs[1..]);
            let given = &given[from..from + base.len()];
            let view = |after| View::uncentred(base, after, given);
            reader.read(base, &forks.iter().map(view).collect::<Vec<_>>(), given)
        };
        let put = |from, batch: Kept| kept.put(from, &batch);
        let seconds = sweep_reduced(task, models, what, options, &reduce, put)?;
        return Ok((kept, Vec::new(), seconds[0]));
    }
    let (set, everything, train) = what;
    let (swept, seconds) = sweep_together(task, models, set, everything, train, options)?;
    let mut swept = swept.into_iter();
    let base = swept.next().unwrap_or_default();
    let mut after = Vec::with_capacity(taught.len());
    for taught in taught {
        after.push(match &taught.step.forks {
            Forks::One(_) => swept.next().unwrap_or_default(),
            forks => forks.sweep(task, set, everything, train, options)?,
        });
    }
    let pairs = taught.iter().zip(&after);
    let views: Vec<View<'_>> = pairs
        .map(|(taught, after)| taught.step.forks.view(&base, after, &given))
        .collect();
    let kept = reader.read(&base, &views, &given);
    let centres = views.into_iter().map(View::into_centres).collect();
    Ok((kept, centres, seconds[0]))
}

/// The label other than the given one that each sample's row of `support` speaks most for; 0 without classes.
fn suggested(support: &mut [f32], classes: usize, given: &[usize]) -> Vec<u32> {
    if classes == 0 {
        return vec![0; given.len()];
    }
    let mut suggested = Vec::with_capacity(given.len());
    for (row, &label) in support.chunks_mut(classes).zip(given) {
        row[label] = f32::NEG_INFINITY;
        suggested.push(arg_max(row) as u32);
    }
    suggested
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::score;
    use crate::task::Labels;

    #[test]
    fn the_given_label_is_never_suggested() {
        let mut support = vec![5.0, 1.0, 2.0, 0.0, 0.0, 0.0];
        assert_eq!(suggested(&mut support, 3, &[0, 2]), [2, 0]);
        assert_eq!(suggested(&mut [], 0, &[0, 0]), [0, 0]);
    }

    fn outputs(logits: &[f32]) -> Outputs {
        let losses = logits.chunks(3).map(|row| row[0]).collect();
        Outputs {
            classes: 3,
            logits: logits.to_vec(),
            losses,
        }
    }

    proptest! {
        /// What batching rests on: read in parts or at once, the same is kept to the last bit.
        #[test]
        fn batches_of_any_size_keep_the_same(
            rows in prop::collection::vec((prop::array::uniform9(-9.0_f32..9.0), 0_usize..3), 1..40),
            size in 1_usize..12,
        ) {
            let part = |at: usize| rows.iter().flat_map(move |(z, _)| z[3 * at..3 * at + 3].to_vec());
            let [base, first, second] = [0, 1, 2].map(|at| part(at).collect::<Vec<f32>>());
            let given: Vec<usize> = rows.iter().map(|(_, label)| *label).collect();
            let labels = Labels {
                classes: 3,
                train: given.clone(),
                probe: vec![0],
                trusted: vec![],
                canaries: vec![],
                unlabelled: vec![],
            };
            let knowledge = Knowledge::of(&outputs(&[1.0, 0.0, 0.0]), &labels, &[]);
            let reader = Reader {
                knowledge: &knowledge,
                estimators: vec![(&score::After, vec![0, 1]), (&score::Delta, vec![1])],
            };
            let read = |from: usize, to: usize| {
                let of = |logits: &[f32]| outputs(&logits[3 * from..3 * to]);
                let (base, first, second) = (of(&base), of(&first), of(&second));
                let given = &given[from..to];
                let views = [&first, &second].map(|after| View::uncentred(&base, after, given));
                reader.read(&base, &views, given)
            };
            let mut kept = Kept::empty(rows.len(), &reader);
            for from in (0..rows.len()).step_by(size) {
                kept.put(from, &read(from, (from + size).min(rows.len())));
            }
            prop_assert_eq!(kept, read(0, rows.len()));
        }
    }
}

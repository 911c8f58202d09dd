//! The mean of forks' scores: of training samples, which all forks read, and of held-out ones, which one does.

use mirrorwatch_stats::shards::{Exchange, Neighbours, ShardError, merged};

/// Mean of the scores that forks give to training samples, and what that mean would be for probe samples.
///
/// A probe sample is read by the one fork that did not learn from it, and what one fork says has another distribution
/// than what several say on average: with two forks that disagree, a mean above t takes only one score above 2 t. So
/// what the other forks would have said is taken from the training sample that this fork finds most like it. Where
/// training labels are wrong, a clean probe sample is so compared with wrong ones, too, on which forks agree more: that
/// errs on the safe side.
pub(crate) struct ForkMean {
    /// Of each fork the probe samples that it did not learn from, and their scores.
    forks: Vec<Vec<(usize, f32)>>,
    probe: usize,
}

impl ForkMean {
    /// Of no fork yet, for `probe` probe samples.
    pub fn new(probe: usize) -> Self {
        Self {
            forks: Vec::new(),
            probe,
        }
    }

    /// Takes in one fork's scores of the probe samples `held_out`.
    pub fn add(&mut self, held_out: &[usize], probe: Vec<f32>) {
        self.forks
            .push(held_out.iter().copied().zip(probe).collect());
    }

    /// All scores together. `read` has those of all training samples, fork by fork in the same order.
    ///
    /// # Errors
    ///
    /// Scores that are no numbers, and parts that cannot be exchanged.
    pub fn finish(self, read: Vec<Vec<f32>>, exchange: &dyn Exchange) -> Result<Means, ShardError> {
        let count = self.forks.len().max(1) as f32;
        let mut train = vec![0.0; read.first().map_or(0, Vec::len)];
        for scores in &read {
            for (mean, score) in train.iter_mut().zip(scores) {
                *mean += score / count;
            }
        }
        let mut probe = vec![0.0; self.probe];
        let mut probe_mean = vec![0.0; self.probe];
        for (held_out, read) in self.forks.iter().zip(&read) {
            let scores: Vec<f32> = held_out.iter().map(|(_, score)| *score).collect();
            let own = Neighbours::of(&scores, read, &train)?;
            let none = Neighbours::of(&scores, &[], &[])?;
            let alike = merged(exchange, "samples most like the probe's", none, own)?;
            for (position, &(sample, score)) in held_out.iter().enumerate() {
                probe[sample] = score;
                probe_mean[sample] = match alike.nearest(position) {
                    // The alike one's mean, but for what this fork itself says of the two.
                    Some((alike, mean)) => mean + (score - alike) / count,
                    None => score,
                };
            }
        }
        Ok(Means {
            train,
            probe,
            probe_mean,
        })
    }
}

/// What forks say of samples.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Means {
    /// Mean over all forks, of each training sample.
    pub train: Vec<f32>,
    /// What the one fork that did not learn from it says, of each probe sample.
    pub probe: Vec<f32>,
    /// What all would say on average, of each probe sample.
    pub probe_mean: Vec<f32>,
}

#[cfg(test)]
mod tests {
    use mirrorwatch_stats::shards::Alone;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_fork_keeps_its_scores() {
        let mut mean = ForkMean::new(2);
        mean.add(&[1, 0], vec![4.0, -1.0]);
        let found = mean
            .finish(vec![vec![0.0, 1.0, 2.0, 50.0]], &Alone)
            .unwrap();
        assert_eq!(found.train, [0.0, 1.0, 2.0, 50.0]);
        assert_eq!(found.probe_mean, [-1.0, 4.0]);
        assert_eq!(found.probe, found.probe_mean);
    }

    #[test]
    fn a_held_out_sample_is_told_by_the_training_sample_most_like_it() {
        let mut mean = ForkMean::new(3);
        // What the first fork finds bad the second does not, and the other way round.
        mean.add(&[0, 2], vec![9.0, 100.0]);
        mean.add(&[1], vec![7.0]);
        let read = vec![vec![0.0, 10.0, 0.5, 2.0], vec![0.0, 0.0, 8.0, 2.0]];
        let found = mean.finish(read, &Alone).unwrap();
        assert_eq!(found.train, [0.0, 5.0, 4.25, 2.0]);
        assert_eq!(found.probe, [9.0, 7.0, 100.0]);
        let probe = found.probe_mean;
        // Like training sample 1, whose mean is 5, but 1 less by one of two forks; and far beyond it.
        assert_eq!((probe[0], probe[2]), (4.5, 50.0));
        // Like training sample 2.
        assert_eq!(probe[1], 3.75);
    }

    #[test]
    fn no_fork_and_no_sample_are_no_trouble() {
        let none = ForkMean::new(0).finish(Vec::new(), &Alone).unwrap();
        assert_eq!(none, Means::default());
        let mut mean = ForkMean::new(1);
        mean.add(&[0], vec![3.0]);
        let found = mean.finish(vec![Vec::new()], &Alone).unwrap();
        assert_eq!(found.probe_mean, [3.0]);
    }

    proptest! {
        /// What the held-out null rests on: held-out samples that each fork reads as it reads the training
        /// samples come out with the training samples' means, however much the forks disagree.
        #[test]
        fn what_is_read_alike_comes_out_alike(
            rows in prop::collection::vec((-50.0_f32..50.0, -50.0_f32..50.0), 2..60),
        ) {
            let n = rows.len();
            let (first, second): (Vec<f32>, Vec<f32>) = rows.into_iter().unzip();
            let mut mean = ForkMean::new(2 * n);
            let (before, after): (Vec<usize>, Vec<usize>) = ((0..n).collect(), (n..2 * n).collect());
            mean.add(&before, first.clone());
            mean.add(&after, second.clone());
            let found = mean.finish(vec![first.clone(), second.clone()], &Alone).unwrap();
            let probe = found.probe_mean;
            for (i, &score) in found.train.iter().enumerate() {
                // Equal readings may be told by each other's means; draws have none.
                let ties = |scores: &[f32]| scores.iter().filter(|s| **s == scores[i]).count() > 1;
                prop_assert!(ties(&first) || probe[i] == score);
                prop_assert!(ties(&second) || probe[n + i] == score);
            }
        }

        #[test]
        fn a_worse_reading_beyond_all_others_never_looks_better(
            train in prop::collection::vec((0.0_f32..50.0, 0.0_f32..50.0), 2..60),
            (a, b) in (50.0_f32..100.0, 50.0_f32..100.0),
        ) {
            let (first, second): (Vec<f32>, Vec<f32>) = train.into_iter().unzip();
            let mut mean = ForkMean::new(2);
            mean.add(&[0, 1], vec![a, b]);
            mean.add(&[], vec![]);
            let probe = mean.finish(vec![first, second], &Alone).unwrap().probe_mean;
            prop_assert!((a <= b) == (probe[0] <= probe[1]));
        }
    }
}

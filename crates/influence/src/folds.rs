//! Folds of the probe set, so that no probe sample is judged by a fork that learnt from it.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

/// A split of `n` probe samples into folds, each class spread evenly over them.
///
/// The split depends on labels, fold count and seed alone, so that a restarted sidecar
/// continues with the same one and evidence stays comparable across checkpoints.
///
/// ```
/// use mirrorwatch_influence::Folds;
///
/// let labels = [0, 0, 0, 1, 1, 1];
/// let folds = Folds::stratified(&labels, 3, 7);
/// for fold in 0..folds.count() {
///     let (held_out, learnt) = (folds.held_out(fold), folds.learnt(fold));
///     assert_eq!((held_out.len(), learnt.len()), (2, 4));
///     assert_ne!(labels[held_out[0]], labels[held_out[1]]);
///     assert!(held_out.iter().all(|sample| !learnt.contains(sample)));
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folds {
    folds: Vec<Vec<usize>>,
}

impl Folds {
    /// Splits samples with these labels into `count` folds.
    ///
    /// Fewer folds than asked for come out when there are fewer samples; never less than one.
    ///
    /// ```
    /// # use mirrorwatch_influence::Folds;
    /// let labels = [0, 1, 0, 1, 0, 1];
    /// assert_eq!(Folds::stratified(&labels, 2, 7), Folds::stratified(&labels, 2, 7));
    /// assert_eq!(Folds::stratified(&labels, 50, 7).count(), 6);
    /// ```
    pub fn stratified(labels: &[usize], count: usize, seed: u64) -> Self {
        let count = count.clamp(1, labels.len().max(1));
        let mut order: Vec<usize> = (0..labels.len()).collect();
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        // A stable sort keeps the shuffled order within each class.
        order.sort_by_key(|&i| labels[i]);
        let mut folds = vec![Vec::new(); count];
        for (position, index) in order.into_iter().enumerate() {
            folds[position % count].push(index);
        }
        for fold in &mut folds {
            fold.sort_unstable();
        }
        Self { folds }
    }

    /// The number of folds.
    ///
    /// ```
    /// # use mirrorwatch_influence::Folds;
    /// assert_eq!(Folds::stratified(&[0, 0, 1, 1], 2, 7).count(), 2);
    /// ```
    pub fn count(&self) -> usize {
        self.folds.len()
    }

    /// Probe samples in `fold`: those its fork must not have seen.
    ///
    /// ```
    /// # use mirrorwatch_influence::Folds;
    /// let folds = Folds::stratified(&[0, 0, 1, 1], 2, 7);
    /// let mut all = [folds.held_out(0), folds.held_out(1)].concat();
    /// all.sort();
    /// assert_eq!(all, [0, 1, 2, 3]);
    /// ```
    pub fn held_out(&self, fold: usize) -> &[usize] {
        &self.folds[fold]
    }

    /// Probe samples the fork of `fold` learns from: all the others.
    ///
    /// With a single fold these are all samples.
    ///
    /// ```
    /// # use mirrorwatch_influence::Folds;
    /// let folds = Folds::stratified(&[0, 0, 1, 1], 2, 7);
    /// assert_eq!(folds.learnt(0), folds.held_out(1));
    /// ```
    pub fn learnt(&self, fold: usize) -> Vec<usize> {
        if self.folds.len() == 1 {
            return self.folds[0].clone();
        }
        let mut rest = Vec::new();
        for (other, members) in self.folds.iter().enumerate() {
            if other != fold {
                rest.extend_from_slice(members);
            }
        }
        rest.sort_unstable();
        rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_same_seed_gives_the_same_folds() {
        let labels: Vec<usize> = (0..100).map(|i| i % 7).collect();
        assert_eq!(
            Folds::stratified(&labels, 2, 3),
            Folds::stratified(&labels, 2, 3)
        );
        assert_ne!(
            Folds::stratified(&labels, 2, 3),
            Folds::stratified(&labels, 2, 4)
        );
    }

    proptest! {
        #[test]
        fn folds_partition_and_stratify(
            labels in proptest::collection::vec(0usize..5, 2..200),
            count in 2usize..5,
            seed in any::<u64>(),
        ) {
            let folds = Folds::stratified(&labels, count, seed);
            let mut seen = vec![0; labels.len()];
            for fold in 0..folds.count() {
                for &i in folds.held_out(fold) {
                    seen[i] += 1;
                    prop_assert!(!folds.learnt(fold).contains(&i));
                }
                prop_assert_eq!(folds.held_out(fold).len() + folds.learnt(fold).len(), labels.len());
            }
            prop_assert!(seen.iter().all(|&n| n == 1));
            for class in 0..5 {
                let sizes: Vec<usize> = (0..folds.count())
                    .map(|f| folds.held_out(f).iter().filter(|&&i| labels[i] == class).count())
                    .collect();
                let spread = sizes.iter().max().unwrap() - sizes.iter().min().unwrap();
                prop_assert!(spread <= 1);
            }
        }
    }
}

//! Columns of evidence that are narrower than what goes in, where nothing that is counted needs more.

use half::bf16;

/// Numbers of which the sign is exact and the size within 0.4 %, in two bytes each (bfloat16).
///
/// ```
/// use mirrorwatch_daemon::narrow::Halves;
///
/// let values = Halves::of(&[1.0, 0.1, -1e-45, 1e-45]);
/// assert_eq!(values.get(0), Some(1.0));
/// assert!(values.get(1).is_some_and(|value| (value / 0.1 - 1.0).abs() < 0.004));
/// // What is above zero stays above, however little.
/// assert_eq!([2, 3].map(|i| values.get(i).map(|value| value > 0.0)), [Some(false), Some(true)]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Halves(Vec<bf16>);

impl Halves {
    /// These numbers.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Halves;
    /// assert_eq!(Halves::of(&[0.5, -2.0]).len(), 2);
    /// ```
    pub fn of(values: &[f32]) -> Self {
        Self(values.iter().map(|value| halved(*value)).collect())
    }

    /// Other numbers, as many, in their place.
    pub(crate) fn set(&mut self, values: &[f32]) {
        self.0.clear();
        self.0.extend(values.iter().map(|value| halved(*value)));
    }

    /// One of them.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Halves;
    /// let values = Halves::of(&[0.5, -2.0]);
    /// assert_eq!((values.get(1), values.get(2)), (Some(-2.0), None));
    /// ```
    pub fn get(&self, index: usize) -> Option<f32> {
        self.0.get(index).map(|value| value.to_f32())
    }

    /// All of them, in order.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Halves;
    /// assert_eq!(Halves::of(&[0.5, -2.0]).iter().sum::<f32>(), -1.5);
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = f32> {
        self.0.iter().map(|value| value.to_f32())
    }

    /// How many they are.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Halves;
    /// assert_eq!(Halves::of(&[0.5; 7]).len(), 7);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Halves;
    /// assert!(Halves::of(&[]).is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn bits(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|value| value.to_bits())
    }

    pub(crate) fn restored(values: Vec<bf16>) -> Self {
        Self(values)
    }
}

/// Whether a label was fitted is asked of a margin's sign.
fn halved(value: f32) -> bf16 {
    let half = bf16::from_f32(value);
    if value > 0.0 && half == bf16::ZERO {
        bf16::MIN_POSITIVE_SUBNORMAL
    } else {
        half
    }
}

/// The first epoch of something, sample by sample, in two bytes each: its place among the epochs that there were.
///
/// Epochs are exact, however large, as long as there are at most 65,535 different ones; from then on, the nearest of those that
/// is not later stands for an epoch.
///
/// ```
/// use mirrorwatch_daemon::narrow::Epochs;
///
/// let mut fitted = Epochs::new(3);
/// fitted.note([0, 2].into_iter(), 1_000_000);
/// // A checkpoint of an earlier epoch, scanned later.
/// fitted.note([2].into_iter(), 70_000);
/// assert_eq!([0, 1, 2].map(|sample| fitted.get(sample)), [Some(1_000_000), None, Some(70_000)]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epochs {
    /// The epochs that there were, in the order in which they came.
    known: Vec<u32>,
    /// Which of them, of each sample; [`NOT_YET`] for none.
    first: Vec<u16>,
}

/// In the place of an epoch's number.
const NOT_YET: u16 = u16::MAX;

impl Epochs {
    /// Of so many samples, none yet.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Epochs;
    /// assert_eq!(Epochs::new(3).get(2), None);
    /// ```
    pub fn new(samples: usize) -> Self {
        Self {
            known: Vec::new(),
            first: vec![NOT_YET; samples],
        }
    }

    /// It was so of these samples at `epoch`.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Epochs;
    /// let mut fitted = Epochs::new(3);
    /// fitted.note(1..3, 4);
    /// fitted.note(0..3, 5);
    /// assert_eq!([0, 1].map(|sample| fitted.get(sample)), [Some(5), Some(4)]);
    /// ```
    pub fn note(&mut self, samples: impl Iterator<Item = usize>, epoch: u64) {
        let epoch = u32::try_from(epoch).unwrap_or(u32::MAX);
        let number = self.number(epoch);
        for sample in samples {
            let first = &mut self.first[sample];
            // Checkpoints are not always scanned in their order.
            if self
                .known
                .get(usize::from(*first))
                .is_none_or(|earlier| epoch < *earlier)
            {
                *first = number;
            }
        }
    }

    /// The first epoch of a sample; none where there was none yet.
    ///
    /// ```
    /// # use mirrorwatch_daemon::narrow::Epochs;
    /// let mut fitted = Epochs::new(1);
    /// fitted.note(0..1, u64::MAX);
    /// // One that is absurd still is one.
    /// assert_eq!(fitted.get(0), Some(u32::MAX));
    /// ```
    pub fn get(&self, sample: usize) -> Option<u32> {
        let number = *self.first.get(sample)?;
        self.known.get(usize::from(number)).copied()
    }

    /// The number of an epoch, which may be a new one.
    fn number(&mut self, epoch: u32) -> u16 {
        let same = self.known.iter().rposition(|known| *known == epoch);
        let number = same.unwrap_or_else(|| {
            if self.known.len() < usize::from(NOT_YET) {
                self.known.push(epoch);
                return self.known.len() - 1;
            }
            let before = self
                .known
                .iter()
                .enumerate()
                .filter(|(_, known)| **known < epoch);
            before
                .max_by_key(|(_, known)| **known)
                .map_or(0, |(nth, _)| nth)
        });
        number as u16
    }

    pub(crate) fn parts(&self) -> (&[u32], &[u16]) {
        (&self.known, &self.first)
    }

    pub(crate) fn restored(known: Vec<u32>, first: Vec<u16>) -> Self {
        Self { known, first }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn more_different_epochs_than_have_a_number_share_the_nearest_before() {
        let mut epochs = Epochs {
            known: (0..65_535).map(|epoch| 2 * epoch).collect(),
            ..Epochs::new(4)
        };
        epochs.note([0].into_iter(), 7);
        epochs.note([1].into_iter(), 131_068);
        epochs.note([2].into_iter(), 9_000_000);
        assert_eq!(
            [0, 1, 2, 3].map(|i| epochs.get(i)),
            [Some(6), Some(131_068), Some(131_068), None]
        );
    }

    proptest! {
        /// Beside a map that forgets nothing.
        #[test]
        fn the_first_epoch_is_the_least(notes in proptest::collection::vec((0usize..5, any::<u32>()), 0..60)) {
            let mut epochs = Epochs::new(5);
            let mut least = [None::<u32>; 5];
            for (sample, epoch) in notes {
                epochs.note([sample].into_iter(), epoch.into());
                least[sample] = Some(least[sample].map_or(epoch, |l| l.min(epoch)));
            }
            prop_assert_eq!([0, 1, 2, 3, 4].map(|i| epochs.get(i)), least);
        }

        /// Bfloat16 has eight significant bits: rounding is off by one part in 2⁸ at most, of normal numbers.
        #[test]
        fn halves_keep_sign_and_size(value in any::<f32>()) {
            let told = Halves::of(&[value]).get(0).unwrap();
            prop_assert_eq!(told > 0.0, value > 0.0);
            if value.is_normal() && value.abs() < 3.38e38 {
                prop_assert!((told / value - 1.0).abs() <= 1.0 / 256.0, "{value}: {told}");
            }
            // Once more changes nothing.
            prop_assert_eq!(Halves::of(&[told]).get(0).unwrap().to_bits(), told.to_bits());
        }
    }
}

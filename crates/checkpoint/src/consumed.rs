//! Which samples a training has consumed, in few bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

/// The longest list of positions that goes into a manifest, in characters: three quarters of what one may be long.
const LONGEST: usize = 768 << 10;

/// The training samples that were consumed since the checkpoint before.
///
/// ```
/// use mirrorwatch_checkpoint::Consumed;
///
/// // A whole epoch of 60,000 samples takes 80 kB in a manifest.
/// let epoch = Consumed::of((0..60_000).collect());
/// assert_eq!(epoch.samples, 60_000);
/// assert_eq!(serde_json::from_str::<Consumed>(&serde_json::to_string(&epoch)?)?, epoch);
/// assert!(serde_json::to_string(&epoch)?.len() < 81_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumed {
    /// How many there are; a sample that was consumed twice counts once.
    pub samples: u64,
    /// Their positions: ascending, each as the difference to the one before, less one, as LEB128, in base64. Absent
    /// where that would be too long for a manifest.
    #[serde(default)]
    positions: Option<String>,
}

impl Consumed {
    /// Of these positions in the training set, in any order.
    ///
    /// ```
    /// use mirrorwatch_checkpoint::Consumed;
    ///
    /// let consumed = Consumed::of(vec![7, 3, 3, 1_000_000]);
    /// assert_eq!(consumed.samples, 3);
    /// assert_eq!(consumed.positions(), Some(vec![3, 7, 1_000_000]));
    /// ```
    pub fn of(mut positions: Vec<u64>) -> Self {
        positions.sort_unstable();
        positions.dedup();
        let mut bytes = Vec::with_capacity(positions.len());
        let mut next = 0;
        for &position in &positions {
            push(&mut bytes, position - next);
            next = position.saturating_add(1);
        }
        let text = STANDARD_NO_PAD.encode(bytes);
        Self {
            samples: positions.len() as u64,
            positions: (text.len() <= LONGEST).then_some(text),
        }
    }

    /// The positions, ascending; none where they are not known or make no sense.
    ///
    /// ```
    /// use mirrorwatch_checkpoint::Consumed;
    ///
    /// assert_eq!(Consumed::of(vec![9, 2]).positions(), Some(vec![2, 9]));
    /// // How many is all that this one says.
    /// let counted: Consumed = serde_json::from_str(r#"{"samples": 2}"#)?;
    /// assert_eq!((counted.samples, counted.positions()), (2, None));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn positions(&self) -> Option<Vec<u64>> {
        let bytes = STANDARD_NO_PAD.decode(self.positions.as_ref()?).ok()?;
        let (mut positions, mut next, mut rest) = (Vec::new(), 0u64, bytes.as_slice());
        while !rest.is_empty() {
            let position = next.checked_add(take(&mut rest)?)?;
            positions.push(position);
            next = position.checked_add(1)?;
        }
        (positions.len() as u64 == self.samples).then_some(positions)
    }
}

/// Seven bits a byte, the lowest first; all but the last have the high bit.
fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if (part << shift) >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_whole_epoch_takes_a_byte_a_sample_and_too_many_are_only_counted() {
        let epoch = Consumed::of((0..10_000).collect());
        assert!(epoch.positions.as_ref().unwrap().len() <= 14_000);
        let many = Consumed::of((0..1_000_000).collect());
        assert_eq!((many.samples, many.positions()), (1_000_000, None));
        assert_eq!(Consumed::of(Vec::new()).positions(), Some(Vec::new()));
    }

    #[test]
    fn nonsense_is_none() {
        for (samples, text) in [
            (1, "!"),
            (1, "gA"),
            (2, "AA"),
            (1, "/////////////w"),
            (2, "/////////////wEA"),
        ] {
            let consumed = Consumed {
                samples,
                positions: Some(text.to_string()),
            };
            assert_eq!(consumed.positions(), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn positions_come_back_sorted_and_once(positions in prop::collection::vec(any::<u64>(), 0..200)) {
            let mut expected = positions.clone();
            expected.sort_unstable();
            expected.dedup();
            prop_assume!(!expected.contains(&u64::MAX));
            prop_assert_eq!(Consumed::of(positions).positions(), Some(expected));
        }
    }
}

//! Positions of consumed samples on their way to a manifest.

/// So many may be there more than once before anybody looks.
const LEAST: usize = 1 << 16;

/// A set that takes up to twice the memory of its distinct positions, and half a megabyte. It is unsorted, as it is filled on
/// the training thread. Positions wait for as long as nothing can be published, and every epoch brings the same again.
#[derive(Debug, Default)]
pub(crate) struct Positions {
    list: Vec<u64>,
    /// As many as were distinct when they were last counted.
    distinct: usize,
}

impl Positions {
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Takes all of the other's.
    pub(crate) fn append(&mut self, other: &mut Self) {
        if other.list.len() > self.list.len() {
            std::mem::swap(self, other);
        }
        self.list.append(&mut other.list);
        other.distinct = 0;
        if self.list.len() > (2 * self.distinct).max(LEAST) {
            self.list.sort_unstable();
            self.list.dedup();
            self.distinct = self.list.len();
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<u64> {
        self.list.clone()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl From<Vec<u64>> for Positions {
    fn from(list: Vec<u64>) -> Self {
        Self { list, distinct: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_again_and_again_takes_no_more_memory() {
        const SAMPLES: u64 = 100_000;
        let mut positions = Positions::default();
        for epoch in 1..=50 {
            positions.append(&mut Positions::from((0..SAMPLES).rev().collect::<Vec<_>>()));
            let held = positions.list.capacity() as u64;
            assert!(held <= 4 * SAMPLES, "{held} after epoch {epoch}");
        }
        let mut distinct = positions.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        assert!(distinct.into_iter().eq(0..SAMPLES));
        positions.clear();
        assert!(positions.is_empty());
    }

    #[test]
    fn nothing_is_lost_whichever_is_longer() {
        let mut some = Positions::from(vec![5, 1]);
        some.append(&mut Positions::from(vec![2, 9, 4]));
        some.append(&mut Positions::default());
        let mut all = some.to_vec();
        all.sort_unstable();
        assert_eq!(all, [1, 2, 4, 5, 9]);
    }
}

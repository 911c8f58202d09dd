//! Sums of f32 without rounding: they come out the same in every order and from every split.
//!
//! A finite f32 is a whole multiple of 2^-149 below 2^277 multiples, and its square one of 2^-298. So the sums
//! are kept as integers wide enough for all of them ("long accumulator": Kulisch, *Computer arithmetic and
//! validity*, 2008), and merging is integer addition.

const LIMBS: usize = 12;

/// A natural number below 2^768. Sums of 2^53 squares have 607 bits, what [`ExactSums::variance`] multiplies 666.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Natural(pub(crate) [u64; LIMBS]);

/// The number, the sum and the sum of squares of finite f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ExactSums {
    pub(crate) count: u64,
    /// The sum of those above zero, in units of 2^-149.
    pub(crate) above: Natural,
    /// The sum of those below zero, turned positive.
    pub(crate) below: Natural,
    /// In units of 2^-298.
    pub(crate) squares: Natural,
}

impl ExactSums {
    pub(crate) fn of(values: &[f32]) -> Self {
        let mut sums = Self::default();
        for &value in values {
            sums.push(value, 1);
        }
        sums
    }

    /// Takes in a value that was seen `times` times; infinities are left out.
    pub(crate) fn push(&mut self, value: f32, times: u64) {
        if !value.is_finite() {
            return;
        }
        self.count += times;
        let bits = value.to_bits();
        let exponent = (bits >> 23) & 0xff;
        let fraction = u128::from(bits & 0x007f_ffff);
        // Subnormals have the exponent of the smallest normals and no hidden bit.
        let (whole, shift) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 0x0080_0000, exponent - 1),
        };
        let sum = if value > 0.0 {
            &mut self.above
        } else {
            &mut self.below
        };
        sum.add_shifted(whole * u128::from(times), shift);
        self.squares
            .add_shifted(whole * whole * u128::from(times), 2 * shift);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.above.add(&other.above);
        self.below.add(&other.below);
        self.squares.add(&other.squares);
    }

    /// Whether they can be sums of `count` scores: by far too large ones, and those whose variance would be negative,
    /// cannot.
    pub(crate) fn is_possible(&self) -> bool {
        let bits = |number: &Natural| number.bits();
        let count = 64 - self.count.leading_zeros();
        let fits = bits(&self.above).max(bits(&self.below)) <= 277 + count
            && bits(&self.squares) <= 554 + count;
        fits && !self.scaled_squares().is_less(&self.squared_sum())
    }

    fn scaled_squares(&self) -> Natural {
        let mut count = Natural::default();
        count.add_shifted(u128::from(self.count), 0);
        self.squares.times(&count)
    }

    /// The sum without its sign.
    fn size_of_sum(&self) -> Natural {
        if self.above.is_less(&self.below) {
            self.below.minus(&self.above)
        } else {
            self.above.minus(&self.below)
        }
    }

    fn squared_sum(&self) -> Natural {
        let sum = self.size_of_sum();
        sum.times(&sum)
    }

    /// The mean, of which the sum is exact before it is rounded once; none without values.
    pub(crate) fn mean(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        let size = self.size_of_sum().to_f64(-149) / self.count as f64;
        Some(if self.above.is_less(&self.below) {
            -size
        } else {
            size
        })
    }

    /// The unbiased sample variance: (n Q − S²) / (n (n − 1)), of which the numerator is exact before it is
    /// rounded once; none with fewer than two values.
    pub(crate) fn variance(&self) -> Option<f64> {
        if self.count < 2 {
            return None;
        }
        let numerator = self.scaled_squares().minus(&self.squared_sum());
        let pairs = u128::from(self.count) * u128::from(self.count - 1);
        Some(numerator.to_f64(-298) / pairs as f64)
    }
}

impl Natural {
    /// Adds `value` · 2^`shift`.
    fn add_shifted(&mut self, value: u128, shift: u32) {
        let offset = shift % 64;
        let low = value << offset;
        // Twice, because a shift by all 128 bits is not defined.
        let high = (value >> 1) >> (127 - offset);
        let mut carry = 0;
        let mut parts = [low as u64, (low >> 64) as u64, high as u64].into_iter();
        for limb in &mut self.0[(shift / 64) as usize..] {
            let part = parts.next().unwrap_or(0);
            let sum = u128::from(*limb) + u128::from(part) + carry;
            *limb = sum as u64;
            carry = sum >> 64;
        }
    }

    fn add(&mut self, other: &Self) {
        let mut carry = 0;
        for (limb, &part) in self.0.iter_mut().zip(&other.0) {
            let sum = u128::from(*limb) + u128::from(part) + carry;
            *limb = sum as u64;
            carry = sum >> 64;
        }
    }

    /// The difference; `other` must not be larger.
    fn minus(&self, other: &Self) -> Self {
        let mut result = *self;
        let mut borrow = false;
        for (limb, &part) in result.0.iter_mut().zip(&other.0) {
            let (less, under) = limb.overflowing_sub(part);
            let (less, again) = less.overflowing_sub(u64::from(borrow));
            *limb = less;
            borrow = under || again;
        }
        result
    }

    /// The number of bits without leading zeros.
    fn bits(&self) -> u32 {
        match self.0.iter().rposition(|&limb| limb != 0) {
            None => 0,
            Some(top) => 64 * (top as u32 + 1) - self.0[top].leading_zeros(),
        }
    }

    fn is_less(&self, other: &Self) -> bool {
        self.0.iter().rev().lt(other.0.iter().rev())
    }

    fn times(&self, other: &Self) -> Self {
        let mut result = Self::default();
        for (i, &left) in self.0.iter().enumerate() {
            let mut carry = 0;
            for (j, &right) in other.0[..LIMBS - i].iter().enumerate() {
                let limb = &mut result.0[i + j];
                let sum = u128::from(*limb) + u128::from(left) * u128::from(right) + carry;
                *limb = sum as u64;
                carry = sum >> 64;
            }
        }
        result
    }

    /// The number times 2^`exponent`, rounded once. The result must be a normal f64.
    fn to_f64(self, exponent: i32) -> f64 {
        let Some(top) = self.0.iter().rposition(|&limb| limb != 0) else {
            return 0.0;
        };
        // The 128 highest bits hold at least 65 of the number's own; of the rest it only counts whether any is set.
        let limb = |index: usize| index.checked_sub(1).map_or(0, |index| self.0[index]);
        let mut high = (u128::from(self.0[top]) << 64) | u128::from(limb(top));
        if self.0[..top.saturating_sub(1)]
            .iter()
            .any(|&limb| limb != 0)
        {
            high |= 1;
        }
        let exponent = 64 * (top as i32 - 1) + exponent;
        high as f64 * f64::from_bits(((1023 + exponent) as u64) << 52)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn by_hand() {
        assert_eq!(ExactSums::of(&[]).variance(), None);
        assert_eq!(ExactSums::of(&[3.0]).variance(), None);
        assert_eq!(
            ExactSums::of(&[3.0, 3.0, f32::INFINITY]).variance(),
            Some(0.0)
        );
        // Deviations −6, −3, 3, 6 of the mean: 90 / 3.
        assert_eq!(
            ExactSums::of(&[4.0, 7.0, 13.0, 16.0]).variance(),
            Some(30.0)
        );
        assert_eq!(ExactSums::of(&[-4.0, 4.0]).variance(), Some(32.0));
        // What f64 cannot hold beside 2^100: the two large ones cancel, and ones are left.
        let large = 2f32.powi(100);
        let sums = ExactSums::of(&[large, 1.0, -large, 1.0]);
        assert_eq!(sums.mean(), Some(0.5));
        assert_eq!(ExactSums::of(&[-4.0, 1.0]).mean(), Some(-1.5));
        assert_eq!(ExactSums::of(&[f32::INFINITY]).mean(), None);
    }

    #[test]
    fn the_smallest_and_the_largest() {
        let smallest = f32::from_bits(1);
        let sums = ExactSums::of(&[smallest, -smallest]);
        assert_eq!(sums.variance(), Some(2.0 * f64::from(smallest).powi(2)));
        let sums = ExactSums::of(&[f32::MAX, -f32::MAX]);
        assert_eq!(sums.variance(), Some(2.0 * f64::from(f32::MAX).powi(2)));
        let mut many = ExactSums::default();
        many.push(f32::MAX, 1 << 37);
        many.push(-f32::MAX, 1 << 37);
        let expected = f64::from(f32::MAX).powi(2);
        assert!((many.variance().unwrap() / expected - 1.0).abs() < 1e-9);
    }

    proptest! {
        #[test]
        fn agrees_with_a_running_variance_and_ignores_the_order(
            values in proptest::collection::vec(-100.0f32..100.0, 2..60),
            cut in 0usize..60,
        ) {
            let all = ExactSums::of(&values);
            let cut = cut.min(values.len());
            let mut merged = ExactSums::of(&values[cut..]);
            merged.merge(&ExactSums::of(&values[..cut]));
            prop_assert_eq!(&merged, &all);
            let mut running = crate::moments::Running::default();
            for &value in &values {
                running.push(f64::from(value));
            }
            let (exact, running) = (all.variance().unwrap(), running.variance().unwrap());
            prop_assert!((exact - running).abs() <= 1e-12 * (1.0 + running), "{exact} {running}");
        }
    }
}

//! Means over what there is.

/// A mean that leaves out what is not defined.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    sum: f64,
    count: usize,
}

impl Mean {
    /// The mean of all values that are defined; none without any.
    pub fn of(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
        let mut mean = Mean::default();
        for value in values.into_iter().flatten() {
            mean.add(value);
        }
        mean.get()
    }

    /// Takes in one value.
    pub fn add(&mut self, value: f64) {
        self.sum += value;
        self.count += 1;
    }

    /// The mean so far; none without any value.
    pub fn get(self) -> Option<f64> {
        (self.count > 0).then(|| self.sum / self.count as f64)
    }
}

/// The median; of an even number of values the mean of the two in the middle; none without any.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len().is_multiple_of(2) {
        Some((values[middle - 1] + upper) / 2.0)
    } else {
        Some(upper)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_defined_does_not_count() {
        assert_eq!(Mean::of([Some(1.0), None, Some(2.0)]), Some(1.5));
        assert_eq!(Mean::of([None]), None);
    }

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![9.0, 0.0, 1.0]), Some(1.0));
        assert_eq!(median(vec![4.0, 0.0, 1.0, 2.0]), Some(1.5));
    }
}

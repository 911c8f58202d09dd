//! Side by side: contenders that take turns in one run, and ratios of what they took.
//!
//! The machine is noisy, and drifts. So nothing is compared across runs: in each round every contender is measured
//! once, each round begins with another one, and a ratio is taken within its round. Told are the median of the rounds'
//! ratios and the range that the middle half of them lies in.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

/// A measured contender: what it is called, and one go of it, which tells its seconds.
pub struct Contender<'a> {
    /// The name in tables.
    pub name: String,
    /// One go.
    pub go: Box<dyn FnMut() -> Result<f64, String> + 'a>,
}

impl<'a> Contender<'a> {
    /// A contender by its name.
    pub fn new(name: impl Into<String>, go: impl FnMut() -> Result<f64, String> + 'a) -> Self {
        Self {
            name: name.into(),
            go: Box::new(go),
        }
    }
}

/// Seconds of each contender in each round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Rounds {
    /// The contenders' names.
    pub names: Vec<String>,
    /// Of each contender, its seconds round by round.
    pub seconds: Vec<Vec<f64>>,
}

/// A figure and the range of the middle half of its measurements.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Median.
    pub median: f64,
    /// First quartile.
    pub low: f64,
    /// Third quartile.
    pub high: f64,
}

impl Spread {
    /// Of these measurements; all zero where there are none.
    pub fn of(values: &[f64]) -> Self {
        Self {
            median: quantile(values, 0.5),
            low: quantile(values, 0.25),
            high: quantile(values, 0.75),
        }
    }

    /// A figure that was taken once, over everything.
    pub fn single(value: f64) -> Self {
        Self {
            median: value,
            low: value,
            high: value,
        }
    }
}

/// The quantile of these measurements at `share`, between the two nearest ones; 0 where there are none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = share * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * (place - place.floor()),
        _ => 0.0,
    }
}

/// Lets contenders take turns: one round to warm up, which does not count, and then `rounds`.
///
/// # Errors
///
/// What a contender fails with, and its name.
pub fn take_turns(rounds: usize, contenders: &mut [Contender<'_>]) -> Result<Rounds, String> {
    turns(0..=rounds, contenders)
}

/// [`take_turns`] without the round to warm up: of what takes minutes, that is nothing.
///
/// # Errors
///
/// As there.
pub fn take_turns_at_once(
    rounds: usize,
    contenders: &mut [Contender<'_>],
) -> Result<Rounds, String> {
    turns(1..=rounds, contenders)
}

/// Round 0 does not count.
fn turns(
    rounds: RangeInclusive<usize>,
    contenders: &mut [Contender<'_>],
) -> Result<Rounds, String> {
    let count = contenders.len();
    let mut seconds = vec![Vec::new(); count];
    for round in rounds {
        for turn in 0..count {
            let place = (round + turn) % count;
            let contender = &mut contenders[place];
            let took = (contender.go)().map_err(|why| format!("{}: {why}", contender.name))?;
            if round > 0 {
                seconds[place].push(took);
            }
        }
    }
    Ok(Rounds {
        names: contenders.iter().map(|c| c.name.clone()).collect(),
        seconds,
    })
}

impl Rounds {
    /// How many times as long the one took as the other.
    pub fn ratio(&self, of: usize, to: usize) -> Spread {
        let pairs = self.seconds[of].iter().zip(&self.seconds[to]);
        let ratios: Vec<f64> = pairs.map(|(a, b)| a / b).collect();
        Spread::of(&ratios)
    }

    /// How many percent longer the one took than the other.
    pub fn longer(&self, of: usize, than: usize) -> Spread {
        let pairs = self.seconds[of].iter().zip(&self.seconds[than]);
        let percent: Vec<f64> = pairs.map(|(a, b)| 100.0 * (a / b - 1.0)).collect();
        Spread::of(&percent)
    }

    /// What one took, in seconds.
    pub fn took(&self, of: usize) -> Spread {
        Spread::of(&self.seconds[of])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_those_of_numpy() {
        // numpy 2: quantile([1, 2, 4, 8, 16, 32], [.25, .5, .75]) = 2.5, 6, 14.
        let spread = Spread::of(&[8.0, 1.0, 32.0, 2.0, 16.0, 4.0]);
        assert_eq!((spread.low, spread.median, spread.high), (2.5, 6.0, 14.0));
        assert_eq!(Spread::of(&[]).median, 0.0);
        // numpy 2: quantile(range(101), [.95, .99, 1]) = 95, 99, 100.
        let hundred: Vec<f64> = (0..=100).rev().map(f64::from).collect();
        assert_eq!(
            [0.95, 0.99, 1.0].map(|share| quantile(&hundred, share)),
            [95.0, 99.0, 100.0]
        );
    }

    #[test]
    fn contenders_take_turns_and_ratios_stay_within_a_round() {
        let order = std::cell::RefCell::new(Vec::new());
        let go = |name: char, factor: f64| {
            let order = &order;
            let mut round = 0.0;
            Contender::new(name, move || {
                order.borrow_mut().push(name);
                round += 1.0;
                // Everything gets slower; the ratio does not.
                Ok(round * factor)
            })
        };
        let mut contenders = [go('a', 1.0), go('b', 3.0)];
        let rounds = take_turns(2, &mut contenders).unwrap();
        drop(contenders);
        assert_eq!(*order.borrow(), ['a', 'b', 'b', 'a', 'a', 'b']);
        assert_eq!(rounds.seconds[1], [6.0, 9.0]);
        assert_eq!(rounds.ratio(1, 0), Spread::of(&[3.0]));
        assert_eq!(rounds.longer(1, 0), Spread::single(200.0));
        assert_eq!(rounds.took(0).median, 2.5);

        let mut contenders = [go('a', 1.0)];
        let rounds = take_turns_at_once(2, &mut contenders).unwrap();
        assert_eq!(rounds.seconds, [[1.0, 2.0]]);
    }

    #[test]
    fn who_fails_is_named() {
        let mut contenders = [Contender::new("this one", || Err("no".to_string()))];
        assert_eq!(take_turns(1, &mut contenders).unwrap_err(), "this one: no");
    }
}

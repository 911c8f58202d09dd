//! The budget of scans: how many samples one may read.

use std::str::FromStr;

use crate::summary::Summary;

/// What a scan may cost.
///
/// ```
/// use mirrorwatch_daemon::budget::Budget;
///
/// assert_eq!("0.5".parse(), Ok(Budget::Sweeps(0.5)));
/// assert_eq!("20s".parse(), Ok(Budget::Seconds(20.0)));
/// assert!("cheap".parse::<Budget>().is_err_and(|text| text.starts_with("\"cheap\" is no budget")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Of one bare forward sweep over the training set, on average.
    Sweeps(f64),
    /// Seconds.
    Seconds(f64),
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let problem = || {
            format!(
                "{text:?} is no budget; write the share of a forward sweep, 0.5 for example, or a time, 20s for example"
            )
        };
        let (number, of) = match text.strip_suffix('s') {
            Some(number) => (number, Budget::Seconds as fn(f64) -> Budget),
            None => (text, Budget::Sweeps as fn(f64) -> Budget),
        };
        match number.parse::<f64>() {
            Ok(figure) if figure.is_finite() && figure > 0.0 => Ok(of(figure)),
            _ => Err(problem()),
        }
    }
}

/// What scans of a run cost so far.
///
/// ```
#[doc = include_str!("example_run.txt")]
#[doc = include_str!("example_summary.txt")]
/// use mirrorwatch_daemon::budget::Cost;
///
/// let cost = Cost::of(&summary);
/// assert_eq!((cost.seconds, cost.read), (2.5, 200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    /// Wall time.
    pub seconds: f64,
    /// Of it, what the probe costs, however many training samples are read.
    pub probe_seconds: f64,
    /// What a bare forward sweep over the samples that were read costs.
    pub base_sweep_seconds: f64,
    /// Training samples that were read.
    pub read: usize,
}

impl Cost {
    /// As a scan's summary has it.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    #[doc = include_str!("example_summary.txt")]
    /// # use mirrorwatch_daemon::budget::Cost;
    /// assert_eq!(Cost::of(&summary).base_sweep_seconds, 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(summary: &Summary) -> Self {
        Self {
            seconds: summary.scan_seconds,
            probe_seconds: summary.probe_seconds,
            base_sweep_seconds: summary.base_sweep_seconds,
            read: summary.read_samples,
        }
    }
}

/// The smallest share of the training set that is read, whatever the budget says: with less, nothing would be noticed.
const LEAST: f64 = 0.01;
/// Scans back from which the next one's price is estimated.
const RECENT: usize = 5;

impl Budget {
    /// How many of the `labelled` training samples the next scan may read, after scans that cost what `costs` say.
    ///
    /// The first scan of a run reads all: there is nothing yet to choose by, and nothing known of the price. Nor is
    /// the probe's price, which is another for the first scan; the second one pays for it what is left over.
    ///
    /// ```
    /// use mirrorwatch_daemon::budget::{Budget, Cost};
    ///
    /// // Of 3 s, 1 goes into the probe; a sample costs 2 ms, one of them for the bare forward pass.
    /// let cost = Cost { seconds: 3.0, probe_seconds: 1.0, base_sweep_seconds: 1.0, read: 1000 };
    /// assert_eq!(Budget::Seconds(1.5).samples(&[cost, cost], 1000), 250);
    /// assert_eq!(Budget::Sweeps(2.0).samples(&[cost, cost], 1000), 500);
    /// assert_eq!(Budget::Sweeps(2.0).samples(&[], 1000), 1000);
    /// ```
    pub fn samples(self, costs: &[Cost], labelled: usize) -> usize {
        let recent = &costs[costs.len().saturating_sub(RECENT)..];
        let Some(last) = recent.last() else {
            return labelled;
        };
        let read = last.read.max(1) as f64;
        let sample = (last.seconds - last.probe_seconds) / read;
        let allowed = match self {
            Budget::Sweeps(sweeps) => sweeps * last.base_sweep_seconds / read * labelled as f64,
            Budget::Seconds(seconds) => seconds,
        };
        // The first scan's is what the first scan costs, and no other.
        let later = recent.iter().skip(usize::from(costs.len() <= RECENT));
        let probe = later
            .map(|cost| cost.probe_seconds)
            .fold(f64::NAN, f64::min);
        let left = allowed - if probe.is_nan() { 0.0 } else { probe };
        let least = (LEAST * labelled as f64).ceil();
        (left / sample.max(1e-9)).max(least).min(labelled as f64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_that_make_no_sense_are_refused() {
        for text in ["", "0", "-1", "nan", "inf", "0s", "half"] {
            assert!(text.parse::<Budget>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_first_scans_probe_is_not_expected_again() {
        let first = Cost {
            seconds: 10.0,
            probe_seconds: 8.0,
            base_sweep_seconds: 1.0,
            read: 1000,
        };
        let later = Cost {
            seconds: 1.0,
            probe_seconds: 0.5,
            base_sweep_seconds: 0.25,
            read: 250,
        };
        let budget = Budget::Sweeps(1.0);
        // 1 s at 2 ms a sample; then half a second of it.
        assert_eq!(budget.samples(&[first], 1000), 500);
        assert_eq!(budget.samples(&[first, later], 1000), 250);
    }

    #[test]
    fn a_little_is_always_read_and_never_more_than_all() {
        let cost = Cost {
            seconds: 2.0,
            probe_seconds: 1.0,
            base_sweep_seconds: 0.5,
            read: 1000,
        };
        assert_eq!(Budget::Seconds(0.1).samples(&[cost, cost], 1000), 10);
        assert_eq!(Budget::Seconds(100.0).samples(&[cost, cost], 1000), 1000);
        // A clock that stood still.
        let none = Cost {
            seconds: 0.0,
            probe_seconds: 0.0,
            ..cost
        };
        assert_eq!(Budget::Seconds(1.0).samples(&[none, none], 1000), 1000);
    }
}

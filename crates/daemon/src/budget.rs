//! The budget of scans: how many samples one may read.

use std::str::FromStr;

use crate::store::ScanNumbers;

/// What a scan may cost.
///
/// ```
/// use mirrorwatch_daemon::budget::Budget;
///
/// assert_eq!("0.5".parse(), Ok(Budget::Sweeps(0.5)));
/// assert_eq!("20s".parse(), Ok(Budget::Seconds(20.0)));
/// assert_eq!(Budget::Seconds(20.0).to_string(), "20s");
/// assert!("cheap".parse::<Budget>().is_err_and(|text| text.starts_with("\"cheap\" is no budget")));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Budget {
    /// Of one bare forward sweep over the training set, on average.
    Sweeps(f64),
    /// Seconds.
    Seconds(f64),
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Budget::Sweeps(sweeps) => write!(f, "{sweeps}"),
            Budget::Seconds(seconds) => write!(f, "{seconds}s"),
        }
    }
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
/// use mirrorwatch_daemon::store::ScanNumbers;
///
/// let cost = Cost::of(&ScanNumbers::of(&summary));
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
    /// As a scan has it.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    #[doc = include_str!("example_summary.txt")]
    /// # use mirrorwatch_daemon::{budget::Cost, store::ScanNumbers};
    /// assert_eq!(Cost::of(&ScanNumbers::of(&summary)).base_sweep_seconds, 0.5);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of(scan: &ScanNumbers) -> Self {
        Self {
            seconds: scan.scan_seconds,
            probe_seconds: scan.probe_seconds,
            base_sweep_seconds: scan.base_sweep_seconds,
            read: scan.read_samples,
        }
    }
}

/// What is to be done with a checkpoint.
///
/// ```
/// use mirrorwatch_daemon::budget::{Budget, Plan};
///
/// assert_eq!(Budget::Sweeps(0.5).plan(&[], 0, 1000), Plan::Read(1000));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// To read so many training samples.
    Read(usize),
    /// Nothing, for what is left is better spent on the next one.
    Wait,
}

/// The smallest share of the training set that is worth a scan, and the fewest samples: half of them have to stand for all
/// (see [`crate::part`]).
const LEAST: f64 = 0.01;
const FEWEST: f64 = 50.0;
/// Scans back from which the next one's price is estimated.
const RECENT: usize = 5;
/// What the probe is taken to cost in the second scan, beside the first: measured, .08 to .1.
const LATER: f64 = 0.1;
/// Checkpoints over which a debt, such as that of the first scan, is paid off.
const SPREAD: f64 = 15.0;

impl Budget {
    /// What to do with the next checkpoint, after scans that cost what `costs` say and `waited` checkpoints that had
    /// none. `labelled` training samples have a label.
    ///
    /// The first scan of a run reads all: there is nothing yet to choose by, and nothing known of the price. What it
    /// costs beyond the budget is saved on those after it, bit by bit, so that on average the budget is kept. Where a
    /// scan would hardly get beyond the probe, which costs the same however little is read, a checkpoint is left out
    /// and its share saved.
    ///
    /// ```
    /// use mirrorwatch_daemon::budget::{Budget, Cost, Plan};
    ///
    /// // Of 3 s, half a second goes into the probe; a sample costs 2.5 ms, one of them for the bare forward pass.
    /// let cost = Cost { seconds: 3.0, probe_seconds: 0.5, base_sweep_seconds: 1.0, read: 1000 };
    /// assert_eq!(Budget::Seconds(3.0).plan(&[cost, cost], 0, 1000), Plan::Read(1000));
    /// // Too much was spent: 2 s, less a part of the debt of 2 s, less the probe's.
    /// assert_eq!(Budget::Sweeps(2.0).plan(&[cost, cost], 0, 1000), Plan::Read(546));
    /// // Half a second at a time, one has to wait; after eleven checkpoints more there is enough.
    /// assert_eq!(Budget::Seconds(0.5).plan(&[cost, cost], 0, 1000), Plan::Wait);
    /// assert_eq!(Budget::Seconds(0.5).plan(&[cost, cost], 11, 1000), Plan::Read(200));
    /// ```
    pub fn plan(self, costs: &[Cost], waited: usize, labelled: usize) -> Plan {
        let recent = &costs[costs.len().saturating_sub(RECENT)..];
        if recent.is_empty() {
            return Plan::Read(labelled);
        }
        let read: usize = recent.iter().map(|cost| cost.read).sum();
        let each = |of: fn(&Cost) -> f64| {
            let sum: f64 = recent.iter().map(of).sum();
            (sum / read.max(1) as f64).max(1e-9)
        };
        let sample = each(|cost| cost.seconds - cost.probe_seconds);
        let income = match self {
            Budget::Sweeps(sweeps) => {
                sweeps * each(|cost| cost.base_sweep_seconds) * labelled as f64
            }
            Budget::Seconds(seconds) => seconds,
        };
        let spent: f64 = costs.iter().map(|cost| cost.seconds).sum();
        let left = (costs.len() + waited) as f64 * income - spent;
        let allowed = income + if left < 0.0 { left / SPREAD } else { left };
        // That of the first scan is what the first scan costs, and no other.
        let later = recent.iter().skip(usize::from(costs.len() <= RECENT));
        let probe = later
            .map(|cost| cost.probe_seconds)
            .fold(f64::NAN, f64::min);
        let probe = if probe.is_nan() {
            LATER * costs[0].probe_seconds
        } else {
            probe
        };
        let samples = (allowed - probe) / sample;
        let worth = (LEAST * labelled as f64).max(FEWEST).max(probe / sample);
        match samples >= worth.min(labelled as f64) {
            true => Plan::Read(samples.min(labelled as f64) as usize),
            false => Plan::Wait,
        }
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

    const FIRST: Cost = Cost {
        seconds: 10.0,
        probe_seconds: 8.0,
        base_sweep_seconds: 1.0,
        read: 1000,
    };

    #[test]
    fn the_first_scans_probe_is_not_expected_again() {
        // The probe's 8 s are a debt, and .8 s are expected of it.
        let found = Budget::Sweeps(2.0).plan(&[FIRST], 0, 1000);
        assert_eq!(found, Plan::Wait);
        let cheap = Cost {
            seconds: 3.0,
            probe_seconds: 1.0,
            ..FIRST
        };
        // 2 s, less a fifteenth of the debt of 1 s, less a tenth of a second, at 2 ms a sample.
        let found = Budget::Sweeps(2.0).plan(&[cheap], 0, 1000);
        assert_eq!(found, Plan::Read(916));
    }

    /// Scans cost half a second for the probe and 2 ms a sample.
    fn run(budget: Budget, checkpoints: usize) -> (Vec<Cost>, usize) {
        let (mut costs, mut waited) = (vec![FIRST], 0);
        for _ in 1..checkpoints {
            match budget.plan(&costs, waited, 1000) {
                Plan::Wait => waited += 1,
                Plan::Read(read) => costs.push(Cost {
                    seconds: 0.5 + 0.002 * read as f64,
                    probe_seconds: 0.5,
                    base_sweep_seconds: 0.001 * read as f64,
                    read,
                }),
            }
        }
        (costs, waited)
    }

    #[test]
    fn budgets_are_kept_on_average_and_used() {
        for sweeps in [0.2, 0.5, 1.0, 2.0] {
            let (costs, waited) = run(Budget::Sweeps(sweeps), 300);
            let spent: f64 = costs.iter().map(|cost| cost.seconds).sum();
            let mean = spent / (costs.len() + waited) as f64;
            assert!(mean < 1.01 * sweeps + 0.01, "{sweeps}: {mean}");
            assert!(mean > 0.9 * sweeps, "{sweeps}: {mean}");
            // Never mostly for the probe.
            assert!(
                costs[1..]
                    .iter()
                    .all(|cost| cost.seconds >= 2.0 * cost.probe_seconds - 1e-6)
            );
        }
    }

    #[test]
    fn too_few_to_stand_for_all_are_not_asked_for() {
        // A hundredth of 1,000 would be 10: too few, so that everything would be read, whatever the budget.
        let cheap = Cost {
            seconds: 2.0,
            probe_seconds: 0.0,
            ..FIRST
        };
        for waited in 0..200 {
            let plan = Budget::Seconds(0.01).plan(&[cheap, cheap], waited, 1000);
            assert!(matches!(plan, Plan::Wait | Plan::Read(50..)), "{plan:?}");
        }
    }

    #[test]
    fn never_more_than_all_is_read_and_clocks_may_stand_still() {
        assert_eq!(
            Budget::Seconds(100.0).plan(&[FIRST], 0, 1000),
            Plan::Read(1000)
        );
        let none = Cost {
            seconds: 0.0,
            probe_seconds: 0.0,
            base_sweep_seconds: 0.0,
            read: 1000,
        };
        assert_eq!(
            Budget::Seconds(1.0).plan(&[none, none], 0, 1000),
            Plan::Read(1000)
        );
        assert_eq!(
            Budget::Sweeps(1.0).plan(&[none, none], 0, 1000),
            Plan::Read(1000)
        );
    }
}

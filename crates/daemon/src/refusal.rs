//! When "no suspects" would not mean "no wrong labels": reasons not to count.
//!
//! A count of 0 from a model that knows nothing, or against a null that can show nothing, looks like
//! good news. It is exported as a refusal instead, with its reason.

use mirrorwatch_influence::{Labels, Scan};
use mirrorwatch_stats::binomial;
use serde::{Deserialize, Serialize};

use crate::account::{Account, Null};

/// Why nobody is named.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::refusal::{REASONS, Run, refusal};
///
/// let found = account(&evidence, &labels, levels)?;
/// let ignorant = Run { best_accuracy: 0.5, probe_noises: vec![0.0] };
/// let refused = refusal(&found, &labels, &ignorant, &[]).ok_or("none")?;
/// assert_eq!(refused.reason, REASONS[0]);
/// assert!(refused.message.starts_with("the model is right on 50.0 % of the probe, which guessing explains"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// A short label that never changes, one of [`REASONS`].
    pub reason: String,
    /// What is wrong and what to do, in words.
    pub message: String,
}

/// Every reason, for metrics.
pub const REASONS: [&str; 3] = ["model-at-chance", "null-too-small", "probe-noisy"];

/// Chance that a model that knows nothing passes as one that does.
const LEVEL: f64 = 0.01;

/// A clean probe does not reach this lower bound on its own label noise.
///
/// Measured as what two checkpoints of ten epochs say, with 20 % of the training labels wrong (`cargo xtask bench
/// detection --epochs 10 --probe-noise …`): 0 in five runs with a clean probe (CIFAR-10 features twice, and with 40 % of
/// pairs turned over; BANKING77; a Fashion-MNIST CNN), .002 at most by a single checkpoint; where 5 % of the labels of
/// 1,000 to 3,000 probe samples were wrong, .012, .018, .029 and .040. At 5 %, the held-out null names nobody.
const PROBE_NOISE: f64 = 0.01;
/// Probe samples to show.
const SHOWN: usize = 5;

/// What the scans of a run have said of the model and of the probe.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::refusal::Run;
///
/// let run = Run::new(&scan).and(0.97, 0.0);
/// assert_eq!(run, Run { best_accuracy: 0.97, probe_noises: vec![0.0, 0.0] });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// The best probe accuracy of the scanned checkpoints.
    pub best_accuracy: f64,
    /// The lower bound on the probe's label noise of each of them.
    pub probe_noises: Vec<f64>,
}

impl Run {
    /// A run of which one checkpoint is scanned.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::refusal::Run;
    ///
    /// let run = Run::new(&scan);
    /// assert_eq!((run.probe_noises.len(), run.best_accuracy), (1, scan.probe_accuracy));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(scan: &Scan) -> Self {
        Self {
            best_accuracy: scan.probe_accuracy,
            probe_noises: vec![probe_noise(scan)],
        }
    }

    /// With another scanned checkpoint.
    ///
    /// ```
    /// use mirrorwatch_daemon::refusal::Run;
    ///
    /// let run = Run { best_accuracy: 0.9, probe_noises: vec![0.02] };
    /// let longer = Run { best_accuracy: 0.9, probe_noises: vec![0.02, 0.01] };
    /// assert_eq!(run.and(0.8, 0.01), longer);
    /// ```
    #[must_use]
    pub fn and(mut self, probe_accuracy: f64, probe_noise: f64) -> Self {
        self.best_accuracy = self.best_accuracy.max(probe_accuracy);
        self.probe_noises.push(probe_noise);
        self
    }

    /// The probe's label noise is a property of the data: it is believed when two checkpoints say so, so that no single
    /// one decides unless it is all there is. Not what all of them say: a model of the one phase sees what another does
    /// not.
    ///
    /// ```
    /// use mirrorwatch_daemon::refusal::Run;
    ///
    /// let run = Run { best_accuracy: 0.9, probe_noises: vec![0.3, 0.0, 0.02] };
    /// assert_eq!(run.probe_noise(), 0.02);
    /// ```
    pub fn probe_noise(&self) -> f64 {
        let mut sorted = self.probe_noises.clone();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        let second = sorted.get(1).or(sorted.first());
        second.copied().unwrap_or(0.0)
    }
}

/// Lower bound on the probe's label noise by one scan.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::refusal::probe_noise;
///
/// let mut scan = scan;
/// scan.estimates[0].probe_noise = 0.03;
/// assert_eq!(probe_noise(&scan), 0.03);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn probe_noise(scan: &Scan) -> f64 {
    scan.estimates.first().map_or(0.0, |e| e.probe_noise)
}

/// Looks for a reason not to count. `probe_scores`: one per probe sample, larger = more suspicious.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::refusal::{Run, refusal};
///
/// let found = account(&evidence, &labels, levels)?;
/// assert_eq!(refusal(&found, &labels, &Run::new(&scan), &[]), None);
/// let noisy = Run { probe_noises: vec![0.05], ..Run::new(&scan) };
/// let refused = refusal(&found, &labels, &noisy, &[0.1, 0.9]);
/// assert!(refused.is_some_and(|r| r.reason == "probe-noisy" && r.message.contains("its samples 1, 0")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn refusal(
    account: &Account,
    labels: &Labels,
    run: &Run,
    probe_scores: &[f32],
) -> Option<Refusal> {
    at_chance(labels, run.best_accuracy, run.probe_noises.len())
        .or_else(|| too_small(account))
        .or_else(|| noisy_probe(account, run.probe_noise(), probe_scores))
}

/// Wrong labels in the probe make the held-out null say that wrong labels are nothing unusual. A trusted null
/// stands, but a probe that teaches mistakes may leave nobody to name.
fn noisy_probe(account: &Account, noise: f64, scores: &[f32]) -> Option<Refusal> {
    let matters = account.null == Null::HeldOut || account.suspects == 0;
    if !matters || noise <= PROBE_NOISE {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let shown: Vec<String> = order.iter().take(SHOWN).map(ToString::to_string).collect();
    Some(Refusal {
        reason: REASONS[2].to_string(),
        message: format!(
            "at least {:.1} % of the probe's own labels look wrong, which hides wrong labels among the training samples; correct the probe, beginning with its samples {}, or add trusted samples",
            100.0 * noise,
            shown.join(", ")
        ),
    })
}

/// A model that guesses the most frequent class is right as often as that class occurs.
fn at_chance(labels: &Labels, best_accuracy: f64, checkpoints: usize) -> Option<Refusal> {
    let trials = labels.probe.len();
    let chance = chance(labels);
    let right = (best_accuracy * trials as f64).round() as usize;
    let tail = binomial::upper_tail(trials, right, chance).unwrap_or(1.0);
    // Each checkpoint was a chance to be lucky.
    (tail * checkpoints.max(1) as f64 > LEVEL).then(|| Refusal {
        reason: REASONS[0].to_string(),
        message: match labels.has_classes() {
            true => format!(
                "the model is right on {:.1} % of the probe, which guessing explains ({:.1} %); wait for it to learn, or check that probe and training set have the same classes",
                100.0 * best_accuracy,
                100.0 * chance
            ),
            false => format!(
                "the model does better than an untaught one on {:.1} % of the probe, which chance explains; wait for it to learn, or check that probe and training set are alike",
                100.0 * best_accuracy
            ),
        },
    })
}

/// The share of the probe that a model is right on which knows nothing.
fn chance(labels: &Labels) -> f64 {
    if !labels.has_classes() {
        // It does better than another such model on half of the samples.
        return 0.5;
    }
    let mut counts = vec![0usize; labels.classes];
    for &label in &labels.probe {
        counts[label] += 1;
    }
    let most = counts.iter().max().copied().unwrap_or(0);
    most as f64 / labels.probe.len().max(1) as f64
}

/// Where only more than half of all samples could be named, the count says nothing about noise.
fn too_small(account: &Account) -> Option<Refusal> {
    let scored = account.judged;
    (2 * account.min_detectable > scored).then(|| Refusal {
        reason: REASONS[1].to_string(),
        message: format!(
            "{} {} samples cannot show fewer than {} suspects among {scored}; add trusted or probe samples",
            account.null_samples,
            account.null.name(),
            account.min_detectable
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(probe: Vec<usize>) -> Labels {
        Labels {
            classes: 2,
            train: vec![0; 100],
            probe,
            trusted: Vec::new(),
            canaries: Vec::new(),
            unlabelled: Vec::new(),
        }
    }

    fn account(min_detectable: usize) -> Account {
        Account {
            null: Null::HeldOut,
            null_samples: 9,
            scored: (0..100).collect(),
            judged: 100,
            threshold: 0.0,
            p_values: vec![1.0; 100],
            wrong_probability: vec![0.0; 100],
            flags: vec![false; 100],
            suspects: 0,
            expected_false: 0.0,
            min_detectable,
            lower_bound: 0.0,
            estimate: 0.0,
            canaries_found: 0,
        }
    }

    fn run(checkpoints: usize, best_accuracy: f64) -> Run {
        Run {
            best_accuracy,
            probe_noises: vec![0.0; checkpoints],
        }
    }

    fn reason(account: &Account, labels: &Labels, accuracy: f64) -> Option<String> {
        refusal(account, labels, &run(1, accuracy), &[]).map(|refusal| refusal.reason)
    }

    /// scipy 1.17.1: `binom.sf(61, 100, .5)` = .0105, `binom.sf(62, 100, .5)` = .0060.
    #[test]
    fn a_model_has_to_beat_guessing() {
        let even = labels((0..100).map(|i| i % 2).collect());
        let fine = account(10);
        assert_eq!(
            reason(&fine, &even, 0.62).as_deref(),
            Some("model-at-chance")
        );
        assert_eq!(reason(&fine, &even, 0.63), None);
        // Of twenty checkpoints, one is as lucky as that by guessing.
        assert!(refusal(&fine, &even, &run(20, 0.63), &[]).is_some());
        // Nine in ten are of one class: .9 is what guessing gives.
        let uneven = labels((0..100).map(|i| usize::from(i < 10)).collect());
        assert_eq!(
            reason(&fine, &uneven, 0.9).as_deref(),
            Some("model-at-chance")
        );
    }

    #[test]
    fn a_null_has_to_be_able_to_show_something() {
        let even = labels((0..100).map(|i| i % 2).collect());
        assert_eq!(reason(&account(50), &even, 0.9), None);
        let refused = refusal(&account(51), &even, &run(1, 0.9), &[]).unwrap();
        assert_eq!(refused.reason, "null-too-small");
        assert_eq!(
            refused.message,
            "9 held-out samples cannot show fewer than 51 suspects among 100; add trusted or probe samples"
        );
    }

    #[test]
    fn a_noisy_probe_is_a_reason_where_its_noise_hides_something() {
        let labels = labels((0..100).map(|i| i % 2).collect());
        let noisy = Run {
            probe_noises: vec![0.2, 0.034, 0.0],
            ..run(3, 0.9)
        };
        let scores = [0.5, 9.0, 0.0, 7.0, 1.0, 8.0, -1.0];
        let held_out = Account {
            suspects: 7,
            ..account(10)
        };
        let refused = refusal(&held_out, &labels, &noisy, &scores).unwrap();
        assert_eq!(refused.reason, "probe-noisy");
        assert_eq!(
            refused.message,
            "at least 3.4 % of the probe's own labels look wrong, which hides wrong labels among the training samples; correct the probe, beginning with its samples 1, 5, 3, 4, 0, or add trusted samples"
        );
        let trusted = Account {
            null: Null::Trusted,
            ..held_out
        };
        assert_eq!(refusal(&trusted, &labels, &noisy, &scores), None);
        let nobody = Account {
            suspects: 0,
            ..trusted
        };
        assert!(refusal(&nobody, &labels, &noisy, &scores).is_some());
        assert_eq!(refusal(&nobody, &labels, &run(3, 0.9), &scores), None);
    }

    #[test]
    fn a_run_keeps_its_best_and_what_two_of_it_say() {
        let first = Run {
            probe_noises: vec![0.2],
            ..run(1, 0.7)
        };
        // All that there is.
        assert_eq!(first.probe_noise(), 0.2);
        let second = first.and(0.8, 0.005);
        assert_eq!(second.probe_noise(), 0.005);
        let third = second.and(0.6, 0.04).and(0.6, 0.0);
        assert_eq!((third.best_accuracy, third.probe_noise()), (0.8, 0.04));
        let none = Run {
            probe_noises: Vec::new(),
            ..third
        };
        assert_eq!(none.probe_noise(), 0.0);
    }
}

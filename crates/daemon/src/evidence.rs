//! Evidence: what the checkpoints of a run have said of every sample so far.

use mirrorwatch_influence::{Estimate, Estimator, Labels, Scan};
use mirrorwatch_stats::StatsError;
use mirrorwatch_stats::moments::{compressed, robust_location_scale};

use crate::drift::Drift;
use crate::history::History;
use crate::part::Part;

/// Evidence of one estimator: the weighted running mean of its standardised scores.
///
/// Scores of one checkpoint are standardised by median and scaled MAD of the training set, so
/// that checkpoints of different phases of training weigh alike, and then compressed by asinh:
/// linear around the bulk, logarithmic in the tail. No single checkpoint decides for good, and no
/// two samples become equal.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// let channel = &evidence.channels[0];
/// assert_eq!((&channel.estimator, channel.held_out_null), (&estimator, true));
/// assert!(channel.train[195] > channel.train[0]);
/// assert_eq!((channel.suggested[195], channel.lead[195]), (0, 1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Channel {
    /// Which estimator.
    pub estimator: Estimator,
    /// Whether the probe may serve as its null distribution.
    pub held_out_null: bool,
    /// Running mean of each training sample.
    pub train: Vec<f32>,
    /// Running mean of each probe sample, as the one fork that did not learn from it reads it.
    pub probe: Vec<f32>,
    /// Running mean of each probe sample, as all forks would read it.
    pub probe_mean: Vec<f32>,
    /// Suggested label of each training sample: the one that most of the weight of all checkpoints
    /// speaks for.
    pub suggested: Vec<u32>,
    /// By what share of all weight each suggested label leads.
    pub lead: Vec<f32>,
}

/// Per-sample statistics accumulated over the checkpoints of a run.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// assert_eq!((evidence.checkpoints, evidence.channels.len()), (1, 1));
/// // The first samples were fitted at epoch 3, the last are not yet.
/// assert_eq!((evidence.fitted_epoch[0], evidence.fitted_epoch[199]), (3, mirrorwatch_daemon::evidence::NEVER));
/// assert_eq!((evidence.last_loss[199], evidence.mean_loss[199]), (9.0, 9.0));
/// assert_eq!((evidence.last_margin[199], evidence.mean_margin[199]), (-1.0, -1.0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Checkpoints taken in.
    pub checkpoints: u32,
    /// Sum of their weights, see [`weight`].
    pub weight: f64,
    /// Sum of the weights of their votes for suggested labels.
    pub vote_weight: f64,
    /// One channel per estimator; the first one counts.
    pub channels: Vec<Channel>,
    /// Running mean of each training sample's loss (the "cumulative loss" baseline).
    pub mean_loss: Vec<f32>,
    /// Running mean of each training sample's margin (AUM, Pleiss et al., NeurIPS 2020).
    pub mean_margin: Vec<f32>,
    /// Margin of each training sample at the last checkpoint; positive = fitted.
    pub last_margin: Vec<f32>,
    /// Loss of each training sample at the last checkpoint.
    pub last_loss: Vec<f32>,
    /// First epoch at which each training sample's label was fitted; [`NEVER`] if not yet.
    pub fitted_epoch: Vec<u32>,
    /// First epoch at which each training sample was a suspect; [`NEVER`] if it was not.
    pub flagged_epoch: Vec<u32>,
    /// At how many checkpoints each training sample was a suspect.
    pub flagged_count: Vec<u32>,
    /// How each training sample fared at checkpoints so far, coarsely.
    pub history: History,
    /// Where the next turn of scans that do not read all samples begins, between 0 and 1; see [`crate::part`].
    pub turned: f64,
}

/// "Not yet" in epoch fields.
pub const NEVER: u32 = u32::MAX;

impl Evidence {
    /// No evidence yet, for `train` training and `probe` probe samples.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let none = Evidence::new(&[estimator], 200, 500);
    /// assert_eq!((none.checkpoints, none.mean_loss.len(), none.channels[0].probe.len()), (0, 200, 500));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(estimators: &[Estimator], train: usize, probe: usize) -> Self {
        let mut channels = Vec::new();
        for estimator in estimators {
            channels.push(Channel {
                estimator: estimator.clone(),
                held_out_null: false,
                train: vec![0.0; train],
                probe: vec![0.0; probe],
                probe_mean: vec![0.0; probe],
                suggested: vec![0; train],
                lead: vec![0.0; train],
            });
        }
        Self {
            checkpoints: 0,
            weight: 0.0,
            vote_weight: 0.0,
            channels,
            mean_loss: vec![0.0; train],
            mean_margin: vec![0.0; train],
            last_margin: vec![0.0; train],
            last_loss: vec![0.0; train],
            fitted_epoch: vec![NEVER; train],
            flagged_epoch: vec![NEVER; train],
            flagged_count: vec![0; train],
            history: History::default(),
            turned: 0.0,
        }
    }

    /// Takes in the scan of a checkpoint at `epoch`.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let before = evidence.weight;
    /// evidence.add(&scan, 4, &labels)?;
    /// assert_eq!((evidence.checkpoints, evidence.weight), (2, 2.0 * before));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add(&mut self, scan: &Scan, epoch: u64, labels: &Labels) -> Result<(), StatsError> {
        self.add_part(scan, epoch, labels, None)
    }

    /// As [`Evidence::add`], of a scan that read a part of the samples; none where it read all.
    ///
    /// The others are taken to have gone the way of those that are typical and had the same evidence. Without that,
    /// samples that were read by different checkpoints could not be compared: no two checkpoints use one scale.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::part::choose;
    ///
    /// let part = choose(&evidence, &labels, 40, 10, 0).ok_or("all are read")?;
    /// evidence.add_part(&scan, 4, &labels, Some(&part))?;
    /// assert_eq!((evidence.checkpoints, evidence.turned), (2, part.turned));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_part(
        &mut self,
        scan: &Scan,
        epoch: u64,
        labels: &Labels,
        part: Option<&Part>,
    ) -> Result<(), StatsError> {
        let labelled = labels.labelled();
        let typical = part.map_or(&labelled, |part| &part.typical);
        let fitted = fitted(typical.iter().map(|&sample| &scan.train_margins[sample]));
        let says = says(scan, fitted, typical.len());
        let (weight, vote_weight) = (says.powi(DECIDED), says.powi(VOTE_DECIDED));
        self.checkpoints += 1;
        self.weight += weight;
        self.vote_weight += vote_weight;
        let share = (weight / self.weight) as f32;
        let vote_share = (vote_weight / self.vote_weight) as f32;
        for (channel, estimate) in self.channels.iter_mut().zip(&scan.estimates) {
            channel.add(estimate, &labelled, part, share)?;
            if labels.has_classes() {
                let read = part.map(|part| &part.train[..]);
                channel.vote(&estimate.suggested, read, vote_share);
            }
        }
        let epoch = epoch_u32(epoch);
        let mut read = |sample: usize| {
            self.last_loss[sample] = scan.train_losses[sample];
            self.last_margin[sample] = scan.train_margins[sample];
            if scan.train_margins[sample] > 0.0 {
                let first = &mut self.fitted_epoch[sample];
                *first = (*first).min(epoch);
            }
        };
        match part {
            None => (0..scan.train_losses.len()).for_each(&mut read),
            Some(part) => part.train.iter().copied().for_each(&mut read),
        }
        // What was not read is taken to be as it was when it was.
        let weight = 1.0 / self.checkpoints as f32;
        blend(&mut self.mean_loss, &self.last_loss, weight);
        blend(&mut self.mean_margin, &self.last_margin, weight);
        if let Some(part) = part {
            self.turned = part.turned;
        }
        Ok(())
    }

    /// Notes the p-values at the checkpoint of `epoch` and `step` that was just added.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// evidence.note_history(&[0.5; 200], 3, 471);
    /// let points = evidence.history.of(199);
    /// assert_eq!((points.len(), points[0].epoch, points[0].fitted), (1, 3, false));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note_history(&mut self, p_values: &[f64], epoch: u64, step: u64) {
        let (losses, margins) = (&self.last_loss, &self.last_margin);
        self.history.add(epoch, step, p_values, losses, margins);
    }

    /// Notes which samples are suspects at the checkpoint of `epoch` that was just added.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// let mut flags = vec![false; 200];
    /// flags[195] = true;
    /// evidence.note_flags(&flags, 3);
    /// assert_eq!((evidence.flagged_count[195], evidence.flagged_epoch[195]), (1, 3));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn note_flags(&mut self, flags: &[bool], epoch: u64) {
        for (sample, _) in flags.iter().enumerate().filter(|(_, flagged)| **flagged) {
            self.flagged_count[sample] += 1;
            self.flagged_epoch[sample] = self.flagged_epoch[sample].min(epoch_u32(epoch));
        }
    }
}

/// How decidedly checkpoints that have more to say are preferred.
///
/// Chosen, with the share of labels not fitted as it is instead of beside that of the probe (see [`says`]), on five runs (frozen CIFAR-10 features with 5, 10 and 40 % noise, a Fashion-MNIST MLP with 10 and
/// 20 %) among 3, 4, 6, 8, 12 and 20, then confirmed on a sixth (BANKING77). At the end of a memorising
/// run the held-out null finds, of the wrong labels of these runs, .41, .48, .77, .91 and .19 with 3,
/// and .58, .58, .84, .92 and .59 with 8; before memorising sets in they hardly differ. With 20 a single
/// checkpoint decides, and what the others would average out comes back.
const DECIDED: i32 = 8;

/// The same for the votes on the suggested label, which no null has to match: they gain more by many voters.
///
/// Of the suggested labels of true suspects at the end of a memorising run (20 % noise; BANKING77, frozen
/// CIFAR-10 features, a Fashion-MNIST CNN), .849, .873 and .871 are right with 8, .859, .872 and .872 with 4, .861,
/// .874 and .876 with 2, and .854, .861 and .882 with equal votes.
const VOTE_DECIDED: i32 = 2;

/// The least that a checkpoint is taken to say: a model that knows nothing or has memorised
/// everything still counts, for it may be all there is.
const LEAST: f64 = 1e-3;

/// The weight of a checkpoint in the running mean: the eighth power of what it has to say, which is what the
/// model knows (probe accuracy above chance, squared) times what it has not memorised (share of training
/// labels not fitted, over that of the probe).
///
/// A plain mean would let the many checkpoints of a long memorised phase drown the few that could tell
/// wrong labels from right ones. The weight depends on the training set as a whole and on the probe,
/// never on a single sample, so that it leaves trusted and other clean samples exchangeable.
///
/// `samples` is the number of training samples that have a label.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::evidence::weight;
///
/// // A model that knows nothing hardly counts.
/// let ignorant = Scan { probe_accuracy: 0.5, ..scan.clone() };
/// assert!(weight(&ignorant, 200) < 1e-6 * weight(&scan, 200));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn weight(scan: &Scan, samples: usize) -> f64 {
    says(scan, fitted(scan.train_margins.iter()), samples).powi(DECIDED)
}

/// How many of these margins are those of fitted samples.
fn fitted<'a>(margins: impl Iterator<Item = &'a f32>) -> usize {
    margins.filter(|margin| **margin > 0.0).count()
}

/// How much a checkpoint has to say, above 0.
///
/// A model that does not memorise leaves about as many training labels unfitted as probe labels, and the
/// wrong ones on top. Next to the probe's share, what is left unfitted tells memorising from learning;
/// by itself it falls with both, so that on data that is easily learnt the first, ignorant checkpoint
/// would decide everything. Average precision at the end of training, by itself and beside the probe's: digits
/// with 1 % wrong labels .943 and .927 against .995 and .961, 5 % .985 and .955 against .996 and .980; on the six
/// runs that the power was chosen on, the two differ by .002 at most.
///
/// `fitted` of `samples` training samples are.
fn says(scan: &Scan, fitted: usize, samples: usize) -> f64 {
    // A probe of a single class leaves nothing to know above chance.
    let above = 1.0 - scan.chance;
    let knowledge = if above > 0.0 {
        ((scan.probe_accuracy - scan.chance) / above).max(0.0)
    } else {
        0.0
    };
    let open = 1.0 - fitted as f64 / samples.max(1) as f64;
    // One more error than there is: a probe without any is no proof that there are none.
    let open_in_probe = 1.0 - scan.probe_fitted + 1.0 / scan.probe_losses.len().max(1) as f64;
    (knowledge * knowledge * open / open_in_probe).max(LEAST)
}

impl Channel {
    fn add(
        &mut self,
        estimate: &Estimate,
        labelled: &[usize],
        part: Option<&Part>,
        share: f32,
    ) -> Result<(), StatsError> {
        self.held_out_null = estimate.held_out_null;
        let typical = part.map_or(labelled, |part| &part.typical);
        let (location, scale) = if typical.len() == estimate.train.len() {
            robust_location_scale(&estimate.train)?
        } else {
            let scores: Vec<f32> = typical.iter().map(|&i| estimate.train[i]).collect();
            robust_location_scale(&scores)?
        };
        let standardise = |scores: &[f32]| compressed(scores, location, scale);
        let mut train = standardise(&estimate.train);
        let mut probe = standardise(&estimate.probe);
        let mut probe_mean = standardise(&estimate.probe_mean);
        if let Some(part) = part {
            let drift = Drift::fitted(&self.train, &train, &part.typical);
            drift.fill(&mut train, &self.train, &part.train);
            drift.fill(&mut probe, &self.probe, &part.probe);
            drift.fill(&mut probe_mean, &self.probe_mean, &part.probe);
        }
        blend(&mut self.train, &train, share);
        blend(&mut self.probe, &probe, share);
        blend(&mut self.probe_mean, &probe_mean, share);
        Ok(())
    }

    /// A vote with share `weight` of all weight so far: Boyer and Moore's majority algorithm (*MJRTY*,
    /// 1981) with weights. It keeps one candidate a sample instead of one count a class, and finds every
    /// label that more than half of the weight speaks for. `read` has the samples that vote; none where all do.
    fn vote(&mut self, suggested: &[u32], read: Option<&[usize]>, weight: f32) {
        let mut vote = |sample: usize| {
            let (candidate, lead) = (&mut self.suggested[sample], &mut self.lead[sample]);
            let vote = suggested[sample];
            // What was said before now is a smaller share of the whole.
            *lead *= 1.0 - weight;
            if *candidate == vote {
                *lead += weight;
            } else if weight > *lead {
                *candidate = vote;
                *lead = weight - *lead;
            } else {
                *lead -= weight;
            }
        };
        match read {
            None => (0..suggested.len()).for_each(vote),
            Some(read) => read.iter().copied().for_each(&mut vote),
        }
    }
}

fn blend(mean: &mut [f32], values: &[f32], weight: f32) {
    for (mean, value) in mean.iter_mut().zip(values) {
        *mean += weight * (value - *mean);
    }
}

fn epoch_u32(epoch: u64) -> u32 {
    // One below NEVER, so that an absurd epoch still counts as "was".
    u32::try_from(epoch).unwrap_or(NEVER - 1).min(NEVER - 1)
}

#[cfg(test)]
#[path = "evidence_tests.rs"]
mod tests;

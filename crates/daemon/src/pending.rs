//! A scan on its way into the evidence: what can fail is done, and nothing is changed yet.

use mirrorwatch_influence::{Estimate, Labels, Scan};
use mirrorwatch_stats::moments::{compress, robust_location_scale};
use mirrorwatch_stats::shards::{Alone, Exchange, ShardError, Tally, location_scale, merged};

use crate::drift::Drift;
use crate::evidence::{Channel, Evidence};
use crate::part::Part;

/// The scores of a run with one more scan, before they replace those without it.
///
/// It holds what the count looks at, and only that: the rest of the evidence is changed in its place by
/// [`Evidence::take`].
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::account::account_of;
/// use mirrorwatch_daemon::pending::Pending;
///
/// let pending = Pending::new(&evidence, &scan, &labels)?;
/// assert_eq!((pending.checkpoints, evidence.checkpoints), (2, 1));
/// let found = account_of(&pending.channels, &labels, levels)?;
/// evidence.add(&scan, 4, &labels)?;
/// assert_eq!(found.flags, account(&evidence, &labels, levels)?.flags);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    /// Checkpoints, this one included.
    pub checkpoints: u32,
    /// The channels as they will be.
    pub channels: Vec<Channel>,
    pub(crate) weight: f64,
    pub(crate) vote_weight: f64,
    pub(crate) turned: f64,
}

impl Pending {
    /// What `evidence` will be with `scan`.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::pending::Pending;
    ///
    /// let mut broken = scan.clone();
    /// broken.estimates[0].train[7] = f32::NAN;
    /// assert!(Pending::new(&evidence, &broken, &labels).is_err());
    /// assert_eq!(Pending::new(&evidence, &scan, &labels)?.channels.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(evidence: &Evidence, scan: &Scan, labels: &Labels) -> Result<Self, ShardError> {
        Self::of_part(evidence, scan, labels, None, &Alone)
    }

    /// As [`Pending::new`], of a scan that read a part of the samples (none where it read all), or of one of several
    /// shards, which standardise by the scores of all.
    ///
    /// # Errors
    ///
    /// Scores that cannot be standardised, and parts that cannot be exchanged.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::part::choose;
    /// use mirrorwatch_daemon::pending::Pending;
    /// use mirrorwatch_stats::shards::Alone;
    ///
    /// let part = choose(&evidence, &labels, 40, 10, 0).ok_or("all are read")?;
    /// let pending = Pending::of_part(&evidence, &scan, &labels, Some(&part), &Alone)?;
    /// assert_eq!(pending.channels[0].train.len(), 200);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn of_part(
        evidence: &Evidence,
        scan: &Scan,
        labels: &Labels,
        part: Option<&Part>,
        exchange: &dyn Exchange,
    ) -> Result<Self, ShardError> {
        let says = match part {
            None => {
                let samples = (labels.train.len() - labels.unlabelled.len()) as u64;
                let fitted = fitted(scan.train_margins.iter()) as u64;
                let own = Tally::of_counts([(0, samples - fitted), (1, fitted)]);
                let all = merged(exchange, "number of fitted labels", Tally::default(), own)?;
                says(scan, all.count(1) as usize, all.total() as usize)
            }
            Some(Part { typical, .. }) => {
                let margins = typical.iter().map(|&sample| &scan.train_margins[sample]);
                says(scan, fitted(margins), typical.len())
            }
        };
        let (weight, vote_weight) = (says.powi(DECIDED), says.powi(VOTE_DECIDED));
        let mut pending = Self {
            checkpoints: evidence.checkpoints + 1,
            channels: Vec::with_capacity(evidence.channels.len()),
            weight: evidence.weight + weight,
            vote_weight: evidence.vote_weight + vote_weight,
            turned: part.map_or(evidence.turned, |part| part.turned),
        };
        let share = (weight / pending.weight) as f32;
        let vote_share = (vote_weight / pending.vote_weight) as f32;
        for (nth, channel) in evidence.channels.iter().enumerate() {
            let mut channel = channel.clone();
            if let Some(estimate) = scan.estimates.get(nth) {
                channel.add(estimate, labels, part, share, exchange)?;
                if labels.has_classes() {
                    let read = part.map(|part| &part.train[..]);
                    channel.vote(&estimate.suggested, read, vote_share);
                }
            }
            pending.channels.push(channel);
        }
        Ok(pending)
    }

    /// The scores of the probe by the channel that counts.
    pub(crate) fn probe(&self) -> &[f32] {
        self.channels.first().map_or(&[], |c| &c.probe)
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

/// What shards exchange to standardise by.
const SCORES: &str = "scores";

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
        labels: &Labels,
        part: Option<&Part>,
        weight: f32,
        exchange: &dyn Exchange,
    ) -> Result<(), ShardError> {
        self.held_out_null = estimate.held_out_null;
        let of = |samples: &[usize]| -> Vec<f32> {
            samples.iter().map(|&i| estimate.train[i]).collect()
        };
        let (location, scale) = match part {
            Some(part) => robust_location_scale(&of(&part.typical))?,
            None if labels.unlabelled.is_empty() => {
                location_scale(exchange, SCORES, &estimate.train)?
            }
            None => location_scale(exchange, SCORES, &of(&labels.labelled()))?,
        };
        let now = |score: f32| compress(score, location, scale);
        let drift =
            part.map(|part| Drift::fitted(&self.train, &part.typical, |i| now(estimate.train[i])));
        let standardise = |mean: &mut [f32], scores: &[f32], read: Option<&[usize]>| {
            let mut read = read.map(|read| read.iter().peekable());
            for (sample, (mean, score)) in mean.iter_mut().zip(scores).enumerate() {
                let unread = read
                    .as_mut()
                    .is_some_and(|read| read.next_if(|&&next| next == sample).is_none());
                let score = match &drift {
                    // What it would have been, most likely.
                    Some(drift) if unread => drift.at(*mean),
                    _ => now(*score),
                };
                *mean += weight * (score - *mean);
            }
        };
        let train = part.map(|part| &part.train[..]);
        let probe = part.map(|part| &part.probe[..]);
        standardise(&mut self.train, &estimate.train, train);
        standardise(&mut self.probe, &estimate.probe, probe);
        standardise(&mut self.probe_mean, &estimate.probe_mean, probe);
        Ok(())
    }

    /// A vote with share `weight` of all weight so far: Boyer and Moore's majority algorithm (*MJRTY*,
    /// 1981) with weights. It keeps one candidate a sample instead of one count a class, and finds every
    /// label that more than half of the weight speaks for. `read` has the samples that vote; none where all do.
    pub(crate) fn vote(&mut self, suggested: &[u32], read: Option<&[usize]>, weight: f32) {
        let vote = |sample: usize| {
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
            Some(read) => read.iter().copied().for_each(vote),
        }
    }
}

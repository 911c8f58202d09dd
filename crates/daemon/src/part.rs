//! Parts: which samples a scan reads where it may not read all of them.
//!
//! Half of a part are samples whose turn it is: turns go round, so that everyone is looked at again and a change is
//! noticed. The other half are those nearest to the line between suspects and the rest, where one more reading may
//! still change something; samples far from it on either side are left alone (racing, as in Maron and Moore, NIPS
//! 1993).
//!
//! Counts stay valid: whether a sample is read depends on a number that is drawn from its position and on its evidence
//! so far, never on its label or on whether it is trusted, and probe samples are taken in by the same rule. Two
//! samples whose labels are right so remain exchangeable. What is read less often is known less well, in the null as
//! elsewhere, and bounds fall and suspects become fewer by themselves.

use mirrorwatch_influence::{Labels, Scan};

use crate::evidence::Evidence;
use crate::narrow::Halves;

/// Share of a part that is read because its turn has come.
const TURN: f64 = 0.5;

/// The samples that a scan reads.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::part::choose;
///
/// let part = choose(&evidence, &labels, 40, 10, 0);
/// assert!(part.is_some_and(|part| part.train.len() < 60 && part.train.contains(&190)));
/// // Nothing has to be left out.
/// assert!(choose(&evidence, &labels, 200, 10, 0).is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Training samples, in ascending order.
    pub train: Vec<usize>,
    /// Those of them whose turn it is, in ascending order: as good as drawn at random, they stand for all.
    pub typical: Vec<usize>,
    /// Probe samples that are taken in. (All are read: the forks need them.)
    pub probe: Vec<usize>,
    /// Where the next turn begins, between 0 and 1.
    pub turned: f64,
}

impl Part {
    /// Labels for a scan of this part: those of all other samples are not there.
    ///
    /// ```
    #[doc = include_str!("example_run.txt")]
    /// use mirrorwatch_daemon::part::Part;
    ///
    /// let part = Part { train: vec![3, 7], typical: vec![3], probe: vec![], turned: 0.0 };
    /// assert_eq!(part.labels(&labels).labelled(), [3, 7]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn labels(&self, labels: &Labels) -> Labels {
        Labels {
            unlabelled: self.unread(labels.train.len()).collect(),
            ..labels.clone()
        }
    }

    /// Those of `count` training samples that are not read, in ascending order.
    fn unread(&self, count: usize) -> impl Iterator<Item = usize> {
        let mut read = self.train.iter().peekable();
        (0..count).filter(move |sample| read.next_if(|next| *next == sample).is_none())
    }

    /// Gives those who were not read the values that they had when they were.
    pub(crate) fn carry_over(&self, values: &mut [f32], before: &Halves) {
        for sample in self.unread(values.len()) {
            values[sample] = before.get(sample).unwrap_or_default();
        }
    }

    /// Gives a scan of this part losses and margins of all samples.
    pub(crate) fn complete(&self, scan: &mut Scan, evidence: &Evidence) {
        self.carry_over(&mut scan.train_losses, &evidence.last_loss);
        self.carry_over(&mut scan.train_margins, &evidence.last_margin);
    }
}

/// Chooses about `samples` of the labelled training samples; none where that is all of them, or where nothing is known
/// yet.
///
/// `wrong` is the number of wrong labels that there seem to be: the line is drawn after so many samples. `seed` decides
/// who has which turn, and must stay the same.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::part::choose;
///
/// let part = choose(&evidence, &labels, 40, 10, 0);
/// assert!(part.is_some_and(|part| part.typical.iter().all(|sample| part.train.contains(sample))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn choose(
    evidence: &Evidence,
    labels: &Labels,
    samples: usize,
    wrong: usize,
    seed: u64,
) -> Option<Part> {
    let labelled = labels.labelled();
    let channel = evidence.channels.first()?;
    if samples >= labelled.len() || evidence.checkpoints == 0 {
        return None;
    }
    let turn = Turn {
        from: evidence.turned,
        share: TURN * samples as f64 / labelled.len() as f64,
        seed,
    };
    let line = Line::near(channel.train.as_slice(), &labelled, wrong, samples);
    let mut part = Part {
        train: Vec::with_capacity(2 * samples),
        typical: Vec::with_capacity(samples),
        probe: Vec::new(),
        turned: turn.end(),
    };
    for sample in labelled {
        let has_turn = turn.has(sample, TRAINING);
        if has_turn {
            part.typical.push(sample);
        }
        if has_turn || line.has(channel.train[sample]) {
            part.train.push(sample);
        }
    }
    for (sample, &score) in channel.probe.iter().enumerate() {
        if turn.has(sample, PROBE) || line.has(score) {
            part.probe.push(sample);
        }
    }
    // A handful says nothing of all.
    (part.typical.len() >= FEWEST).then_some(part)
}

/// The samples that the training has consumed since the scan before, by their positions; none where all are to be read:
/// at a run's first scan, and where so few would have to stand for all.
///
/// What is consumed is drawn by the training's own order, not by label or trust, and probe samples take turns at the
/// same rate.
///
/// ```
#[doc = include_str!("example_run.txt")]
/// use mirrorwatch_daemon::part::consumed;
///
/// let half: Vec<u64> = (0..200).step_by(2).collect();
/// let part = consumed(&evidence, &labels, &half, 0).ok_or("all are read")?;
/// assert_eq!((part.train.len(), &part.train[..3]), (100, &[0, 2, 4][..]));
/// assert!((150..350).contains(&part.probe.len()));
/// assert_eq!(consumed(&evidence, &labels, &half[..5], 0), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn consumed(
    evidence: &Evidence,
    labels: &Labels,
    positions: &[u64],
    seed: u64,
) -> Option<Part> {
    let labelled = labels.labelled();
    if evidence.checkpoints == 0 {
        return None;
    }
    let was = |sample: &usize| positions.binary_search(&(*sample as u64)).is_ok();
    let train: Vec<usize> = labelled.iter().copied().filter(was).collect();
    if train.len() < FEWEST || train.len() == labelled.len() {
        return None;
    }
    let share = train.len() as f64 / labelled.len() as f64;
    let turn = Turn {
        from: evidence.turned,
        share,
        seed,
    };
    let probe = evidence.channels.first()?.probe.len();
    Some(Part {
        typical: train.clone(),
        train,
        probe: (0..probe)
            .filter(|&sample| turn.has(sample, PROBE))
            .collect(),
        turned: turn.end(),
    })
}

/// Whose turn it is.
struct Turn {
    from: f64,
    share: f64,
    seed: u64,
}

impl Turn {
    fn has(&self, sample: usize, set: u64) -> bool {
        let place = phase(self.seed ^ set, sample) - self.from;
        place.rem_euclid(1.0) < self.share
    }

    fn end(&self) -> f64 {
        (self.from + self.share).fract()
    }
}

/// The fewest samples that may stand for all; with less, everything is read. A budget never asks for so few.
const FEWEST: usize = 10;
/// What tells turns of probe samples from those of training samples of the same number.
const TRAINING: u64 = 0;
const PROBE: u64 = 0x5052_4f42;

/// The evidence that counts as undecided.
#[derive(Debug, PartialEq)]
struct Line {
    lowest: f32,
    highest: f32,
}

impl Line {
    /// Around the place after the `wrong` largest scores of these samples, so wide that those who have no turn in a
    /// part of `samples` are about as many as its other half.
    fn near(scores: &[f32], labelled: &[usize], wrong: usize, samples: usize) -> Self {
        let mut sorted: Vec<f32> = labelled.iter().map(|&sample| scores[sample]).collect();
        sorted.sort_unstable_by(|a, b| b.total_cmp(a));
        // Of those near the line some have their turn anyway.
        let turns = TURN * samples as f64 / labelled.len() as f64;
        let width = (1.0 - TURN) * samples as f64 / (1.0 - turns);
        let width = (width as usize).min(sorted.len() - 1);
        let first = wrong
            .saturating_sub(width / 2)
            .min(sorted.len() - 1 - width);
        Self {
            lowest: sorted[first + width],
            highest: sorted[first],
        }
    }

    fn has(&self, score: f32) -> bool {
        self.lowest < score && score <= self.highest
    }
}

/// A number in [0, 1) that is a sample's own (SplitMix64 of Steele, Lea and Flood, OOPSLA 2014).
fn phase(seed: u64, sample: usize) -> f64 {
    let mut z = seed.wrapping_add((sample as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    (z >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;

//! Sudden onset: sources that went bad between two checkpoints of a run.
//!
//! A bug in a data pipeline can feed wrong labels of one source from some epoch on, while the labels
//! that the task hands out stay as they were. Accumulated evidence weighs early checkpoints and cannot
//! show that. The samples that the model fitted at the previous scanned checkpoint and no longer fits
//! do, source by source: see [`mirrorwatch_stats::onset`] for the test and what it promises.

use std::collections::HashMap;

use mirrorwatch_influence::Labels;
use mirrorwatch_stats::onset;
use mirrorwatch_stats::shards::{Alone, Exchange, ShardError};
use serde::{Deserialize, Serialize};

use crate::sources::Sources;
use crate::store::RunState;

/// A source that went bad between two scanned checkpoints.
///
/// ```
/// # use mirrorwatch_daemon::onset::{Moment, SourceOnset, compare, sentence};
/// # let onset = SourceOnset {
/// #     source: "vendor-b".into(), epoch: 5, step: 2350, since_epoch: 4, since_step: 1880,
/// #     lost: 40, gained: 6, expected_lost: 7.5, p_value: 1e-7,
/// # };
/// let json = serde_json::to_value(&onset)?;
/// assert_eq!((&json["source"], &json["lost"]), (&"vendor-b".into(), &40.into()));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SourceOnset {
    /// The source, as the task names it.
    pub source: String,
    /// Epoch of the checkpoint at which it was seen.
    pub epoch: u64,
    /// Optimizer step of that checkpoint.
    pub step: u64,
    /// Epoch of the checkpoint scanned before, at which nothing was wrong yet.
    pub since_epoch: u64,
    /// Optimizer step of that one.
    pub since_step: u64,
    /// Scored samples of the source that were fitted then and no longer are.
    pub lost: usize,
    /// Scored samples of the source that are fitted now and were not then.
    pub gained: usize,
    /// Lost samples to expect from its mix of given labels.
    pub expected_lost: f64,
    /// Bound on the chance of that, before allowing for the number of sources and comparisons.
    pub p_value: f64,
}

/// What changed since the previous scanned checkpoint.
///
/// All but `comparisons` and `so_far` is empty where there is none, or where it was of a later time of
/// training than this one.
///
/// ```
#[doc = include_str!("example_task.txt")]
#[doc = include_str!("example_run.txt")]
#[doc = include_str!("example_summary.txt")]
/// # use mirrorwatch_daemon::onset::{Moment, Onset, compare};
/// # use mirrorwatch_daemon::sources::Sources;
/// # use mirrorwatch_daemon::store::RunState;
/// # let mut state = RunState::new("", &[estimator], 200, 500);
/// # state.evidence = evidence;
/// # summary.onset = Onset::default();
/// # state.last = Some(summary);
/// # let (sources, scored) = (Sources::read(&Line, 200), (0..200).collect::<Vec<usize>>());
/// // At epoch 3 all but the last ten samples were fitted; at epoch 4 none of bob's is.
/// let margins: Vec<f32> = (0..200).map(|i| if i < 100 { 1.0 } else { -1.0 }).collect();
/// let now = Moment { epoch: 4, step: 628, margins: &margins };
/// let found = compare(&state, now, &sources, &labels, &scored, 0.05)?;
/// assert_eq!((found.comparisons, found.since_epoch, found.forgotten, found.learnt), (1, Some(3), Some(90), Some(0)));
/// assert_eq!((found.flagged[0].source.as_str(), found.flagged[0].lost), ("bob", 90));
/// assert_eq!(found.so_far, found.flagged);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Onset {
    /// Comparisons of two checkpoints in this run so far.
    pub comparisons: u32,
    /// Epoch of the checkpoint that this one is compared with.
    pub since_epoch: Option<u64>,
    /// Optimizer step of the checkpoint that this one is compared with.
    pub since_step: Option<u64>,
    /// Scored samples whose given label was fitted then and is not now.
    pub forgotten: Option<usize>,
    /// Scored samples whose given label is fitted now and was not then.
    pub learnt: Option<usize>,
    /// Sources that went bad in between.
    pub flagged: Vec<SourceOnset>,
    /// Sources that went bad at any time of the run, each as it was first seen, oldest first.
    pub so_far: Vec<SourceOnset>,
}

/// The checkpoint that was just scanned.
///
/// ```
#[doc = include_str!("example_task.txt")]
#[doc = include_str!("example_run.txt")]
#[doc = include_str!("example_summary.txt")]
/// # use mirrorwatch_daemon::onset::{Moment, Onset, compare};
/// # use mirrorwatch_daemon::sources::Sources;
/// # use mirrorwatch_daemon::store::RunState;
/// # let mut state = RunState::new("", &[estimator], 200, 500);
/// # state.evidence = evidence;
/// # summary.onset = Onset::default();
/// # state.last = Some(summary);
/// # let (sources, scored) = (Sources::read(&Line, 200), (0..200).collect::<Vec<usize>>());
/// let margins = vec![1.0; 200];
/// let now = Moment { epoch: 4, step: 628, margins: &margins };
/// let found = compare(&state, now, &sources, &labels, &scored, 0.05)?;
/// assert_eq!((found.forgotten, found.learnt), (Some(0), Some(10)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// Its epoch.
    pub epoch: u64,
    /// Its optimizer step.
    pub step: u64,
    /// Margin of each training sample; positive = fitted.
    pub margins: &'a [f32],
}

/// Stands for all classes where counts go by class.
const WHOLE: usize = usize::MAX;

/// Compares the checkpoint `now` with the one scanned before, of which `state` still tells.
///
/// `scored`: the samples that are judged. `alpha`: the chance that any source is flagged at any time of the
/// run though nothing happened.
///
/// # Errors
///
/// An `alpha` that is not between 0 and 1.
///
/// ```
#[doc = include_str!("example_task.txt")]
#[doc = include_str!("example_run.txt")]
#[doc = include_str!("example_summary.txt")]
/// # use mirrorwatch_daemon::onset::{Moment, Onset, compare};
/// # use mirrorwatch_daemon::sources::Sources;
/// # use mirrorwatch_daemon::store::RunState;
/// # let mut state = RunState::new("", &[estimator], 200, 500);
/// # state.evidence = evidence;
/// # summary.onset = Onset::default();
/// # state.last = Some(summary);
/// # let (sources, scored) = (Sources::read(&Line, 200), (0..200).collect::<Vec<usize>>());
/// let margins = vec![-1.0; 200];
/// // Everything is forgotten, by all sources alike: none of them went bad.
/// let now = Moment { epoch: 4, step: 628, margins: &margins };
/// assert!(compare(&state, now, &sources, &labels, &scored, 0.05)?.flagged.is_empty());
/// // Of a time before the last scan.
/// let earlier = Moment { epoch: 2, step: 314, margins: &margins };
/// assert_eq!(compare(&state, earlier, &sources, &labels, &scored, 0.05)?.comparisons, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compare(
    state: &RunState,
    now: Moment<'_>,
    sources: &Sources,
    labels: &Labels,
    scored: &[usize],
    alpha: f64,
) -> Result<Onset, ShardError> {
    compare_with(state, now, sources, (labels, scored), alpha, &Alone)
}

/// [`compare`] by the samples of all shards.
///
/// # Errors
///
/// As there, and parts that cannot be exchanged.
pub(crate) fn compare_with(
    state: &RunState,
    now: Moment<'_>,
    sources: &Sources,
    (labels, scored): (&Labels, &[usize]),
    alpha: f64,
    exchange: &dyn Exchange,
) -> Result<Onset, ShardError> {
    let Some(last) = &state.last else {
        return Ok(Onset::default());
    };
    let mut found = Onset {
        comparisons: last.onset.comparisons,
        so_far: last.onset.so_far.clone(),
        ..Onset::default()
    };
    // Backwards in time what is learnt looks lost.
    if (now.epoch, now.step) <= (last.epoch, last.step) {
        return Ok(found);
    }
    found.comparisons = found.comparisons.saturating_add(1);
    found.since_epoch = Some(last.epoch);
    found.since_step = Some(last.step);

    let earlier = &state.evidence.last_margin;
    let mut counts: HashMap<(usize, usize), [usize; 3]> = HashMap::new();
    let (mut forgotten, mut learnt) = (0, 0);
    for &sample in scored {
        let was = earlier.get(sample).is_some_and(|margin| margin > 0.0);
        let is = now.margins[sample] > 0.0;
        let (lost, gained) = (usize::from(was && !is), usize::from(is && !was));
        forgotten += lost;
        learnt += gained;
        if let Some(number) = sources.number(sample) {
            let count = counts.entry((number, labels.train[sample])).or_default();
            *count = [
                count[0] + usize::from(was),
                count[1] + lost,
                count[2] + gained,
            ];
        }
    }
    let mut all = sources.by_name(counts);
    // The whole, beside its sources, under a name that none of them can be confused with by its class.
    all.add("", WHOLE, [0, forgotten, learnt]);
    let all = all.of_all(exchange, "labels forgotten by source")?;
    let (names, numbered) = all.numbered();
    let mut groups = Vec::with_capacity(numbered.len());
    for (group, stratum, [fitted, lost, gained]) in numbered {
        if stratum == WHOLE {
            found.forgotten = Some(lost);
            found.learnt = Some(gained);
        } else {
            groups.push(onset::Count {
                group,
                stratum,
                fitted,
                lost,
                gained,
            });
        }
    }
    let level = onset::level(alpha, found.comparisons);
    for change in onset::changes_of_counts(&groups, level)? {
        if !change.went_bad {
            continue;
        }
        found.flagged.push(SourceOnset {
            source: names[change.group].to_string(),
            epoch: now.epoch,
            step: now.step,
            since_epoch: last.epoch,
            since_step: last.step,
            lost: change.lost,
            gained: change.gained,
            expected_lost: change.expected_lost,
            p_value: change.p_value,
        });
    }
    found
        .flagged
        .sort_by(|a, b| a.p_value.total_cmp(&b.p_value));
    for onset in &found.flagged {
        if !found.so_far.iter().any(|o| o.source == onset.source) {
            found.so_far.push(onset.clone());
        }
    }
    Ok(found)
}

/// Says in the log which sources of `run` went bad.
pub fn warn(run: &str, onset: &Onset) {
    for source in &onset.flagged {
        tracing::warn!(
            run,
            source = source.source,
            epoch = source.epoch,
            since_epoch = source.since_epoch,
            lost = source.lost,
            gained = source.gained,
            "{}",
            sentence(source)
        );
    }
}

/// What happened, in one sentence a person can act on.
///
/// ```
/// # use mirrorwatch_daemon::onset::{Moment, SourceOnset, compare, sentence};
/// # let onset = SourceOnset {
/// #     source: "vendor-b".into(), epoch: 5, step: 2350, since_epoch: 4, since_step: 1880,
/// #     lost: 40, gained: 6, expected_lost: 7.5, p_value: 1e-7,
/// # };
/// assert!(sentence(&onset).starts_with("source vendor-b went bad between epoch 4 (step 1880) and epoch 5"));
/// ```
pub fn sentence(onset: &SourceOnset) -> String {
    format!(
        "source {} went bad between epoch {} (step {}) and epoch {} (step {}): {} of its samples that the model had fitted no longer are, {:.0} were to be expected, and only {} are newly fitted; look at what changed in its data",
        onset.source,
        onset.since_epoch,
        onset.since_step,
        onset.epoch,
        onset.step,
        onset.lost,
        onset.expected_lost,
        onset.gained,
    )
}

#[cfg(test)]
#[path = "onset_tests.rs"]
mod tests;

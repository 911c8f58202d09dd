//! What describes runs, built from the hub whenever that has changed.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{GaugeVec, Opts, Registry, TextEncoder};

use super::Limits;
use crate::audit::Verdict;
use crate::hub::{Hub, Mark, RunView};
use crate::printable::printable;
use crate::refusal::REASONS;
use crate::summary::Summary;

/// One gauge that describes a run: its name, help and how to read it. `None` leaves it out.
type RunGauge = (&'static str, &'static str, fn(&RunView) -> Option<f64>);

macro_rules! of_summary {
    ($read:expr) => {
        |view: &RunView| {
            let read: fn(&Summary) -> f64 = $read;
            view.summary.as_deref().map(read)
        }
    };
}

/// All gauges with the one label `run`. A new one is one line here.
const RUN_GAUGES: &[RunGauge] = &[
    (
        "mirrorwatch_suspects",
        "Training samples whose label is suspicious at the last scan, selected at the configured false-discovery rate.",
        of_summary!(|s| s.suspects as f64),
    ),
    (
        "mirrorwatch_scored_samples",
        "Training samples that were judged: all but trusted ones and canaries.",
        of_summary!(|s| s.scored_samples as f64),
    ),
    (
        "mirrorwatch_read_samples",
        "Training samples that the last scan read: all with a label, or as many as the budget allowed.",
        of_summary!(|s| s.read_samples as f64),
    ),
    (
        "mirrorwatch_shard_samples",
        "Training samples of this shard. Absent where samples are not divided.",
        |view| view.summary.as_deref()?.shard.map(|own| own.samples as f64),
    ),
    (
        "mirrorwatch_shard_suspects",
        "Suspects among this shard's samples at the last scan; those of all shards add up to mirrorwatch_suspects. Absent where samples are not divided.",
        |view| {
            view.summary
                .as_deref()?
                .shard
                .map(|own| own.suspects as f64)
        },
    ),
    (
        "mirrorwatch_noise_ratio_lower_bound",
        "Lower confidence bound on the share of wrong labels among the scored samples.",
        of_summary!(|s| s.noise_ratio_lower_bound),
    ),
    (
        "mirrorwatch_noise_ratio_estimate",
        "Estimated share of wrong labels among the scored samples.",
        of_summary!(|s| s.noise_ratio_estimate),
    ),
    (
        "mirrorwatch_expected_false_suspects",
        "Upper bound on the expected number of right labels among the suspects.",
        of_summary!(|s| s.expected_false_suspects),
    ),
    (
        "mirrorwatch_min_detectable_suspects",
        "The smallest number of suspects that the null distribution is large enough to show.",
        of_summary!(|s| s.min_detectable_suspects as f64),
    ),
    (
        "mirrorwatch_memorised_suspects",
        "Suspects whose given label the model predicts at the last scanned checkpoint.",
        of_summary!(|s| s.memorised_suspects as f64),
    ),
    (
        "mirrorwatch_hard_suspects",
        "Suspects whose label is more likely right, on a hard sample, than wrong.",
        of_summary!(|s| s.hard_suspects as f64),
    ),
    (
        "mirrorwatch_canaries",
        "Training samples whose labels were made wrong on purpose, to measure what is found.",
        of_summary!(|s| s.canaries as f64),
    ),
    (
        "mirrorwatch_canaries_found",
        "Canaries that would be suspects if they were judged like the others.",
        of_summary!(|s| s.canaries_found as f64),
    ),
    (
        "mirrorwatch_canary_recall_ratio",
        "Share of canaries that was found: measured recall. Absent without canaries.",
        |view| view.summary.as_deref().and_then(Summary::canary_recall),
    ),
    (
        "mirrorwatch_canary_precision_ratio",
        "Share of suspects that is wrong as far as canaries tell: measured recall times the estimated number of wrong labels, over the suspects. Absent without canaries or suspects.",
        |view| view.summary.as_deref().and_then(Summary::canary_precision),
    ),
    (
        "mirrorwatch_forgotten_samples",
        "Scored samples whose given label the model predicted at the scan before and does not at the last one. Absent at the first scan.",
        |view| view.summary.as_deref()?.onset.forgotten.map(|n| n as f64),
    ),
    (
        "mirrorwatch_probe_samples",
        "Probe samples.",
        of_summary!(|s| s.probe as f64),
    ),
    (
        "mirrorwatch_probe_loss",
        "Mean loss of the probe at the last scanned checkpoint, in nats.",
        of_summary!(|s| s.probe_loss),
    ),
    (
        "mirrorwatch_probe_accuracy_ratio",
        "Share of the probe that the last scanned checkpoint classifies right; without classes, tells better than an untaught model.",
        of_summary!(|s| s.probe_accuracy),
    ),
    (
        "mirrorwatch_probe_noise_lower_bound",
        "Lower confidence bound on the share of wrong labels in the probe itself, by the last scan.",
        of_summary!(|s| s.probe_noise_lower_bound),
    ),
    (
        "mirrorwatch_train_loss",
        "Training loss that the hook reported with the last scanned checkpoint.",
        |view| view.summary.as_deref().and_then(|s| s.train_loss),
    ),
    (
        "mirrorwatch_valid_loss",
        "Validation loss that the hook reported with the last scanned checkpoint.",
        |view| view.summary.as_deref().and_then(|s| s.valid_loss),
    ),
    (
        "mirrorwatch_learning_rate",
        "Learning rate that the hook reported with the last scanned checkpoint.",
        |view| view.summary.as_deref().and_then(|s| s.learning_rate),
    ),
    (
        "mirrorwatch_consumed_samples",
        "Training samples consumed between the last scanned checkpoint and the one before it, as the training said.",
        |view| {
            view.summary
                .as_deref()
                .and_then(|s| s.consumed_samples)
                .map(|n| n as f64)
        },
    ),
    (
        "mirrorwatch_leak_checked_samples",
        "Probe samples that were looked for in the training set (--leak-probes). Absent where nobody has looked.",
        |view| view.leaks.as_deref().map(|leaks| leaks.probes as f64),
    ),
    (
        "mirrorwatch_leaked_samples",
        "Probe samples that were found in the training set, or nearly, of those that were looked for.",
        |view| {
            view.leaks
                .as_deref()
                .map(|leaks| leaks.leaked_probes as f64)
        },
    ),
    (
        "mirrorwatch_evidence_checkpoints",
        "Checkpoints in the evidence.",
        of_summary!(|s| f64::from(s.checkpoints)),
    ),
    (
        "mirrorwatch_last_scanned_epoch",
        "Epoch of the last scanned checkpoint.",
        of_summary!(|s| s.epoch as f64),
    ),
    (
        "mirrorwatch_last_scanned_step",
        "Optimizer step of the last scanned checkpoint.",
        of_summary!(|s| s.step as f64),
    ),
    (
        "mirrorwatch_last_scan_timestamp_seconds",
        "Unix time at which the last scan was finished.",
        of_summary!(|s| s.scanned_time),
    ),
    (
        "mirrorwatch_last_checkpoint_timestamp_seconds",
        "Unix time at which the last scanned checkpoint was written.",
        of_summary!(|s| s.checkpoint_time),
    ),
    (
        "mirrorwatch_run_updated_timestamp_seconds",
        "Unix time at which the training last gave a sign of life.",
        |view| (view.updated > 0.0).then_some(view.updated),
    ),
    (
        "mirrorwatch_run_finished",
        "1 when the training said that it has finished, else 0.",
        |view| Some(f64::from(u8::from(view.finished))),
    ),
];

/// Of these, what a shard exports that does not speak for the run: what is its own, and what tells that it is needed.
const OWN: [&str; 3] = [
    "mirrorwatch_shard_samples",
    "mirrorwatch_shard_suspects",
    "mirrorwatch_run_finished",
];

/// One series of a labelled gauge: the values of its labels besides `run`, and its value.
type Series = (Vec<String>, f64);

/// A gauge with more labels than `run`: its name, help, those labels, and how to read it.
type LabelledGauge = (
    &'static str,
    &'static str,
    &'static [&'static str],
    fn(&Summary, &Limits) -> Vec<Series>,
);

/// All gauges with more labels than `run`, each with a bounded number of series. A new one is one
/// line here.
const LABELLED_GAUGES: &[LabelledGauge] = &[
    (
        "mirrorwatch_null_samples",
        "Samples in the null distribution that suspects are judged against.",
        &["null"],
        |summary, _| {
            let null = summary.null.name().to_string();
            vec![(vec![null], summary.null_samples as f64)]
        },
    ),
    (
        "mirrorwatch_count_refused",
        "1 for the reason why nobody is named at the last scan, else 0: no suspects then does not mean no wrong labels.",
        &["reason"],
        |summary, _| {
            let mut series = Vec::new();
            for reason in REASONS {
                let refused = summary.refusal.as_ref().is_some_and(|r| r.reason == reason);
                series.push((vec![reason.to_string()], f64::from(u8::from(refused))));
            }
            series
        },
    ),
    (
        "mirrorwatch_class_suspects",
        "Suspects by given and suggested class, the largest pairs only (--class-metrics).",
        &["given", "suggested"],
        |summary, limits| {
            let mut series = Vec::new();
            for pair in summary.class_pairs.iter().take(limits.class_pairs) {
                let labels = vec![pair.given_name.clone(), pair.suggested_name.clone()];
                series.push((labels, pair.suspects as f64));
            }
            series
        },
    ),
    (
        "mirrorwatch_source_suspects",
        "Suspects by source, the most conspicuous sources only (--source-metrics).",
        &["source"],
        |summary, limits| {
            let sources = summary.sources.iter().take(limits.sources);
            sources
                .map(|s| (vec![s.source.clone()], s.suspects as f64))
                .collect()
        },
    ),
    (
        "mirrorwatch_source_flagged",
        "1 when a source holds more suspects than its mix of given labels lets expect, else 0, for the sources of mirrorwatch_source_suspects.",
        &["source"],
        |summary, limits| {
            let sources = summary.sources.iter().take(limits.sources);
            sources
                .map(|s| (vec![s.source.clone()], f64::from(u8::from(s.flagged))))
                .collect()
        },
    ),
    (
        "mirrorwatch_source_samples",
        "Scored samples by source, for the sources of mirrorwatch_source_suspects.",
        &["source"],
        |summary, limits| {
            let sources = summary.sources.iter().take(limits.sources);
            sources
                .map(|s| (vec![s.source.clone()], s.samples as f64))
                .collect()
        },
    ),
    (
        "mirrorwatch_source_onset_epoch",
        "Epoch at which a source was first seen to have gone bad since the scan before, for such sources only, the first ones only (--source-metrics).",
        &["source"],
        |summary, limits| {
            let onsets = summary.onset.so_far.iter().take(limits.sources);
            onsets
                .map(|o| (vec![o.source.clone()], o.epoch as f64))
                .collect()
        },
    ),
];

/// The gauge of what people say, by verdict.
const REVIEWS: (&str, &str) = (
    "mirrorwatch_reviews",
    "Training samples by what their latest review says of the given label: confirmed to be wrong, cleared, or relabelled. No other metric is changed by reviews.",
);

/// Its series: what was said of samples of a run that has been scanned.
fn reviews(run: &str, view: &RunView) -> Vec<Series> {
    let mut series = Vec::new();
    for verdict in Verdict::IN_FORCE.iter().filter(|_| view.summary.is_some()) {
        let reviews = view.reviews.values();
        let count = reviews.filter(|review| review.verdict == *verdict).count();
        let labels = vec![run.to_string(), verdict.name().to_string()];
        series.push((labels, count as f64));
    }
    series
}

/// The gauges of all runs as text. It takes most of the time of a scrape, and changes with a scan or a listing: scrapes
/// between two changes share one text.
pub(super) struct Rendered {
    hub: Arc<Hub>,
    registry: Registry,
    last: Mutex<Option<(Mark, Arc<str>)>>,
}

impl Rendered {
    pub(super) fn new(hub: Arc<Hub>, limits: Limits) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(Runs {
            hub: hub.clone(),
            limits,
        }))?;
        Ok(Self {
            hub,
            registry,
            last: Mutex::default(),
        })
    }

    /// The text of what is shown at this moment.
    pub(super) fn text(&self) -> Result<Arc<str>, prometheus::Error> {
        // One renders, the others wait for it and see whether it is good for them, too. The value is replaced whole, so
        // poison means nothing.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = self.hub.mark();
        if let Some((of, text)) = last.as_ref()
            && *of == mark
        {
            return Ok(text.clone());
        }
        let text: Arc<str> = TextEncoder::new()
            .encode_to_string(&self.registry.gather())?
            .into();
        // A text during which something changed is as new as this scrape, and perhaps not as new as the next one.
        *last = (self.hub.mark() == mark).then(|| (mark, text.clone()));
        Ok(text)
    }
}

/// Builds the gauges of all runs.
struct Runs {
    hub: Arc<Hub>,
    limits: Limits,
}

impl Collector for Runs {
    fn desc(&self) -> Vec<&Desc> {
        // Built afresh every time: there is nothing to describe beforehand.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let runs = self.hub.shown_runs();
        let mut families = Vec::new();
        for (name, help, read) in RUN_GAUGES {
            if self.limits.follows && !OWN.contains(name) {
                continue;
            }
            let mut series = Vec::new();
            for (run, view) in &runs {
                if let Some(value) = read(view) {
                    series.push((vec![run.clone()], value));
                }
            }
            families.extend(family(name, help, &["run"], &series));
        }
        for (name, help, more, read) in LABELLED_GAUGES {
            if self.limits.follows {
                break;
            }
            let mut series = Vec::new();
            for (run, view) in &runs {
                let Some(summary) = view.summary.as_deref() else {
                    continue;
                };
                for (values, value) in read(summary, &self.limits) {
                    let mut labels = vec![run.clone()];
                    labels.extend(values);
                    series.push((labels, value));
                }
            }
            let mut labels = vec!["run"];
            labels.extend(*more);
            families.extend(family(name, help, &labels, &series));
        }
        let said = runs.iter().flat_map(|(run, view)| reviews(run, view));
        let said: Vec<Series> = said.collect();
        families.extend(family(REVIEWS.0, REVIEWS.1, &["run", "verdict"], &said));
        families
    }
}

/// A family of gauges; none without a series, which is not valid in the text format.
fn family(name: &str, help: &str, labels: &[&str], series: &[Series]) -> Vec<MetricFamily> {
    // Names are constants of this file, and label counts fit: what could fail is a mistake here,
    // which must not take the other metrics along.
    let Ok(gauges) = GaugeVec::new(Opts::new(name, help), labels) else {
        return Vec::new();
    };
    for (values, value) in series {
        let values: Vec<String> = values.iter().map(|value| label(value)).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        if let Ok(gauge) = gauges.get_metric_with_label_values(&values) {
            // Added, not set: two classes of the same name are one series.
            gauge.add(*value);
        }
    }
    let mut families = gauges.collect();
    families.retain(|family| !family.get_metric().is_empty());
    families
}

/// Characters of a label's value at most: names come from data.
const LONGEST: usize = 128;

/// The value of a label. The text format has no way to write some characters: a NUL would end the scrape.
fn label(value: &str) -> String {
    // It can write the end of a line.
    let lines: Vec<String> = value.split('\n').map(printable).collect();
    let mut shown = lines.join("\n");
    if let Some((end, _)) = shown.char_indices().nth(LONGEST) {
        shown.truncate(end);
        shown.push('…');
    }
    shown
}

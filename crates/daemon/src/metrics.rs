//! Everything the daemon exports to Prometheus, and nothing else that knows Prometheus.
//!
//! Counters and the histogram live as long as the process. What describes runs is built afresh at
//! every scrape from the [`Hub`](crate::hub::Hub), so that a run that is gone leaves no series.

use std::sync::Arc;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{
    Encoder, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use crate::hub::{Hub, RunView};

/// Content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reasons for which a checkpoint is skipped, pre-exported at zero.
pub const SKIP_REASONS: [&str; 3] = ["superseded", "missed", "vanished"];

/// Stages at which a checkpoint can fail, pre-exported at zero.
pub const STAGES: [&str; 6] = ["manifest", "spool", "load", "scan", "account", "export"];

/// The daemon's counters and the registry they are exported from.
pub struct Metrics {
    registry: Registry,
    /// Checkpoints seen in the directory.
    pub seen: IntCounter,
    /// Checkpoints not scanned, by reason.
    pub skipped: IntCounterVec,
    /// Checkpoints that could not be scanned, by stage.
    pub failures: IntCounterVec,
    /// Checkpoints scanned.
    pub scanned: IntCounter,
    /// Scan durations in seconds.
    pub scan_seconds: Histogram,
    /// Checkpoints waiting.
    pub queued: IntGauge,
    /// Listings of the root directory.
    pub rescans: IntCounter,
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    ///
    /// Prometheus' own words; only a clash of names, so a mistake in this file.
    pub fn new(hub: Arc<Hub>) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            seen: IntCounter::new(
                "mirrorwatch_checkpoints_seen_total",
                "Checkpoints that appeared in the watched directory.",
            )?,
            skipped: IntCounterVec::new(
                Opts::new(
                    "mirrorwatch_checkpoints_skipped_total",
                    "Checkpoints that were not scanned, by reason: superseded by a newer one, missed (deleted before they were seen), vanished while being taken.",
                ),
                &["reason"],
            )?,
            failures: IntCounterVec::new(
                Opts::new(
                    "mirrorwatch_checkpoint_failures_total",
                    "Checkpoints that could not be scanned, by the stage that failed.",
                ),
                &["stage"],
            )?,
            scanned: IntCounter::new(
                "mirrorwatch_checkpoints_scanned_total",
                "Checkpoints that were scanned and are part of the evidence.",
            )?,
            scan_seconds: Histogram::with_opts(
                HistogramOpts::new(
                    "mirrorwatch_scan_duration_seconds",
                    "Wall time of a scan, from loaded weights to scores.",
                )
                .buckets(vec![
                    0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0,
                ]),
            )?,
            queued: IntGauge::new(
                "mirrorwatch_queue_checkpoints",
                "Checkpoints that wait to be scanned.",
            )?,
            rescans: IntCounter::new(
                "mirrorwatch_watch_rescans_total",
                "Listings of the watched directory; events only hint at when to list.",
            )?,
            registry,
        };
        metrics.register(hub)?;
        Ok(metrics)
    }

    fn register(&self, hub: Arc<Hub>) -> Result<(), prometheus::Error> {
        for reason in SKIP_REASONS {
            self.skipped.get_metric_with_label_values(&[reason])?;
        }
        for stage in STAGES {
            self.failures.get_metric_with_label_values(&[stage])?;
        }
        let build = IntGauge::with_opts(
            Opts::new(
                "mirrorwatch_build_info",
                "Always 1; the labels say what is running.",
            )
            .const_label("version", env!("CARGO_PKG_VERSION")),
        )?;
        build.set(1);
        self.registry.register(Box::new(build))?;
        self.registry.register(Box::new(self.seen.clone()))?;
        self.registry.register(Box::new(self.skipped.clone()))?;
        self.registry.register(Box::new(self.failures.clone()))?;
        self.registry.register(Box::new(self.scanned.clone()))?;
        self.registry
            .register(Box::new(self.scan_seconds.clone()))?;
        self.registry.register(Box::new(self.queued.clone()))?;
        self.registry.register(Box::new(self.rescans.clone()))?;
        self.registry.register(Box::new(Runs { hub }))?;
        #[cfg(target_os = "linux")]
        self.registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(())
    }

    /// Counts a skipped checkpoint.
    pub fn skip(&self, reason: &str) {
        if let Ok(counter) = self.skipped.get_metric_with_label_values(&[reason]) {
            counter.inc();
        }
    }

    /// Counts a failed checkpoint.
    pub fn fail(&self, stage: &str) {
        if let Ok(counter) = self.failures.get_metric_with_label_values(&[stage]) {
            counter.inc();
        }
    }

    /// Everything in Prometheus' text format.
    ///
    /// # Errors
    ///
    /// Prometheus' own words; only a value that cannot be written, so a mistake in this file.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut bytes = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }
}

/// One gauge that describes a run: its name, help and how to read it. `None` leaves it out.
type RunGauge = (&'static str, &'static str, fn(&RunView) -> Option<f64>);

macro_rules! of_summary {
    ($read:expr) => {
        |view: &RunView| {
            let read: fn(&crate::summary::Summary) -> f64 = $read;
            view.summaries.last().map(read)
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
        "Training samples that were judged: all but the trusted ones.",
        of_summary!(|s| s.scored_samples as f64),
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
        "Share of the probe that the last scanned checkpoint classifies right.",
        of_summary!(|s| s.probe_accuracy),
    ),
    (
        "mirrorwatch_train_loss",
        "Training loss that the hook reported with the last scanned checkpoint.",
        |view| view.summaries.last().and_then(|s| s.train_loss),
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

/// Builds the gauges of all runs at every scrape.
struct Runs {
    hub: Arc<Hub>,
}

impl Collector for Runs {
    fn desc(&self) -> Vec<&Desc> {
        // Built afresh at every scrape: there is nothing to describe beforehand.
        Vec::new()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let runs = self.hub.shown_runs();
        let mut families = Vec::new();
        for (name, help, read) in RUN_GAUGES {
            let Ok(gauges) = GaugeVec::new(Opts::new(*name, *help), &["run"]) else {
                continue;
            };
            for (run, view) in &runs {
                if let Some(value) = read(view)
                    && let Ok(gauge) = gauges.get_metric_with_label_values(&[run])
                {
                    gauge.set(value);
                }
            }
            families.extend(non_empty(&gauges));
        }
        if let Ok(gauges) = GaugeVec::new(
            Opts::new(
                "mirrorwatch_null_samples",
                "Samples in the null distribution that suspects are judged against.",
            ),
            &["run", "null"],
        ) {
            for (run, view) in &runs {
                if let Some(summary) = view.summaries.last()
                    && let Ok(gauge) =
                        gauges.get_metric_with_label_values(&[run.as_str(), summary.null.name()])
                {
                    gauge.set(summary.null_samples as f64);
                }
            }
            families.extend(non_empty(&gauges));
        }
        families
    }
}

/// A family without a metric is not valid in the text format.
fn non_empty(gauges: &GaugeVec) -> Vec<MetricFamily> {
    let mut families = gauges.collect();
    families.retain(|family| !family.get_metric().is_empty());
    families
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exports_zeroes_before_anything_happened() {
        let metrics = Metrics::new(Arc::new(Hub::default())).unwrap();
        let text = metrics.render().unwrap();
        for line in [
            "mirrorwatch_checkpoints_seen_total 0",
            "mirrorwatch_checkpoints_skipped_total{reason=\"superseded\"} 0",
            "mirrorwatch_checkpoint_failures_total{stage=\"load\"} 0",
            "mirrorwatch_queue_checkpoints 0",
        ] {
            assert!(text.contains(line), "{line} is missing from:\n{text}");
        }
    }

    #[test]
    fn a_run_that_expires_leaves_no_series() {
        let hub = Arc::new(Hub::new(60.0));
        let metrics = Metrics::new(hub.clone()).unwrap();
        let run = "a\"b\\c\nd";
        hub.update_run(run, |view| {
            view.finished = true;
            view.updated = crate::hub::now();
        });
        let text = metrics.render().unwrap();
        assert!(
            text.contains("mirrorwatch_run_finished{run=\"a\\\"b\\\\c\\nd\"} 1"),
            "{text}"
        );
        hub.update_run(run, |view| view.updated -= 61.0);
        assert!(
            !metrics
                .render()
                .unwrap()
                .contains("mirrorwatch_run_finished")
        );
    }
}

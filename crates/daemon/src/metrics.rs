//! Everything the daemon exports to Prometheus, and nothing else that knows Prometheus.
//!
//! Counters and the histogram live as long as the process. What describes runs is built from the [`Hub`] whenever that
//! has changed, so that a run that is gone leaves no series.

use std::sync::Arc;

use prometheus::{
    Counter, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
    TextEncoder,
};

use crate::hub::Hub;

mod runs;

/// Content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Reasons for which a checkpoint is skipped, pre-exported at zero.
pub const SKIP_REASONS: [&str; 5] = ["superseded", "missed", "vanished", "repeated", "budget"];

/// Stages at which a checkpoint can fail, pre-exported at zero.
pub const STAGES: [&str; 8] = [
    "manifest", "spool", "load", "shards", "scan", "timeout", "account", "export",
];

/// Whether there is a process that scans: the supervisor says 0 while it starts one.
pub(crate) const SCANNER_UP: (&str, &str) = (
    "mirrorwatch_scanner_up",
    "1 while the process that scans is there; 0 while it is being started, and what else is shown is the last that it said.",
);

/// How often that process died.
pub(crate) const SCANNER_RESTARTS: (&str, &str) = (
    "mirrorwatch_scanner_restarts_total",
    "Starts of the process that scans after it had died.",
);

/// How many series a run may have where labels come from data.
///
/// ```
/// use mirrorwatch_daemon::metrics::Limits;
///
/// let all = Limits { class_pairs: 90, ..Limits::default() };
/// assert_eq!((all.class_pairs, all.sources), (90, 50));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Pairs of given and suggested class, those with most suspects; 0 = not exported.
    pub class_pairs: usize,
    /// Sources, the most conspicuous; 0 = not exported.
    pub sources: usize,
    /// Only what is of this process's own: another one speaks for the run, see [`mirrorwatch_shards`].
    pub follows: bool,
}

impl Default for Limits {
    /// No class pairs, 50 sources.
    fn default() -> Self {
        Self {
            class_pairs: 0,
            sources: 50,
            follows: false,
        }
    }
}

/// The daemon's counters and the registry they are exported from.
///
/// ```
/// # use std::sync::Arc;
/// # use mirrorwatch_daemon::{hub::Hub, metrics::Metrics};
/// let metrics = Metrics::new(Arc::new(Hub::default()))?;
/// metrics.seen.inc();
/// assert!(metrics.render()?.contains("mirrorwatch_checkpoints_seen_total 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Metrics {
    registry: Registry,
    /// What describes runs. Rendered after the counters, so that a scrape which counts a scan also
    /// shows what it found.
    runs: runs::Rendered,
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
    /// Starts of this process after it had died, as its supervisor counts them.
    pub scanner_restarts: IntCounter,
    /// Whether the web configuration was good when it was looked at last.
    pub web_config_good: IntGauge,
    /// Other shards that are waited for; exported where there are any.
    pub waited_for: IntGauge,
    /// Seconds in which this shard waited for others, likewise.
    pub shard_wait: Counter,
}

impl Metrics {
    /// Registers everything, with the default [`Limits`].
    ///
    /// # Errors
    ///
    /// Prometheus' own words; only a clash of names, so a mistake in this file.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mirrorwatch_daemon::{hub::Hub, metrics::Metrics};
    /// let metrics = Metrics::new(Arc::new(Hub::default()))?;
    /// // What has not happened yet is there as 0.
    /// assert!(metrics.render()?.contains("mirrorwatch_checkpoints_skipped_total{reason=\"missed\"} 0\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(hub: Arc<Hub>) -> Result<Self, prometheus::Error> {
        Self::with_limits(hub, Limits::default())
    }

    /// Registers everything.
    ///
    /// # Errors
    ///
    /// As [`new`](Metrics::new).
    ///
    /// ```
    #[doc = include_str!("example_summary.txt")]
    /// use std::sync::Arc;
    /// use mirrorwatch_daemon::hub::Hub;
    /// use mirrorwatch_daemon::metrics::{Limits, Metrics};
    ///
    /// let hub = Arc::new(Hub::default());
    /// hub.update_run("mnist", |view| view.summary = Some(Arc::new(summary)));
    /// let metrics = Metrics::with_limits(hub, Limits { class_pairs: 0, sources: 1, follows: false })?;
    /// assert!(metrics.render()?.contains("source=\"ann\""));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_limits(hub: Arc<Hub>, limits: Limits) -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let metrics = Self {
            seen: IntCounter::new(
                "mirrorwatch_checkpoints_seen_total",
                "Checkpoints that appeared in the watched directory.",
            )?,
            skipped: IntCounterVec::new(
                Opts::new(
                    "mirrorwatch_checkpoints_skipped_total",
                    "Checkpoints that were not scanned, by reason: superseded by a newer one, missed (deleted before they were seen), vanished while being taken, repeated with the same weights, or left out to keep to the budget.",
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
            scanner_restarts: IntCounter::new(SCANNER_RESTARTS.0, SCANNER_RESTARTS.1)?,
            web_config_good: IntGauge::new(
                "mirrorwatch_web_config_last_reload_successful",
                "1 unless the file of TLS and users, or one that it names, was no good when it was last looked at; the last good one stays in use.",
            )?,
            waited_for: IntGauge::new(
                "mirrorwatch_shards_waited_for",
                "Other shards whose part of a scan is waited for at the moment.",
            )?,
            shard_wait: Counter::new(
                "mirrorwatch_shard_wait_seconds_total",
                "Time in which this shard waited for the parts of others.",
            )?,
            registry,
            runs: runs::Rendered::new(hub, limits)?,
        };
        metrics.register()?;
        Ok(metrics)
    }

    fn register(&self) -> Result<(), prometheus::Error> {
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
        let up = IntGauge::new(SCANNER_UP.0, SCANNER_UP.1)?;
        up.set(1);
        self.registry.register(Box::new(up))?;
        self.registry
            .register(Box::new(self.scanner_restarts.clone()))?;
        // Nothing has failed yet; without a file nothing ever will.
        self.web_config_good.set(1);
        self.registry
            .register(Box::new(self.web_config_good.clone()))?;
        #[cfg(target_os = "linux")]
        self.registry.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(())
    }

    /// Exports what is to be known of one of several shards.
    ///
    /// # Errors
    ///
    /// Prometheus' own words: it was done before.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mirrorwatch_daemon::{hub::Hub, metrics::Metrics};
    /// let metrics = Metrics::new(Arc::new(Hub::default()))?;
    /// metrics.register_shard(1, 4)?;
    /// assert!(metrics.render()?.contains("mirrorwatch_shard_info{shard=\"1\",shards=\"4\"} 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn register_shard(&self, index: u32, count: u32) -> Result<(), prometheus::Error> {
        let info = Opts::new(
            "mirrorwatch_shard_info",
            "Always 1; the labels say which shard this is, from 0, and how many there are.",
        );
        let info = info.const_label("shard", index.to_string());
        let info = IntGauge::with_opts(info.const_label("shards", count.to_string()))?;
        info.set(1);
        self.registry.register(Box::new(info))?;
        self.registry.register(Box::new(self.waited_for.clone()))?;
        self.registry.register(Box::new(self.shard_wait.clone()))
    }

    /// Counts a skipped checkpoint.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mirrorwatch_daemon::{hub::Hub, metrics::Metrics};
    /// let metrics = Metrics::new(Arc::new(Hub::default()))?;
    /// metrics.skip("superseded");
    /// assert!(metrics.render()?.contains("mirrorwatch_checkpoints_skipped_total{reason=\"superseded\"} 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn skip(&self, reason: &str) {
        self.skip_many(reason, 1);
    }

    /// Counts as many skipped checkpoints.
    pub(crate) fn skip_many(&self, reason: &str, count: u64) {
        if let Ok(counter) = self.skipped.get_metric_with_label_values(&[reason]) {
            counter.inc_by(count);
        }
    }

    /// Counts a failed checkpoint.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mirrorwatch_daemon::{hub::Hub, metrics::Metrics};
    /// let metrics = Metrics::new(Arc::new(Hub::default()))?;
    /// metrics.fail("load");
    /// assert!(metrics.render()?.contains("mirrorwatch_checkpoint_failures_total{stage=\"load\"} 1\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
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
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use mirrorwatch_daemon::{hub::Hub, metrics::Metrics};
    /// let metrics = Metrics::new(Arc::new(Hub::default()))?;
    /// assert!(metrics.render()?.contains("# TYPE mirrorwatch_scan_duration_seconds histogram\n"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = String::new();
        TextEncoder::new().encode_utf8(&self.registry.gather(), &mut text)?;
        text.push_str(&self.runs.text()?);
        Ok(text)
    }
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;

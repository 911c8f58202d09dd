//! The live view of `watch` in a terminal: a line per run and one for the scan, below the log.
//!
//! Where standard error is no terminal, or the log is for machines, nothing of it exists: the log alone remains.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::hub::{Hub, RunView};
use crate::printable::printable;
use crate::runs::{Runs, lock};

/// How often the runs' lines are brought up to date.
const INTERVAL: Duration = Duration::from_millis(500);
/// Runs that have a line; of more, those that were heard of last.
const SHOWN: usize = 8;
/// Scans in a run's curve.
const CURVE: usize = 16;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is drawn below the log; without a terminal, nothing.
static SCREEN: OnceLock<MultiProgress> = OnceLock::new();

/// Draws from now on, if a person looks at standard error. The log has to be written through [`AboveView`].
pub(crate) fn start() {
    if std::io::stderr().is_terminal() {
        let _ = SCREEN.set(MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
    }
}

/// Goes to a new line, for whoever writes when the process that drew is gone: it left the cursor at the end of its last line.
pub(crate) fn leave_behind() {
    if std::io::stderr().is_terminal() {
        let _ = std::io::stderr().write_all(b"\n");
    }
}

/// Writes to standard error, above what is drawn.
pub(crate) struct AboveView;

impl Write for AboveView {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let write = || std::io::stderr().write(bytes);
        match SCREEN.get() {
            Some(screen) => screen.suspend(write),
            None => write(),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

/// The bar of a scan, below all runs.
pub(crate) fn scan_bar(samples: usize, checkpoint: &str) -> ProgressBar {
    let Some(screen) = SCREEN.get() else {
        return ProgressBar::hidden();
    };
    let bar = screen.add(ProgressBar::new(samples as u64));
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {percent:>3} %  {eta} left") {
        bar.set_style(style);
    }
    bar.set_message(format!("scanning {}", printable(checkpoint)));
    bar
}

/// Keeps a line per run up to date until `stopped` is closed; the last ones stay on the screen.
pub(crate) fn follow(hub: &Arc<Hub>, runs: &Arc<Runs>, stopped: &Receiver<()>) {
    let Some(screen) = SCREEN.get() else {
        return;
    };
    let mut lines: BTreeMap<String, ProgressBar> = BTreeMap::new();
    loop {
        let stop = stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
        let shown = latest(hub.shown_runs());
        lines.retain(|run, line| {
            let keep = shown.contains_key(run);
            if !keep {
                line.finish_and_clear();
            }
            keep
        });
        let width = shown.keys().map(|run| printable(run).chars().count()).max();
        for (run, view) in &shown {
            let bounds = bounds(runs, run);
            let line = lines.entry(run.clone()).or_insert_with(|| run_line(screen));
            line.set_prefix(format!("{:<1$}", printable(run), width.unwrap_or(0)));
            line.set_message(told(view, &bounds));
            if stop {
                line.abandon();
            }
        }
        if stop {
            return;
        }
    }
}

fn run_line(screen: &MultiProgress) -> ProgressBar {
    // Above the bar of a scan, which comes and goes.
    let line = screen.insert(0, ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{prefix:.bold}  {wide_msg}") {
        line.set_style(style);
    }
    line
}

/// Of many runs, those that were heard of last.
fn latest(runs: BTreeMap<String, RunView>) -> BTreeMap<String, RunView> {
    let mut runs: Vec<_> = runs.into_iter().collect();
    // One that was not heard of yet has only just begun.
    let sign = |view: &RunView| view.last_sign().unwrap_or(f64::INFINITY);
    runs.sort_by(|(_, a), (_, b)| sign(b).total_cmp(&sign(a)));
    runs.truncate(SHOWN);
    runs.into_iter().collect()
}

/// Lower bounds at the last scans of a run.
fn bounds(runs: &Runs, run: &str) -> Vec<f64> {
    let Some(state) = runs.opened(run) else {
        return Vec::new();
    };
    let state = lock(&state);
    let scans = state.ledger.scans();
    let last = &scans[scans.len().saturating_sub(CURVE)..];
    last.iter().map(|s| s.noise_ratio_lower_bound).collect()
}

/// A run in a line, the most important first: a narrow terminal cuts off its end.
fn told(view: &RunView, bounds: &[f64]) -> String {
    let mut told = String::new();
    match &view.summary {
        None => told += "no checkpoint scanned yet",
        Some(summary) => {
            told += &match &summary.refusal {
                Some(refusal) => format!("epoch {}: no count ({})", summary.epoch, refusal.reason),
                None => format!(
                    "epoch {}: {} suspects, at least {:.1} % wrong {}",
                    summary.epoch,
                    summary.suspects,
                    100.0 * summary.noise_ratio_lower_bound,
                    curve(bounds)
                ),
            };
            for source in summary.sources.iter().filter(|source| source.flagged) {
                told += &format!(", source {} stands out", printable(&source.source));
            }
        }
    }
    if view.finished {
        told += ", finished";
    }
    if !view.last_error.is_empty() {
        told += &format!(", last error: {}", printable(&view.last_error));
    }
    told
}

/// Shares from 0 to the largest, as bars of text.
fn curve(shares: &[f64]) -> String {
    let largest = shares.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
    let mut curve = String::new();
    for share in shares {
        let height = (share / largest * (BARS.len() - 1) as f64).round() as usize;
        curve.push(BARS[height.min(BARS.len() - 1)]);
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::example;

    fn view() -> RunView {
        RunView {
            summary: Some(Arc::new(example("r"))),
            ..RunView::default()
        }
    }

    #[test]
    fn a_curve_reaches_from_nothing_to_its_largest() {
        assert_eq!(curve(&[0.0, 0.1, 0.2]), "▁▅█");
        assert_eq!(curve(&[0.0, 0.0]), "▁▁");
        assert_eq!(curve(&[]), "");
    }

    #[test]
    fn a_line_says_what_matters_first() {
        let summary = example("r");
        let said = told(&view(), &[0.0, summary.noise_ratio_lower_bound]);
        let percent = 100.0 * summary.noise_ratio_lower_bound;
        let begin = format!("epoch 7: 12 suspects, at least {percent:.1} % wrong ▁█");
        assert!(said.starts_with(&begin), "{said}");
        assert!(said.contains("source vendor-a stands out"), "{said}");
        assert_eq!(told(&RunView::default(), &[]), "no checkpoint scanned yet");
    }

    #[test]
    fn errors_and_ends_are_said_and_cannot_steer_the_terminal() {
        let view = RunView {
            finished: true,
            last_error: "no \u{1b}[2Jspace".to_string(),
            ..view()
        };
        let said = told(&view, &[]);
        let end = ", finished, last error: no \\u{1b}[2Jspace";
        assert!(said.ends_with(end), "{said}");
    }

    #[test]
    fn of_many_runs_those_heard_of_last_are_shown() {
        let mut runs = BTreeMap::new();
        for number in 0..20 {
            let view = RunView {
                updated: f64::from(1 + number),
                ..RunView::default()
            };
            runs.insert(format!("{number:02}"), view);
        }
        let shown: Vec<String> = latest(runs).into_keys().collect();
        assert_eq!(shown[0], "12");
        assert_eq!(shown.len(), SHOWN);
    }
}

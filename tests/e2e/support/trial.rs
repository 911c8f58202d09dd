//! A daemon that is given bad checkpoints, and what becomes of each.

use super::sidecar::Sidecar;

/// One daemon under attack.
pub struct Trial {
    pub sidecar: Sidecar,
    /// Checkpoints so far that were good, and that were not.
    good: f64,
    bad: f64,
}

impl Trial {
    /// Of one that has scanned nothing yet.
    pub fn new(sidecar: Sidecar) -> Self {
        Self {
            sidecar,
            good: 0.0,
            bad: 0.0,
        }
    }

    /// Waits until the next bad checkpoint is counted at `stage`; log and landing page must then say
    /// why, with all of `parts`.
    #[track_caller]
    pub fn expect_failure(&mut self, stage: &str, parts: &[&str]) {
        let series = format!("mirrorwatch_checkpoint_failures_total{{stage=\"{stage}\"}}");
        self.bad += 1.0;
        let (good, bad) = (self.good, self.bad);
        let scrape = self
            .sidecar
            .wait_for(&format!("failure {bad}, at {stage}: {parts:?}"), |scrape| {
                scrape.failed() >= bad
            });
        assert_eq!(scrape.failed(), bad, "{}", self.sidecar.log());
        assert!(
            scrape.value(&series) > Some(0.0),
            "not at {stage}: {}",
            self.sidecar.log()
        );
        assert_eq!(scrape.scanned(), good);
        let log = self.sidecar.log();
        let line = log
            .lines()
            .rfind(|line| line.contains("WARN"))
            .unwrap_or_default();
        let page = unescaped(&self.sidecar.get("/").body);
        for part in parts {
            assert!(line.contains(part), "`{part}` is not in: {line}");
            assert!(page.contains(part), "`{part}` is not in:\n{page}");
        }
        assert!(!log.contains("panicked"), "{log}");
        assert_eq!(self.sidecar.get("/healthz").status, 200);
    }

    #[track_caller]
    pub fn expect_scan(&mut self) {
        self.good += 1.0;
        let good = self.good;
        let scrape = self
            .sidecar
            .wait_for(&format!("scan {good}"), |scrape| scrape.scanned() >= good);
        assert_eq!((scrape.scanned(), scrape.failed()), (good, self.bad));
    }
}

fn unescaped(html: &str) -> String {
    html.replace("&#39;", "'").replace("&quot;", "\"")
}

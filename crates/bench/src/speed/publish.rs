//! (f) From a checkpoint's publication to its count.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use mirrorwatch::prelude::Hook;

use super::client::metric;
use super::data::{Amount, Planted};
use super::nets::Kind;
use super::ratio::{Spread, quantile};
use super::report::Row;
use super::sidecar::Sidecar;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Publishes checkpoints and waits for each count.
pub const PART: Part = Part {
    name: "publish",
    about: "from the moment at which a checkpoint is published (its manifest is there) to its count on /metrics of an idle \
        sidecar; seen within 5 ms",
    run,
};

const PROBE: usize = 1000;
const TRUSTED: usize = 1000;
const NOISE: f64 = 0.1;
/// Checkpoints, after a first one that does not count.
const CHECKPOINTS: usize = 20;
/// Steps between two of them.
const STEPS: usize = 20;
/// Between two looks: at the directory, and at the metrics.
const LOOK: Duration = Duration::from_millis(1);
const SCRAPE: Duration = Duration::from_millis(5);

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let settings: &[(Kind, usize)] = match suite.quick {
        true => &[(Kind::Mlp, 2000)],
        false => &[(Kind::Mlp, 2000), (Kind::Mlp, 20_000)],
    };
    let mut found = Found::default();
    for &(kind, train) in settings {
        measure(suite, kind, train, &mut found)?;
    }
    Ok(found)
}

/// What one checkpoint took, in seconds.
struct Took {
    whole: f64,
    scan: f64,
}

fn measure(suite: &Suite<'_>, kind: Kind, train: usize, found: &mut Found) -> Result<(), String> {
    let checkpoints = if suite.quick { 3 } else { CHECKPOINTS };
    let setting = format!("{}, N = {train}, {checkpoints} checkpoints", kind.name());
    suite.tell(&format!("publish: {setting}"));
    let amount = Amount {
        train,
        probe: PROBE,
        trusted: TRUSTED,
        noise: NOISE,
    };
    let task = Planted::new(kind, amount, 0);
    let mut training = Training::new(&task, &defaults::<Planted>()?.device, 0);
    training.after(train / BATCH)?;
    let sidecar = Sidecar::start(kind, amount, &[])?;
    let hook = Hook::new(sidecar.root(), "run").keep(checkpoints + 1);
    let mut took = Vec::new();
    for epoch in 1..=checkpoints + 1 {
        training.after(STEPS)?;
        let one = one(&sidecar, &hook, &training, epoch)?;
        // The first scan of a run teaches its forks from the beginning.
        if epoch > 1 {
            took.push(one);
        }
    }
    let of = |of: fn(&Took) -> f64| took.iter().map(of).collect::<Vec<f64>>();
    let figures = [
        (
            "published to visible",
            "from the manifest to the count on /metrics",
            of(|t| t.whole),
        ),
        (
            "the scan",
            "of it, as the sidecar measures it",
            of(|t| t.scan),
        ),
        (
            "everything else",
            "of it: watching, copying, loading, evidence, results, state, metrics",
            of(|t| t.whole - t.scan),
        ),
    ];
    for (what, note, values) in figures {
        let median = Spread::of(&values);
        found.add(Row::figure(what, &setting, median, "s", note));
        let p95 = Spread::single(quantile(&values, 0.95));
        let what = format!("{what}, p95");
        found.add(Row::figure(
            &what,
            &setting,
            p95,
            "s",
            "over all checkpoints",
        ));
    }
    Ok(())
}

fn one(
    sidecar: &Sidecar,
    hook: &Hook,
    training: &Training<'_>,
    epoch: usize,
) -> Result<Took, String> {
    const SCANS: &str = "mirrorwatch_scan_duration_seconds_sum";
    let run = sidecar.root().join("run");
    let (before, scans) = (manifests(&run), metric(&sidecar.scrape()?, SCANS));
    hook.on_epoch_end(epoch, epoch, None, &training.model);
    while manifests(&run).is_subset(&before) {
        if let Some(error) = hook.stats().last_error {
            return Err(format!("the hook could not publish: {error}"));
        }
        std::thread::sleep(LOOK);
    }
    let start = Instant::now();
    loop {
        let text = sidecar.scrape()?;
        if metric(&text, "mirrorwatch_last_scanned_epoch") >= epoch as f64 {
            return Ok(Took {
                whole: start.elapsed().as_secs_f64(),
                scan: metric(&text, SCANS) - scans,
            });
        }
        if metric(&text, "mirrorwatch_checkpoint_failures_total") > 0.0 {
            return Err("the sidecar could not scan a checkpoint".to_string());
        }
        std::thread::sleep(SCRAPE);
    }
}

/// Names of the manifests in a run's directory; none before there is one.
fn manifests(run: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("epoch-") && name.ends_with(".json") {
            names.insert(name);
        }
    }
    names
}

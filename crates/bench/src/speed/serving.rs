//! (h) How fast the sidecar answers, and while it scans.

use std::time::Duration;

use mirrorwatch::prelude::Hook;

use super::client::metric;
use super::data::{Amount, Planted};
use super::load::{Answered, load};
use super::nets::Kind;
use super::ratio::{Spread, quantile};
use super::report::Row;
use super::sidecar::Sidecar;
use super::train::{BATCH, Training};
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Asks a sidecar that has scanned a run, over several connections.
pub const PART: Part = Part {
    name: "serving",
    about: "a sidecar with a run on disk, asked over kept connections that never rest, by clients on the same cores and of \
        higher priority",
    run,
};

const NOISE: f64 = 0.1;
/// Connections at once; the last is as many as the server takes.
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// What is asked for: what Prometheus asks for, and the page.
const PATHS: [&str; 2] = ["/metrics", "/"];
/// Connections and what they ask for while a scan is going on.
const BUSY: (usize, &str) = (16, "/metrics");
/// How long it is asked then: shorter than a scan.
const DURING: Duration = Duration::from_millis(300);

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let (train, lasts) = match suite.quick {
        true => (2000, Duration::from_millis(200)),
        false => (20_000, Duration::from_secs(2)),
    };
    let amount = Amount {
        train,
        probe: 1000,
        trusted: 1000,
        noise: NOISE,
    };
    let kind = Kind::Mlp;
    suite.tell(&format!("serving: {}, N = {train}", kind.name()));
    let task = Planted::new(kind, amount, 0);
    let mut training = Training::new(&task, &defaults::<Planted>()?.device, 0);
    let mut sidecar = Sidecar::start(kind, amount, &[])?;
    let hook = Hook::new(sidecar.root(), "run");
    let mut epoch = 0;
    let mut publish = |steps: usize| -> Result<u64, String> {
        training.after(steps)?;
        epoch += 1;
        hook.on_epoch_end(epoch, epoch, None, &training.model);
        Ok(super::hook::written(&hook, epoch as u64)?.published)
    };
    for _ in 0..2 {
        sidecar.settled(publish(train / BATCH)?)?;
    }

    let mut found = Found::default();
    for path in PATHS {
        for connections in CONNECTIONS {
            let mut rounds = Vec::new();
            for _ in 0..suite.rounds {
                rounds.push(load(&sidecar.address, path, connections, lasts)?);
            }
            let setting = format!("{path}, {connections} connections");
            rows(&rounds, &setting, &mut found);
        }
    }

    let (connections, path) = BUSY;
    let mut rounds = Vec::new();
    for _ in 0..suite.rounds {
        let published = publish(1)?;
        let scanned = "mirrorwatch_checkpoints_scanned_total";
        let before = sidecar.wait("it takes the checkpoint", |sidecar| {
            let text = sidecar.scrape()?;
            let seen = metric(&text, "mirrorwatch_checkpoints_seen_total");
            Ok((seen >= published as f64).then(|| metric(&text, scanned)))
        })?;
        let answered = load(&sidecar.address, path, connections, lasts.min(DURING))?;
        // What was over before the load counts for nothing.
        if metric(&sidecar.scrape()?, scanned) == before {
            rounds.push(answered);
        }
        sidecar.settled(published)?;
    }
    match rounds.is_empty() {
        true => found
            .skipped
            .push("answers while scanning: every scan was over too soon".to_string()),
        false => {
            let setting = format!("{path}, {connections} connections, while it scans");
            rows(&rounds, &setting, &mut found);
        }
    }
    Ok(found)
}

fn rows(rounds: &[Answered], setting: &str, found: &mut Found) {
    let of = |of: &dyn Fn(&Answered) -> f64| {
        let figures: Vec<f64> = rounds.iter().map(of).collect();
        Spread::of(&figures)
    };
    let count: usize = rounds.iter().map(|round| round.latencies.len()).sum();
    let note = format!("{count} answers in {} rounds", rounds.len());
    let rate = of(&|answered| answered.rate());
    found.add(Row::figure("answers", setting, rate, "/s", &note));
    for (what, share) in [("latency, median", 0.5), ("latency, p99", 0.99)] {
        let figure = of(&|answered| 1e3 * quantile(&answered.latencies, share));
        found.add(Row::figure(what, setting, figure, "ms", &note));
    }
}

//! (i) How many scrapes the sidecar answers while it scans, and whether it misses a checkpoint over them.

use std::time::{Duration, Instant};

use mirrorwatch::prelude::Hook;

use super::client::metric;
use super::data::{Amount, Planted};
use super::load::{Answered, load};
use super::nets::Kind;
use super::ratio::{Spread, quantile};
use super::report::Row;
use super::sidecar::Sidecar;
use super::train::Training;
use super::{Found, Part, Suite};
use crate::product::defaults;

/// Asks for `/metrics` without rest while checkpoint after checkpoint is published and scanned.
pub const PART: Part = Part {
    name: "load",
    about: "a sidecar that scans the checkpoints of a training on the same cores, asked for /metrics over kept connections \
        that never rest; fails if a checkpoint is missed or cannot be scanned",
    run,
};

const AMOUNT: Amount = Amount {
    train: 2000,
    probe: 500,
    trusted: 500,
    noise: 0.1,
};
const ROUNDS: usize = 3;
const CONNECTIONS: usize = 8;
/// Steps of the training between two checkpoints, and the time that it takes for them at least.
const STEPS: usize = 5;
const EVERY: Duration = Duration::from_millis(250);

/// What one round came to.
struct Round {
    answered: Answered,
    /// Scans that ended while it was asked.
    during: f64,
    ends: Ends,
}

/// How checkpoints ended: of all that were published, those that are none of these were missed.
struct Ends {
    published: f64,
    scanned: f64,
    skipped: f64,
}

fn run(suite: &Suite<'_>) -> Result<Found, String> {
    let (rounds, lasts) = match suite.quick {
        true => (1, Duration::from_secs(1)),
        false => (suite.rounds.min(ROUNDS), Duration::from_secs(10)),
    };
    suite.tell(&format!(
        "load: {} s of {CONNECTIONS} connections, {rounds} rounds",
        lasts.as_secs()
    ));
    let mut found = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        found.push(round(lasts)?);
    }
    Ok(figures(&found, lasts))
}

fn round(lasts: Duration) -> Result<Round, String> {
    let kind = Kind::Mlp;
    let task = Planted::new(kind, AMOUNT, 0);
    let mut training = Training::new(&task, &defaults::<Planted>()?.device, 0);
    // Waiting checkpoints do not give way to newer ones: each is scanned.
    let mut sidecar = Sidecar::start(kind, AMOUNT, &["--queue", "1000"])?;
    let hook = Hook::new(sidecar.root(), "run").keep(1000);
    let mut epoch = 0;
    let mut publish = || -> Result<u64, String> {
        epoch += 1;
        let model = training.after(STEPS)?;
        hook.on_epoch_end(epoch, epoch * STEPS, None, &model);
        Ok(super::hook::written(&hook, epoch as u64)?.published)
    };
    // The first scan of a run takes longest.
    sidecar.settled(publish()?)?;
    let scanned = |sidecar: &Sidecar| -> Result<f64, String> {
        let text = sidecar.scrape()?;
        Ok(metric(&text, "mirrorwatch_checkpoints_scanned_total"))
    };
    let before = scanned(&sidecar)?;
    let address = sidecar.address.clone();
    let (answered, published) = std::thread::scope(|scope| {
        let asking = scope.spawn(|| load(&address, "/metrics", CONNECTIONS, lasts));
        let mut published = 0;
        while !asking.is_finished() {
            let start = Instant::now();
            published = publish()?;
            std::thread::sleep(EVERY.saturating_sub(start.elapsed()));
        }
        let answered = asking.join();
        let answered = answered.map_err(|_| "the load panicked".to_string())??;
        Ok::<_, String>((answered, published))
    })?;
    let during = scanned(&sidecar)? - before;
    sidecar.settled(published)?;
    let text = sidecar.scrape()?;
    let ends = Ends {
        published: published as f64,
        scanned: metric(&text, "mirrorwatch_checkpoints_scanned_total"),
        skipped: metric(&text, "mirrorwatch_checkpoints_skipped_total"),
    };
    let missed = ends.missed();
    if missed != 0.0 || ends.skipped != 0.0 {
        return Err(format!(
            "{} checkpoints were published and {} scanned, {} skipped; all were to be scanned",
            ends.published, ends.scanned, ends.skipped
        ));
    }
    Ok(Round {
        answered,
        during,
        ends,
    })
}

impl Ends {
    fn missed(&self) -> f64 {
        self.published - self.scanned - self.skipped
    }
}

fn figures(rounds: &[Round], lasts: Duration) -> Found {
    let mut found = Found::default();
    let setting = format!(
        "/metrics, {CONNECTIONS} connections, {} s, while it scans",
        lasts.as_secs()
    );
    let count: usize = rounds.iter().map(|r| r.answered.latencies.len()).sum();
    let note = format!("{count} answers in {} rounds, all 200", rounds.len());
    let of = |of: &dyn Fn(&Round) -> f64| {
        let figures: Vec<f64> = rounds.iter().map(of).collect();
        Spread::of(&figures)
    };
    let rate = of(&|round| round.answered.rate());
    found.add(Row::figure("scrapes", &setting, rate, "/s", &note));
    for (what, share) in [("latency, median", 0.5), ("latency, p99", 0.99)] {
        let latency = of(&|round| 1e3 * quantile(&round.answered.latencies, share));
        found.add(Row::figure(what, &setting, latency, "ms", &note));
    }
    let all = "of a round, to the end of its last scan";
    let published = of(&|round| round.ends.published);
    found.add(Row::figure("published", &setting, published, "", all));
    let scanned = of(&|round| round.ends.scanned);
    found.add(Row::figure("scanned", &setting, scanned, "", all));
    let during = of(&|round| round.during);
    let while_asked = "while it was asked";
    found.add(Row::figure("scanned", &setting, during, "", while_asked));
    let missed = of(&|round| round.ends.missed());
    found.add(Row::figure("missed", &setting, missed, "", all));
    found
}

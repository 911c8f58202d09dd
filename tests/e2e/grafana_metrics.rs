//! What rules and dashboards name is what a sidecar exports, what it exports is shown, and every query of the
//! dashboards has an answer while a model trains.

use std::collections::BTreeSet;
use std::fs;

use crate::grafana::{RULE_TESTS, RULES, impatient_rules, items, names, read};
use crate::grafana_panels::{Query, dashboards};
use crate::support::data::TRAIN;
use crate::support::place::Place;
use crate::support::prometheus::{Prometheus, Setting};
use crate::support::sidecar::Sidecar;
use crate::support::wait::eventually;

/// What a sidecar exports only after something went wrong; that it does is tested where it is made to.
pub const AFTER_AN_ONSET: &str = "mirrorwatch_source_onset_epoch";

/// What Prometheus adds.
const OF_PROMETHEUS: [&str; 2] = ["up", "ALERTS"];

/// What a sidecar exports and no dashboard shows, each for a reason.
const NOT_SHOWN: [(&str, &str); 8] = [
    (
        "mirrorwatch_learning_rate",
        "the training's own charts have it; here it is for queries",
    ),
    (
        "mirrorwatch_consumed_samples",
        "says how far two checkpoints are apart, for queries",
    ),
    (
        "mirrorwatch_read_samples",
        "below the scored samples only under a budget, which is somebody's choice",
    ),
    (
        "mirrorwatch_reviews",
        "how far people are is no trouble of the training's",
    ),
    (
        "process_open_fds",
        "a sidecar holds a bounded number of connections",
    ),
    ("process_max_fds", "as above"),
    ("process_threads", "as many as it was told to use"),
    (
        "process_virtual_memory_bytes",
        "says little where memory is mapped; the resident one is shown",
    ),
];

/// A sidecar that exports all there is: it is told of sources, canaries and class pairs.
pub fn everything(place: &Place) -> Sidecar {
    let data = &place.data;
    let file = |name: &str, lines: Vec<String>| {
        let path = place.at(name);
        fs::write(&path, lines.concat()).unwrap();
        path.display().to_string()
    };
    // Of three annotators one is to blame for everything that is wrong.
    let source = |sample: usize| match data.is_wrong(sample) {
        true => "carl\n",
        false => ["anna\n", "bo\n"][sample % 2],
    };
    let sources = file(
        "sources.txt",
        (0..TRAIN).map(|i| source(i).to_string()).collect(),
    );
    let wrong = (0..TRAIN).filter(|&i| data.is_wrong(i));
    let canaries = file(
        "canaries.txt",
        wrong.take(40).map(|i| format!("{i}\n")).collect(),
    );
    let watch = place.watch("state").with(&["--sources", &sources]);
    let watch = watch.with(&["--canaries", &canaries, "--leak-probes", "10"]);
    watch.with(&["--class-metrics", "20"]).start()
}

fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for dashboard in dashboards() {
        queries.extend(dashboard.queries());
        queries.extend(dashboard.variable_queries());
    }
    queries
}

#[test]
fn rules_and_dashboards_name_what_a_sidecar_exports_and_show_all_of_it() {
    let place = Place::new();
    let mut sidecar = everything(&place);
    let mut trainer = place.trainer("r");
    trainer.epochs(2);
    let scrape = sidecar.wait_for_scans(2);
    let exported = scrape.metrics();

    let rules = read(RULES);
    let mut known = exported.clone();
    known.insert(AFTER_AN_ONSET);
    // Of sidecars that are divided; tested in `shards`.
    known.extend([
        "mirrorwatch_shard_samples",
        "mirrorwatch_shard_suspects",
        "mirrorwatch_shards_waited_for",
    ]);
    known.extend(items(&rules, "      ", "record").iter().map(|(r, _)| *r));
    let tests = RULE_TESTS.map(read);
    for (file, text) in RULE_TESTS.iter().zip(&tests).chain([(&RULES, &rules)]) {
        let names = names(text);
        assert!(names.len() > 5, "{file}: {names:?}");
        let unknown: Vec<_> = names.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}: {known:?}");
    }

    known.extend(OF_PROMETHEUS);
    let queries = queries();
    let mut shown = BTreeSet::new();
    for query in &queries {
        for metric in query.metrics() {
            assert!(known.contains(metric), "{}: {metric}", query.place);
            shown.insert(metric);
        }
    }
    let excepted = NOT_SHOWN.map(|(metric, _)| metric);
    for metric in exported {
        assert_ne!(
            shown.contains(metric),
            excepted.contains(&metric),
            "{metric}: on no dashboard, or on one and an exception as well"
        );
    }
}

/// Queries that have no answer where all goes well, by what is in them.
const WITHOUT_ANSWER: [(&str, &str); 1] = [(
    AFTER_AN_ONSET,
    "no source goes bad here; tested where one does",
)];

#[test]
fn prometheus_has_an_answer_to_every_query_of_the_dashboards_and_raises_the_right_alerts() {
    let place = Place::new();
    let mut sidecar = everything(&place);
    let setting = Setting {
        rules: Some(&impatient_rules()),
        ..Setting::default()
    };
    let server = Prometheus::start_with(place.path(), &sidecar.address, &setting);
    eventually("the first scrape", || {
        match server.query("mirrorwatch_build_info").len() {
            1 => Ok(()),
            _ => Err(server.process.story()),
        }
    });
    let mut trainer = place.trainer("r");
    for epoch in 1..=7 {
        trainer.epoch();
        sidecar.wait_for_scans(epoch);
        // What Prometheus has not seen it cannot compare.
        eventually("Prometheus to have the scan", || {
            let last = server.query(&format!("mirrorwatch_last_scanned_epoch == {epoch}"));
            match last.len() {
                1 => Ok(()),
                _ => Err(format!("{last:?}")),
            }
        });
    }

    let queries = queries();
    let excepted = |query: &Query| WITHOUT_ANSWER.iter().any(|(p, _)| query.expr.contains(p));
    eventually("an answer to every query", || {
        let unanswered = queries.iter().filter(|query| {
            let answer = server.series(&query.with_values());
            assert!(
                answer.is_empty() || !excepted(query),
                "{}: an answer, and an exception as well",
                query.place
            );
            answer.is_empty() && !excepted(query)
        });
        let places: Vec<String> = unanswered
            .map(|q| format!("{}: {}", q.place, q.expr))
            .collect();
        match places.is_empty() {
            true => Ok(()),
            false => Err(places.join("\n")),
        }
    });

    // A fifth of the labels is wrong, anyhow, and all by one annotator. Nothing else is the matter, and what
    // fired for a moment would still be kept.
    let firing = r#"ALERTS{alertstate="firing"}"#;
    let alerts = server.label(firing, "alertname");
    assert!(
        alerts.contains(&"MirrorwatchLabelNoise".to_string()),
        "{alerts:?}"
    );
    assert_eq!(
        server.label(
            r#"ALERTS{alertname="MirrorwatchSourceStandsOut"}"#,
            "source"
        ),
        ["carl"]
    );
    for alert in [
        "MirrorwatchNoiseJumped",
        "MirrorwatchClassPairStandsOut",
        "MirrorwatchSourceWentBad",
        "MirrorwatchProbeUnfit",
        "MirrorwatchDataLeaked",
        "MirrorwatchScansFailing",
        "MirrorwatchStorageFailing",
    ] {
        assert!(!alerts.contains(&alert.to_string()), "{alerts:?}");
    }
}

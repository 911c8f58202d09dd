//! Counts by class and by source.

use std::collections::BTreeMap;
use std::fs;

use crate::support::place::Place;
use crate::support::results::Results;

#[test]
fn suspects_are_counted_by_class_and_by_source_as_far_as_asked_for() {
    let place = Place::new();
    // Three annotators, one of whom is to blame for half of what is wrong.
    let source = |sample: usize| match sample % 4 {
        _ if place.data.is_wrong(sample) && sample.is_multiple_of(2) => "carl",
        0 => "anna",
        1 => "bo \"the\" third",
        _ => "anna",
    };
    let file = place.at("sources.txt");
    let lines: Vec<String> = (0..1500).map(|i| format!("{}\n", source(i))).collect();
    fs::write(&file, lines.concat()).unwrap();
    let shown = file.display().to_string();
    let watch = place.watch("state").with(&["--sources", &shown]);
    let mut sidecar = watch
        .with(&["--class-metrics", "3"])
        .with(&["--source-metrics", "2"])
        .start();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    let scrape = sidecar.wait_for_scans(1);

    let (mut by_source, mut by_class) = (BTreeMap::new(), BTreeMap::new());
    for suspect in Results::new(&sidecar.state, "r").last_suspects() {
        assert_eq!(suspect.source.as_deref(), Some(source(suspect.index)));
        *by_source.entry(source(suspect.index)).or_insert(0.0) += 1.0;
        let pair = (suspect.given, suspect.suggested);
        *by_class.entry(pair).or_insert(0.0) += 1.0;
    }
    let of_carl = "mirrorwatch_source_suspects{run=\"r\",source=\"carl\"}";
    assert_eq!(
        scrape.value(of_carl),
        Some(by_source["carl"]),
        "{}",
        scrape.0
    );
    assert!(by_source["carl"] > 50.0, "{by_source:?}");
    let flagged = "mirrorwatch_source_flagged{run=\"r\",source=\"carl\"}";
    assert_eq!(scrape.value(flagged), Some(1.0), "{}", scrape.0);
    assert_eq!(scrape.sum("mirrorwatch_source_flagged"), 1.0);
    assert_eq!(scrape.series("mirrorwatch_source_suspects").len(), 2);

    let classes = scrape.series("mirrorwatch_class_suspects");
    assert_eq!(classes.len(), 3, "{classes:?}");
    let mut largest: Vec<f64> = by_class.values().copied().collect();
    largest.sort_by(|a, b| b.total_cmp(a));
    let shown: f64 = largest[..3].iter().sum();
    assert_eq!(scrape.sum("mirrorwatch_class_suspects"), shown);
    for ((given, suggested), count) in by_class {
        let series = format!(
            "mirrorwatch_class_suspects{{given=\"{given}\",run=\"r\",suggested=\"{suggested}\"}}"
        );
        assert!(
            scrape.value(&series).is_none_or(|value| value == count),
            "{series}"
        );
    }
}

#[test]
fn without_being_asked_no_class_or_source_is_a_series() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    place.finished_run("r", 1);
    let scrape = sidecar.wait_for_scans(1);
    assert!(scrape.series("mirrorwatch_class_suspects").is_empty());
    assert!(scrape.series("mirrorwatch_source_suspects").is_empty());
}

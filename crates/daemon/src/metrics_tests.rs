use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::nasty::name;
use crate::summary::{OwnShare, Summary, example};

/// The names of the design page that a run exports, with the value of [`example`] each.
const OF_A_RUN: &[(&str, &str)] = &[
    ("mirrorwatch_suspects{run=\"r\"}", "12"),
    ("mirrorwatch_scored_samples{run=\"r\"}", "900"),
    ("mirrorwatch_noise_ratio_lower_bound{run=\"r\"}", "0.0625"),
    ("mirrorwatch_noise_ratio_estimate{run=\"r\"}", "0.125"),
    ("mirrorwatch_expected_false_suspects{run=\"r\"}", "1.5"),
    ("mirrorwatch_min_detectable_suspects{run=\"r\"}", "4"),
    (
        "mirrorwatch_null_samples{null=\"trusted\",run=\"r\"}",
        "100",
    ),
    ("mirrorwatch_memorised_suspects{run=\"r\"}", "3"),
    (
        "mirrorwatch_source_suspects{run=\"r\",source=\"vendor-a\"}",
        "9",
    ),
    (
        "mirrorwatch_source_samples{run=\"r\",source=\"vendor-a\"}",
        "400",
    ),
    (
        "mirrorwatch_source_onset_epoch{run=\"r\",source=\"vendor-b\"}",
        "5",
    ),
    ("mirrorwatch_forgotten_samples{run=\"r\"}", "31"),
    ("mirrorwatch_probe_loss{run=\"r\"}", "0.75"),
    ("mirrorwatch_last_scanned_epoch{run=\"r\"}", "7"),
    ("mirrorwatch_last_scan_timestamp_seconds{run=\"r\"}", "1000"),
    ("mirrorwatch_run_finished{run=\"r\"}", "0"),
    ("mirrorwatch_reviews{run=\"r\",verdict=\"relabelled\"}", "0"),
];

/// The same for the process.
const OF_THE_PROCESS: &[&str] = &[
    "mirrorwatch_checkpoints_seen_total",
    "mirrorwatch_checkpoints_skipped_total",
    "mirrorwatch_checkpoint_failures_total",
    "mirrorwatch_scan_duration_seconds",
    "mirrorwatch_queue_checkpoints",
    "mirrorwatch_watch_rescans_total",
    "mirrorwatch_web_config_last_reload_successful",
    "mirrorwatch_build_info",
];

fn scrape() -> String {
    scrape_with(Limits::default())
}

fn scrape_with(limits: Limits) -> String {
    let hub = Arc::new(Hub::default());
    let metrics = Metrics::with_limits(hub.clone(), limits).unwrap();
    hub.update_run("r", |view| view.summary = Some(Arc::new(example("r"))));
    metrics.render().unwrap()
}

#[test]
fn every_name_of_the_design_is_exported_with_its_value() {
    let text = scrape();
    for (series, value) in OF_A_RUN {
        let line = format!("{series} {value}");
        assert!(
            text.lines().any(|l| l == line),
            "{line} is missing from:\n{text}"
        );
    }
    for name in OF_THE_PROCESS {
        let kind = format!("# TYPE {name} ");
        assert!(text.contains(&kind), "{name} is missing from:\n{text}");
    }
}

/// Labels that come from data are opt-in or capped, or one run could flood a Prometheus.
#[test]
fn series_by_class_and_source_keep_to_their_limits() {
    let pair = "mirrorwatch_class_suspects{given=\"cat\",run=\"r\",suggested=\"dog\"} 12";
    assert!(!scrape().contains("mirrorwatch_class_suspects"));
    let limits = |class_pairs, sources| Limits {
        class_pairs,
        sources,
        follows: false,
    };
    let text = scrape_with(limits(5, 0));
    assert!(text.lines().any(|l| l == pair), "{text}");
    assert!(!text.contains("mirrorwatch_source_"), "{text}");

    let hub = Arc::new(Hub::default());
    let metrics = Metrics::with_limits(hub.clone(), limits(0, 3)).unwrap();
    let mut summary = example("r");
    for n in 0..20 {
        summary.sources.push(crate::summary::SourceCount {
            source: format!("vendor-{n}"),
            ..summary.sources[0].clone()
        });
        summary.onset.so_far.push(crate::onset::SourceOnset {
            source: format!("vendor \"{n}\""),
            ..summary.onset.so_far[0].clone()
        });
    }
    hub.update_run("r", |view| view.summary = Some(Arc::new(summary)));
    let text = metrics.render().unwrap();
    for name in [
        "mirrorwatch_source_suspects{",
        "mirrorwatch_source_samples{",
        "mirrorwatch_source_onset_epoch{",
    ] {
        assert_eq!(
            text.lines().filter(|l| l.starts_with(name)).count(),
            3,
            "{text}"
        );
    }
}

/// The conventions of prometheus.io/docs/practices/naming.
#[test]
fn names_and_types_go_together() {
    for line in scrape().lines() {
        let Some(rest) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = rest.split_once(' ').unwrap();
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
        assert!(
            name.starts_with("mirrorwatch_") || name.starts_with("process_"),
            "{line}"
        );
    }
}

#[test]
fn every_family_has_help_and_appears_once() {
    let text = scrape();
    let mut seen = std::collections::BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap();
            assert!(seen.insert(name.to_string()), "{name} twice");
            assert!(
                help.len() > 5 && help.ends_with('.') || name.starts_with("process_"),
                "{line}"
            );
        }
    }
    for (series, _) in OF_A_RUN {
        let name = series.split('{').next().unwrap();
        assert!(seen.contains(name), "{name} without help");
    }
}

/// At the first scan there is nothing to compare with, and most runs have no onset.
#[test]
fn nothing_forgotten_and_no_onset_are_two_things() {
    let hub = Arc::new(Hub::default());
    let metrics = Metrics::new(hub.clone()).unwrap();
    let mut summary = example("r");
    summary.onset = crate::onset::Onset::default();
    hub.update_run("r", |view| view.summary = Some(Arc::new(summary.clone())));
    let text = metrics.render().unwrap();
    assert!(!text.contains("mirrorwatch_forgotten_samples"), "{text}");
    assert!(!text.contains("mirrorwatch_source_onset_epoch"), "{text}");
    summary.onset.forgotten = Some(0);
    hub.update_run("r", |view| view.summary = Some(Arc::new(summary)));
    let text = metrics.render().unwrap();
    let line = "mirrorwatch_forgotten_samples{run=\"r\"} 0";
    assert!(text.lines().any(|l| l == line), "{text}");
}

#[test]
fn a_run_without_a_scan_exports_no_count() {
    let hub = Arc::new(Hub::default());
    let metrics = Metrics::new(hub.clone()).unwrap();
    hub.update_run("r", |view| view.updated = 5.0);
    let text = metrics.render().unwrap();
    assert!(!text.contains("mirrorwatch_suspects"), "{text}");
    assert!(
        text.contains("mirrorwatch_run_finished{run=\"r\"} 0"),
        "{text}"
    );
}

#[test]
fn exports_zeroes_before_anything_happened() {
    let metrics = Metrics::new(Arc::new(Hub::default())).unwrap();
    let text = metrics.render().unwrap();
    for line in [
        "mirrorwatch_checkpoints_seen_total 0",
        "mirrorwatch_checkpoints_skipped_total{reason=\"superseded\"} 0",
        "mirrorwatch_checkpoint_failures_total{stage=\"load\"} 0",
        "mirrorwatch_queue_checkpoints 0",
        "mirrorwatch_web_config_last_reload_successful 1",
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

#[test]
fn a_shard_that_follows_tells_of_its_own_only() {
    let hub = Arc::new(Hub::default());
    let summary = Summary {
        shard: Some(OwnShare {
            index: 1,
            count: 3,
            samples: 333,
            suspects: 5,
        }),
        ..example("r")
    };
    hub.update_run("r", |view| view.summary = Some(Arc::new(summary.clone())));
    let limits = Limits {
        follows: true,
        ..Limits::default()
    };
    let follower = Metrics::with_limits(hub.clone(), limits)
        .unwrap()
        .render()
        .unwrap();
    let of_runs: Vec<&str> = follower
        .lines()
        .filter(|line| line.contains("run="))
        .collect();
    let reviews = |line: &&&str| line.starts_with("mirrorwatch_reviews");
    assert_eq!(of_runs.iter().filter(reviews).count(), 3, "{of_runs:?}");
    let rest: Vec<&str> = of_runs
        .iter()
        .filter(|line| !reviews(line))
        .copied()
        .collect();
    assert_eq!(
        rest,
        [
            "mirrorwatch_run_finished{run=\"r\"} 0",
            "mirrorwatch_shard_samples{run=\"r\"} 333",
            "mirrorwatch_shard_suspects{run=\"r\"} 5",
        ]
    );
    // The first one speaks for the run as well.
    let leader = Metrics::new(hub).unwrap().render().unwrap();
    assert!(
        leader.contains("mirrorwatch_suspects{run=\"r\"} 12"),
        "{leader}"
    );
    assert!(
        leader.contains("mirrorwatch_shard_suspects{run=\"r\"} 5"),
        "{leader}"
    );
}

/// The metrics and labels of a text in Prometheus' format, by the grammar of its documentation ("Text format details").
fn read(text: &str) -> Result<BTreeSet<String>, String> {
    let mut names = BTreeSet::new();
    // Only this ends a line: not a return, which Rust's own `lines` takes, too.
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if line.starts_with("# HELP ") || line.starts_with("# TYPE ") {
            continue;
        }
        let end = line.find(['{', ' ']).ok_or(line)?;
        let (mut series, mut rest) = (line[..end].to_string(), &line[end..]);
        if let Some(labels) = rest.strip_prefix('{') {
            rest = labels;
            while !rest.starts_with('}') {
                let (label, value) = rest.split_once("=\"").ok_or(line)?;
                series += &format!(",{}", label.trim_start_matches(','));
                let mut escaped = false;
                let end = value.find(|c| {
                    let end = c == '"' && !escaped;
                    escaped = c == '\\' && !escaped;
                    end
                });
                rest = &value[end.ok_or(line)? + 1..];
            }
            rest = &rest[1..];
        }
        let number = rest.strip_prefix(' ').ok_or(line)?;
        number.parse::<f64>().map_err(|_| line)?;
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | ',');
        if !series.chars().all(legal) {
            return Err(line.to_string());
        }
        names.insert(series);
    }
    Ok(names)
}

fn scrape_of(name: &str) -> String {
    let hub = Arc::new(Hub::default());
    let limits = Limits {
        class_pairs: 9,
        ..Limits::default()
    };
    let metrics = Metrics::with_limits(hub.clone(), limits).unwrap();
    let mut summary = example(name);
    for source in &mut summary.sources {
        source.source = format!("{name}{}", source.source);
    }
    for pair in &mut summary.class_pairs {
        pair.given_name = name.to_string();
    }
    hub.update_run(name, |view| view.summary = Some(Arc::new(summary)));
    metrics.render().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No name makes a metric, a label or a line, and the text holds nothing that its readers choke on.
    #[test]
    fn a_scrape_has_the_same_metrics_and_labels_whatever_the_names(name in name()) {
        let (text, plain) = (scrape_of(&name), scrape_of("a"));
        prop_assert_eq!(read(&text).unwrap(), read(&plain).unwrap());
        prop_assert_eq!(text.split('\n').count(), plain.split('\n').count());
        prop_assert!(!text.chars().any(|c| c.is_control() && c != '\n'));
        let longest = text.split('\n').map(str::len).max().unwrap();
        prop_assert!(longest < 5_000, "{}", longest);
    }
}

#[test]
fn scrapes_between_two_changes_share_one_text_and_no_other() {
    let hub = Arc::new(Hub::new(3600.0));
    let metrics = Metrics::new(hub.clone()).unwrap();
    let text = || metrics.runs.text().unwrap();
    hub.update_run("r", |view| view.updated = crate::hub::now() - 3597.0);
    let first = text();
    assert!(Arc::ptr_eq(&first, &text()));
    hub.update_run("other", |view| view.finished = true);
    let second = text();
    assert!(second.contains("mirrorwatch_run_finished{run=\"other\"} 1\n"));
    // Nothing changes but the time: what is no longer to be shown goes nevertheless.
    while text().contains("run=\"r\"") {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(text().contains("run=\"other\""));
}

/// What a count stands for is there before it, however many ask meanwhile.
#[test]
fn whoever_sees_a_count_finds_what_it_stands_for() {
    const TIMES: usize = 300;
    let hub = Arc::new(Hub::default());
    let metrics = Metrics::new(hub.clone()).unwrap();
    hub.update_run("r", |view| view.updated = 1.0);
    let ask = || {
        for _ in 0..TIMES {
            let text = metrics.render().unwrap();
            let value = |name: &str| -> f64 {
                let line = text.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap().trim().parse().unwrap()
            };
            let counted = value("mirrorwatch_checkpoints_seen_total ");
            let updated = value("mirrorwatch_run_updated_timestamp_seconds{run=\"r\"} ");
            assert!(updated >= counted, "{counted} counted, {updated} shown");
        }
    };
    std::thread::scope(|scope| {
        let asking = [(); 3].map(|()| scope.spawn(ask));
        let mut count = 0;
        while asking.iter().any(|one| !one.is_finished()) {
            count += 1;
            hub.update_run("r", |view| view.updated = f64::from(count));
            metrics.seen.inc();
        }
    });
}

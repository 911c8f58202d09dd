use proptest::prelude::*;

use super::*;
use crate::leaks::{LEAKS_SCHEMA, LeakedPair};
use crate::nasty::{name, skeleton};
use crate::summary::example;

const HOSTILE: &str = "<script>alert(1)</script>\"'&";

fn report() -> Report {
    report_of(HOSTILE)
}

/// A report with a name of data wherever there can be one.
fn report_of(name: &str) -> Report {
    let mut summary = example(name);
    summary.class_pairs[0].given = 0;
    summary.class_pairs[0].suggested = 1;
    summary.sources[0].source = name.to_string();
    let neighbour = |cosine| Neighbour {
        id: name.to_string(),
        label: name.to_string(),
        cosine,
        picture: None,
    };
    Report {
        run: name.to_string(),
        written: "2026-11-26 12:00".to_string(),
        timeline: vec![(1, 0.05, 0.1), (7, 0.0625, 0.125)],
        class_names: vec![name.to_string(), "dog".to_string()],
        cards: vec![Card {
            id: name.to_string(),
            given: name.to_string(),
            suggested: Some("dog".to_string()),
            words: Some(name.to_string()),
            wrong_probability: 0.9,
            p_value: 0.002,
            source: Some(name.to_string()),
            fitted_epoch: Some(4),
            picture: None,
            curve: vec![0.5, 0.002],
            stage_two: Some(CardStageTwo {
                verdict: name.to_string(),
                figures: name.to_string(),
                opponents: vec![neighbour(-0.5)],
                proponents: vec![neighbour(0.5)],
            }),
            review: Some(format!("confirmed by {name}")),
        }],
        stage_two: None,
        leaks: Some(LeakRecord {
            schema: LEAKS_SCHEMA,
            epoch: 7,
            step: 70,
            weights_sha256: String::new(),
            probes: 100,
            samples: 1000,
            threshold: 0.8,
            leaked_probes: 1,
            pairs: vec![LeakedPair {
                probe: 3,
                train: 5,
                train_id: name.to_string(),
                view: 0,
                score: 1.0,
                sketch: 1.0,
                step: 1.0,
                probe_label: 0,
                // More classes than names: another task's record.
                train_label: 9,
            }],
        }),
        reviews: vec![[name, name, name, "cleared", name].map(String::from)],
        settings: vec![("seed", name.to_string())],
        checkpoints: vec![(7, 70, "ab".to_string())],
        summary,
    }
}

/// Names come from data; none of them becomes a part of the page.
#[test]
fn what_data_says_stays_text() {
    let html = page(&report()).into_string();
    assert!(!html.contains("<script>alert"), "{html}");
    // The page's own, and no other.
    assert_eq!(html.matches("<script").count(), 1);
    assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot;"));
    assert!(html.contains("1 of 100 probe samples"));
}

#[test]
fn a_refused_count_and_no_suspects_are_said_in_words() {
    let mut report = report();
    report.cards.clear();
    report.leaks = None;
    report.reviews.clear();
    report.summary.class_pairs.clear();
    report.summary.suspects = 0;
    report.summary.refusal = Some(crate::refusal::Refusal {
        reason: "probe-noisy".to_string(),
        message: "the probe's own labels are wrong".to_string(),
    });
    let html = page(&report).into_string();
    for part in [
        "No count: the probe&#39;s own labels are wrong.",
        "There is no suspect.",
        "There is none.",
        "Nobody has reviewed a suspect yet.",
    ] {
        assert!(
            html.replace("probe's", "probe&#39;s").contains(part),
            "{part}: {html}"
        );
    }
    assert!(!html.contains("id=\"leaks\"") && !html.contains("href=\"#leaks\""));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No name adds, takes or changes a tag, an attribute or a script.
    #[test]
    fn a_report_is_made_of_the_same_parts_whatever_the_names(name in name()) {
        prop_assume!(!name.is_empty());
        let html = page(&report_of(&name)).into_string();
        prop_assert_eq!(skeleton(&html), skeleton(&page(&report_of("a")).into_string()));
    }
}

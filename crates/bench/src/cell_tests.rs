use super::*;
use crate::grid::{Overrides, cells};

#[test]
fn a_small_cell_from_end_to_end() {
    let overrides = Overrides {
        train: Some(300),
        probe: Some(100),
        trusted: Some(60),
        epochs: Some(3),
        ..Overrides::default()
    };
    let only = ["annotator".to_string()];
    let cell = cells(true, &[0], &only, &overrides).remove(0);
    let directory = tempfile::tempdir().unwrap();
    let export = directory.path().join("export");
    let places = Places {
        data: None,
        work: &directory.path().join("work"),
        export: Some(&export),
    };
    let record = run(&cell, &places, &|_| ()).unwrap();
    assert!(export::is_complete(&export));
    assert_eq!(record.checkpoints.len(), 3);
    assert_eq!(
        (record.samples, record.probe, record.trusted),
        (300, 100, 60)
    );
    for phase in Phase::ALL {
        let ranks = record.ranks(phase);
        for name in [
            "mirrorwatch",
            "loss",
            "cumulative-loss",
            "aum",
            "out-of-sample",
            "out-of-sample-margin",
            "probe-lr",
            "tracin",
            "tracin-cp-last-layer",
            "gradient:delta",
            "margin:counterfactual evidence",
        ] {
            assert!(ranks[name].auroc.is_some(), "{name} at {}", phase.name());
        }
        let counts = &record.at(phase).unwrap().counts;
        assert_eq!(counts.len(), 2);
        assert_eq!((counts[0].scored, counts[1].scored), (240, 300));
        // A refusal to count names no sources.
        assert!(
            counts
                .iter()
                .all(|c| c.refused.is_some() || !c.sources.is_empty())
        );
    }
    // What is kept is what comes back.
    let text = serde_json::to_string(&record).unwrap();
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
}

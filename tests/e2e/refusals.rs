//! A count that would mislead is refused, with its reason, until it can be made.

use crate::support::place::Place;
use crate::support::results::Results;
use crate::support::trainer::ignorant;

#[test]
fn nobody_is_named_while_the_model_knows_nothing() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let mut trainer = place.trainer("r");
    let nothing = ignorant(trainer.net());
    trainer.publish(&nothing);
    let scrape = sidecar.wait_for_scans(1);
    let refused = "mirrorwatch_count_refused{reason=\"model-at-chance\",run=\"r\"}";
    assert_eq!(scrape.value(refused), Some(1.0), "{}", scrape.0);
    assert_eq!(scrape.value("mirrorwatch_suspects{run=\"r\"}"), Some(0.0));
    assert!(Results::new(&sidecar.state, "r").last_suspects().is_empty());
    assert!(
        sidecar
            .get("/")
            .body
            .contains("no count: the model is right on"),
        "{}",
        sidecar.get("/").body
    );

    // It learns, and is believed.
    trainer.epochs(2);
    let scrape = sidecar.wait_for_scans(3);
    assert_eq!(scrape.value(refused), Some(0.0), "{}", scrape.0);
    assert!(scrape.value("mirrorwatch_suspects{run=\"r\"}") > Some(100.0));
}

#[test]
fn a_probe_with_wrong_labels_of_its_own_is_told_from_one_without() {
    let mut place = Place::new();
    place.data.trust_nobody();
    place.finished_run("r", 3);
    let mut clean = place.watch("clean").start();
    let scrape = clean.wait_for_scans(3);
    let refused = "mirrorwatch_count_refused{reason=\"probe-noisy\",run=\"r\"}";
    let noise = "mirrorwatch_probe_noise_lower_bound{run=\"r\"}";
    assert_eq!(scrape.value(refused), Some(0.0), "{}", scrape.0);
    assert!(scrape.value(noise) < Some(0.01), "{}", scrape.0);
    assert!(scrape.value("mirrorwatch_suspects{run=\"r\"}") > Some(100.0));
    clean.terminate();

    // One label in six: 17 %. The model is another one in each run, and some see little of fewer.
    place.data.spoil_probe(6);
    let mut spoilt = place.watch("spoilt").start();
    let scrape = spoilt.wait_for_scans(3);
    assert_eq!(scrape.value(refused), Some(1.0), "{}", scrape.0);
    let bound = scrape.value(noise).unwrap();
    assert!((0.01..0.17).contains(&bound), "{bound}");
    let page = spoilt.get("/").body;
    let (_, samples) = page.split_once("beginning with its samples ").unwrap();
    let (samples, _) = samples.split_once(", or add").unwrap();
    for sample in samples.split(", ") {
        let sample: usize = sample.parse().unwrap();
        assert!(sample.is_multiple_of(6), "{samples}");
    }
    spoilt.terminate();
}

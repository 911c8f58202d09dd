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

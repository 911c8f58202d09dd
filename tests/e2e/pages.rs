//! What the sidecar serves besides the numbers.

use crate::support::place::Place;

#[test]
fn every_page_says_what_it_is_for() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let page = sidecar.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("no run yet"), "{}", page.body);

    let mut trainer = place.trainer("resnet-7");
    trainer.epoch();
    let scrape = sidecar.wait_for_scans(1);

    let metrics = sidecar.get("/metrics");
    assert_eq!(metrics.status, 200);
    // The text format's own type, without which Prometheus 3 refuses the scrape.
    assert_eq!(
        metrics.content_type,
        "text/plain; version=0.0.4; charset=utf-8"
    );

    let health = sidecar.get("/healthz");
    assert_eq!((health.status, health.body.as_str()), (200, "ok\n"));
    let ready = sidecar.get("/readyz");
    assert_eq!((ready.status, ready.body.as_str()), (200, "ready\n"));

    let page = sidecar.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.content_type.starts_with("text/html"),
        "{}",
        page.content_type
    );
    let count = scrape
        .value("mirrorwatch_suspects{run=\"resnet-7\"}")
        .unwrap();
    for part in [
        "resnet-7",
        "running",
        &format!("{count} of 1300 labels are suspicious"),
        "trusted null of 200",
        "href=\"/metrics\"",
        "href=\"/healthz\"",
        "href=\"/readyz\"",
    ] {
        assert!(
            page.body.contains(part),
            "`{part}` is not in:\n{}",
            page.body
        );
    }

    for path in ["/nothing", "/metrics/", "//", "/metricsx"] {
        assert_eq!(sidecar.get(path).status, 404, "{path}");
    }
    assert_eq!(sidecar.get("/../etc/passwd").status, 400);
    // A query is no part of the path.
    assert_eq!(sidecar.get("/metrics?x=1").status, 200);
}

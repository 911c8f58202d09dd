//! A report in a real browser: opened from disk, read by those who cannot see it or have little room.

use serde_json::json;

use crate::playwright_page::Browser;
use crate::second_look::{about_run, scanned};
use crate::support::process::run;

#[test]
fn a_report_opens_from_disk_for_everybody_and_asks_for_nothing() {
    let place = scanned(2);
    run(about_run(&place, "confirm", &[]), place.path()).expect(0);
    let out = place.at("report");
    let to = ["--out", out.to_str().unwrap(), "--suspects", "40"];
    run(about_run(&place, "report", &to), place.path()).expect(0);
    let url = format!("file://{}", out.join("report.html").display());
    let mut browser = Browser::start();
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light")] {
        browser.tell(json!({"do": "open", "url": url, "width": width, "scheme": scheme}));
        let seen = browser.tell(json!({"do": "report"}));
        assert_eq!(
            (&seen["cards"], &seen["shown"]),
            (&json!(40), &json!("40 of 40 shown"))
        );
        assert_eq!(seen["width"], width, "{scheme}: it scrolls sideways");
        assert_eq!(browser.tell(json!({"do": "requests"})), json!([url]));
        let found = browser.tell(json!({"do": "axe"}));
        assert_eq!(found["violations"], json!([]), "{width} {scheme}");
        assert!(found["passed"].as_u64() > Some(15), "{found}");
        browser.complains_of_nothing();
    }
    // By keyboard: why the first one is a suspect; and one class only.
    browser.tell(json!({"do": "focus", "selector": ".card summary"}));
    browser.press("Enter");
    let seen = browser.tell(json!({"do": "report"}));
    assert_eq!(seen["open"], true);
    let why = seen["why"].as_str().unwrap();
    assert!(why.contains("Probe samples against the label"), "{why}");
    browser.tell(json!({"do": "focus", "selector": ".filters select"}));
    browser.press("ArrowDown");
    let seen = browser.tell(json!({"do": "report"}));
    let cards = seen["cards"].as_u64().unwrap();
    assert!(0 < cards && cards < 40, "{cards}");
    assert_eq!(seen["shown"], format!("{cards} of 40 shown"));
    browser.complains_of_nothing();
}

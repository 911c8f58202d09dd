//! The live page in a real browser: what it shows, and that it goes on showing it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::support::place::Place;
use crate::support::process::program;
use crate::support::sidecar::Sidecar;
use crate::support::wait::eventually;

/// Chromium with the page in it, through `page.mjs`; killed on drop.
pub struct Browser {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Browser {
    pub fn start() -> Self {
        let chromium = std::env::var_os("MIRRORWATCH_CHROMIUM");
        let mut process = Command::new("node")
            .arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("e2e/page.mjs"))
            .env("MIRRORWATCH_PLAYWRIGHT", program("MIRRORWATCH_PLAYWRIGHT"))
            .env(
                "MIRRORWATCH_CHROMIUM",
                chromium.unwrap_or("/usr/bin/chromium".into()),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Self {
            to: process.stdin.take().unwrap(),
            from: BufReader::new(process.stdout.take().unwrap()),
            process,
        }
    }

    #[track_caller]
    pub fn tell(&mut self, command: Value) -> Value {
        writeln!(self.to, "{command}").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        let answer: Value = serde_json::from_str(&line).unwrap();
        assert!(answer["error"].is_null(), "{command}: {answer}");
        answer["ok"].clone()
    }

    #[track_caller]
    pub fn open(&mut self, sidecar: &Sidecar) {
        let url = format!("http://{}/", sidecar.address);
        self.tell(json!({"do": "open", "url": url}));
    }

    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        self.tell(json!({"do": "click", "selector": selector}));
    }

    #[track_caller]
    pub fn press(&mut self, key: &str) {
        self.tell(json!({"do": "press", "key": key}));
    }

    #[track_caller]
    pub fn look(&mut self) -> Value {
        self.tell(json!({"do": "look"}))
    }

    /// Looks until what is seen is as it should be.
    #[track_caller]
    pub fn see(&mut self, what: &str, right: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || {
            let seen = self.look();
            if right(&seen) {
                Ok(seen)
            } else {
                Err(seen.to_string())
            }
        })
    }

    #[track_caller]
    pub fn complains_of_nothing(&mut self) {
        assert_eq!(self.tell(json!({"do": "complaints"})), json!([]));
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The page's numbers are those of `/metrics`.
#[track_caller]
fn assert_as_exported(seen: &Value, sidecar: &Sidecar, run: &str) {
    let scrape = sidecar.scrape();
    let value = |metric: &str| scrape.value(&format!("{metric}{{run=\"{run}\"}}")).unwrap();
    let percent = |ratio: f64| format!("{:.1}\u{a0}%", 100.0 * ratio);
    let tiles = &seen["tiles"];
    assert_eq!(tiles["suspects"], value("mirrorwatch_suspects").to_string());
    let bound = value("mirrorwatch_noise_ratio_lower_bound");
    assert_eq!(tiles["at least wrong"], percent(bound));
    let estimate = value("mirrorwatch_noise_ratio_estimate");
    assert_eq!(tiles["estimate"], percent(estimate));
    let memorised = value("mirrorwatch_memorised_suspects");
    assert_eq!(tiles["learnt by heart"], memorised.to_string());
    let hard = value("mirrorwatch_hard_suspects");
    assert_eq!(tiles["rather hard"], hard.to_string());
}

fn at_epoch(seen: &Value, epoch: u64) -> bool {
    !seen["tiles"][format!("probe accuracy, epoch {epoch}")].is_null()
}

#[test]
fn the_page_follows_a_training_and_outlives_a_restart() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    let mut browser = Browser::start();
    browser.open(&sidecar);
    browser.see("a page without runs", |seen| {
        seen["main"].as_str().unwrap().contains("no run yet")
    });

    // Nobody touches the page; it changes by itself.
    let mut trainer = place.trainer("resnet-7");
    for epoch in 1..=2 {
        trainer.epoch();
        sidecar.wait_for_scans(epoch);
        let seen = browser.see("the scan on the page", |seen| {
            at_epoch(seen, epoch) && seen["gallery"].as_u64() > Some(0)
        });
        assert_as_exported(&seen, &sidecar, "resnet-7");
        assert!(seen["health"].as_str().unwrap().contains("version"));
        assert_eq!(seen["lines"], 9);
    }
    browser.complains_of_nothing();

    // A filter shows what it says, by mouse and by keyboard.
    let all = browser.look();
    let (pair, count) = (&all["pairs"][0][0], all["pairs"][0][1].as_str().unwrap());
    browser.click(".split button");
    let seen = browser.see("the filtered gallery", |seen| {
        seen["matching"] == format!("{count} of {count} shown")
    });
    assert_eq!(&seen["pairs"][0][0], pair);
    browser.tell(json!({"do": "focus", "selector": ".split button[aria-pressed=true]"}));
    browser.press("Enter");
    browser.see("all suspects again", |seen| {
        seen["matching"] == all["matching"]
    });

    // A suspect opens, tells its history, leads to the next one and closes.
    browser.tell(json!({"do": "focus", "selector": "#gallery button"}));
    browser.press("ArrowRight");
    browser.press("Enter");
    let second = browser.see("a suspect's history", |seen| {
        seen["dialog"]
            .as_str()
            .is_some_and(|text| text.contains("chance that it is wrong"))
    });
    browser.press("ArrowRight");
    browser.see("the next suspect", |seen| {
        seen["dialog"].is_string() && seen["dialog"] != second["dialog"]
    });
    browser.press("Escape");
    let seen = browser.see("the gallery again", |seen| seen["dialog"].is_null());
    assert!(
        seen["focus"].as_str().unwrap().parse::<usize>().is_ok(),
        "{seen}"
    );
    browser.complains_of_nothing();

    // The sidecar goes and comes back at the same place, and the page with it.
    let address = sidecar.address.clone();
    sidecar.kill();
    browser.see("that the sidecar is gone", |seen| {
        seen["health"]
            .as_str()
            .unwrap()
            .contains("waiting for the sidecar")
    });
    let mut sidecar = place
        .watch("state")
        .with(&["--web.listen-address", &address])
        .start();
    let seen = browser.see("that it is back", |seen| {
        !seen["health"].as_str().unwrap().contains("waiting") && at_epoch(seen, 2)
    });
    assert_as_exported(&seen, &sidecar, "resnet-7");
    assert_eq!(seen["matching"], all["matching"]);
    trainer.epoch();
    sidecar.wait_for_scans(1);
    let seen = browser.see("the next scan", |seen| at_epoch(seen, 3));
    assert_as_exported(&seen, &sidecar, "resnet-7");
    // What the browser says of a server that is not there is no fault of the page.
    let complaints = browser.tell(json!({"do": "complaints"}));
    for complaint in complaints.as_array().unwrap() {
        let text = complaint.as_str().unwrap();
        assert!(text.contains("net::ERR_"), "{text}");
    }

    // A finished run says so.
    trainer.finish();
    browser.see("the end of the run", |seen| {
        seen["main"].as_str().unwrap().contains("finished")
    });
}

/// The rules that Lighthouse's accessibility score is made of, and more.
#[test]
fn the_page_shuts_nobody_out() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    place.trainer("resnet-7").epochs(2);
    sidecar.wait_for_scans(2);
    let mut browser = Browser::start();
    let look_closely = |browser: &mut Browser| {
        let found = browser.tell(json!({"do": "axe"}));
        assert_eq!(found["violations"], json!([]));
        assert!(found["passed"].as_u64() > Some(20), "{found}");
    };
    for scheme in ["light", "dark"] {
        let url = format!("http://{}/", sidecar.address);
        browser.tell(json!({"do": "open", "url": url, "scheme": scheme}));
        browser.see("the suspects", |seen| seen["gallery"].as_u64() > Some(0));
        look_closely(&mut browser);
        browser.click("#gallery button");
        browser.see("a sample", |seen| !seen["dialog"].is_null());
        look_closely(&mut browser);
    }
}

#[test]
fn the_page_fits_a_phone_and_the_dark() {
    let place = Place::new();
    place.finished_run("run", 1);
    let mut sidecar = place.watch("state").start();
    sidecar.wait_for_scans(1);
    let mut browser = Browser::start();
    let url = format!("http://{}/", sidecar.address);
    let mut colours = Vec::new();
    for (width, scheme) in [(390_u64, "light"), (390, "dark")] {
        browser.tell(json!({"do": "open", "url": url, "width": width, "scheme": scheme}));
        let seen = browser.see("the gallery", |seen| seen["gallery"].as_u64() > Some(0));
        // A scroll bar takes some of it.
        assert!(
            seen["width"].as_u64().unwrap() <= width,
            "sticks out: {seen}"
        );
        colours.push(browser.tell(json!({"do": "colours"})));
    }
    assert_ne!(colours[0][0], colours[1][0]);
    assert_ne!(colours[0][1], colours[1][1]);
    browser.complains_of_nothing();
}

#[test]
fn ten_thousand_suspects_are_shown_at_once_and_stay_smooth() {
    let place = Place::new();
    place.finished_run("run", 1);
    let mut sidecar = place.watch("state").start();
    sidecar.wait_for_scans(1);
    let mut browser = Browser::start();
    browser.open(&sidecar);
    browser.tell(json!({"do": "swell", "count": 10_000}));
    let seen = browser.see("the first of them", |seen| {
        seen["matching"]
            .as_str()
            .is_some_and(|text| text.ends_with("of 10000 shown"))
            && seen["seen"]["paint"].is_number()
    });
    println!("first paint and layout shift: {}", seen["seen"]);
    // A page that waited for the suspects, or moved when they came, would be far beyond these.
    assert!(seen["seen"]["paint"].as_f64().unwrap() < 5000.0, "{seen}");
    assert!(seen["seen"]["shift"].as_f64().unwrap() < 0.02, "{seen}");
    let scrolled = browser.tell(json!({"do": "scroll"}));
    println!("scrolling through all of them: {scrolled}");
    assert_eq!(browser.look()["gallery"], 10_000);
    browser.complains_of_nothing();
}

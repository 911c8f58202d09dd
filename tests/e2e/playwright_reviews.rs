//! Reviews on the live page, in a real browser: said by mouse and by keyboard, seen by everybody.

use serde_json::{Value, json};

use crate::playwright_page::Browser;
use crate::support::place::Place;
use crate::support::process::{quickstart, run};
use crate::support::sidecar::Sidecar;

fn reviews(sidecar: &Sidecar) -> Vec<Value> {
    let page = sidecar.get("/api/v1/runs/resnet-7/reviews");
    let list: Value = serde_json::from_str(&page.body).unwrap();
    list["reviews"].as_array().unwrap().clone()
}

/// Opens the page and the first suspect of its gallery; that suspect's position.
fn open_first(browser: &mut Browser, sidecar: &Sidecar, scheme: &str) -> String {
    let url = format!("http://{}/", sidecar.address);
    browser.tell(json!({"do": "open", "url": url, "scheme": scheme}));
    browser.see("the suspects", |seen| seen["gallery"].as_u64() > Some(0));
    browser.tell(json!({"do": "focus", "selector": "#gallery button"}));
    let first = browser.look()["focus"].as_str().unwrap().to_string();
    browser.press("Enter");
    browser.see("the suspect", |seen| seen["said"].is_string());
    first
}

#[test]
fn what_a_person_says_on_the_page_is_noted_and_shown_to_all() {
    let place = Place::new();
    let mut sidecar = place.watch("state").start();
    place.trainer("resnet-7").epochs(2);
    sidecar.wait_for_scans(2);
    let mut browser = Browser::start();
    let first = open_first(&mut browser, &sidecar, "light");
    let seen = browser.look();
    assert_eq!(seen["said"], "nobody has reviewed it yet");
    assert_eq!(
        seen["buttons"],
        json!([
            "wrong",
            "right",
            "right label",
            "relabel",
            "withdraw",
            "your name"
        ])
    );

    // By mouse, with a name that is remembered.
    browser.tell(json!({"do": "fill", "selector": ".review input", "text": "ada"}));
    browser.click(".review button:text-is('wrong')");
    let seen = browser.see("what was said", |seen| seen["pressed"] == "wrong");
    let said = seen["said"].as_str().unwrap();
    assert!(said.starts_with("confirmed by ada, "), "{said}");
    let noted = reviews(&sidecar);
    assert_eq!(noted[0]["index"].to_string(), first);
    assert_eq!(
        (&noted[0]["who"], &noted[0]["by"]),
        (&json!("ada"), &json!("page"))
    );
    assert_eq!(noted[0]["evidence"]["suspect"], true);
    browser.see("it in the gallery", |seen| {
        seen["marks"][&first] == "confirmed by ada"
            && seen["reviewed"] == "reviewed: 1 confirmed, 0 cleared, 0 relabelled"
    });

    // By keyboard; the focus stays where it is.
    browser.press("Tab");
    browser.tell(json!({"do": "focus", "selector": ".review button:text-is('right')"}));
    browser.press("Enter");
    let seen = browser.see("the other verdict", |seen| seen["pressed"] == "right");
    assert_eq!(seen["focused"], "right");
    // The suggested label is the one that is offered first; arrows choose another one and stay with the suspect.
    let dialog = seen["dialog"].clone();
    browser.tell(json!({"do": "focus", "selector": ".review select"}));
    browser.press("ArrowDown");
    browser.press("ArrowRight");
    assert_eq!(browser.look()["dialog"], dialog);
    let given = noted[0]["given"].as_u64().unwrap();
    let label = (given + 1) % 5;
    browser.tell(json!({"do": "choose", "selector": ".review select", "label": label.to_string()}));
    browser.click(".review button:text-is('relabel')");
    browser.see("the new label", |seen| {
        let told = format!("relabelled to {label} by ada, ");
        seen["said"]
            .as_str()
            .is_some_and(|said| said.starts_with(&told))
    });
    assert_eq!(reviews(&sidecar)[2]["label"], label);

    // What a command says comes up by itself, in the dialog and in the gallery.
    let mut command = quickstart();
    command
        .args(["sidecar", "review", "resnet-7"])
        .args(place.data.arguments())
        .arg("--root")
        .arg(place.root())
        .arg("--state")
        .arg(place.at("state"))
        .args([
            "--confirm",
            &first,
            "--who",
            "bo",
            "--note",
            "asked the vendor",
        ]);
    run(command, place.path()).expect(0);
    browser.see("what the command said", |seen| {
        let said = seen["said"].as_str().unwrap_or_default();
        said.starts_with("confirmed by bo, ")
            && said.ends_with(": asked the vendor")
            && seen["marks"][&first] == "confirmed by bo"
    });
    browser.click(".review button:text-is('withdraw')");
    let seen = browser.see("that it is taken back", |seen| {
        seen["said"] == "nobody has reviewed it yet" && seen["marks"] == json!({})
    });
    assert_eq!(seen["reviewed"], "");
    let verdicts: Vec<Value> = reviews(&sidecar)
        .iter()
        .map(|r| r["verdict"].clone())
        .collect();
    assert_eq!(
        verdicts,
        [
            "confirmed",
            "cleared",
            "relabelled",
            "confirmed",
            "withdrawn"
        ]
    );
    browser.complains_of_nothing();

    // Nobody is shut out, whatever the colours.
    for scheme in ["light", "dark"] {
        open_first(&mut browser, &sidecar, scheme);
        browser.click(".review button:text-is('wrong')");
        browser.see("what was said", |seen| seen["pressed"] == "wrong");
        let found = browser.tell(json!({"do": "axe"}));
        assert_eq!(found["violations"], json!([]));
    }
    browser.complains_of_nothing();
}

#[test]
fn where_reviews_are_not_taken_there_are_no_buttons() {
    let place = Place::new();
    let mut sidecar = place
        .watch("state")
        .with(&["--web.enable-review=never"])
        .start();
    place.trainer("resnet-7").epochs(2);
    sidecar.wait_for_scans(2);
    let mut browser = Browser::start();
    open_first(&mut browser, &sidecar, "light");
    let seen = browser.look();
    assert_eq!(
        (&seen["buttons"], &seen["said"]),
        (&json!([]), &json!("nobody has reviewed it yet"))
    );
    browser.complains_of_nothing();
}

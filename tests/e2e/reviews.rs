//! What people say of suspects: by command and over HTTP, while the sidecar runs, and what comes of it.

use std::fs;
use std::path::Path;
use std::process::Command;

use mirrorwatch::daemon::export::Export;
use serde_json::{Value, json};

use crate::support::place::Place;
use crate::support::process::{quickstart, run};
use crate::support::refusal::assert_refused;
use crate::support::results::Results;
use crate::support::sidecar::{Page, Sidecar};
use crate::support::wait::eventually;

fn command(place: &Place, name: &str, run: &str, more: &[&str]) -> Command {
    let mut command = quickstart();
    command
        .args(["sidecar", name, run])
        .args(place.data.arguments())
        .arg("--root")
        .arg(place.root())
        .arg("--state")
        .arg(place.at("state"))
        .args(more)
        .env("USER", "ada");
    command
}

fn review(place: &Place, more: &[&str]) -> Command {
    command(place, "review", "r", more)
}

fn export(place: &Place, out: &Path, more: &[&str]) -> Export {
    let mut command = command(place, "export", "r", more);
    command.arg("--out").arg(out);
    run(command, place.path()).expect(0);
    Export::read(&out.join("export.json")).unwrap()
}

fn get(sidecar: &Sidecar, path: &str) -> Value {
    let page = sidecar.get(path);
    assert_eq!(page.status, 200, "{}", page.body);
    serde_json::from_str(&page.body).unwrap()
}

fn post(sidecar: &Sidecar, headers: &[(&str, &str)], said: &Value) -> Page {
    let url = format!("http://{}/api/v1/runs/r/reviews", sidecar.address);
    let mut request = ureq::post(&url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.config().http_status_as_error(false).build();
    let mut response = request.send(said.to_string()).unwrap();
    Page {
        status: response.status().as_u16(),
        content_type: String::new(),
        body: response.body_mut().read_to_string().unwrap(),
    }
}

const JSON: (&str, &str) = ("content-type", "application/json");

/// A run with suspects, its sidecar, and samples: four suspects, and two that are none.
fn reviewed_run(place: &Place) -> (Sidecar, Vec<usize>, Vec<usize>) {
    place.finished_run("r", 2);
    let mut sidecar = place.watch("state").start();
    sidecar.wait_for_scans(2);
    let suspects = Results::new(&place.at("state"), "r").last_suspects();
    let suspects: Vec<usize> = suspects.iter().map(|suspect| suspect.index).collect();
    let others = (0..place.data.given.len()).filter(|i| {
        !suspects.contains(i) && !place.data.trusted.contains(i) && !place.data.is_wrong(*i)
    });
    let others = others.take(2).collect();
    (sidecar, suspects[..4].to_vec(), others)
}

#[test]
fn what_is_said_by_command_and_over_http_is_seen_everywhere() {
    let place = Place::new();
    let (mut sidecar, suspects, others) = reviewed_run(&place);
    let before = export(&place, &place.at("before"), &[]);
    let count = "mirrorwatch_suspects{run=\"r\"}";
    let suspected = sidecar.scrape().value(count);

    // By command, while the sidecar runs: by id and by position.
    let [first, second] = [suspects[0].to_string(), format!("#{}", suspects[1])];
    let other = others[0].to_string();
    let truth = place.data.truth[suspects[2]];
    let relabel = format!("{}={truth}", suspects[2]);
    let more = [
        "--confirm",
        &format!("{first},{other}"),
        "--clear",
        &second,
        "--relabel",
        &relabel,
        "--note",
        "second look",
    ];
    let told = run(review(&place, &more), place.path()).expect(0).stdout;
    assert!(told.contains("4 reviews noted in "), "{told}");
    assert!(told.contains("ada (command)"), "{told}");

    // Over HTTP, as the page does.
    let origin = format!("http://{}", sidecar.address);
    let own = [JSON, ("origin", &origin), ("sec-fetch-site", "same-origin")];
    let label = (place.data.given[others[1]] + 1) % 5;
    let said = json!({"index": others[1], "verdict": "relabelled", "label": label, "who": "bo", "by": "page"});
    let answer = post(&sidecar, &own, &said);
    assert_eq!(answer.status, 201, "{}", answer.body);
    let written: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(
        (&written["sequence"], &written["who"]),
        (&json!(5), &json!("bo"))
    );
    assert_eq!(written["evidence"]["suspect"], false);
    assert!(written["evidence"]["p_value"].as_f64().unwrap() > 0.0);

    // All of it in the list, on the samples, in the metrics.
    let list = get(&sidecar, "/api/v1/runs/r/reviews");
    assert_eq!(
        (&list["total"], &list["problem"]),
        (&json!(5), &Value::Null)
    );
    let of = |field: &str| -> Vec<Value> {
        let reviews = list["reviews"].as_array().unwrap();
        reviews.iter().map(|review| review[field].clone()).collect()
    };
    let indices = [suspects[0], others[0], suspects[1], suspects[2], others[1]];
    assert_eq!(of("index"), indices.map(Value::from));
    assert_eq!(of("who"), ["ada", "ada", "ada", "ada", "bo"]);
    assert_eq!(
        of("by"),
        ["command", "command", "command", "command", "page"]
    );
    let summaries = Results::new(&place.at("state"), "r").summaries();
    let summary = summaries.last().unwrap();
    for review in list["reviews"].as_array().unwrap() {
        let evidence = &review["evidence"];
        assert_eq!(evidence["weights_sha256"], summary.weights_sha256);
        assert_eq!(evidence["fingerprint"], before.fingerprint);
    }
    let sample = get(&sidecar, &format!("/api/v1/runs/r/samples/{first}"));
    assert_eq!(sample["review"]["verdict"], "confirmed");
    assert_eq!(
        sample["review"]["evidence"]["score"],
        sample["suspect"]["score"]
    );
    let scrape = sidecar.wait_for("the reviews", |scrape| {
        let of = |verdict| {
            scrape.value(&format!(
                "mirrorwatch_reviews{{run=\"r\",verdict=\"{verdict}\"}}"
            ))
        };
        [of("confirmed"), of("cleared"), of("relabelled")] == [Some(2.0), Some(1.0), Some(2.0)]
    });
    // What people say is no count.
    assert_eq!(scrape.value(count), suspected);

    // What is exported goes by it.
    let out = place.at("after");
    let after = export(&place, &out, &[]);
    let kept = after.kept();
    for (index, is_kept) in [
        (suspects[0], false),
        (suspects[1], true),
        (suspects[2], false),
        (suspects[3], false),
        (others[0], false),
        (others[1], false),
    ] {
        assert_eq!(kept.contains(&index), is_kept, "{index}");
    }
    let to = |index: usize| {
        let entry = after.suspects.iter().find(|entry| entry.index == index);
        entry.map(|entry| (entry.suggested as u32, entry.wrong_probability))
    };
    assert_eq!(to(suspects[2]), Some((truth, 1.0)));
    assert_eq!(to(others[1]), Some((label, 1.0)));
    assert_eq!(to(suspects[1]), None);
    let weights = fs::read_to_string(out.join("weights.csv")).unwrap();
    let weight = |index: usize| weights.lines().nth(index + 1).unwrap();
    assert_eq!(weight(suspects[0]), format!("{},0.0", suspects[0]));
    assert_eq!(weight(suspects[1]), format!("{},1.0", suspects[1]));
    assert_eq!(weight(suspects[2]), format!("{},1.0", suspects[2]));
    assert_eq!(after.reviews.len(), 5);
    let ignoring = export(&place, &place.at("ignoring"), &["--ignore-reviews"]);
    assert_eq!(ignoring, before);

    // Taken back, and by the command seen with the rest.
    let withdrawn = ["--withdraw", &second, "--who", "carl"];
    run(review(&place, &withdrawn), place.path()).expect(0);
    let told = run(review(&place, &[]), place.path()).expect(0).stdout;
    for part in [
        "withdrawn",
        "carl (command)",
        "bo (page)",
        "second look",
        "6 reviews in ",
        "every line fits",
    ] {
        assert!(told.contains(part), "`{part}` is not in: {told}");
    }
    let lines = run(review(&place, &["--json"]), place.path())
        .expect(0)
        .stdout;
    let log = place.at("state").join("runs/r/reviews.jsonl");
    assert_eq!(lines, fs::read_to_string(&log).unwrap());

    // They outlive the sidecar.
    sidecar.kill();
    let sidecar = place.watch("state").start();
    let reviews = eventually("the reviews after a restart", || {
        let page = sidecar.get("/api/v1/runs/r");
        let run: Value = serde_json::from_str(&page.body).unwrap();
        match run["reviews"]["last"].is_u64() {
            true => Ok(run["reviews"].clone()),
            false => Err(page.body),
        }
    });
    assert_eq!(
        reviews,
        json!({"confirmed": 2, "cleared": 0, "relabelled": 2, "last": 5})
    );
}

#[test]
fn a_log_that_was_changed_is_told_and_a_crash_is_none() {
    let place = Place::new();
    let (sidecar, suspects, _) = reviewed_run(&place);
    let confirm = |index: usize| {
        let index = index.to_string();
        run(review(&place, &["--confirm", &index]), place.path())
    };
    for &suspect in &suspects[..3] {
        confirm(suspect).expect(0);
    }
    let log = place.at("state").join("runs/r/reviews.jsonl");
    let good = fs::read(&log).unwrap();
    // A crash cuts off the last line.
    fs::write(&log, &good[..good.len() - 20]).unwrap();
    let finished = run(review(&place, &[]), place.path()).expect(0);
    assert!(
        finished.stdout.contains("2 reviews in "),
        "{}",
        finished.story()
    );
    assert!(
        finished.stderr.contains("has no end"),
        "{}",
        finished.story()
    );
    confirm(suspects[3]).expect(0);
    let text = fs::read_to_string(&log).unwrap();
    assert_eq!(text.lines().count(), 4);
    let told = run(review(&place, &[]), place.path()).expect(0);
    assert!(told.stdout.contains("3 reviews in "), "{}", told.story());
    assert_eq!(told.stderr, "");

    // Somebody changes what was said.
    fs::write(&log, text.replacen("confirmed", "cleared", 1)).unwrap();
    let finished = run(review(&place, &[]), place.path()).expect(1);
    assert!(
        finished
            .stderr
            .contains("line 2 does not follow from line 1"),
        "{}",
        finished.story()
    );
    let list = get(&sidecar, "/api/v1/runs/r/reviews");
    assert!(
        list["problem"].as_str().unwrap().contains("line 2"),
        "{list}"
    );
    let mut refused = command(&place, "export", "r", &[]);
    refused.arg("--out").arg(place.at("export"));
    assert_refused(
        refused,
        place.path(),
        &["reviews.jsonl", "line 2", "--ignore-reviews"],
    );
    assert_refused(
        review(&place, &["--clear", &suspects[0].to_string()]),
        place.path(),
        &["reviews.jsonl", "line 2", "move it aside"],
    );
}

#[test]
fn what_is_not_there_is_not_reviewed_and_nothing_is_written() {
    let place = Place::new();
    let (sidecar, suspects, others) = reviewed_run(&place);
    let log = place.at("state").join("runs/r/reviews.jsonl");
    let good = suspects[0].to_string();
    let same = format!("{good}={}", place.data.given[suspects[0]]);
    for (more, parts) in [
        (
            vec!["--confirm", &good, "--clear", "nobody"],
            vec!["no sample nobody", "#1499"],
        ),
        (vec!["--confirm", "#1500"], vec!["no sample #1500"]),
        (
            vec!["--confirm", &good, "--clear", &good],
            vec!["named twice"],
        ),
        (
            vec!["--confirm", &good, "--relabel", "1=9"],
            vec!["no class 9", "0 to 4"],
        ),
        (vec!["--relabel", &good], vec!["ID=LABEL"]),
        (vec!["--relabel", &same], vec!["--clear"]),
        (vec!["--withdraw", &good], vec!["nothing was said"]),
        (vec!["--confirm", &good, "--who", ""], vec!["`who`"]),
        (
            vec!["--confirm", &good, "--seed", "7"],
            vec!["other data or settings"],
        ),
    ] {
        let parts: Vec<&str> = parts;
        assert_refused(review(&place, &more), place.path(), &parts);
    }
    let other = command(&place, "review", "other", &[]);
    assert_refused(other, place.path(), &["run other", "--state"]);
    // Pages of other places, and bodies that are none.
    let said = json!({"index": others[0], "verdict": "cleared"});
    for (headers, status) in [
        (vec![], 415),
        (vec![("content-type", "text/plain")], 415),
        (vec![JSON, ("origin", "http://evil.example")], 403),
        (vec![JSON, ("sec-fetch-site", "cross-site")], 403),
        (vec![JSON, ("host", "evil.example")], 403),
    ] {
        assert_eq!(
            post(&sidecar, &headers, &said).status,
            status,
            "{headers:?}"
        );
    }
    assert_eq!(post(&sidecar, &[JSON], &json!({"index": 0})).status, 400);
    assert!(!log.exists());
    let told = run(review(&place, &[]), place.path()).expect(0).stdout;
    assert_eq!(told, "no reviews yet\n");
}

#[test]
fn who_logged_in_reviews_as_nobody_else() {
    // The C library's crypt(3) made it of `pw`.
    const ADA: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6";
    let place = Place::new();
    place.finished_run("r", 1);
    let web = place.at("web.yml");
    fs::write(&web, format!("basic_auth_users: {{ada: '{ADA}'}}\n")).unwrap();
    let watch = place.watch("state");
    let sidecar = watch
        .with(&["--web.config.file", web.to_str().unwrap()])
        .start();
    let said = json!({"index": 1, "verdict": "confirmed"});
    assert_eq!(post(&sidecar, &[JSON], &said).status, 401);
    // The base64 of `ada:pw`.
    let login = [JSON, ("authorization", "Basic YWRhOnB3")];
    let written = eventually("the first review", || {
        match post(&sidecar, &login, &said) {
            page if page.status == 201 => Ok(page.body),
            // Not seen, or not scanned yet.
            page if [404, 409].contains(&page.status) => Err(page.body),
            page => panic!("{}: {}", page.status, page.body),
        }
    });
    let written: Value = serde_json::from_str(&written).unwrap();
    assert_eq!(written["who"], "ada");
    let mallory = json!({"index": 1, "verdict": "confirmed", "who": "mallory"});
    assert_eq!(post(&sidecar, &login, &mallory).status, 403);
    let told = run(review(&place, &[]), place.path()).expect(0).stdout;
    assert!(
        told.contains("ada (api)") && told.contains("1 review in "),
        "{told}"
    );
}

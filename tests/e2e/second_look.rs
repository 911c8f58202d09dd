//! `verify`, `confirm`, `leaks` and `report`: what comes after the count.

use std::fs;
use std::path::Path;
use std::process::Command;

use mirrorwatch::daemon::confirm::ConfirmRecord;
use mirrorwatch::daemon::export::Export;
use mirrorwatch::daemon::leaks::LeakRecord;
use mirrorwatch::daemon::verdict::Verdict;
use mirrorwatch::idx::{
    Data as Values, Features, Packing, read_features, read_labels, write_features, write_labels,
};
use serde_json::Value;

use crate::support::place::Place;
use crate::support::process::{quickstart, run};
use crate::support::refusal::assert_refused;
use crate::support::results::Results;
use crate::support::sidecar::Sidecar;

/// A sidecar's command about this place's data.
fn about(place: &Place, command: &str, of: &Path, more: &[&str]) -> Command {
    let mut sidecar = quickstart();
    sidecar.args(["sidecar", command]).arg(of);
    sidecar.args(place.data.arguments()).args(more);
    sidecar
}

/// A command about the evidence of run `r`.
pub fn about_run(place: &Place, command: &str, more: &[&str]) -> Command {
    let mut sidecar = about(place, command, Path::new("r"), more);
    sidecar.arg("--root").arg(place.root());
    sidecar.arg("--state").arg(place.at("state"));
    sidecar
}

/// A place with a finished run `r` that was scanned.
pub fn scanned(epochs: usize) -> Place {
    let place = Place::new();
    place.finished_run("r", epochs);
    place
        .watch("state")
        .with(&["--until-finished"])
        .run()
        .expect(0);
    place
}

const QUICK: [&str; 5] = ["--json", "--samples", "60", "--groups", "12"];

#[test]
fn verify_says_yes_and_no_where_the_probe_is_shuffled() {
    let place = Place::new();
    place.finished_run("r", 3);
    let at = place.root().join("r");
    let told = run(about(&place, "verify", &at, &QUICK), place.path()).expect(0);
    let yes: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(yes["holds"], true, "{yes}");
    let lengths = yes["first_order"]["lengths"].as_array().unwrap();
    let best = lengths
        .iter()
        .filter_map(|at| at["pearson"].as_f64())
        .fold(0.0, f64::max);
    assert!(best >= 0.99, "{best}");
    assert_eq!(yes["first_order"]["samples"], 60);
    assert_eq!(yes["groups"]["pairs"].as_array().unwrap().len(), 12 * 5);
    assert!(yes["groups"]["pearson"].as_f64().unwrap() >= 0.8, "{yes}");
    // The other way round it makes the same, to the last digit: nothing in it is left to chance.
    let again = run(about(&place, "verify", &at, &QUICK), place.path()).expect(0);
    assert_eq!(told.stdout, again.stdout);

    // Of five classes in turn, every sample gets the label of another one, class by class at random.
    let path = place.data.file("t10k-labels");
    let mut labels = read_labels(&path).unwrap();
    for (place, label) in labels.iter_mut().enumerate() {
        *label = (place / 5 % 5) as u32;
    }
    write_labels(&path, &labels, Packing::Plain).unwrap();
    let told = run(about(&place, "verify", &at, &QUICK), place.path()).expect(1);
    let no: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&no["holds"], &no["planted"]["holds"]),
        (&false.into(), &false.into())
    );
    let words = run(about(&place, "verify", &at, &QUICK[1..]), place.path()).expect(1);
    assert!(
        words.stdout.contains("3 planted wrong labels: FAILS"),
        "{}",
        words.stdout
    );
    assert!(words.stdout.contains("\nno: "), "{}", words.stdout);
}

#[test]
fn confirm_looks_at_every_suspect_and_says_why() {
    let place = scanned(3);
    let out = place.at("export");
    let confirmed_only = ["--confirmed", "--out", out.to_str().unwrap()];
    assert_refused(
        about_run(&place, "export", &confirmed_only),
        place.path(),
        &["there is no second look at run r", "run `confirm r` first"],
    );
    let told = run(about_run(&place, "confirm", &[]), place.path()).expect(0);
    let results = place.at("state").join("runs/r");
    let text = fs::read_to_string(results.join("confirm.json")).unwrap();
    let record: ConfirmRecord = serde_json::from_str(&text).unwrap();
    let summaries = Results::new(&place.at("state"), "r").summaries();
    let last = summaries.last().unwrap();
    assert_eq!(record.suspects.len(), last.suspects);
    assert_eq!((record.epoch, record.step), (last.epoch, last.step));
    assert_eq!(record.checkpoints.len(), 3);
    assert!(record.checkpoints.iter().all(|at| at.residual < 1e-2));
    assert_eq!(record.null_samples, 200);
    assert!(
        told.stdout
            .contains(&format!("{} confirmed", record.confirmed))
    );
    // Confirmed ones are wrong, nearly all; the worst of all is.
    let confirmed: Vec<_> = record
        .suspects
        .iter()
        .filter(|s| s.verdict == Verdict::Confirmed)
        .collect();
    let wrong = confirmed.iter().filter(|s| place.data.is_wrong(s.index));
    println!(
        "{} of {} confirmed are wrong",
        wrong.clone().count(),
        confirmed.len()
    );
    assert!(confirmed.len() > 50, "{}", told.stdout);
    // Of the suspects one in ten may be right on average, and a few more in a single run.
    assert!(
        wrong.count() * 100 >= confirmed.len() * 85,
        "{}",
        told.stdout
    );
    let worst = &record.suspects[0];
    assert!(place.data.is_wrong(worst.index));
    // Who speaks against it has another label; who supports it has the same.
    assert_eq!(worst.opponents.len(), 5);
    assert!(
        worst
            .opponents
            .iter()
            .all(|o| o.cosine < 0.0 && o.label != worst.given)
    );
    assert!(
        worst
            .proponents
            .iter()
            .all(|p| p.cosine > 0.0 && p.index != worst.index)
    );
    let rows = fs::read_to_string(results.join("confirm.csv")).unwrap();
    assert_eq!(rows.lines().count(), 1 + record.suspects.len());

    // What is exported as confirmed is what was confirmed.
    run(about_run(&place, "export", &confirmed_only), place.path()).expect(0);
    let exported = Export::read(&out.join("export.json")).unwrap();
    let mut left_out: Vec<usize> = exported.suspects.iter().map(|s| s.index).collect();
    let mut indices: Vec<usize> = confirmed.iter().map(|s| s.index).collect();
    left_out.sort_unstable();
    indices.sort_unstable();
    assert_eq!(left_out, indices);

    // All layers, one checkpoint, few suspects.
    let few = [
        "--layers",
        "full",
        "--suspects",
        "4",
        "--checkpoints",
        "1",
        "--json",
    ];
    let told = run(about_run(&place, "confirm", &few), place.path()).expect(0);
    let record: ConfirmRecord = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!((record.suspects.len(), record.checkpoints.len()), (4, 1));
    assert_eq!(record.layers, "full");
}

#[test]
fn without_checkpoints_or_evidence_confirm_says_so() {
    let place = scanned(1);
    let other = about_run(&place, "confirm", &["--seed", "7"]);
    assert_refused(
        other,
        place.path(),
        &["it was made with other data or settings"],
    );
    for file in fs::read_dir(place.root().join("r")).unwrap() {
        fs::remove_file(file.unwrap().path()).unwrap();
    }
    let none = about_run(&place, "confirm", &[]);
    assert_refused(
        none,
        place.path(),
        &["holds no checkpoint any more", "`keep`"],
    );
}

/// Puts copies of probe samples in the place of the first training samples that are not trusted; which is whose.
fn leak(place: &Place, copies: usize) -> Vec<(usize, usize)> {
    let train = read_features(place.data.file("train-features")).unwrap();
    let probe = read_features(place.data.file("t10k-features")).unwrap();
    let Values::F32(values) = train.data() else {
        panic!("floats became bytes");
    };
    let (mut values, size) = (values.clone(), train.sample_len());
    let free = (0..train.count()).filter(|i| !place.data.trusted.contains(i));
    let mut pairs = Vec::new();
    for (copy, to) in free.take(copies).enumerate() {
        let from = copy * 7;
        values[to * size..][..size].copy_from_slice(&probe.sample(from).unwrap());
        pairs.push((from, to));
    }
    let train = Features::new(train.shape().to_vec(), Values::F32(values)).unwrap();
    write_features(place.data.file("train-features"), &train, Packing::Plain).unwrap();
    pairs
}

#[test]
fn leaks_finds_copies_and_nothing_else() {
    let place = Place::new();
    place.finished_run("r", 3);
    let at = place.root().join("r");
    let clean = run(about(&place, "leaks", &at, &["--json"]), place.path()).expect(0);
    let clean: LeakRecord = serde_json::from_str(&clean.stdout).unwrap();
    assert_eq!((clean.leaked_probes, clean.probes), (0, 300));

    // The weights have not seen the copies: they are alike to any model.
    let pairs = leak(&place, 20);
    let out = place.at("leaks.json");
    let more = ["--out", out.to_str().unwrap()];
    let told = run(about(&place, "leaks", &at, &more), place.path()).expect(1);
    assert!(
        told.stdout.starts_with("20 of 300 probe samples"),
        "{}",
        told.stdout
    );
    let record: LeakRecord = serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap();
    let mut found: Vec<_> = record.pairs.iter().map(|p| (p.probe, p.train)).collect();
    found.sort_unstable();
    assert_eq!(found, pairs);
    assert!(record.pairs.iter().all(|p| p.score == 1.0 && p.step > 0.99));
    // A part of the probe, and a threshold that nothing reaches.
    let few = ["--probes", "50", "--json"];
    let few = run(about(&place, "leaks", &at, &few), place.path());
    let few: LeakRecord = serde_json::from_str(&few.stdout).unwrap();
    assert_eq!(few.probes, 50);
    assert!(few.leaked_probes < 20);
}

#[test]
fn a_watching_sidecar_finds_leaks_and_keeps_them_over_a_restart() {
    let place = Place::new();
    leak(&place, 30);
    let watch = || place.watch("state").with(&["--leak-probes", "300"]);
    let mut sidecar = watch().start();
    let mut trainer = place.trainer("r");
    trainer.epoch();
    sidecar.wait_for_scans(1);
    let told = |sidecar: &mut Sidecar, what: &str| {
        sidecar.wait_for(what, |scrape| {
            scrape.value(r#"mirrorwatch_leak_checked_samples{run="r"}"#) == Some(300.0)
                && scrape.value(r#"mirrorwatch_leaked_samples{run="r"}"#) == Some(30.0)
        })
    };
    told(&mut sidecar, "the leaks");
    let page = sidecar.get("/api/v1/runs/r");
    let page: Value = serde_json::from_str(&page.body).unwrap();
    assert_eq!(page["leaks"]["leaked"], 30);
    assert_eq!(page["report"], false);
    assert_eq!(sidecar.get("/runs/r/report").status, 404);
    sidecar.terminate().expect(0);

    run(about_run(&place, "report", &[]), place.path()).expect(0);
    let mut sidecar = watch().start();
    told(&mut sidecar, "what was found before");
    let report = sidecar.get("/runs/r/report");
    assert_eq!(report.status, 200);
    assert!(report.body.contains("30 of 300 probe samples"));
}

#[test]
fn a_report_stands_for_itself_and_its_lists_say_the_same() {
    let place = scanned(2);
    run(about_run(&place, "confirm", &[]), place.path()).expect(0);
    let out = place.at("report");
    let to = ["--out", out.to_str().unwrap(), "--suspects", "15"];
    run(about_run(&place, "report", &to), place.path()).expect(0);
    let html = fs::read_to_string(out.join("report.html")).unwrap();
    let summaries = Results::new(&place.at("state"), "r").summaries();
    let last = summaries.last().unwrap();
    for part in [
        format!("<b>{}</b>", last.suspects),
        format!("The 15 most suspicious of {}", last.suspects),
        last.weights_sha256.clone(),
        summaries[0].weights_sha256.clone(),
        "default-src 'none'".to_string(),
        "are confirmed by exact gradients".to_string(),
    ] {
        assert!(html.contains(&part), "{part}");
    }
    assert_eq!(html.matches("<li class=\"card\"").count(), 15);
    // Nothing that a browser would fetch.
    assert!(!html.contains("http://") && !html.contains("https://"));
    for (list, lines) in [
        ("suspects.csv", last.suspects + 1),
        ("suspects.jsonl", last.suspects),
        ("label_issues.csv", last.samples + 1),
    ] {
        let text = fs::read_to_string(out.join(list)).unwrap();
        assert_eq!(text.lines().count(), lines, "{list}");
    }
}

//! Names that come from data and would do something where nobody looks out for them.

use std::fs;

use mirrorwatch::daemon::spreadsheet::verbatim;
use serde_json::Value;

use crate::support::data::TRAIN;
use crate::support::place::Place;
use crate::support::prometheus::Prometheus;
use crate::support::wait::eventually;

/// One a line, so without ends of lines. The file may hold all of them.
const SOURCES: [&str; 10] = [
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(1)>",
    "\"} 1 up{a=\"",
    "=cmd|' /C calc'!A0",
    "@SUM(A1)",
    "-2+3",
    "a\0b",
    "\u{1b}[2J\u{202e}gpj",
    "a\rb\\n",
    "plain",
];
/// Arguments, so without NUL; separated by commas, so without those.
const CLASSES: [&str; 5] = [
    "<b onmouseover=alert(1)>",
    "+1\r\n# TYPE x gauge\nx 1",
    "\u{9b}31m\u{2028}",
    "=1+1",
    "cat",
];

#[test]
fn prometheus_pages_lists_and_logs_take_names_for_names() {
    let place = Place::new();
    let file = place.at("sources.txt");
    let lines: Vec<&str> = (0..TRAIN).map(|i| SOURCES[i / 5 % SOURCES.len()]).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let (file, classes) = (file.display().to_string(), CLASSES.join(","));
    let watch = place
        .watch("state")
        .with(&["--sources", &file])
        .with(&["--class-names", &classes])
        .with(&["--class-metrics", "30"]);
    let mut sidecar = watch.start();
    let mut trainer = place.trainer("run");
    trainer.epochs(2);
    let scrape = sidecar.wait_for_scans(trainer.published());

    // What others read is what is meant.
    let prometheus = Prometheus::start(place.path(), &sidecar.address);
    let labels = eventually("Prometheus to have scraped", || {
        let labels = prometheus.label("mirrorwatch_source_samples", "source");
        match labels.len() {
            0 => Err(sidecar.log()),
            _ => Ok(labels),
        }
    });
    assert_eq!(labels.len(), SOURCES.len(), "{labels:?}");
    for shown in ["a\\u{0}b", "\\u{1b}[2J\\u{202e}gpj", SOURCES[0], SOURCES[2]] {
        assert!(labels.iter().any(|label| label == shown), "{labels:?}");
    }
    let names = prometheus.label("{job=\"mirrorwatch\"}", "__name__");
    let foreign = |name: &&String| {
        let own = ["mirrorwatch_", "process_", "scrape_"];
        !own.iter().any(|start| name.starts_with(start)) && *name != "up"
    };
    assert_eq!(names.iter().find(foreign), None);
    assert_eq!(prometheus.label("up{a!=\"\"}", "a"), [""; 0]);
    assert!(scrape.metrics().contains("mirrorwatch_class_suspects"));

    // Pages hold no markup that is not theirs.
    let page = sidecar.get("/").body;
    assert_eq!(page.matches("<script").count(), 2, "{page}");
    assert!(!page.contains("<img") && !page.contains("<b ") && !page.contains("\0"));

    // JSON has names as they are.
    let list = sidecar.get("/api/v1/runs/run/suspects?limit=1000").body;
    let list: Value = serde_json::from_str(&list).unwrap();
    let suspects = list["suspects"].as_array().unwrap();
    for suspect in suspects {
        let index = suspect["index"].as_u64().unwrap() as usize;
        assert_eq!(suspect["source"], lines[index]);
    }

    // In lists for spreadsheets nothing is a formula, and everything comes back.
    let mut formulas = 0;
    let scans = place.at("state/runs/run/scans");
    for entry in fs::read_dir(scans).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_string_lossy().ends_with(".suspects.csv") {
            continue;
        }
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let headers = reader.headers().unwrap().clone();
        let column = |name| headers.iter().position(|header| header == name).unwrap();
        let (index, source) = (column("index"), column("source"));
        for row in reader.records() {
            let row = row.unwrap();
            let given = lines[row[index].parse::<usize>().unwrap()];
            assert_eq!(verbatim(&row[source]), given);
            assert!(!row[source].starts_with(['=', '+', '-', '@']), "{row:?}");
            formulas += usize::from(row[source].starts_with('\''));
        }
    }
    assert!(formulas > 0, "no suspect is of a source that is a formula");

    let log = sidecar.log();
    let steers = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
    assert!(!log.contains(steers), "{log:?}");
    // Each line of the log begins with its time.
    for line in log.lines() {
        assert!(line.starts_with("20"), "{line:?} in {log}");
    }
}

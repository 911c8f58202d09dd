use std::sync::Arc;
use std::time::Duration;

use mirrorwatch_influence::{Estimator, Labels, Preview};
use serde_json::{Value, json};

use super::*;
use crate::account::Levels;
use crate::api::guard::Guard;
use crate::audit::desk::Desk;
use crate::history::History;
use crate::hub::Hub;
use crate::metrics::Metrics;
use crate::pages::ENDPOINTS;
use crate::results::Suspect;
use crate::runs::Runs;
use crate::samples::Samples;
use crate::summary::example;

/// Three samples, of which the first two have a picture.
pub struct Few;

impl Samples for Few {
    fn count(&self) -> usize {
        3
    }

    fn id(&self, index: usize) -> String {
        format!("sample-{index}")
    }

    fn given(&self, index: usize) -> usize {
        index % 2
    }

    fn source(&self, index: usize) -> Option<String> {
        (index == 1).then(|| "a&b".to_string())
    }

    fn preview(&self, index: usize) -> Option<Preview> {
        (index < 2).then(|| Preview::grey(2, 1, vec![0, 255]))
    }

    fn classes(&self) -> usize {
        2
    }

    fn class_name(&self, class: usize) -> String {
        format!("class {class}")
    }
}

/// Runs with nothing on disk.
pub fn no_runs(hub: &Arc<Hub>) -> Arc<Runs> {
    runs_at(std::path::Path::new("nowhere"), hub).0
}

/// A desk for them.
pub fn desk(hub: &Arc<Hub>) -> Arc<Desk> {
    desk_at(std::path::Path::new("nowhere"), hub)
}

/// A desk for runs below a directory.
pub fn desk_at(directory: &std::path::Path, hub: &Arc<Hub>) -> Arc<Desk> {
    let (runs, labels) = runs_at(directory, hub);
    Arc::new(Desk {
        runs,
        hub: hub.clone(),
        samples: Arc::new(Few),
        labels: Arc::new(labels),
        levels: Levels {
            fdr: 0.1,
            alpha: 0.05,
            per_class: None,
        },
        seen: std::sync::Mutex::default(),
    })
}

/// Runs below a directory, and the labels of their samples.
pub fn runs_at(directory: &std::path::Path, hub: &Arc<Hub>) -> (Arc<Runs>, Labels) {
    let labels = Labels {
        train: vec![0, 1, 0],
        probe: vec![0, 1],
        trusted: Vec::new(),
        canaries: Vec::new(),
        unlabelled: Vec::new(),
        classes: 2,
    };
    let estimators = [Estimator {
        direction: "finetune".to_string(),
        score: "after".to_string(),
    }];
    let runs = Runs::new(directory, String::new(), &estimators, &labels, hub.clone());
    (Arc::new(runs), labels)
}

fn suspect(index: usize, given: usize, suggested: u32) -> Suspect {
    Suspect {
        id: Few.id(index),
        index,
        given,
        suggested,
        p_value: 0.001,
        source: Few.source(index),
        ..Suspect::default()
    }
}

/// Pages over one run, `r`, with three suspects after two scans.
fn pages() -> Pages {
    pages_at(std::path::Path::new("nowhere"))
}

/// The same, with results below a directory.
pub fn pages_at(directory: &std::path::Path) -> Pages {
    let hub = Arc::new(Hub::default());
    let desk = desk_at(directory, &hub);
    let runs = desk.runs.clone();
    let state = runs.open("r");
    let mut history = History::default();
    history.add(
        1,
        10,
        &[0.5, 0.001, 1.0],
        &[0.1, 2.0, 0.0],
        &[1.0, -1.0, 1.0],
    );
    {
        let mut state = lock(&state);
        state.evidence.history = history;
        let mut first = example("r");
        first.suspects = 1;
        state.ledger.push_scan(&first);
        state.ledger.push_scan(&example("r"));
        state.last = Some(example("r"));
    }
    hub.update_run("r", |view| {
        view.summary = Some(Arc::new(example("r")));
        view.suspects = Arc::new(vec![suspect(1, 1, 0), suspect(0, 0, 1), suspect(2, 0, 1)]);
        view.updated = crate::hub::now();
    });
    Pages {
        runs,
        desk,
        guard: Guard::on_loopback(),
        metrics: Arc::new(Metrics::new(hub.clone()).unwrap()),
        hub,
        watch_patience: Duration::from_secs(60),
        scan_patience: Duration::from_secs(60),
    }
}

fn get(target: &str) -> (u16, Value) {
    let response = pages().answer(&Request::get(target).unwrap());
    assert_eq!(response.header("content-type"), Some("application/json"));
    (
        response.status(),
        serde_json::from_slice(response.body()).unwrap(),
    )
}

#[track_caller]
fn found(target: &str) -> Value {
    let (status, body) = get(target);
    assert_eq!(status, 200, "{body}");
    body
}

#[test]
fn a_run_is_told_with_its_count_in_numbers_and_words() {
    let list = found("/api/v1/runs");
    assert_eq!(list["sidecar"]["previews"], true);
    assert_eq!(list["runs"].as_array().unwrap().len(), 1);
    let run = found("/api/v1/runs/r");
    assert_eq!(list["runs"][0]["summary"], run["summary"]);
    assert_eq!(run["state"], "running");
    assert_eq!(run["summary"]["suspects"], 12);
    assert_eq!(run["in_words"], example("r").sentence());
    assert_eq!(run["last_error"], Value::Null);
}

#[test]
fn a_curve_has_a_point_per_scan() {
    let curve = found("/api/v1/runs/r/curve");
    assert_eq!(curve["scans"], 2);
    let points = curve["points"].as_array().unwrap();
    let suspects: Vec<&Value> = points.iter().map(|point| &point["suspects"]).collect();
    assert_eq!(suspects, [1, 12]);
    assert_eq!(points[1]["noise_ratio_lower_bound"], 0.0625);
}

/// Of a run that is scanned each second for a day, the page is no larger than after a quarter of an hour.
#[test]
fn a_long_curve_is_thinned_out() {
    let mut ledger = crate::store::Ledger::default();
    let mut last = 0;
    for (scans, most) in [(999, 999), (1000, 1000), (1001, 1000), (86_400, 1000)] {
        while last < scans {
            last += 1;
            let mut summary = example("r");
            summary.epoch = last;
            ledger.push_scan(&summary);
        }
        let (told, points) = model::curve(ledger.scans());
        assert_eq!((told as u64, points.len()), (scans, most));
        let epochs: Vec<u64> = points.iter().map(|point| point.epoch).collect();
        assert_eq!((epochs[0], epochs[most - 1]), (1, scans));
        let gaps: Vec<u64> = epochs.windows(2).map(|two| two[1] - two[0]).collect();
        let (least, largest) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*least >= 1 && largest - least <= 1, "{scans}: {gaps:?}");
    }
}

#[test]
fn suspects_come_in_parts_and_by_class_and_source() {
    let positions = |query: &str| {
        let list = found(&format!("/api/v1/runs/r/suspects{query}"));
        assert_eq!(list["total"], 3);
        let suspects = list["suspects"].as_array().unwrap().iter();
        let positions: Vec<u64> = suspects.map(|s| s["index"].as_u64().unwrap()).collect();
        (list["matching"].as_u64().unwrap(), positions)
    };
    assert_eq!(positions(""), (3, vec![1, 0, 2]));
    assert_eq!(positions("?limit=2"), (3, vec![1, 0]));
    assert_eq!(positions("?limit=2&offset=2"), (3, vec![2]));
    assert_eq!(positions("?offset=99"), (3, vec![]));
    assert_eq!(positions("?given=0&suggested=1"), (2, vec![0, 2]));
    assert_eq!(positions("?given=0&offset=1"), (2, vec![2]));
    assert_eq!(positions("?source=a%26b"), (1, vec![1]));
    assert_eq!(positions("?source=nowhere"), (0, vec![]));
    let list = found("/api/v1/runs/r/suspects?limit=1");
    assert_eq!(list["suspects"][0]["given_name"], "class 1");
    assert_eq!(list["suspects"][0]["suggested_name"], "class 0");
}

#[test]
fn a_sample_is_told_with_its_history_suspect_or_not() {
    let sample = found("/api/v1/runs/r/samples/1");
    assert_eq!(sample["id"], "sample-1");
    assert_eq!(sample["suspect"]["p_value"], 0.001);
    assert_eq!(sample["history"].as_array().unwrap().len(), 1);
    assert_eq!(sample["history"][0]["fitted"], false);
    assert_eq!(sample["source"], "a&b");
}

#[test]
fn a_preview_is_a_picture() {
    let preview = pages().answer(&Request::get("/api/v1/samples/1/preview").unwrap());
    assert_eq!(preview.header("content-type"), Some("image/png"));
    assert!(preview.body().starts_with(b"\x89PNG"));
}

#[test]
fn what_is_not_there_is_said_in_words() {
    for (target, status, part) in [
        ("/api/v1/runs/nobody", 404, "no run `nobody`"),
        ("/api/v1/runs/nobody/suspects", 404, "no run `nobody`"),
        ("/api/v1/runs/r/samples/3", 404, "there are 3"),
        ("/api/v1/runs/r/samples/x", 404, "`x`"),
        ("/api/v1/samples/2/preview", 404, "no pictures"),
        ("/api/v1/runs/r/suspects?limit=1001", 400, "at most 1000"),
        ("/api/v1/runs/r/suspects?offset=-1", 400, "`offset` is `-1`"),
    ] {
        let (got, body) = get(target);
        assert_eq!(got, status, "{target}");
        let error = body["error"].as_str().unwrap();
        assert!(error.contains(part), "{target}: {error}");
    }
}

#[test]
fn every_endpoint_is_described_and_nothing_else() {
    let described = found("/api/v1/openapi.json");
    let described: Vec<&String> = described["paths"].as_object().unwrap().keys().collect();
    let mut endpoints: Vec<&str> = ENDPOINTS.iter().map(|(path, _, _)| *path).collect();
    endpoints.retain(|path| path.starts_with("/api/"));
    endpoints.sort_unstable();
    let mut described: Vec<&str> = described.into_iter().map(String::as_str).collect();
    described.sort_unstable();
    assert_eq!(described, endpoints);
}

/// Checks `value` against a schema of the description, as far as it uses types, objects, arrays and references.
fn conforms(value: &Value, schema: &Value, all: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap();
        return conforms(value, &all["components"]["schemas"][name], all);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let results: Vec<_> = any.iter().map(|s| conforms(value, s, all)).collect();
        return match results.iter().any(Result::is_ok) {
            true => Ok(()),
            false => Err(format!("{results:?}")),
        };
    }
    let types = match &schema["type"] {
        Value::Array(types) => types.clone(),
        one => vec![one.clone()],
    };
    let fits = types.iter().any(|t| match t.as_str().unwrap() {
        "null" => value.is_null(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other}"),
    });
    if !fits {
        return Err(format!("{value} is no {types:?}"));
    }
    for item in value.as_array().into_iter().flatten() {
        conforms(item, &schema["items"], all)?;
    }
    if let Some(object) = value.as_object() {
        for name in schema["required"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            let member = object.get(name).ok_or(format!("no `{name}`"))?;
            conforms(member, &schema["properties"][name], all)
                .map_err(|why| format!("{name}: {why}"))?;
        }
    }
    Ok(())
}

#[test]
fn answers_are_as_described() {
    let all = found("/api/v1/openapi.json");
    for (template, target) in [
        ("/api/v1/runs", "/api/v1/runs"),
        ("/api/v1/runs/{run}", "/api/v1/runs/r"),
        ("/api/v1/runs/{run}/curve", "/api/v1/runs/r/curve"),
        ("/api/v1/runs/{run}/suspects", "/api/v1/runs/r/suspects"),
        (
            "/api/v1/runs/{run}/samples/{index}",
            "/api/v1/runs/r/samples/2",
        ),
        ("/api/v1/runs/{run}/reviews", "/api/v1/runs/r/reviews"),
        ("/api/v1/classes", "/api/v1/classes"),
    ] {
        let answer = &all["paths"][template]["get"]["responses"]["200"]["content"];
        let schema = &answer["application/json"]["schema"];
        conforms(&found(target), schema, &all).unwrap_or_else(|why| panic!("{target}: {why}"));
    }
    // The check itself can fail.
    let list = json!({"type": "array", "items": {"type": "integer"}});
    assert!(conforms(&json!([1, "x"]), &list, &all).is_err());
}

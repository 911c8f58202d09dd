//! Reviews over HTTP, without a socket.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::tests::pages_at;
use super::*;
use crate::options::Reviewing;

const PATH: &str = "/api/v1/runs/r/reviews";

/// Pages over run `r`, with results in a directory.
fn place() -> (TempDir, Pages) {
    let directory = tempfile::tempdir().unwrap();
    let pages = pages_at(directory.path());
    (directory, pages)
}

fn request(body: &Value) -> Request {
    let request = Request::post(PATH, body.to_string()).unwrap();
    request.with_header("content-type", "application/json")
}

#[track_caller]
fn answered(pages: &Pages, request: &Request) -> (u16, Value) {
    let response = pages.answer(request);
    let body = serde_json::from_slice(response.body()).unwrap();
    (response.status(), body)
}

#[track_caller]
fn refused(pages: &Pages, request: &Request, status: u16, part: &str) {
    let (got, body) = answered(pages, request);
    let error = body["error"].as_str().unwrap_or_default();
    assert_eq!(got, status, "{body}");
    assert!(error.contains(part), "{error}");
}

fn get(pages: &Pages, path: &str) -> Value {
    let (status, body) = answered(pages, &Request::get(path).unwrap());
    assert_eq!(status, 200, "{body}");
    body
}

#[test]
fn what_is_said_is_listed_and_shown_with_the_sample() {
    let (_directory, pages) = place();
    let empty = get(&pages, PATH);
    assert_eq!(
        (&empty["total"], &empty["problem"]),
        (&json!(0), &Value::Null)
    );
    let said = json!({"index": 1, "verdict": "relabelled", "label": 0, "who": "ada", "by": "page", "note": "a 7"});
    let (status, written) = answered(&pages, &request(&said));
    assert_eq!(status, 201, "{written}");
    for (name, value) in [
        ("sequence", json!(1)),
        ("run", json!("r")),
        ("id", json!("sample-1")),
        ("given", json!(1)),
        ("label", json!(0)),
        ("label_name", json!("class 0")),
        ("who", json!("ada")),
        ("by", json!("page")),
        ("note", json!("a 7")),
    ] {
        assert_eq!(written[name], value, "{name}");
    }
    // The suspect of the tests and the summary of its run.
    assert_eq!(written["evidence"]["p_value"], 0.001);
    assert_eq!(written["evidence"]["suspect"], true);
    assert_eq!(written["evidence"]["epoch"], 7);

    let list = get(&pages, PATH);
    assert_eq!((&list["total"], &list["in_force"]), (&json!(1), &json!(1)));
    assert_eq!(list["reviews"], json!([written]));
    let sample = get(&pages, "/api/v1/runs/r/samples/1");
    assert_eq!(sample["review"], written);
    let suspects = get(&pages, "/api/v1/runs/r/suspects");
    assert_eq!(suspects["suspects"][0]["review"], written);
    assert_eq!(suspects["suspects"][1]["review"], Value::Null);
    let run = get(&pages, "/api/v1/runs/r");
    assert_eq!(
        run["reviews"],
        json!({"confirmed": 0, "cleared": 0, "relabelled": 1, "last": 1})
    );
    assert_eq!(run["summary"]["suspects"], 12, "reviews change no count");
    let metrics = pages.metrics.render().unwrap();
    assert!(metrics.contains("mirrorwatch_reviews{run=\"r\",verdict=\"relabelled\"} 1"));

    let withdrawn = json!({"index": 1.0, "verdict": "withdrawn"});
    let (status, written) = answered(&pages, &request(&withdrawn));
    assert_eq!((status, &written["who"]), (201, &json!("anonymous")));
    assert_eq!(
        get(&pages, "/api/v1/runs/r/samples/1")["review"],
        Value::Null
    );
    assert_eq!(
        get(&pages, &format!("{PATH}?offset=1"))["reviews"],
        json!([written])
    );
    refused(&pages, &request(&withdrawn), 409, "withdrawn");
}

#[test]
fn what_makes_no_sense_is_refused_and_not_written() {
    let (_directory, pages) = place();
    for (said, status, part) in [
        (
            json!({"index": 3, "verdict": "cleared"}),
            404,
            "there are 3",
        ),
        (json!({"index": -1, "verdict": "cleared"}), 400, "no review"),
        (
            json!({"index": 0.5, "verdict": "cleared"}),
            400,
            "no whole number",
        ),
        (json!({"index": 1, "verdict": "guilty"}), 400, "guilty"),
        (json!({"index": 1}), 400, "verdict"),
        (
            json!({"index": 1, "verdict": "cleared", "judge": "x"}),
            400,
            "judge",
        ),
        (
            json!({"index": 1, "verdict": "cleared", "label": 0}),
            400,
            "relabelled",
        ),
        (json!({"index": 1, "verdict": "relabelled"}), 400, "label"),
        (
            json!({"index": 1, "verdict": "relabelled", "label": 2}),
            404,
            "no class 2",
        ),
        (
            json!({"index": 1, "verdict": "relabelled", "label": 1}),
            409,
            "cleared",
        ),
        (
            json!({"index": 1, "verdict": "cleared", "who": ""}),
            400,
            "`who`",
        ),
        (
            json!({"index": 1, "verdict": "cleared", "by": "a\u{7}"}),
            400,
            "`by`",
        ),
        (
            json!({"index": 1, "verdict": "cleared", "note": "x".repeat(2001)}),
            400,
            "2001",
        ),
        (json!([]), 400, "no review"),
    ] {
        refused(&pages, &request(&said), status, part);
    }
    let nobody = Request::post("/api/v1/runs/nobody/reviews", "{}").unwrap();
    let nobody = nobody.with_header("content-type", "application/json");
    refused(&pages, &nobody, 404, "no run `nobody`");
    assert_eq!(get(&pages, PATH)["total"], 0);
}

#[test]
fn only_who_may_write_writes_and_only_as_themselves() {
    let (_directory, mut pages) = place();
    let said = json!({"index": 1, "verdict": "confirmed", "who": "ada"});
    let text = Request::post(PATH, said.to_string()).unwrap();
    refused(&pages, &text, 415, "application/json");
    let elsewhere = request(&said).with_header("origin", "http://evil.example");
    refused(&pages, &elsewhere, 403, "own page");
    let mallory = request(&said).with_user("mallory");
    refused(&pages, &mallory, 403, "logged in as mallory");
    let ada = json!({"index": 1, "verdict": "confirmed"});
    let (status, written) = answered(&pages, &request(&ada).with_user("ada"));
    assert_eq!((status, &written["who"]), (201, &json!("ada")));
    pages.guard.when = Reviewing::Never;
    refused(&pages, &request(&said), 403, "`review` on the command line");
    let sidecar = get(&pages, "/api/v1/runs")["sidecar"].clone();
    assert_eq!(
        (&sidecar["takes_reviews"], &sidecar["user"]),
        (&json!(false), &Value::Null)
    );
}

#[test]
fn a_log_that_was_changed_is_told_and_not_written_to() {
    let (_directory, pages) = place();
    let said = json!({"index": 1, "verdict": "confirmed", "who": "ada"});
    for _ in 0..2 {
        assert_eq!(answered(&pages, &request(&said)).0, 201);
    }
    let path = pages.desk.path("r");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("ada", "eve", 1)).unwrap();
    let list = get(&pages, PATH);
    assert_eq!(list["total"], 1);
    assert!(
        list["problem"].as_str().unwrap().contains("line 2"),
        "{list}"
    );
    refused(
        &pages,
        &request(&said),
        500,
        "line 2 does not follow from line 1",
    );
}

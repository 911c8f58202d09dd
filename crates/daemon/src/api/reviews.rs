//! `/api/v1/runs/{run}/reviews`: what people say of suspects.

use mirrorwatch_http::{Method, Request};
use serde::Deserialize;

use super::guard::check_origin;
use super::model::{ClassList, ReviewList, ReviewView};
use super::{Answer, Refusal, json, page_of, shown};
use crate::audit::{self, Review, Verdict};
use crate::hub::RunView;
use crate::pages::Pages;

/// Who says so when nobody says who.
const NOBODY: &str = "anonymous";

/// A review as a client sends it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    index: Whole,
    verdict: Verdict,
    label: Option<Whole>,
    who: Option<String>,
    by: Option<String>,
    note: Option<String>,
}

/// A whole number, however it is written: to JSON, 7.0 is one, too.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "f64")]
struct Whole(u32);

impl TryFrom<f64> for Whole {
    type Error = String;

    fn try_from(number: f64) -> Result<Self, String> {
        let whole = number as u32;
        match f64::from(whole) == number {
            true => Ok(Self(whole)),
            false => Err(format!(
                "{number} is no whole number from 0 to {}",
                u32::MAX
            )),
        }
    }
}

/// Lists the reviews of a run, or takes one.
pub fn reviews(pages: &Pages, request: &Request, parts: &[&str]) -> Answer {
    match request.method {
        Method::Post => note(pages, request, parts),
        Method::Get | Method::Head => list(pages, request, parts),
    }
}

/// All reviews in the order of the log, a part at a time.
fn list(pages: &Pages, request: &Request, parts: &[&str]) -> Answer {
    let (run, view) = shown_now(pages, parts)?;
    let (offset, limit) = page_of(request)?;
    let log = pages.desk.log(run).map_err(broken)?;
    let samples = pages.desk.samples.as_ref();
    let part = log.reviews.iter().skip(offset).take(limit);
    let reviews = part
        .map(|review| ReviewView::new(review, samples))
        .collect();
    json(&ReviewList {
        run,
        total: log.reviews.len(),
        in_force: view.reviews.len(),
        problem: log.problem.as_deref(),
        head: &log.head,
        offset,
        reviews,
    })
}

/// The run, with what commands have written up to now.
fn shown_now<'a>(pages: &Pages, parts: &[&'a str]) -> Result<(&'a str, RunView), Refusal> {
    let (run, _) = shown(pages, parts)?;
    pages.desk.look_at(run);
    shown(pages, parts)
}

/// Writes one.
fn note(pages: &Pages, request: &Request, parts: &[&str]) -> Answer {
    check_origin(request)?;
    pages.guard.check(request)?;
    let (run, view) = shown_now(pages, parts)?;
    let said: Said = serde_json::from_slice(request.body())
        .map_err(|error| Refusal::new(400, format!("the body is no review: {error}")))?;
    let who = who(request, said.who)?;
    let by = said.by.unwrap_or_else(|| "api".to_string());
    for (what, name) in [("who", &who), ("by", &by)] {
        audit::check_name(what, name).map_err(|why| Refusal::new(400, why))?;
    }
    audit::check_note(said.note.as_deref().unwrap_or_default())
        .map_err(|why| Refusal::new(400, why))?;
    let label = said.label.map(|label| label.0 as usize);
    if (said.verdict == Verdict::Relabelled) != label.is_some() {
        return Err(Refusal::new(
            400,
            "`label` goes with the verdict `relabelled`, and with no other",
        ));
    }
    let index = super::position(pages, Some(&said.index.0.to_string()))?;
    let samples = pages.desk.samples.as_ref();
    let (given, classes) = (samples.given(index), samples.classes());
    if let Some(label) = label.filter(|&label| label >= classes) {
        return Err(Refusal::new(
            404,
            match classes {
                0 => "this task has no classes, so nothing can be relabelled".to_string(),
                _ => {
                    format!("there is no class {label}; they count from 0, and there are {classes}")
                }
            },
        ));
    }
    let conflict = |why: &str| Err(Refusal::new(409, why));
    if label == Some(given) {
        return conflict(
            "this is the label that was given; if it is right, the verdict is `cleared`",
        );
    }
    if said.verdict == Verdict::Withdrawn && !view.reviews.contains_key(&index) {
        return conflict("nothing was said of this sample that could be withdrawn");
    }
    let evidence = pages.desk.evidence(run, &view, index);
    let evidence = evidence.map_err(|why| Refusal::new(500, why))?;
    let Some(evidence) = evidence else {
        return conflict("no checkpoint is scanned yet, so that there is no evidence to review");
    };
    let review = Review {
        schema: audit::REVIEW_SCHEMA,
        sequence: 0,
        time: 0.0,
        run: run.to_string(),
        index,
        id: samples.id(index),
        given,
        verdict: said.verdict,
        label,
        who,
        by,
        note: said.note,
        evidence,
        previous: String::new(),
    };
    match pages.desk.note(review).map_err(broken)? {
        Some(review) => {
            json(&ReviewView::new(&review, samples)).map(|answer| answer.with_status(201))
        }
        None => Err(Refusal::new(500, "the review was not written")),
    }
}

/// Who logged in, and nobody else; where nobody has to, who the client says it is.
fn who(request: &Request, claimed: Option<String>) -> Result<String, Refusal> {
    match (request.user(), claimed) {
        (Some(user), Some(claimed)) if user != claimed => Err(Refusal::new(
            403,
            format!(
                "you are logged in as {user} and cannot review as somebody else; leave `who` out"
            ),
        )),
        (Some(user), _) => Ok(user.to_string()),
        (None, claimed) => Ok(claimed.unwrap_or_else(|| NOBODY.to_string())),
    }
}

/// What is wrong with the log is the server's trouble, and its reader's to know.
fn broken(error: crate::error::DaemonError) -> Refusal {
    Refusal::new(500, error.to_string())
}

/// `/api/v1/classes`: the names of all classes.
pub fn classes(pages: &Pages, _: &Request, _: &[&str]) -> Answer {
    let samples = pages.desk.samples.as_ref();
    let names = (0..samples.classes()).map(|class| samples.class_name(class));
    json(&ClassList {
        classes: names.collect(),
    })
}

#[cfg(test)]
#[path = "reviews_tests.rs"]
mod tests;

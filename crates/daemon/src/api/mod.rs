//! The JSON API, version 1: what the page shows, for programs. `openapi.json` describes it.
//!
//! Fields and endpoints may be added within a version; none is taken away or changes its meaning.

pub(crate) mod guard;
mod model;
mod picture;
mod reviews;
#[cfg(test)]
pub mod tests;

use mirrorwatch_http::{Request, Response};
use serde::Serialize;

use crate::hub::RunView;
use crate::pages::Pages;
use crate::report::served;
use crate::runs::lock;
pub use model::shortened;
use model::{Curve, ReviewView, Run, RunList, Sample, Sidecar, SuspectList, SuspectView, in_words};
pub use picture::png;
pub use reviews::{classes, reviews};

/// Suspects in an answer when the request does not say how many.
const DEFAULT_LIMIT: usize = 100;
/// Suspects in an answer at most.
const MOST: usize = 1000;

/// The description of this API.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Why there is no answer, and the status that says so.
pub struct Refusal {
    status: u16,
    error: String,
}

type Answer = Result<Response, Refusal>;

impl Refusal {
    fn new(status: u16, error: impl Into<String>) -> Self {
        Self {
            status,
            error: error.into(),
        }
    }

    fn no_run(run: &str) -> Self {
        Self::new(
            404,
            format!("there is no run `{run}`; /api/v1/runs lists those there are"),
        )
    }

    /// As a response.
    pub fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Body {
            error: String,
        }
        let status = self.status;
        match serde_json::to_string(&Body { error: self.error }) {
            Ok(body) => Response::json(body).with_status(status),
            Err(_) => Response::text("").with_status(status),
        }
    }
}

fn json(value: &impl Serialize) -> Answer {
    serde_json::to_string(value)
        // It may be another one in a second.
        .map(|body| Response::json(body).with_header("cache-control", "no-store"))
        .map_err(|error| Refusal::new(500, format!("cannot write the answer: {error}")))
}

/// `/api/v1/openapi.json`: the description of all this.
pub fn openapi(_: &Pages, _: &Request, _: &[&str]) -> Answer {
    Ok(Response::json(OPENAPI))
}

/// `/api/v1/events`: server-sent events, one named `change` whenever something did.
pub fn events(pages: &Pages, _: &Request, _: &[&str]) -> Answer {
    Ok(Response::events(pages.hub.changes()))
}

/// `/api/v1/runs`: the sidecar and all runs, each with its last summary.
pub fn runs(pages: &Pages, request: &Request, _: &[&str]) -> Answer {
    json(&run_list(pages, request))
}

/// The sidecar and all runs.
pub fn run_list(pages: &Pages, request: &Request) -> RunList {
    let runs = pages.hub.shown_runs();
    RunList {
        sidecar: sidecar(pages, request),
        runs: runs
            .iter()
            .map(|(run, view)| Run::new(run, view, has_report(pages, run)))
            .collect(),
    }
}

/// Whether a report of this run has been written.
fn has_report(pages: &Pages, run: &str) -> bool {
    served(&pages.runs.directory(run)).is_file()
}

fn sidecar(pages: &Pages, request: &Request) -> Sidecar {
    let (watching, scanning) = pages.hub.silence();
    Sidecar {
        version: env!("CARGO_PKG_VERSION"),
        ready: pages.hub.listed(),
        problem: pages.problem(),
        previews: pages
            .desk
            .samples
            .preview(0)
            .is_some_and(|preview| preview.image().is_some()),
        takes_reviews: pages.guard.check(request).is_ok(),
        user: request.user().map(String::from),
        scanning: pages.hub.scanning(),
        watch_silence_seconds: watching.as_secs_f64(),
        scan_silence_seconds: scanning.as_secs_f64(),
    }
}

/// `/api/v1/runs/{run}`: one run.
pub fn run(pages: &Pages, _: &Request, parts: &[&str]) -> Answer {
    let (run, view) = shown(pages, parts)?;
    json(&Run::new(run, &view, has_report(pages, run)))
}

/// `/runs/{run}/report`: the report of a run, as the command has written it.
pub fn report(pages: &Pages, _: &Request, parts: &[&str]) -> Answer {
    // A name that is no run's is never looked for on disk.
    let (run, _) = shown(pages, parts)?;
    let path = served(&pages.runs.directory(run));
    match std::fs::read_to_string(&path) {
        Ok(html) => Ok(Response::html(html).with_header("cache-control", "no-store")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Refusal::new(
            404,
            format!("there is no report of run `{run}` yet; the command `report {run}` writes one"),
        )),
        Err(error) => Err(Refusal::new(
            500,
            format!("cannot read {}: {error}", path.display()),
        )),
    }
}

/// `/api/v1/runs/{run}/curve`: how the counts went from scan to scan.
pub fn curve(pages: &Pages, _: &Request, parts: &[&str]) -> Answer {
    let (run, _) = shown(pages, parts)?;
    let (scans, points) = match pages.runs.opened(run) {
        Some(state) => model::curve(lock(&state).ledger.scans()),
        None => (0, Vec::new()),
    };
    json(&Curve { run, scans, points })
}

/// `/api/v1/runs/{run}/suspects`: the suspects of the last scan, most suspicious first, a page at a time.
pub fn suspects(pages: &Pages, request: &Request, parts: &[&str]) -> Answer {
    let (run, view) = shown(pages, parts)?;
    let given = number(request, "given")?.map(|given| given as usize);
    let suggested = number(request, "suggested")?;
    let source = request.query_value("source");
    let (offset, limit) = page_of(request)?;
    let mut list = SuspectList {
        run,
        epoch: view.summary.as_ref().map(|summary| summary.epoch),
        step: view.summary.as_ref().map(|summary| summary.step),
        total: view.suspects.len(),
        matching: 0,
        offset,
        suspects: Vec::new(),
    };
    for suspect in view.suspects.iter() {
        let matches = given.is_none_or(|given| suspect.given == given)
            && suggested.is_none_or(|suggested| suspect.suggested == suggested)
            && source.is_none_or(|source| suspect.source.as_deref() == Some(source));
        if matches {
            if list.matching >= offset && list.suspects.len() < limit {
                let samples = pages.desk.samples.as_ref();
                list.suspects
                    .push(SuspectView::new(suspect, &view, samples));
            }
            list.matching += 1;
        }
    }
    json(&list)
}

/// `/api/v1/runs/{run}/samples/{index}`: one training sample and how it fared at the checkpoints so far.
pub fn sample(pages: &Pages, _: &Request, parts: &[&str]) -> Answer {
    let (run, view) = shown(pages, parts)?;
    let index = position(pages, parts.get(1).copied())?;
    let samples = pages.desk.samples.as_ref();
    let suspect = view.suspects.iter().find(|suspect| suspect.index == index);
    let history = match pages.runs.opened(run) {
        Some(state) => lock(&state).evidence.history.of(index),
        None => Vec::new(),
    };
    json(&Sample {
        run,
        index,
        id: samples.id(index),
        given: samples.given(index),
        given_name: samples.class_name(samples.given(index)),
        source: samples.source(index),
        preview: in_words(samples, index),
        suspect: suspect.map(|suspect| SuspectView::new(suspect, &view, samples)),
        review: view
            .reviews
            .get(&index)
            .map(|review| ReviewView::new(review, samples)),
        history,
    })
}

/// `/api/v1/samples/{index}/preview`: a picture of a training sample.
pub fn preview(pages: &Pages, _: &Request, parts: &[&str]) -> Answer {
    let index = position(pages, parts.first().copied())?;
    let Some(preview) = pages.desk.samples.preview(index) else {
        return Err(Refusal::new(
            404,
            "this task has no pictures of its samples",
        ));
    };
    let Some(image) = preview.image() else {
        return Err(Refusal::new(
            404,
            "this task shows its samples in words; see `preview` of the sample itself",
        ));
    };
    let png = picture::png(image)
        .map_err(|error| Refusal::new(500, format!("cannot draw sample {index}: {error}")))?;
    // Training samples stay as they are while a sidecar runs, and a minute longer does no harm.
    Ok(Response::bytes("image/png", png).with_header("cache-control", "private, max-age=60"))
}

/// The run that a path names first.
fn shown<'a>(pages: &Pages, parts: &[&'a str]) -> Result<(&'a str, RunView), Refusal> {
    let run = parts.first().copied().unwrap_or_default();
    match pages.hub.shown_run(run) {
        Some(view) => Ok((run, view)),
        None => Err(Refusal::no_run(run)),
    }
}

/// The position of a training sample.
fn position(pages: &Pages, text: Option<&str>) -> Result<usize, Refusal> {
    let (text, count) = (text.unwrap_or_default(), pages.desk.samples.count());
    match text.parse() {
        Ok(index) if index < count => Ok(index),
        _ => Err(Refusal::new(
            404,
            format!(
                "there is no training sample `{text}`; they count from 0, and there are {count}"
            ),
        )),
    }
}

/// Which part of a list is asked for: how many are left out, and how many are wanted at most.
fn page_of(request: &Request) -> Result<(usize, usize), Refusal> {
    let offset = number(request, "offset")?.unwrap_or(0) as usize;
    let limit = number(request, "limit")?.map_or(DEFAULT_LIMIT, |limit| limit as usize);
    if limit > MOST {
        return Err(Refusal::new(
            400,
            format!("`limit` is {limit}: ask for at most {MOST} and go on with `offset`"),
        ));
    }
    Ok((offset, limit))
}

/// A number of the query.
fn number(request: &Request, name: &str) -> Result<Option<u32>, Refusal> {
    let Some(text) = request.query_value(name) else {
        return Ok(None);
    };
    text.parse().map(Some).map_err(|_| {
        Refusal::new(
            400,
            format!(
                "`{name}` is `{text}`: give a whole number from 0 to {}",
                u32::MAX
            ),
        )
    })
}

/// All runs as JSON that may stand in a script element: what the page shows before it has asked.
pub fn embedded(pages: &Pages, request: &Request) -> String {
    serde_json::to_string(&run_list(pages, request))
        .unwrap_or_else(|_| String::from("null"))
        .replace('<', "\\u003c")
}

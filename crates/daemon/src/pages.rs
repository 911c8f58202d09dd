//! What the daemon serves: `/metrics`, `/healthz`, `/readyz`, the JSON API and the live page.

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mirrorwatch_http::{Request, Response};

use crate::api;
use crate::api::guard::Guard;
use crate::audit::desk::Desk;
use crate::hub::{Hub, RunView};
use crate::metrics::{CONTENT_TYPE, Metrics};
use crate::runs::Runs;

/// How long a scrape waits for the first listing; Prometheus waits for ten seconds.
const FIRST_LISTING: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(10);

/// What the pages need.
pub struct Pages {
    /// What is shown.
    pub hub: Arc<Hub>,
    /// What is exported.
    pub metrics: Arc<Metrics>,
    /// What is known of runs.
    pub runs: Arc<Runs>,
    /// The training samples, and what people say of them.
    pub(crate) desk: Arc<Desk>,
    /// Who may say something.
    pub(crate) guard: Guard,
    /// Silence of the watching loop after which the daemon is not healthy.
    pub watch_patience: Duration,
    /// Silence of the scanning loop after which the daemon is not healthy.
    pub scan_patience: Duration,
}

/// Answers a request; the parts of its path that a template leaves open are the last argument.
type Answer = fn(&Pages, &Request, &[&str]) -> Result<Response, api::Refusal>;

/// An endpoint: its path, what it is for (where the page links to it), and its answer. A new one is one line here,
/// and, below `/api`, its description in `openapi.json`.
pub type Endpoint = (&'static str, Option<&'static str>, Answer);

/// All endpoints. `{…}` stands for one segment of a path.
pub const ENDPOINTS: &[Endpoint] = &[
    ("/", None, |pages, request, _| Ok(pages.page(request))),
    ("/metrics", Some("metrics for Prometheus"), |pages, _, _| {
        Ok(pages.render_metrics())
    }),
    (
        "/healthz",
        Some("whether the daemon's loops are alive"),
        |pages, _, _| Ok(pages.health()),
    ),
    (
        "/readyz",
        Some("whether the directory was listed once"),
        |pages, _, _| Ok(pages.ready()),
    ),
    (
        "/api/v1/openapi.json",
        Some("the JSON API, described"),
        api::openapi,
    ),
    ("/runs/{run}/report", None, api::report),
    ("/api/v1/events", None, api::events),
    ("/api/v1/runs", None, api::runs),
    ("/api/v1/runs/{run}", None, api::run),
    ("/api/v1/runs/{run}/curve", None, api::curve),
    ("/api/v1/runs/{run}/suspects", None, api::suspects),
    (REVIEWS, None, api::reviews),
    ("/api/v1/runs/{run}/samples/{index}", None, api::sample),
    ("/api/v1/classes", None, api::classes),
    ("/api/v1/samples/{index}/preview", None, api::preview),
];

/// The one endpoint that takes something.
const REVIEWS: &str = "/api/v1/runs/{run}/reviews";

/// Whether something may be brought to `path`.
pub fn takes_posts(path: &str) -> bool {
    open_parts(REVIEWS, path).is_some()
}

/// The parts of `path` that `template` leaves open, if it is of that form.
fn open_parts<'a>(template: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let (mut pattern, mut segments) = (template.split('/'), path.split('/'));
    let mut parts = Vec::new();
    loop {
        match (pattern.next(), segments.next()) {
            (None, None) => return Some(parts),
            (Some(open), Some(segment)) if open.starts_with('{') => parts.push(segment),
            (Some(fixed), Some(segment)) if fixed == segment => {}
            _ => return None,
        }
    }
}

impl Pages {
    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Response {
        for (template, _, answer) in ENDPOINTS {
            if let Some(parts) = open_parts(template, &request.path) {
                return answer(self, request, &parts).unwrap_or_else(api::Refusal::into_response);
            }
        }
        Response::not_found()
    }

    /// Whoever asks before the directory was listed once would see a sidecar that knows of no run: they wait a little.
    fn render_metrics(&self) -> Response {
        let asked = Instant::now();
        while !self.hub.listed() && asked.elapsed() < FIRST_LISTING {
            std::thread::sleep(LOOK);
        }
        match self.metrics.render() {
            Ok(text) => Response::bytes(CONTENT_TYPE, text),
            Err(error) => {
                Response::text(format!("cannot render the metrics: {error}\n")).with_status(500)
            }
        }
    }

    /// Why the daemon is not healthy, if it is not.
    pub fn problem(&self) -> Option<String> {
        let (watch, worker) = self.hub.silence();
        if watch > self.watch_patience {
            return Some(format!("watching stopped {} s ago", watch.as_secs()));
        }
        (worker > self.scan_patience)
            .then(|| format!("scanning stopped {} s ago", worker.as_secs()))
    }

    fn health(&self) -> Response {
        match self.problem() {
            Some(problem) => Response::text(format!("{problem}\n")).with_status(503),
            None => Response::text("ok\n"),
        }
    }

    fn ready(&self) -> Response {
        if self.hub.listed() {
            Response::text("ready\n")
        } else {
            Response::text("the directory was not listed yet\n").with_status(503)
        }
    }

    /// The live page. What it shows first comes with it, for those without scripts as a table.
    fn page(&self, request: &Request) -> Response {
        let mut rows = String::new();
        for (run, view) in self.hub.shown_runs() {
            rows.push_str(&row(&run, &view));
        }
        if rows.is_empty() {
            rows.push_str("<tr><td colspan=7 class=quiet>no run yet; waiting for the first checkpoint</td></tr>");
        }
        let mut links = String::new();
        for (path, about, _) in ENDPOINTS {
            if let Some(about) = about {
                let _ = write!(links, "<a href=\"{path}\" title=\"{about}\">{path}</a>");
            }
        }
        let mut page = String::new();
        let mut rest = include_str!("page/page.html");
        // In one pass: what comes from data may hold what looks like a place for something else.
        while let Some((before, after)) = rest.split_once("{{") {
            page.push_str(before);
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            page.push_str(match name {
                "css" => include_str!("page/page.css"),
                "js" => include_str!("page/page.js"),
                "version" => env!("CARGO_PKG_VERSION"),
                "links" => &links,
                "rows" => &rows,
                _ => "",
            });
            if name == "initial" {
                page.push_str(&api::embedded(self, request));
            }
            rest = after;
        }
        page.push_str(rest);
        Response::html(page).with_header("cache-control", "no-store")
    }
}

fn row(run: &str, view: &RunView) -> String {
    let mut row = format!("<tr><th scope=row>{}</th>", escape(run));
    match view.summary.as_deref() {
        Some(summary) => {
            let _ = write!(
                row,
                "<td>{}</td><td>{}</td><td class=count>{}</td><td>{:.1} %</td><td>{:.1} %</td><td>{}</td></tr><tr><td colspan=7 class=quiet>{}</td></tr>",
                summary.epoch,
                summary
                    .train_loss
                    .map_or_else(|| "–".to_string(), |l| format!("{l:.3}")),
                summary.suspects,
                100.0 * summary.noise_ratio_lower_bound,
                100.0 * summary.noise_ratio_estimate,
                if view.finished { "finished" } else { "running" },
                escape(&summary.sentence()),
            );
        }
        None => row.push_str("<td colspan=6 class=quiet>no checkpoint scanned yet</td></tr>"),
    }
    if !view.last_error.is_empty() {
        let _ = write!(
            row,
            "<tr><td colspan=7 class=error>{}</td></tr>",
            escape(&view.last_error)
        );
    }
    row
}

/// Text as it may stand in HTML: names and messages come from data.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nasty::{name, skeleton};

    fn pages() -> Pages {
        let hub = Arc::new(Hub::default());
        Pages {
            runs: crate::api::tests::no_runs(&hub),
            desk: crate::api::tests::desk(&hub),
            guard: Guard::on_loopback(),
            metrics: Arc::new(Metrics::new(hub.clone()).unwrap()),
            hub,
            watch_patience: Duration::from_secs(60),
            scan_patience: Duration::from_secs(60),
        }
    }

    fn get(pages: &Pages, path: &str) -> Response {
        pages.answer(&Request::get(path).unwrap())
    }

    #[test]
    fn ready_only_after_the_first_listing() {
        let pages = pages();
        assert_eq!(get(&pages, "/readyz").status(), 503);
        pages.hub.set_listed();
        assert_eq!(get(&pages, "/readyz").status(), 200);
        assert_eq!(get(&pages, "/healthz").status(), 200);
        assert_eq!(get(&pages, "/nothing").status(), 404);
    }

    #[test]
    fn silence_is_not_healthy() {
        let pages = Pages {
            scan_patience: Duration::ZERO,
            ..pages()
        };
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(get(&pages, "/healthz").status(), 503);
    }

    #[test]
    fn names_from_data_cannot_become_markup() {
        let pages = pages();
        let bare = get(&pages, "/").body().len();
        pages.hub.update_run("</script><i>{{js}}", |view| {
            view.last_error = "\"><b>".to_string()
        });
        let page = String::from_utf8(get(&pages, "/").body().to_vec()).unwrap();
        assert!(!page.contains("<i>") && !page.contains("<b>"), "{page}");
        assert!(page.contains("\\u003c/script>\\u003ci>{{js}}"));
        assert!(page.len() < bare + 2000, "the script is in it twice");
    }

    /// The page, and what the JSON in it says.
    fn page_of(name: &str) -> (Vec<String>, serde_json::Value) {
        let pages = pages();
        pages.hub.update_run(name, |view| {
            view.last_error = name.to_string();
            view.summary = Some(Arc::new(crate::summary::example(name)));
        });
        let page = String::from_utf8(get(&pages, "/").body().to_vec()).unwrap();
        let (_, json) = page.split_once("id=\"initial\">").unwrap();
        let (json, _) = json.split_once("</script").unwrap();
        (skeleton(&page), serde_json::from_str(json).unwrap())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// No name adds, takes or changes a tag, an attribute or a script, and the script gets it as it is.
        #[test]
        fn the_page_is_made_of_the_same_parts_whatever_the_names(name in name()) {
            prop_assume!(!name.is_empty());
            let (parts, json) = page_of(&name);
            prop_assert_eq!(parts, page_of("a").0);
            prop_assert_eq!(&json["runs"][0]["run"], &name);
            prop_assert_eq!(&json["runs"][0]["last_error"], &name);
        }
    }

    #[test]
    fn open_parts_are_single_segments() {
        let parts = |path| open_parts("/runs/{run}/x", path);
        assert_eq!(parts("/runs/my run/x"), Some(vec!["my run"]));
        assert_eq!(parts("/runs//x"), Some(vec![""]));
        for other in ["/runs/a/b/x", "/runs/a", "/runs/a/x/", "/x", "/runs/a/y"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}

//! What the daemon serves: `/metrics`, `/healthz`, `/readyz` and a landing page.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use mirrorwatch_http::{Request, Response};

use crate::hub::{Hub, RunView};
use crate::metrics::{CONTENT_TYPE, Metrics};

/// What the pages need.
pub struct Pages {
    /// What is shown.
    pub hub: Arc<Hub>,
    /// What is exported.
    pub metrics: Arc<Metrics>,
    /// Silence of the watching loop after which the daemon is not healthy.
    pub watch_patience: Duration,
    /// Silence of the scanning loop after which the daemon is not healthy.
    pub scan_patience: Duration,
}

/// An endpoint: its path, what it is for, and its answer. A new one is one line here.
type Endpoint = (&'static str, &'static str, fn(&Pages) -> Response);

const ENDPOINTS: &[Endpoint] = &[
    ("/", "this page", Pages::landing),
    ("/metrics", "metrics for Prometheus", Pages::render_metrics),
    (
        "/healthz",
        "whether the daemon's loops are alive",
        Pages::health,
    ),
    (
        "/readyz",
        "whether the directory was listed once",
        Pages::ready,
    ),
];

impl Pages {
    /// Answers a request.
    pub fn answer(&self, request: &Request) -> Response {
        for (path, _, answer) in ENDPOINTS {
            if request.path == *path {
                return answer(self);
            }
        }
        Response::not_found()
    }

    fn render_metrics(&self) -> Response {
        match self.metrics.render() {
            Ok(text) => Response::bytes(CONTENT_TYPE, text),
            Err(error) => {
                Response::text(format!("cannot render the metrics: {error}\n")).with_status(500)
            }
        }
    }

    fn health(&self) -> Response {
        let (watch, worker) = self.hub.silence();
        if watch > self.watch_patience {
            let text = format!("watching stopped {} s ago\n", watch.as_secs());
            return Response::text(text).with_status(503);
        }
        if worker > self.scan_patience {
            let text = format!("scanning stopped {} s ago\n", worker.as_secs());
            return Response::text(text).with_status(503);
        }
        Response::text("ok\n")
    }

    fn ready(&self) -> Response {
        if self.hub.listed() {
            Response::text("ready\n")
        } else {
            Response::text("the directory was not listed yet\n").with_status(503)
        }
    }

    fn landing(&self) -> Response {
        let mut rows = String::new();
        for (run, view) in self.hub.shown_runs() {
            rows.push_str(&row(&run, &view));
        }
        if rows.is_empty() {
            rows.push_str("<tr><td colspan=7 class=quiet>no run yet; waiting for the first checkpoint</td></tr>");
        }
        let scanning = match self.hub.scanning() {
            Some(checkpoint) => format!("scanning {}", escape(&checkpoint)),
            None => "idle".to_string(),
        };
        let mut links = String::new();
        for (path, about, _) in ENDPOINTS.iter().skip(1) {
            let _ = write!(links, "<li><a href=\"{path}\">{path}</a> {about}</li>");
        }
        Response::html(format!(
            include_str!("landing.html"),
            version = env!("CARGO_PKG_VERSION"),
            scanning = scanning,
            rows = rows,
            links = links,
        ))
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
    use super::*;

    fn pages() -> Pages {
        let hub = Arc::new(Hub::default());
        Pages {
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
        pages
            .hub
            .update_run("<script>", |view| view.last_error = "\"><b>".to_string());
        let page = String::from_utf8(get(&pages, "/").body().to_vec()).unwrap();
        assert!(!page.contains("<script>") && !page.contains("<b>"));
    }
}

use crate::events::{Changes, Stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{StatusCode, http};
use std::convert::Infallible;
use std::fmt::Write;
use tokio::sync::watch;

/// Everything from the page itself, nothing from elsewhere. Inline style and script are allowed
/// because the pages are single documents without assets beside them.
const HTML_POLICY: &str = "default-src 'none'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; script-src 'self' 'unsafe-inline'; connect-src 'self'";

/// Headers that frame the message. The server sets them from the body it has; a wrong one would
/// make the next response on the connection start in the middle of this one.
const FRAMING: [HeaderName; 5] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TRAILER,
    header::UPGRADE,
];

/// What goes over the wire; boxed so that a body that is not in memory needs no new type.
pub(crate) type WireBody = UnsyncBoxBody<Bytes, Infallible>;

/// The sources a body can have.
#[derive(Debug, Clone)]
enum Body {
    Full(Bytes),
    /// An open end: an event each time the number changes.
    Events(watch::Receiver<u64>),
}

/// A page, as the handler returns it.
///
/// ```
/// use mirrorwatch_http::Response;
///
/// let metrics = "up 1\n";
/// let page = Response::bytes("text/plain; version=0.0.4; charset=utf-8", metrics);
/// assert_eq!(page.status(), 200);
///
/// let busy = Response::text("first scan still running\n").with_status(503);
/// assert_eq!(busy.with_header("retry-after", "5").header("Retry-After"), Some("5"));
/// ```
#[derive(Debug, Clone)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Body,
    /// The first thing the handler asked for that cannot be sent.
    fault: Option<String>,
}

impl Response {
    /// A page of plain text.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::text("ok\n");
    /// assert_eq!((page.status(), page.body()), (200, &b"ok\n"[..]));
    /// assert_eq!(page.header("content-type"), Some("text/plain; charset=utf-8"));
    /// ```
    pub fn text(body: impl Into<String>) -> Response {
        Response::bytes("text/plain; charset=utf-8", body.into())
    }

    /// A page of HTML, with a content security policy that allows only what the page itself
    /// carries and this server serves, and without referrer for the links it contains.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::html("<!doctype html><title>runs</title>");
    /// assert!(page.header("content-security-policy").is_some_and(|p| p.starts_with("default-src 'none'")));
    /// ```
    pub fn html(body: impl Into<String>) -> Response {
        Response::bytes("text/html; charset=utf-8", body.into())
            .with_header("content-security-policy", HTML_POLICY)
            .with_header("referrer-policy", "no-referrer")
    }

    /// A page of JSON that is already serialised.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::json(r#"{"runs": []}"#);
    /// assert_eq!(page.header("content-type"), Some("application/json"));
    /// ```
    pub fn json(body: impl Into<String>) -> Response {
        Response::bytes("application/json", body.into())
    }

    /// A stream of server-sent events, one named `change` at once and one each time `changes` does.
    ///
    /// It ends when the client goes or the server stops. At most half of
    /// [`Limits::max_connections`](crate::Limits::max_connections) can be streams; further ones get a 503.
    ///
    /// ```
    /// use mirrorwatch_http::{Changes, Response};
    ///
    /// let page = Response::events(&Changes::default());
    /// assert_eq!(page.header("content-type"), Some("text/event-stream"));
    /// assert_eq!(page.header("cache-control"), Some("no-store"));
    /// ```
    pub fn events(changes: &Changes) -> Response {
        let mut response = Response::bytes("text/event-stream", Bytes::new())
            .with_header("cache-control", "no-store")
            // Some proxies hold back what they take for a page that is not complete.
            .with_header("x-accel-buffering", "no");
        response.body = Body::Events(changes.listen());
        response
    }

    /// A 404 with a line of text.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_http::Response::not_found().status(), 404);
    /// ```
    pub fn not_found() -> Response {
        Response::text("not found\n").with_status(404)
    }

    /// A 302 to another page.
    ///
    /// # Arguments
    ///
    /// * `location` - where to; bytes that may not stand in a header are percent-encoded.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::redirect("/runs/my run");
    /// assert_eq!((page.status(), page.header("location")), (302, Some("/runs/my%20run")));
    /// ```
    pub fn redirect(location: &str) -> Response {
        let mut encoded = String::with_capacity(location.len());
        for byte in location.bytes() {
            if byte.is_ascii_graphic() {
                encoded.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
        Response::text("")
            .with_status(302)
            .with_header("location", &encoded)
    }

    /// A page of any type.
    ///
    /// # Arguments
    ///
    /// * `content_type` - the value of the `Content-Type` header.
    /// * `body` - the page; a `String`, a `Vec<u8>` or a static slice are taken without a copy.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::bytes("image/png", vec![0x89, b'P', b'N', b'G']);
    /// assert_eq!((page.body().len(), page.header("x-content-type-options")), (4, Some("nosniff")));
    /// ```
    pub fn bytes(content_type: &str, body: impl Into<Bytes>) -> Response {
        Response {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Body::Full(body.into()),
            fault: None,
        }
        .with_header("content-type", content_type)
        .with_header("x-content-type-options", "nosniff")
    }

    /// Sets the status. Outside 200 to 599 the response is sent as a logged 500 instead.
    ///
    /// ```
    /// let busy = mirrorwatch_http::Response::text("not yet\n").with_status(503);
    /// assert_eq!(busy.status(), 503);
    /// ```
    pub fn with_status(mut self, status: u16) -> Response {
        match StatusCode::from_u16(status) {
            Ok(code) if (200..600).contains(&status) => self.status = code,
            _ => self.set_fault(format!("status {status} is not between 200 and 599")),
        }
        self
    }

    /// Sets a header, replacing one of the same name.
    ///
    /// A name or value that HTTP does not allow, and the headers that frame a message
    /// (`Connection`, `Content-Length`, `Transfer-Encoding`, `Trailer`, `Upgrade`), make the
    /// response go out as a logged 500 instead: a page without its header could be a less
    /// secure page.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::text("").with_header("cache-control", "no-store");
    /// assert_eq!(page.header("cache-control"), Some("no-store"));
    /// ```
    pub fn with_header(mut self, name: &str, value: &str) -> Response {
        match (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            (Ok(name), _) if FRAMING.contains(&name) => {
                self.set_fault(format!("header {name} is the server's to set"));
            }
            (Ok(name), Ok(value)) => {
                self.headers.insert(name, value);
            }
            _ => self.set_fault(format!("header {name:?} with value {value:?} is not valid")),
        }
        self
    }

    /// The status code.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_http::Response::text("").status(), 200);
    /// ```
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// The value of a header.
    ///
    /// ```
    /// let page = mirrorwatch_http::Response::json("[]");
    /// assert_eq!((page.header("Content-Type"), page.header("etag")), (Some("application/json"), None));
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The page.
    ///
    /// ```
    /// assert_eq!(mirrorwatch_http::Response::text("up 1\n").body(), b"up 1\n");
    /// ```
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Body::Full(bytes) => bytes,
            Body::Events(_) => &[],
        }
    }

    /// What a stream of events listens to; none for a page.
    pub(crate) fn listens_to(&self) -> Option<watch::Receiver<u64>> {
        match &self.body {
            Body::Full(_) => None,
            Body::Events(changes) => Some(changes.clone()),
        }
    }

    /// A 500 that tells the client nothing about what went wrong.
    pub(crate) fn internal_error() -> Response {
        Response::text("internal error\n").with_status(500)
    }

    /// Makes the response ready to send.
    ///
    /// # Arguments
    ///
    /// * `close` - tell the client that the connection ends here.
    /// * `stream` - the stream of events that is its body, if it is one.
    pub(crate) fn into_wire(self, close: bool, stream: Option<Stream>) -> http::Response<WireBody> {
        if let Some(fault) = &self.fault {
            tracing::error!(fault, "the handler returned a response that cannot be sent");
            return Response::internal_error().into_wire(close, None);
        }
        let body = match (self.body, stream) {
            (Body::Full(bytes), _) => Full::new(bytes).boxed_unsync(),
            (Body::Events(_), Some(stream)) => stream.into_body(),
            (Body::Events(_), None) => Full::default().boxed_unsync(),
        };
        let mut wire = http::Response::new(body);
        *wire.status_mut() = self.status;
        *wire.headers_mut() = self.headers;
        if close {
            wire.headers_mut()
                .insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        wire
    }

    fn set_fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

#[cfg(test)]
mod tests {
    use super::Response;

    #[test]
    fn what_cannot_be_sent_becomes_a_500() {
        let bad = [
            Response::text("x").with_header("x-a", "1\r\nset-cookie: b=c"),
            Response::text("x").with_header("bad name", "1"),
            Response::text("x").with_header("Content-Length", "3"),
            Response::text("x").with_status(101),
            Response::text("x").with_status(1000),
        ];
        for response in bad {
            assert_eq!(response.into_wire(false, None).status(), 500);
        }
    }

    #[test]
    fn redirects_cannot_inject_headers() {
        let response = Response::redirect("/a b\r\nset-cookie: é?q=%20");
        assert_eq!(response.status(), 302);
        assert_eq!(
            response.header("location"),
            Some("/a%20b%0D%0Aset-cookie:%20%C3%A9?q=%20")
        );
    }

    #[test]
    fn a_header_replaces_the_default() {
        let page = Response::html("<p>").with_header("Content-Security-Policy", "default-src *");
        let wire = page.into_wire(true, None);
        assert_eq!(
            wire.headers()
                .get_all("content-security-policy")
                .iter()
                .count(),
            1
        );
        assert_eq!(wire.headers()["connection"], "close");
    }
}

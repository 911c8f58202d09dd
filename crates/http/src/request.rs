use crate::HttpError;
use hyper::HeaderMap;
use hyper::body::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};

/// The methods that can reach a handler; all others are answered with 405.
///
/// ```
/// use mirrorwatch_http::{Method, Request};
///
/// assert_eq!(Request::get("/")?.method, Method::Get);
/// assert_eq!(Request::post("/notes", "{}")?.method.to_string(), "POST");
/// # Ok::<(), mirrorwatch_http::HttpError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Asks for a page.
    Get,
    /// Asks for the headers of a page; the server drops the body that the handler returns.
    Head,
    /// Brings something, where [`Server::with_posts`](crate::Server::with_posts) lets it.
    Post,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
        })
    }
}

/// A request for a page, as the handler sees it.
///
/// ```
/// use mirrorwatch_http::{Request, Response};
///
/// fn page(request: &Request) -> Response {
///     match (request.path.as_str(), request.query_value("name")) {
///         ("/hello", Some(name)) => Response::text(format!("hello {name}\n")),
///         _ => Response::not_found(),
///     }
/// }
/// assert_eq!(page(&Request::get("/hello?name=ada")?).body(), b"hello ada\n");
/// assert_eq!(page(&Request::get("/goodbye")?).status(), 404);
/// # Ok::<(), mirrorwatch_http::HttpError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Request {
    /// `GET`, `HEAD`, or `POST` where that is let in.
    pub method: Method,
    /// The path, percent-decoded once. It starts with a slash and has no `.` or `..` segment, no
    /// backslash and no control character: requests with those are answered with 400.
    pub path: String,
    /// The names and values of the query in their order, form-decoded. A name without `=` has an
    /// empty value.
    pub query: Vec<(String, String)>,
    /// The other end of the connection.
    pub remote: SocketAddr,
    headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) user: Option<String>,
}

impl Request {
    /// Makes the request that `GET target` would make, so that a handler can be tested without a
    /// socket.
    ///
    /// # Arguments
    ///
    /// * `target` - path and query as in a request line.
    ///
    /// ```
    /// use mirrorwatch_http::Request;
    ///
    /// let request = Request::get("/runs/my%20run?epoch=3&all")?;
    /// assert_eq!(request.path, "/runs/my run");
    /// assert_eq!(request.query_value("epoch"), Some("3"));
    /// assert!(Request::get("/%2e%2e/etc/passwd").is_err());
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn get(target: &str) -> Result<Request, HttpError> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let remote = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let parsed = Request::from_parts(Method::Get, path, query, HeaderMap::new(), remote);
        parsed.map_err(|reason| HttpError::BadTarget {
            target: target.to_owned(),
            reason,
        })
    }

    /// Makes the request that `POST target` with this body would make, for tests of a handler.
    ///
    /// # Arguments
    ///
    /// * `target` - path and query as in a request line.
    ///
    /// ```
    /// use mirrorwatch_http::{Method, Request};
    ///
    /// let request = Request::post("/notes", "{}")?.with_header("content-type", "application/json");
    /// assert_eq!((request.method, request.body()), (Method::Post, &b"{}"[..]));
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Result<Request, HttpError> {
        let mut request = Request::get(target)?;
        request.method = Method::Post;
        request.body = Bytes::from(body.into());
        Ok(request)
    }

    /// Adds a header, for tests of a handler. What HTTP does not allow is left out.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// let request = Request::get("/")?.with_header("accept", "text/html").with_header("no such name", "x");
    /// assert_eq!((request.header("accept"), request.count_of("no such name")), (Some("text/html"), 0));
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn with_header(mut self, name: &str, value: &str) -> Request {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value),
        ) {
            self.headers.append(name, value);
        }
        self
    }

    /// As if this user had logged in, for tests of a handler.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// assert_eq!(Request::get("/")?.with_user("ada").user(), Some("ada"));
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn with_user(mut self, user: &str) -> Request {
        self.user = Some(user.to_owned());
        self
    }

    /// Decodes a request; the error is the text of the 400.
    pub(crate) fn from_parts(
        method: Method,
        raw_path: &str,
        raw_query: Option<&str>,
        headers: HeaderMap,
        remote: SocketAddr,
    ) -> Result<Request, &'static str> {
        let path = decode_path(raw_path)?;
        let query = decode_query(raw_query.unwrap_or_default())?;
        Ok(Request {
            method,
            path,
            query,
            remote,
            headers,
            body: Bytes::new(),
            user: None,
        })
    }

    /// The value of a header, or `None` if it is absent or not visible ASCII.
    ///
    /// # Arguments
    ///
    /// * `name` - the header's name in any case.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// let request = Request::get("/")?.with_header("if-none-match", "7");
    /// assert_eq!((request.header("If-None-Match"), request.header("accept")), (Some("7"), None));
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What a `POST` brought; empty for other methods, whose bodies are thrown away.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// assert_eq!(Request::post("/notes", "{}")?.body(), b"{}");
    /// assert!(Request::get("/notes")?.body().is_empty());
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Who logged in with a password, by the names of the web configuration; `None` where nobody has to.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// assert_eq!(Request::get("/")?.user(), None);
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// How often a header is there.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// let request = Request::get("/")?.with_header("origin", "a").with_header("origin", "b");
    /// assert_eq!(request.count_of("Origin"), 2);
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn count_of(&self, name: &str) -> usize {
        self.headers.get_all(name).iter().count()
    }

    /// The first value of a name in the query.
    ///
    /// ```
    /// # use mirrorwatch_http::Request;
    /// let request = Request::get("/suspects?class=cat&class=dog&all")?;
    /// assert_eq!((request.query_value("class"), request.query_value("all")), (Some("cat"), Some("")));
    /// assert_eq!(request.query_value("source"), None);
    /// # Ok::<(), mirrorwatch_http::HttpError>(())
    /// ```
    pub fn query_value(&self, name: &str) -> Option<&str> {
        let pair = self.query.iter().find(|(key, _)| key == name)?;
        Some(&pair.1)
    }
}

fn decode_path(raw: &str) -> Result<String, &'static str> {
    let path = percent_decode(raw.as_bytes(), false)?;
    if !path.starts_with('/') {
        return Err("the path does not start with a slash");
    }
    if path.chars().any(|c| c.is_control() || c == '\\') {
        return Err("the path contains a backslash or a control character");
    }
    // After decoding, so that %2e%2e and %2f cannot hide them. Honest clients resolve dot
    // segments before they send, so there is no reason to guess what was meant.
    if path
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err("the path contains a dot segment");
    }
    Ok(path)
}

fn decode_query(raw: &str) -> Result<Vec<(String, String)>, &'static str> {
    let mut pairs = Vec::new();
    for part in raw.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let name = percent_decode(name.as_bytes(), true)?;
        let value = percent_decode(value.as_bytes(), true)?;
        pairs.push((name, value));
    }
    Ok(pairs)
}

/// Decodes `%XX`, exactly once: a decoded percent sign is a percent sign.
fn percent_decode(raw: &[u8], plus_is_space: bool) -> Result<String, &'static str> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut rest = raw.iter();
    while let Some(&byte) = rest.next() {
        match byte {
            b'%' => {
                let high = rest.next().and_then(|&digit| hex(digit));
                let low = rest.next().and_then(|&digit| hex(digit));
                let (Some(high), Some(low)) = (high, low) else {
                    return Err("a percent sign is not followed by two hex digits");
                };
                decoded.push(high * 16 + low);
            }
            b'+' if plus_is_space => decoded.push(b' '),
            _ => decoded.push(byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| "the target is not utf-8 once decoded")
}

fn hex(digit: u8) -> Option<u8> {
    let value = char::from(digit).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::{decode_path, decode_query};

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(decode_path("/a%20b+c"), Ok("/a b+c".to_owned()));
        assert_eq!(decode_path("/%252e%252e/x"), Ok("/%2e%2e/x".to_owned()));
        assert_eq!(decode_path("/caf%C3%A9"), Ok("/café".to_owned()));
        assert_eq!(decode_path("/..."), Ok("/...".to_owned()));
    }

    #[test]
    fn paths_that_could_escape_are_refused() {
        let bad = [
            "",
            "x",
            "*",
            "/..",
            "/../x",
            "/a/./b",
            "/%2e%2e/x",
            "/.%2E/x",
            "/a%2f..%2fb",
            "/a%5c..",
            "/a%00b",
            "/a%0d%0ab",
            "/%",
            "/%4",
            "/%zz",
            "/%+1",
            "/%ff",
        ];
        for path in bad {
            assert!(decode_path(path).is_err(), "{path:?} was accepted");
        }
    }

    #[test]
    fn queries_keep_order_and_duplicates() {
        let pairs = decode_query("b=2&a=1+%2B&&b=3&flag&=x&e=a=b").unwrap_or_default();
        let pairs: Vec<_> = pairs
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        let expected = [
            ("b", "2"),
            ("a", "1 +"),
            ("b", "3"),
            ("flag", ""),
            ("", "x"),
            ("e", "a=b"),
        ];
        assert_eq!(pairs, expected);
        assert!(decode_query("a=%f").is_err());
    }
}

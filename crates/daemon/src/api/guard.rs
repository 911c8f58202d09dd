//! Who may write over HTTP, and from where.
//!
//! A browser sends what any page asks it to, with the passwords it knows: a page from elsewhere must not write here. It
//! cannot send JSON without asking first, which this server does not answer, and it says where it comes from. What it
//! cannot say is that its own name was made to point here (DNS rebinding): where nobody logs in, a name is only trusted
//! if it is an address or `localhost`.

use std::net::IpAddr;

use mirrorwatch_http::{Request, WebConfig};

use super::Refusal;
use crate::options::Reviewing;

/// Says who may write.
pub(crate) struct Guard {
    /// What was asked for.
    pub(crate) when: Reviewing,
    /// Whether only this machine can reach the server.
    pub(crate) loopback: bool,
    /// Who has to log in, if anybody.
    pub(crate) web: Option<WebConfig>,
}

impl Guard {
    /// Nobody, unless on loopback.
    #[cfg(test)]
    pub(crate) fn on_loopback() -> Self {
        Self {
            when: Reviewing::Auto,
            loopback: true,
            web: None,
        }
    }

    /// Whether reviews can be written by whoever sends this request.
    pub(crate) fn check(&self, request: &Request) -> Result<(), Refusal> {
        let authenticates = || self.web.as_ref().is_some_and(WebConfig::authenticates);
        let refused = |why: &str| Err(Refusal::new(403, why));
        match self.when {
            Reviewing::Always => Ok(()),
            Reviewing::Never => {
                refused("reviews are not taken here; `review` on the command line takes them")
            }
            Reviewing::Auto if authenticates() => Ok(()),
            Reviewing::Auto if !self.loopback => refused(
                "reviews are not taken from everybody; name users in a file given with --web.config.file, or start `watch` with --web.enable-review",
            ),
            Reviewing::Auto if is_own_name(request) => Ok(()),
            Reviewing::Auto => refused(
                "reviews are not taken under this name; open the page at 127.0.0.1 or localhost, or start `watch` with --web.enable-review",
            ),
        }
    }
}

/// Refuses what a page from elsewhere could have made a browser send.
pub(super) fn check_origin(request: &Request) -> Result<(), Refusal> {
    let content = request.header("content-type").unwrap_or_default();
    let kind = content.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(Refusal::new(
            415,
            "a review is JSON; send it with `Content-Type: application/json`",
        ));
    }
    let site = request.header("sec-fetch-site");
    let elsewhere = match site {
        // Not sent by browsers of before 2023, nor by other programs.
        None => request.count_of("sec-fetch-site") > 0,
        Some(site) => !["same-origin", "none"].contains(&site),
    };
    let origin = request.header("origin");
    let other = match (origin, request.header("host")) {
        (None, _) => request.count_of("origin") > 0,
        (Some(origin), Some(host)) => {
            let authority = origin.split_once("://").map(|(_, authority)| authority);
            !authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
        }
        (Some(_), None) => true,
    };
    if elsewhere || other || request.count_of("origin") > 1 || request.count_of("host") > 1 {
        return Err(Refusal::new(
            403,
            "this was sent from a page of another place; open the sidecar's own page",
        ));
    }
    Ok(())
}

/// Whether the client asks for an address or for this machine by its own name.
fn is_own_name(request: &Request) -> bool {
    let Some(host) = request.header("host") else {
        // No browser leaves it out.
        return request.count_of("host") == 0;
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(headers: &[(&str, &str)]) -> Request {
        let mut request = Request::post("/", "{}").unwrap();
        for (name, value) in headers {
            request = request.with_header(name, value);
        }
        request
    }

    const JSON: (&str, &str) = ("content-type", "application/json");
    const HOST: (&str, &str) = ("host", "127.0.0.1:9464");

    #[track_caller]
    fn status(result: Result<(), Refusal>) -> u16 {
        result.err().map_or(0, |refusal| refusal.status)
    }

    #[test]
    fn pages_of_other_places_cannot_write() {
        let of = |headers: &[(&str, &str)]| status(check_origin(&request(headers)));
        assert_eq!(of(&[JSON]), 0);
        assert_eq!(
            of(&[("content-type", "Application/JSON; charset=utf-8")]),
            0
        );
        for simple in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data",
            "application/jsonx",
        ] {
            assert_eq!(of(&[("content-type", simple)]), 415);
        }
        assert_eq!(of(&[]), 415);
        let own = ("origin", "http://127.0.0.1:9464");
        assert_eq!(of(&[JSON, HOST, own, ("sec-fetch-site", "same-origin")]), 0);
        assert_eq!(of(&[JSON, HOST, ("sec-fetch-site", "none")]), 0);
        let https = ("origin", "https://Sidecar.example");
        assert_eq!(of(&[JSON, ("host", "sidecar.example"), https]), 0);
        for site in ["cross-site", "same-site", "", "\u{e9}"] {
            assert_eq!(
                of(&[JSON, HOST, own, ("sec-fetch-site", site)]),
                403,
                "{site}"
            );
        }
        for origin in [
            "null",
            "http://evil.example",
            "http://127.0.0.1:9465",
            "127.0.0.1:9464",
            "http://127.0.0.1:9464.evil.example",
        ] {
            assert_eq!(of(&[JSON, HOST, ("origin", origin)]), 403, "{origin}");
        }
        assert_eq!(of(&[JSON, own]), 403);
        assert_eq!(of(&[JSON, HOST, own, ("origin", "null")]), 403);
    }

    #[test]
    fn without_a_login_only_this_machine_may_write() {
        let guard = |when, loopback| Guard {
            when,
            loopback,
            web: None,
        };
        let by = |guard: &Guard, host| status(guard.check(&request(&[("host", host)])));
        let auto = guard(Reviewing::Auto, true);
        for host in [
            "127.0.0.1:9464",
            "LocalHost:1",
            "[::1]:9464",
            "[::1]",
            "127.0.0.1",
        ] {
            assert_eq!(by(&auto, host), 0, "{host}");
        }
        for host in ["evil.example:9464", "localhost.evil.example", "", "[evil"] {
            assert_eq!(by(&auto, host), 403, "{host}");
        }
        assert_eq!(status(auto.check(&request(&[]))), 0);
        assert_eq!(by(&guard(Reviewing::Auto, false), "127.0.0.1"), 403);
        assert_eq!(by(&guard(Reviewing::Never, true), "127.0.0.1"), 403);
        assert_eq!(by(&guard(Reviewing::Always, false), "sidecar:9464"), 0);
    }

    #[test]
    fn who_logs_in_may_write_wherever_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("web.yml");
        // A test vector of crypt_blowfish.
        let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        std::fs::write(&path, format!("basic_auth_users: {{alice: '{hash}'}}\n")).unwrap();
        let guard = Guard {
            when: Reviewing::Auto,
            loopback: false,
            web: Some(WebConfig::load(&path).unwrap()),
        };
        assert_eq!(
            status(guard.check(&request(&[("host", "sidecar:9464")]))),
            0
        );
    }
}

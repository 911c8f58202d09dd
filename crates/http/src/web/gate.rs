//! What every request has to pass before a page is made for it.

use super::limiter::{Attempts, Bucket};
use super::loaded::Loaded;
use super::reload::WebConfig;
use super::users::{Credentials, Verified};
use crate::limits::Limits;
use crate::response::Response;
use hyper::header::HeaderMap;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// Threads that the gate needs besides those of the handlers: one for bcrypt, one to read files.
pub(crate) const THREADS: usize = 2;

/// RFC 7617 wants a realm.
const CHALLENGE: &str = "Basic realm=\"mirrorwatch\", charset=\"UTF-8\"";

/// The gate of one server. It lives on the server's thread, so that cells are enough.
pub(crate) struct Gate {
    pub(crate) config: WebConfig,
    patience: Duration,
    requests: RefCell<Bucket>,
    attempts: RefCell<Attempts>,
    verified: RefCell<Verified>,
    /// One bcrypt at a time: guessing may keep one core busy, never all of them.
    bcrypt: Arc<Semaphore>,
}

/// The outcome for one request.
pub(crate) struct Pass {
    /// The answer, if the request goes no further.
    pub(crate) refusal: Option<Response>,
    /// Who logged in, where somebody has to.
    pub(crate) user: Option<String>,
    loaded: Option<Arc<Loaded>>,
}

impl Pass {
    /// Sets the headers of the configuration; they replace those of the page.
    pub(crate) fn decorate(&self, headers: &mut HeaderMap) {
        for (name, value) in self.loaded.iter().flat_map(|loaded| &loaded.headers) {
            headers.insert(name, value.clone());
        }
    }
}

/// Lets a request pass or not. Without a gate, everything passes.
pub(crate) async fn pass(gate: Option<&Gate>, remote: SocketAddr, headers: &HeaderMap) -> Pass {
    let Some(gate) = gate else {
        return Pass {
            refusal: None,
            user: None,
            loaded: None,
        };
    };
    let loaded = gate.config.current(gate.patience).await;
    let (refusal, user) = match gate.check(remote, headers, &loaded).await {
        Ok(user) => (None, user),
        Err(refusal) => (Some(refusal), None),
    };
    Pass {
        refusal,
        user,
        loaded: Some(loaded),
    }
}

impl Gate {
    pub(crate) fn new(config: WebConfig, limits: &Limits) -> Gate {
        Gate {
            config,
            patience: limits.idle_timeout,
            requests: RefCell::default(),
            attempts: RefCell::default(),
            verified: RefCell::default(),
            bcrypt: Arc::new(Semaphore::new(1)),
        }
    }

    /// Who may pass, by name where names are asked for.
    async fn check(
        &self,
        remote: SocketAddr,
        headers: &HeaderMap,
        loaded: &Loaded,
    ) -> Result<Option<String>, Response> {
        if let Some(rate) = loaded.rate {
            let mut requests = self.requests.borrow_mut();
            requests.take(rate, Instant::now()).map_err(too_many)?;
        }
        if loaded.users.is_empty() {
            return Ok(None);
        }
        // Costs nothing, and browsers ask like this first: no attempt.
        let Some(credentials) = Credentials::read(headers) else {
            return Err(unauthorized());
        };
        let (hash, known) = loaded.users.hash(&credentials.user);
        // The name of a known user is text: the configuration is.
        let user = String::from_utf8_lossy(&credentials.user).into_owned();
        let key = credentials.key(hash);
        // Before anything that could make them wait: whoever guesses must not hold up scrapes,
        // even from the same address.
        if known && self.verified.borrow().contains(&key) {
            return Ok(Some(user));
        }
        let name = &credentials.user;
        let taken = self
            .attempts
            .borrow_mut()
            .take(remote.ip(), name, Instant::now());
        if let Err(wait) = taken {
            tracing::debug!(%remote, "too many failed logins");
            return Err(too_many(wait));
        }
        let matches = self.verify(&credentials.password, hash.to_owned()).await?;
        if !(matches && known) {
            tracing::info!(%remote, "login failed");
            return Err(unauthorized());
        }
        self.attempts
            .borrow_mut()
            .give_back(remote.ip(), &credentials.user);
        self.verified.borrow_mut().insert(key);
        Ok(Some(user))
    }

    /// Compares on another thread, and in turn.
    async fn verify(&self, password: &[u8], hash: String) -> Result<bool, Response> {
        let password = password.to_vec();
        let permits = Arc::clone(&self.bcrypt);
        let compare = async move {
            // The semaphore is never closed.
            let permit = permits.acquire_owned().await.ok()?;
            let compare = spawn_blocking(move || {
                let _permit = permit;
                bcrypt::verify(password, &hash).unwrap_or(false)
            });
            compare.await.ok()
        };
        match timeout(self.patience, compare).await {
            Ok(Some(matches)) => Ok(matches),
            Ok(None) => Err(Response::internal_error()),
            Err(_) => {
                tracing::warn!("checking a password took too long; lower the cost of the hashes");
                Err(Response::text("the password is not checked in time\n").with_status(503))
            }
        }
    }
}

fn unauthorized() -> Response {
    Response::text("unauthorized\n")
        .with_status(401)
        .with_header("www-authenticate", CHALLENGE)
}

fn too_many(wait: Duration) -> Response {
    let seconds = wait.as_secs().saturating_add(1).to_string();
    Response::text("too many requests\n")
        .with_status(429)
        .with_header("retry-after", &seconds)
}

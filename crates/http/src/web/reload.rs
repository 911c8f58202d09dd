//! The configuration as the files have it now, or as they last had a good one.

use super::fault::Fault;
use super::loaded::{Loaded, Snapshot};
use crate::HttpError;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a configuration is used before the files are looked at again.
const FRESH: Duration = Duration::from_secs(1);

/// TLS, users and headers for a [`Server`](crate::Server), from the file that
/// `--web.config.file` names in Prometheus exporters.
///
/// The format is that of prometheus/exporter-toolkit: `tls_server_config`, `http_server_config`,
/// `basic_auth_users` and `rate_limit`. Paths in it are relative to the file's directory. HTTP/1.1
/// is all that is spoken, whatever `http2` says. What rustls does not have (TLS below 1.2, CBC and
/// RSA key exchange cipher suites, P-521) is refused by name.
///
/// While the server runs, the file, and the certificates and keys that it names, are looked at
/// again when a client comes, at most once a second. If they have changed, the new ones count for
/// new connections and, as to users and headers, for the next request of those that are open. If
/// the new ones are no good, the last good ones stay, a warning says why, and
/// [`last_reload_successful`](WebConfig::last_reload_successful) is false. To turn TLS on or off, or
/// to let everybody in, takes a restart: a file that is only half written must not do it.
///
/// ```no_run
/// use mirrorwatch_http::{Response, Server, WebConfig};
///
/// let config = WebConfig::load("web.yml".as_ref())?;
/// assert!(config.encrypts() && config.authenticates());
/// let server = Server::bind("127.0.0.1:9464")?.with_web_config(config);
/// let handle = server.start(|_| Response::text("hello\n"))?;
/// # Ok::<(), mirrorwatch_http::HttpError>(())
/// ```
///
/// Clones share everything.
#[derive(Clone)]
pub struct WebConfig {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    state: Mutex<State>,
    good: AtomicBool,
}

struct State {
    loaded: Arc<Loaded>,
    fingerprint: [u8; 32],
    checked: Instant,
    checking: bool,
}

impl WebConfig {
    /// Reads the file and everything that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong with them, with its line.
    ///
    /// ```
    /// # use mirrorwatch_http::WebConfig;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("web.yml");
    /// std::fs::write(&path, "basic_auth_users:\n  ada: $2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n")?;
    /// assert!(WebConfig::load(&path).is_ok());
    /// std::fs::write(&path, "basic_auth_user:\n")?;
    /// assert!(WebConfig::load(&path).is_err_and(|error| error.to_string().contains("basic_auth_user")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn load(path: &Path) -> Result<WebConfig, HttpError> {
        let snapshot = Snapshot::take(path);
        let fingerprint = snapshot.fingerprint;
        let loaded = snapshot.build().map_err(|fault| fault.in_file(path))?;
        if loaded.http2 == Some(true) {
            tracing::info!("{}: http2 is not served, only HTTP/1.1", path.display());
        }
        let state = State {
            loaded: Arc::new(loaded),
            fingerprint,
            checked: Instant::now(),
            checking: false,
        };
        Ok(WebConfig {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                state: Mutex::new(state),
                good: AtomicBool::new(true),
            }),
        })
    }

    /// Whether clients must prove who they are: by a password, or by a certificate that a trusted
    /// one has signed.
    ///
    /// ```
    /// # use mirrorwatch_http::WebConfig;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("web.yml");
    /// std::fs::write(&path, "basic_auth_users:\n  ada: $2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n")?;
    /// let config = WebConfig::load(&path)?;
    /// assert!(config.authenticates() && !config.encrypts());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn authenticates(&self) -> bool {
        self.inner.state().loaded.authenticates()
    }

    /// Whether the server speaks TLS.
    ///
    /// ```
    /// # use mirrorwatch_http::WebConfig;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("web.yml");
    /// // Neither TLS nor users.
    /// std::fs::write(&path, "")?;
    /// assert!(!WebConfig::load(&path)?.encrypts());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encrypts(&self) -> bool {
        self.inner.state().loaded.tls.is_some()
    }

    /// Whether the files, when they were looked at last, were good.
    ///
    /// ```
    /// # use mirrorwatch_http::WebConfig;
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("web.yml");
    /// std::fs::write(&path, "basic_auth_users:\n  ada: $2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n")?;
    /// assert!(WebConfig::load(&path)?.last_reload_successful());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn last_reload_successful(&self) -> bool {
        self.inner.good.load(Ordering::Relaxed)
    }

    /// The configuration for a client that is here now.
    ///
    /// # Arguments
    ///
    /// * `patience` - a file system that does not answer for this long is not waited for.
    pub(crate) async fn current(&self, patience: Duration) -> Arc<Loaded> {
        {
            let mut state = self.inner.state();
            // One check at a time: if it hangs, further ones would only hang beside it.
            if state.checking || state.checked.elapsed() < FRESH {
                return Arc::clone(&state.loaded);
            }
            state.checking = true;
        }
        let checking = Checking(Arc::clone(&self.inner));
        let check = spawn_blocking(move || checking.0.check());
        let _ = timeout(patience, check).await;
        Arc::clone(&self.inner.state().loaded)
    }
}

impl fmt::Debug for WebConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not what is in it: hashes and keys.
        let mut shown = f.debug_struct("WebConfig");
        shown
            .field("path", &self.inner.path)
            .finish_non_exhaustive()
    }
}

/// A check that is under way, however it ends.
struct Checking(Arc<Inner>);

impl Drop for Checking {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.checking = false;
        state.checked = Instant::now();
    }
}

impl Inner {
    /// Never held while anything slow happens.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the files and, if they have changed, puts what they say in place.
    fn check(&self) {
        let snapshot = Snapshot::take(&self.path);
        let fingerprint = snapshot.fingerprint;
        let before = {
            let mut state = self.state();
            if state.fingerprint == fingerprint {
                return;
            }
            // Also where it is no good: that is said once.
            state.fingerprint = fingerprint;
            Arc::clone(&state.loaded)
        };
        let built = snapshot.build().and_then(|loaded| {
            if loaded.tls.is_some() != before.tls.is_some() {
                return Err(Fault::new(
                    "TLS cannot be turned on or off on the fly; restart for that",
                ));
            }
            if before.authenticates() && !loaded.authenticates() {
                return Err(Fault::new(
                    "nobody would have to log in any more; restart for that",
                ));
            }
            Ok(loaded)
        });
        self.good.store(built.is_ok(), Ordering::Relaxed);
        match built {
            Ok(loaded) => {
                self.state().loaded = Arc::new(loaded);
                tracing::info!("{}: read again", self.path.display());
            }
            Err(fault) => {
                let error = fault.in_file(&self.path);
                tracing::warn!("{error}; the last good one stays in use");
            }
        }
    }
}

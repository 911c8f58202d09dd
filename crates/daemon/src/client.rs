//! A request to a running sidecar, as its web configuration wants it: encrypted, and with a login.

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

use crate::error::DaemonError;

/// How long the sidecar may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a sidecar answers.
#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    /// What was asked for.
    Page(String),
    /// Why it cannot be had at the moment.
    NotNow(String),
}

/// Which sidecar to ask, and what it needs to be shown.
#[derive(Debug, Clone, Args)]
pub(crate) struct ClientArgs {
    /// Address of the sidecar's pages
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464")]
    pub url: String,

    /// PEM file with the authorities to trust [default: the public ones]
    ///
    /// Or with the sidecar's own certificate, where that is not marked as an authority itself.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,

    /// PEM file with the client certificate, where the sidecar wants one
    #[arg(long, value_name = "FILE", requires = "key_file")]
    cert_file: Option<PathBuf>,

    /// PEM file with its key
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    key_file: Option<PathBuf>,

    /// Name to log in with
    #[arg(long, value_name = "NAME", requires = "password_file")]
    user: Option<String>,

    /// File with the password; the end of its line does not count
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
}

impl ClientArgs {
    /// Gets a page of the sidecar, or what it says instead while it cannot make one.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, a sidecar that cannot be reached, or one that refuses.
    pub fn get(&self, path: &str) -> Result<Answer, DaemonError> {
        let tls = self.tls()?;
        let login = self.login()?;
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let failed = |why: String, hint: &str| {
            DaemonError::Option(format!("cannot read {url}: {why}; {hint}"))
        };
        let mut request = ureq::get(&url);
        if let Some(login) = login {
            request = request.header("authorization", login);
        }
        let request = request
            .config()
            .timeout_global(Some(PATIENCE))
            .http_status_as_error(false)
            .tls_config(tls)
            .build();
        let there = "is the sidecar running, and is this its address?";
        let unreachable = |error: ureq::Error| failed(error.to_string(), there);
        let mut response = request.call().map_err(unreachable)?;
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        match response.status().as_u16() {
            200 => Ok(Answer::Page(text)),
            503 => Ok(Answer::NotNow(text)),
            401 => {
                let why = match self.user {
                    Some(_) => "it refuses this user or password",
                    None => "it wants a login",
                };
                let hint = "--user and --password-file give one, of its web configuration";
                Err(failed(why.to_string(), hint))
            }
            status => Err(failed(format!("it answers with status {status}"), there)),
        }
    }

    fn login(&self) -> Result<Option<String>, DaemonError> {
        let (Some(user), Some(file)) = (&self.user, &self.password_file) else {
            return Ok(None);
        };
        let text = String::from_utf8(read(file)?).map_err(|error| unusable(file, &error))?;
        let password = text.lines().next().unwrap_or_default();
        let login = STANDARD.encode(format!("{user}:{password}"));
        Ok(Some(format!("Basic {login}")))
    }

    fn tls(&self) -> Result<TlsConfig, DaemonError> {
        let mut config = TlsConfig::builder();
        if let Some(file) = &self.ca_file {
            config = config.root_certs(RootCerts::new_with_certs(&certificates(file)?));
        }
        if let (Some(certificate), Some(key)) = (&self.cert_file, &self.key_file) {
            let pem = PrivateKey::from_pem(&read(key)?).map_err(|error| unusable(key, &error))?;
            let client = ClientCert::new_with_certs(&certificates(certificate)?, pem);
            config = config.client_cert(Some(client));
        }
        Ok(config.build())
    }
}

fn certificates(file: &Path) -> Result<Vec<Certificate<'static>>, DaemonError> {
    let mut found = Vec::new();
    for item in parse_pem(&read(file)?) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unusable(file, &error))? {
            found.push(certificate);
        }
    }
    match found.is_empty() {
        true => Err(unusable(file, &"there is no certificate in it")),
        false => Ok(found),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, DaemonError> {
    std::fs::read(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, why: &dyn std::fmt::Display) -> DaemonError {
    DaemonError::Option(format!("cannot use {}: {why}", file.display()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Asks an address without login and encryption.
    pub fn plain(url: &str) -> ClientArgs {
        ClientArgs {
            url: url.to_string(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            user: None,
            password_file: None,
        }
    }

    #[test]
    fn files_that_are_none_are_named() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("missing");
        let empty = directory.path().join("empty.pem");
        std::fs::write(&empty, "").unwrap();
        let nobody = plain("http://127.0.0.1:1");
        let told = |args: &ClientArgs| args.get("/").unwrap_err().to_string();

        let args = ClientArgs {
            ca_file: Some(missing.clone()),
            ..nobody.clone()
        };
        assert!(told(&args).contains(&missing.display().to_string()));
        let args = ClientArgs {
            ca_file: Some(empty.clone()),
            ..nobody.clone()
        };
        assert!(told(&args).contains("there is no certificate in it"));
        let args = ClientArgs {
            user: Some("alice".to_string()),
            password_file: Some(missing.clone()),
            ..nobody
        };
        assert!(told(&args).contains(&missing.display().to_string()));
    }

    #[test]
    fn only_the_first_line_of_a_password_file_counts() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("password");
        std::fs::write(&file, "open sesame\r\n\n").unwrap();
        let args = ClientArgs {
            user: Some("Aladdin".to_string()),
            password_file: Some(file),
            ..plain("http://127.0.0.1:1")
        };
        // RFC 7617, section 2.
        let login = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
        assert_eq!(args.login().unwrap().as_deref(), Some(login));
    }
}

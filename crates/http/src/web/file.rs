//! The keys of the configuration file: docs/web-configuration.md of prometheus/exporter-toolkit.

use super::fault::Fault;
use super::limiter::Rate;
use super::yaml::{self, Node};
use hyper::header::{HeaderName, HeaderValue};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Headers that may be set, and the only values that they may have where those are few.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Content-Security-Policy", &[]),
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
];

/// A configuration file, read but not yet made into anything.
#[derive(Default)]
pub(crate) struct File {
    pub(crate) tls: TlsKeys,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    /// What `http2` says, if it is there: true cannot be had.
    pub(crate) http2: Option<bool>,
    /// Name, hash and line.
    pub(crate) users: Vec<(String, String, usize)>,
    pub(crate) rate: Option<Rate>,
}

/// The keys of `tls_server_config`; empty texts are as good as none.
#[derive(Default)]
pub(crate) struct TlsKeys {
    pub(crate) cert: Pem,
    pub(crate) key: Pem,
    pub(crate) client_ca: Pem,
    pub(crate) client_auth: Text,
    pub(crate) allowed_sans: Option<Vec<Text>>,
    pub(crate) min_version: Text,
    pub(crate) max_version: Text,
    pub(crate) ciphers: Vec<Text>,
    pub(crate) curves: Vec<Text>,
    pub(crate) clients_choose: bool,
}

/// A text, and the line that it stands on.
#[derive(Default, Clone)]
pub(crate) struct Text {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// A certificate or key: in a file, or else in the configuration itself.
#[derive(Default)]
pub(crate) struct Pem {
    pub(crate) file: Option<(PathBuf, usize)>,
    pub(crate) inline: Text,
}

impl Pem {
    pub(crate) fn is_given(&self) -> bool {
        self.file.is_some() || !self.inline.text.is_empty()
    }
}

impl TlsKeys {
    /// Whether any key says that there is to be TLS.
    pub(crate) fn is_wanted(&self) -> bool {
        let pem = [&self.cert, &self.key, &self.client_ca];
        pem.iter().any(|pem| pem.is_given()) || !self.client_auth.text.is_empty()
    }
}

/// Reads a configuration.
///
/// # Arguments
///
/// * `directory` - what the paths in it are relative to.
pub(crate) fn read(text: &str, directory: &Path) -> Result<File, Fault> {
    let mut file = File::default();
    let Some(root) = yaml::parse(text)? else {
        return Ok(file);
    };
    for (key, value) in root.map("the file")? {
        match &*key.text("a key")? {
            "tls_server_config" => file.tls = tls(value, directory)?,
            "http_server_config" => http(value, &mut file)?,
            "basic_auth_users" => {
                for (name, hash) in value.map("basic_auth_users")? {
                    let name = name.text("a user name")?;
                    let hash_text = hash.text(&name)?;
                    file.users.push((name, hash_text, hash.line));
                }
            }
            "rate_limit" => file.rate = rate(value)?,
            _ => {
                let known = "tls_server_config, http_server_config, basic_auth_users, rate_limit";
                return Err(unknown(key, "the file", known));
            }
        }
    }
    Ok(file)
}

fn tls(section: &Node, directory: &Path) -> Result<TlsKeys, Fault> {
    let mut keys = TlsKeys::default();
    for (key, value) in section.map("tls_server_config")? {
        let name = key.text("a key")?;
        let text = || -> Result<Text, Fault> {
            Ok(Text {
                text: value.text(&name)?,
                line: value.line,
            })
        };
        let path = || -> Result<Option<(PathBuf, usize)>, Fault> {
            let Text { text, line } = text()?;
            Ok((!text.is_empty()).then(|| (directory.join(text), line)))
        };
        match &*name {
            "cert" => keys.cert.inline = text()?,
            "key" => keys.key.inline = text()?,
            "client_ca" => keys.client_ca.inline = text()?,
            "cert_file" => keys.cert.file = path()?,
            "key_file" => keys.key.file = path()?,
            "client_ca_file" => keys.client_ca.file = path()?,
            "client_auth_type" => keys.client_auth = text()?,
            "client_allowed_sans" => keys.allowed_sans = Some(texts(value, &name)?),
            "min_version" => keys.min_version = text()?,
            "max_version" => keys.max_version = text()?,
            "cipher_suites" => keys.ciphers = texts(value, &name)?,
            "curve_preferences" => keys.curves = texts(value, &name)?,
            "prefer_server_cipher_suites" => {
                keys.clients_choose = value.boolean(&name)? == Some(false);
            }
            _ => {
                let known = "cert, key, client_ca, cert_file, key_file, client_ca_file, \
                     client_auth_type, client_allowed_sans, min_version, max_version, \
                     cipher_suites, prefer_server_cipher_suites, curve_preferences";
                return Err(unknown(key, "tls_server_config", known));
            }
        }
    }
    Ok(keys)
}

fn texts(list: &Node, what: &str) -> Result<Vec<Text>, Fault> {
    let entry = |node: &Node| -> Result<Text, Fault> {
        Ok(Text {
            text: node.text(what)?,
            line: node.line,
        })
    };
    list.list(what)?.iter().map(entry).collect()
}

fn http(section: &Node, file: &mut File) -> Result<(), Fault> {
    for (key, value) in section.map("http_server_config")? {
        match &*key.text("a key")? {
            "http2" => file.http2 = value.boolean("http2")?,
            "headers" => {
                for (name, value) in value.map("headers")? {
                    file.headers.extend(header(name, value)?);
                }
            }
            _ => return Err(unknown(key, "http_server_config", "http2, headers")),
        }
    }
    Ok(())
}

fn header(key: &Node, value: &Node) -> Result<Option<(HeaderName, HeaderValue)>, Fault> {
    let name = key.text("a header's name")?;
    let Some((_, allowed)) = HEADERS.iter().find(|(known, _)| *known == name) else {
        return Err(unknown(
            key,
            "headers",
            &HEADERS.map(|(name, _)| name).join(", "),
        ));
    };
    let text = value.text(&name)?;
    if !allowed.is_empty() && !allowed.contains(&&*text) {
        let allowed = allowed.join(" or ");
        return Err(Fault::at(value.line, format!("{name} must be {allowed}")));
    }
    if text.is_empty() {
        return Ok(None);
    }
    match (
        HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_str(&text),
    ) {
        (Ok(name), Ok(value)) => Ok(Some((name, value))),
        _ => Err(Fault::at(
            value.line,
            format!("{name} has characters that may not stand in a header"),
        )),
    }
}

fn rate(section: &Node) -> Result<Option<Rate>, Fault> {
    let (mut interval, mut burst) = (Duration::ZERO, 0);
    for (key, value) in section.map("rate_limit")? {
        match &*key.text("a key")? {
            "interval" => {
                let text = value.text("interval")?;
                interval = duration(&text).ok_or_else(|| {
                    Fault::at(
                        value.line,
                        "interval must be a duration such as 100ms or 1m30s",
                    )
                })?;
            }
            "burst" => {
                burst = value.text("burst")?.parse().map_err(|_| {
                    Fault::at(value.line, "burst must be a whole number from 0 upwards")
                })?;
            }
            _ => return Err(unknown(key, "rate_limit", "interval, burst")),
        }
    }
    Ok((!interval.is_zero()).then_some(Rate { interval, burst }))
}

fn unknown(key: &Node, place: &str, known: &str) -> Fault {
    let name = key.text("a key").unwrap_or_default();
    let message = format!("unknown key {name:?} in {place}; known are {known}");
    Fault::at(key.line, message)
}

/// A duration as Go writes it: numbers with units, or a whole number of nanoseconds.
fn duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, f64); 8] = [
        ("ns", 1e-9),
        ("us", 1e-6),
        ("µs", 1e-6),
        ("μs", 1e-6),
        ("ms", 1e-3),
        ("s", 1.0),
        ("m", 60.0),
        ("h", 3600.0),
    ];
    if text.is_empty() {
        return Some(Duration::ZERO);
    }
    if let Ok(nanoseconds) = text.parse() {
        return Some(Duration::from_nanos(nanoseconds));
    }
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let is_unit = |c: char| !c.is_ascii_digit() && c != '.';
        let (number, after) = rest.split_at(rest.find(is_unit)?);
        let end = after.find(|c| !is_unit(c)).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit)?;
        seconds += number.parse::<f64>().ok()? * size;
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;

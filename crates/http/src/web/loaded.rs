//! The configuration and the files that it names, read together and made into what is used.

use super::fault::Fault;
use super::file::{self, File};
use super::limiter::Rate;
use super::tls::{self, Tls};
use super::users::Users;
use hyper::header::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More than any configuration, certificate chain or key needs.
const LARGEST: u64 = 1 << 20;

/// Contents of files by their paths, or why one could not be read.
pub(crate) type Files = BTreeMap<PathBuf, Result<Vec<u8>, String>>;

/// A configuration that works.
pub(crate) struct Loaded {
    pub(crate) tls: Option<Tls>,
    pub(crate) users: Users,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) rate: Option<Rate>,
    pub(crate) http2: Option<bool>,
}

impl Loaded {
    /// Whether a client has to show who it is before it reads anything.
    pub(crate) fn authenticates(&self) -> bool {
        let verifies_clients = self.tls.as_ref().is_some_and(|tls| tls.verifies_clients);
        verifies_clients || !self.users.is_empty()
    }
}

/// What all the files say at one time.
pub(crate) struct Snapshot {
    /// Changes with every byte of any of them.
    pub(crate) fingerprint: [u8; 32],
    file: Result<File, Fault>,
    files: Files,
}

impl Snapshot {
    /// Reads the configuration and what it names. Whatever goes wrong is part of the snapshot.
    pub(crate) fn take(path: &Path) -> Snapshot {
        let content = read(path);
        let file = match &content {
            Ok(bytes) => parse(bytes, path),
            Err(reason) => Err(Fault::new(format!(
                "cannot be read: {reason}; check its path and permissions"
            ))),
        };
        let mut files = Files::new();
        if let Ok(file) = &file {
            for pem in [&file.tls.cert, &file.tls.key, &file.tls.client_ca] {
                if let Some((path, _)) = &pem.file {
                    files.entry(path.clone()).or_insert_with(|| read(path));
                }
            }
        }
        let mut digest = Sha256::new();
        for content in std::iter::once(&content).chain(files.values()) {
            let (kind, bytes) = match content {
                Ok(bytes) => (0, &bytes[..]),
                Err(reason) => (1_u8, reason.as_bytes()),
            };
            digest.update([kind]);
            // Hashes, so that bytes cannot move from one file to the next unseen.
            digest.update(Sha256::digest(bytes));
        }
        Snapshot {
            fingerprint: digest.finalize().into(),
            file,
            files,
        }
    }

    /// Makes it into a configuration that works.
    pub(crate) fn build(self) -> Result<Loaded, Fault> {
        let file = self.file?;
        let tls = match file.tls.is_wanted() {
            true => Some(tls::build(&file.tls, &self.files)?),
            false => None,
        };
        Ok(Loaded {
            tls,
            users: Users::new(&file.users)?,
            headers: file.headers,
            rate: file.rate,
            http2: file.http2,
        })
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<File, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| Fault::new("not a text in utf-8; write it again as one"))?;
    // A byte order mark is no part of the text.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    file::read(text, path.parent().unwrap_or(Path::new("")))
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path)?;
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() as u64 > LARGEST => Err("larger than 1 MiB".to_owned()),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

//! From the keys of `tls_server_config` to a configuration of rustls.

use super::choices::{provider, versions};
use super::clients::Clients;
use super::fault::Fault;
use super::file::{Pem, TlsKeys};
use super::loaded::Files;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::sync::Arc;

/// TLS, and whether a client has to show a certificate that a trusted one has signed.
pub(crate) struct Tls {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) verifies_clients: bool,
}

/// Makes the configuration, from files that are already read.
pub(crate) fn build(keys: &TlsKeys, files: &Files) -> Result<Tls, Fault> {
    for (pem, name) in [(&keys.cert, "cert"), (&keys.key, "key")] {
        if !pem.is_given() {
            let message = format!("tls_server_config needs one of {name} and {name}_file");
            return Err(Fault::new(message));
        }
    }
    let provider = Arc::new(provider(keys)?);
    let (clients, verifies_clients) = clients(keys, files, &provider)?;
    let builder = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(keys)?)
        .map_err(|error| {
            let what = "min_version, max_version, cipher_suites and curve_preferences";
            Fault::new(format!(
                "no handshake is possible with these {what}: {error}"
            ))
        })?;
    let builder = match clients {
        Some(clients) => builder.with_client_cert_verifier(clients),
        None => builder.with_no_client_auth(),
    };
    let chain = certificates(&keys.cert, "cert", files)?;
    let (bytes, place) = bytes(&keys.key, "key", files)?;
    let key = PrivateKeyDer::from_pem_slice(bytes).map_err(|_| {
        place.fault("no private key in it; give a PEM file with an unencrypted key")
    })?;
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| place.fault(format!("not a usable key for the certificate: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ignore_client_order = !keys.ciphers.is_empty() && !keys.clients_choose;
    Ok(Tls {
        config: Arc::new(config),
        verifies_clients,
    })
}

type Verifier = Option<Arc<Clients>>;

fn clients(
    keys: &TlsKeys,
    files: &Files,
    provider: &Arc<CryptoProvider>,
) -> Result<(Verifier, bool), Fault> {
    let policy = &keys.client_auth;
    let fault = |message: &str| Fault::at(policy.line, message);
    let (mandatory, verify) = match &*policy.text {
        "" | "NoClientCert" => {
            if keys.client_ca.is_given() || keys.allowed_sans.is_some() {
                let message = "client_ca and client_allowed_sans need a client_auth_type; give \
                     RequireAndVerifyClientCert";
                return Err(Fault::new(message));
            }
            return Ok((None, false));
        }
        "RequestClientCert" => (false, false),
        "RequireAnyClientCert" | "RequireClientCert" => (true, false),
        "VerifyClientCertIfGiven" => (false, true),
        "RequireAndVerifyClientCert" => (true, true),
        _ => {
            return Err(fault(
                "unknown client_auth_type; give NoClientCert or RequireAndVerifyClientCert (or \
                 RequestClientCert, RequireAnyClientCert, VerifyClientCertIfGiven)",
            ));
        }
    };
    if keys.allowed_sans.is_some() && !mandatory {
        return Err(fault(
            "client_allowed_sans needs the client_auth_type RequireAndVerifyClientCert or \
             RequireAnyClientCert: with others a client may come without a certificate",
        ));
    }
    let chain = match verify {
        false => None,
        // Go would trust whatever the system trusts, which lets in half the world.
        true if !keys.client_ca.is_given() => {
            return Err(fault(
                "this client_auth_type needs client_ca_file, the certificate that signs those of \
                 clients",
            ));
        }
        true => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(&keys.client_ca, "client_ca", files)? {
                roots.add(certificate).map_err(|error| {
                    Fault::new(format!("client_ca has a certificate that is none: {error}"))
                })?;
            }
            let builder =
                WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::clone(provider));
            Some(
                builder
                    .build()
                    .map_err(|error| Fault::new(format!("client_ca cannot be used: {error}")))?,
            )
        }
    };
    let names = keys.allowed_sans.as_ref();
    let clients = Clients {
        chain,
        mandatory,
        names: names.map(|names| names.iter().map(|name| name.text.clone()).collect()),
        algorithms: provider.signature_verification_algorithms,
    };
    Ok((Some(Arc::new(clients)), mandatory && verify))
}

/// Where a certificate or key is, for messages.
struct Place(String, Option<usize>);

impl Place {
    fn fault(&self, message: impl std::fmt::Display) -> Fault {
        Fault {
            line: self.1,
            message: format!("{}: {message}", self.0),
        }
    }
}

fn bytes<'a>(pem: &'a Pem, name: &str, files: &'a Files) -> Result<(&'a [u8], Place), Fault> {
    let Some((path, line)) = &pem.file else {
        let place = Place(name.to_owned(), Some(pem.inline.line));
        return Ok((pem.inline.text.as_bytes(), place));
    };
    let place = Place(format!("{name}_file {}", path.display()), Some(*line));
    match files.get(path) {
        Some(Ok(bytes)) => Ok((bytes, place)),
        Some(Err(reason)) => Err(place.fault(format!(
            "cannot be read: {reason}; check its path and permissions"
        ))),
        None => Err(place.fault("was not read")),
    }
}

fn certificates(
    pem: &Pem,
    name: &str,
    files: &Files,
) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let (bytes, place) = bytes(pem, name, files)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(place.fault("no certificate in it; give a PEM file")),
        Err(error) => Err(place.fault(format!("not valid PEM: {error}"))),
    }
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;

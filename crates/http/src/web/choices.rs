//! Versions, cipher suites and curves, by the names that Go has for them.

use super::fault::Fault;
use super::file::{Text, TlsKeys};
use rustls::crypto::ring::{default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{ProtocolVersion, SupportedCipherSuite, SupportedProtocolVersion};

/// The versions from `min_version` to `max_version`.
pub(crate) fn versions(keys: &TlsKeys) -> Result<Vec<&'static SupportedProtocolVersion>, Fault> {
    const ALL: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];
    let number = |text: &Text, key: &str, default: usize| match &*text.text {
        "" => Ok(default),
        "TLS12" => Ok(0),
        "TLS13" => Ok(1),
        old @ ("TLS10" | "TLS11") => Err(Fault::at(
            text.line,
            format!("{key} {old} cannot be had, it is broken; give TLS12 or TLS13"),
        )),
        other => Err(Fault::at(
            text.line,
            format!("unknown version {other:?} in {key}; give TLS12 or TLS13"),
        )),
    };
    let least = number(&keys.min_version, "min_version", 0)?;
    let most = number(&keys.max_version, "max_version", 1)?;
    match ALL.get(least..=most) {
        Some(versions) if !versions.is_empty() => Ok(versions.to_vec()),
        _ => Err(Fault::at(
            keys.max_version.line,
            "max_version is below min_version",
        )),
    }
}

/// Everything that ring has, or what the lists leave of it.
pub(crate) fn provider(keys: &TlsKeys) -> Result<CryptoProvider, Fault> {
    let mut provider = default_provider();
    if !keys.ciphers.is_empty() {
        let is_13 =
            |suite: &SupportedCipherSuite| suite.version().version == ProtocolVersion::TLSv1_3;
        // As in Go, the list is about TLS 1.2; those of 1.3 are always on.
        let (mut chosen, known): (Vec<_>, Vec<_>) =
            provider.cipher_suites.into_iter().partition(is_13);
        for cipher in &keys.ciphers {
            let is_it = |suite: &&SupportedCipherSuite| name_in_go(suite) == cipher.text;
            match known.iter().chain(&chosen).find(is_it).copied() {
                Some(suite) if chosen.contains(&suite) => {}
                Some(suite) => chosen.push(suite),
                None => {
                    let known: Vec<_> = known.iter().map(name_in_go).collect();
                    return Err(Fault::at(
                        cipher.line,
                        format!(
                            "cipher suite {:?} cannot be had; there are {}",
                            cipher.text,
                            known.join(", ")
                        ),
                    ));
                }
            }
        }
        provider.cipher_suites = chosen;
    }
    if !keys.curves.is_empty() {
        let curve = |curve: &Text| -> Result<&'static dyn SupportedKxGroup, Fault> {
            match &*curve.text {
                "CurveP256" => Ok(kx_group::SECP256R1),
                "CurveP384" => Ok(kx_group::SECP384R1),
                "X25519" => Ok(kx_group::X25519),
                other => Err(Fault::at(
                    curve.line,
                    format!(
                        "curve {other:?} cannot be had; there are X25519, CurveP256, CurveP384"
                    ),
                )),
            }
        };
        provider.kx_groups = keys.curves.iter().map(curve).collect::<Result<_, _>>()?;
    }
    Ok(provider)
}

/// Rustls marks the suites of TLS 1.3 in their names, Go does not.
fn name_in_go(suite: &SupportedCipherSuite) -> String {
    let name = suite.suite().as_str().unwrap_or_default();
    name.replacen("TLS13_", "TLS_", 1)
}

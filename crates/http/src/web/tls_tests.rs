use super::super::file;
use super::{Files, build};
use rcgen::{CertificateParams, KeyPair};
use std::path::{Path, PathBuf};

fn identity() -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// The files that the configurations below name.
fn files() -> Files {
    let (certificate, key) = identity();
    let (_, other) = identity();
    let encrypted = key.replace("PRIVATE", "ENCRYPTED PRIVATE");
    let contents = [
        ("c", Ok(certificate)),
        ("k", Ok(key)),
        ("other", Ok(other)),
        ("encrypted", Ok(encrypted)),
        ("empty", Ok(String::new())),
        ("missing", Err("not found".to_owned())),
    ];
    let entry = |(name, content): (&str, Result<String, String>)| {
        (PathBuf::from(name), content.map(String::into_bytes))
    };
    contents.into_iter().map(entry).collect()
}

/// Builds `tls_server_config` in flow style; the fault, or whether clients are verified.
fn verifies(keys: &str) -> Result<bool, String> {
    let text = format!("tls_server_config: {{{keys}}}");
    let file = file::read(&text, Path::new("")).map_err(|fault| fault.message)?;
    let tls = build(&file.tls, &files()).map_err(|fault| fault.message)?;
    assert_eq!(tls.config.alpn_protocols, [b"http/1.1".to_vec()]);
    Ok(tls.verifies_clients)
}

#[test]
fn what_rustls_can_is_accepted() {
    for more in [
        "",
        ", min_version: TLS12, max_version: TLS12",
        ", min_version: TLS13",
        ", cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]",
        ", cipher_suites: [TLS_AES_256_GCM_SHA384]",
        ", curve_preferences: [CurveP384, CurveP256, X25519]",
        ", client_auth_type: NoClientCert",
        ", client_auth_type: RequireClientCert",
        ", client_auth_type: RequireAnyClientCert, client_allowed_sans: [a]",
        ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: c",
    ] {
        assert_eq!(
            verifies(&format!("cert_file: c, key_file: k{more}")),
            Ok(false),
            "{more}"
        );
    }
    let all = "cert_file: c, key_file: k, client_auth_type: RequireAndVerifyClientCert, client_ca_file: c";
    assert_eq!(verifies(all), Ok(true));
}

#[test]
fn certificates_and_keys_may_stand_in_the_file_itself() {
    let (certificate, key) = identity();
    let block = |text: &str| text.replace('\n', "\n    ");
    let text = format!(
        "tls_server_config:\n  cert: |\n    {}\n  key: |\n    {}\n  client_ca: |\n    {}\n  \
         client_auth_type: RequireAndVerifyClientCert\n",
        block(&certificate),
        block(&key),
        block(&certificate)
    );
    let file = file::read(&text, Path::new("")).unwrap();
    assert!(build(&file.tls, &Files::new()).unwrap().verifies_clients);
}

#[test]
fn what_rustls_cannot_is_refused_by_name() {
    for (more, part) in [
        ("min_version: TLS10", "min_version TLS10 cannot be had"),
        ("max_version: TLS11", "max_version TLS11 cannot be had"),
        ("min_version: SSL30", "unknown version \"SSL30\""),
        (
            "min_version: TLS13, max_version: TLS12",
            "max_version is below min_version",
        ),
        (
            "cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]",
            "\"TLS_RSA_WITH_AES_128_CBC_SHA\"",
        ),
        // That is what rustls calls it; Go does not know it.
        (
            "cipher_suites: [TLS13_AES_128_GCM_SHA256]",
            "\"TLS13_AES_128_GCM_SHA256\"",
        ),
        (
            "cipher_suites: [TLS_AES_128_GCM_SHA256], max_version: TLS12",
            "no handshake is possible",
        ),
        ("curve_preferences: [CurveP521]", "\"CurveP521\""),
        ("client_auth_type: Maybe", "unknown client_auth_type"),
        (
            "client_auth_type: RequireAndVerifyClientCert",
            "needs client_ca_file",
        ),
        ("client_ca_file: c", "need a client_auth_type"),
        ("client_allowed_sans: [a]", "need a client_auth_type"),
        (
            "client_auth_type: RequestClientCert, client_allowed_sans: [a]",
            "RequireAnyClientCert",
        ),
    ] {
        let fault = verifies(&format!("cert_file: c, key_file: k, {more}")).unwrap_err();
        assert!(fault.contains(part), "{more}: {fault}");
    }
}

#[test]
fn files_that_are_no_good_are_named() {
    for (keys, part) in [
        ("cert_file: c", "needs one of key and key_file"),
        ("key_file: k", "needs one of cert and cert_file"),
        (
            "client_auth_type: NoClientCert",
            "needs one of cert and cert_file",
        ),
        (
            "cert_file: missing, key_file: k",
            "cert_file missing: cannot be read: not found",
        ),
        (
            "cert_file: empty, key_file: k",
            "cert_file empty: no certificate in it",
        ),
        (
            "cert_file: k, key_file: k",
            "cert_file k: no certificate in it",
        ),
        (
            "cert_file: c, key_file: c",
            "key_file c: no private key in it",
        ),
        (
            "cert_file: c, key_file: encrypted",
            "key_file encrypted: no private key in it",
        ),
        (
            "cert_file: c, key_file: other",
            "key_file other: not a usable key for the certificate",
        ),
        ("cert: nonsense, key_file: k", "cert: no certificate in it"),
        (
            "cert_file: c, key_file: k, client_auth_type: VerifyClientCertIfGiven, client_ca_file: empty",
            "client_ca_file empty: no certificate in it",
        ),
    ] {
        let fault = verifies(keys).unwrap_err();
        assert!(fault.contains(part), "{keys}: {fault}");
    }
}

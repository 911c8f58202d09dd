use super::{duration, read};
use std::path::Path;
use std::time::Duration;

const EVERYTHING: &str = "\
tls_server_config:
  cert_file: server.crt
  key_file: /keys/server.key
  client_ca: |
    inline
  client_auth_type: RequireAndVerifyClientCert
  client_allowed_sans: [a, 7]
  min_version: TLS12
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: no
  curve_preferences:
    - X25519
http_server_config:
  http2: false
  headers:
    X-Frame-Options: deny
    X-XSS-Protection:
    Strict-Transport-Security: max-age=31536000
basic_auth_users:
  alice: hash of alice
  12: hash of twelve
rate_limit:
  interval: 1m30s
  burst: 3
";

fn fault(text: &str) -> (Option<usize>, String) {
    let fault = read(text, Path::new("")).err();
    let fault = fault.unwrap_or_else(|| panic!("accepted: {text}"));
    (fault.line, fault.message)
}

#[test]
fn every_key_is_read() {
    let file = read(EVERYTHING, Path::new("conf")).unwrap();
    let tls = &file.tls;
    assert_eq!(tls.cert.file, Some(("conf/server.crt".into(), 2)));
    assert_eq!(tls.key.file, Some(("/keys/server.key".into(), 3)));
    assert_eq!(tls.client_ca.inline.text, "inline\n");
    assert_eq!(tls.client_auth.text, "RequireAndVerifyClientCert");
    let sans: Vec<_> = tls
        .allowed_sans
        .iter()
        .flatten()
        .map(|san| &san.text)
        .collect();
    assert_eq!(sans, ["a", "7"]);
    assert_eq!(
        (&*tls.min_version.text, &*tls.max_version.text),
        ("TLS12", "TLS13")
    );
    assert_eq!((tls.ciphers.len(), tls.curves[0].line), (1, 13));
    assert!(tls.clients_choose && tls.is_wanted());
    assert_eq!(file.http2, Some(false));
    let headers: Vec<_> = file
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value))
        .collect();
    assert_eq!(headers[0], ("x-frame-options", &"deny".parse().unwrap()));
    assert_eq!(headers[1].0, "strict-transport-security");
    assert_eq!(headers.len(), 2, "a blank header is set");
    assert_eq!(
        file.users[1],
        ("12".to_owned(), "hash of twelve".to_owned(), 22)
    );
    let rate = file.rate.unwrap();
    assert_eq!((rate.interval, rate.burst), (Duration::from_secs(90), 3));
}

#[test]
fn sections_may_be_empty_or_absent() {
    for text in [
        "",
        "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\nrate_limit:\n",
        "tls_server_config: {min_version: TLS12, cert_file: ''}\nbasic_auth_users: {}\n",
        "http_server_config: {http2: ~, headers: }\n",
    ] {
        let file = read(text, Path::new("")).unwrap();
        assert!(!file.tls.is_wanted() && file.users.is_empty(), "{text}");
        assert!(file.headers.is_empty() && file.rate.is_none() && file.http2.is_none());
    }
}

#[test]
fn unknown_keys_are_named_with_their_line() {
    for (text, line, place) in [
        ("\nbasic_auth_user: {}\n", 2, "the file"),
        (
            "tls_server_config:\n  cert_fiel: x\n",
            2,
            "tls_server_config",
        ),
        (
            "http_server_config:\n  http2: true\n  http3: true\n",
            3,
            "http_server_config",
        ),
        (
            "http_server_config:\n  headers:\n    X-Other: y\n",
            3,
            "headers",
        ),
        (
            "http_server_config:\n  headers:\n    x-frame-options: deny\n",
            3,
            "headers",
        ),
        ("rate_limit: {bursts: 1}\n", 1, "rate_limit"),
    ] {
        let (at, message) = fault(text);
        assert_eq!(at, Some(line), "{message}");
        assert!(
            message.contains(&format!("in {place}; known are ")),
            "{message}"
        );
    }
    assert!(
        fault("tls_server_config:\n  cert_fiel: x\n")
            .1
            .contains("\"cert_fiel\"")
    );
}

#[test]
fn values_of_the_wrong_kind_are_refused() {
    for text in [
        "x",
        "[]",
        "tls_server_config: x",
        "tls_server_config: {cert_file: [x]}",
        "tls_server_config: {cipher_suites: x}",
        "tls_server_config: {prefer_server_cipher_suites: maybe}",
        "basic_auth_users: [alice]",
        "basic_auth_users: {alice: [x]}",
        "basic_auth_users: {alice: x, alice: y}",
        "http_server_config: {http2: 2}",
        "http_server_config: {headers: {X-Frame-Options: maybe}}",
        "http_server_config: {headers: {X-Frame-Options: ''}}",
        "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
        "http_server_config: {headers: {Content-Security-Policy: \"a\\nb\"}}",
        "rate_limit: {burst: -1}",
        "rate_limit: {interval: soon}",
    ] {
        assert_eq!(fault(text).0, Some(1), "{text}");
    }
}

/// As time.ParseDuration of Go reads them.
#[test]
fn durations_are_those_of_go() {
    for (text, milliseconds) in [
        ("1s", 1000),
        ("1m30s", 90_000),
        ("1.5h", 5_400_000),
        ("250ms", 250),
        ("2000us", 2),
        ("2000µs", 2),
        ("3000000", 3),
        ("0", 0),
        ("", 0),
    ] {
        assert_eq!(
            duration(text),
            Some(Duration::from_millis(milliseconds)),
            "{text}"
        );
    }
    for text in ["1", "x", "s", "1d", "1 s", "-1s", "1s2", "1..2s", "1e3s"] {
        let wrong = duration(text).filter(|found| *found != Duration::from_nanos(1));
        assert_eq!(wrong, None, "{text}");
    }
}

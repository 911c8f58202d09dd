//! TLS as a real client sees it.

use crate::common::secure::{Authority, Place};
use crate::common::{PATIENCE, assert_closes, connect, eventually, exchange, get, hello};
use mirrorwatch_http::Limits;
use std::io::Write;
use std::time::{Duration, Instant};

const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// A place with a certificate and a configuration.
fn place(authority: &Authority, config: &str) -> Place {
    let place = Place::new();
    place.write_identity(&authority.sign(&["localhost"]));
    place.write("web.yml", config);
    place
}

#[test]
fn a_page_comes_over_both_versions_of_tls() {
    let authority = Authority::new();
    let (handle, config) = place(&authority, TLS).start(Limits::default(), hello);
    assert!(config.encrypts() && !config.authenticates());
    for version in rustls::ALL_VERSIONS {
        let client = authority.client().with_version(version);
        let answer = client.get(handle.local_addr(), "/").unwrap();
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello\n"));
    }
    assert!(
        Authority::new()
            .client()
            .get(handle.local_addr(), "/")
            .is_err()
    );
    assert!(handle.shutdown(PATIENCE));
}

#[test]
fn a_client_without_tls_is_told_so() {
    let authority = Authority::new();
    let (handle, _) = place(&authority, TLS).start(Limits::default(), hello);
    let answer = get(handle.local_addr(), "/");
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("https://"), "{}", answer.body);
    let long = format!(
        "POST / HTTP/1.1\r\ncontent-length: 50000\r\n\r\n{}",
        "x".repeat(50_000)
    );
    assert_eq!(exchange(handle.local_addr(), long).status, 400);
    for junk in [
        &b"\x00\x00\x00\x00\x00\x00\x00\x00"[..],
        b"\x16\x03\x01\xff\xff\xff\xff\xff",
        b"",
    ] {
        let mut stream = connect(handle.local_addr());
        stream.write_all(junk).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        assert_closes(&mut stream);
    }
    let answer = authority.client().get(handle.local_addr(), "/").unwrap();
    assert_eq!(answer.status, 200);
    // None of the others got as far as a request.
    assert_eq!(handle.stats().requests, 1);
}

#[test]
fn slow_handshakes_hold_up_nobody_and_run_into_the_header_timeout() {
    let authority = Authority::new();
    let limits = Limits {
        header_timeout: Duration::from_secs(2),
        ..Limits::default()
    };
    let (handle, _) = place(&authority, TLS).start(limits, hello);
    let mut silent = connect(handle.local_addr());
    let mut slow = connect(handle.local_addr());
    slow.write_all(b"\x16\x03\x01").unwrap();
    eventually("both are counted", || handle.stats().open_connections == 2);
    let answer = authority.client().get(handle.local_addr(), "/").unwrap();
    assert_eq!(answer.status, 200);
    assert_closes(&mut silent);
    let start = Instant::now();
    // Each byte is progress, and still the time of the whole is bounded.
    while slow.write_all(b"\x01").is_ok() {
        assert!(start.elapsed() < PATIENCE, "the connection is still open");
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
}

#[test]
fn a_handshake_does_not_hold_up_the_end() {
    let authority = Authority::new();
    let limits = Limits {
        header_timeout: PATIENCE * 2,
        ..Limits::default()
    };
    let (handle, _) = place(&authority, TLS).start(limits, hello);
    let mut slow = connect(handle.local_addr());
    slow.write_all(b"\x16\x03\x01").unwrap();
    eventually("it is counted", || handle.stats().open_connections == 1);
    let start = Instant::now();
    assert!(handle.shutdown(PATIENCE));
    assert!(start.elapsed() < PATIENCE / 2);
    assert_closes(&mut slow);
}

#[test]
fn handshakes_count_among_the_connections() {
    let authority = Authority::new();
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let (handle, _) = place(&authority, TLS).start(limits, hello);
    let mut slow = connect(handle.local_addr());
    eventually("it is counted", || handle.stats().open_connections == 1);
    // It has only begun to shake hands, and makes room for who comes next.
    assert!(authority.client().get(handle.local_addr(), "/").is_ok());
    assert_eq!(handle.stats().displaced_connections, 1);
    crate::common::assert_closes(&mut slow);
}

#[test]
fn versions_and_suites_are_kept_to() {
    let authority = Authority::new();
    let only_13 = format!("{TLS}  min_version: TLS13\n");
    let (handle, _) = place(&authority, &only_13).start(Limits::default(), hello);
    let old = authority.client().with_version(&rustls::version::TLS12);
    assert!(old.get(handle.local_addr(), "/").is_err());
    assert!(authority.client().get(handle.local_addr(), "/").is_ok());

    let one_suite = format!(
        "{TLS}  max_version: TLS12\n  cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256]\n  \
         curve_preferences: [CurveP384]\n"
    );
    let (handle, _) = place(&authority, &one_suite).start(Limits::default(), hello);
    let stream = authority.client().connect(handle.local_addr()).unwrap();
    let suite = stream.conn.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(
        suite.as_str(),
        Some("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    );
    let curve = stream.conn.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(curve, rustls::NamedGroup::secp384r1);
    let new = authority.client().with_version(&rustls::version::TLS13);
    assert!(new.get(handle.local_addr(), "/").is_err());
}

#[test]
fn client_certificates_are_required_and_checked() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let config = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n"
    );
    let with_names = format!("{config}  client_allowed_sans: [prometheus.example, 192.0.2.7]\n");
    for (config, named_only) in [(config, false), (with_names, true)] {
        let place = place(&authority, &config);
        place.write("clients.crt", &clients.pem());
        let (handle, config) = place.start(Limits::default(), hello);
        assert!(config.authenticates());
        let get = |identity| {
            let client = authority.client().with_identity(&identity);
            client.get(handle.local_addr(), "/").is_ok()
        };
        assert!(authority.client().get(handle.local_addr(), "/").is_err());
        assert!(!get(others.sign(&["prometheus.example"])));
        assert!(get(clients.sign(&["x.example", "prometheus.example"])));
        assert!(get(clients.sign(&["192.0.2.7"])));
        assert_eq!(get(clients.sign(&["other.example"])), !named_only);
        assert_eq!(handle.stats().requests, if named_only { 2 } else { 3 });
    }
}

#[test]
fn the_laxer_policies_are_those_of_go() {
    let (authority, clients) = (Authority::new(), Authority::new());
    // Without a certificate, with one of the authority, with one of nobody.
    for (policy, expected) in [
        ("NoClientCert", [true, true, true]),
        ("RequestClientCert", [true, true, true]),
        ("RequireAnyClientCert", [false, true, true]),
        ("VerifyClientCertIfGiven", [true, true, false]),
    ] {
        let ca = match policy {
            "VerifyClientCertIfGiven" => "  client_ca_file: clients.crt\n",
            _ => "",
        };
        let place = place(
            &authority,
            &format!("{TLS}  client_auth_type: {policy}\n{ca}"),
        );
        place.write("clients.crt", &clients.pem());
        let (handle, config) = place.start(Limits::default(), hello);
        assert!(!config.authenticates(), "{policy}");
        let client = authority.client();
        let got = [
            client.clone(),
            client.clone().with_identity(&clients.sign(&["a.example"])),
            client.with_identity(&Authority::new().sign(&["a.example"])),
        ]
        .map(|client| client.get(handle.local_addr(), "/").is_ok());
        assert_eq!(got, expected, "{policy}");
    }
}

//! Files that change while the server runs.

use crate::common::secure::{Authority, Place, get_as};
use crate::common::{connect, eventually, get, hello, read_answer};
use mirrorwatch_http::{Limits, WebConfig};
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// From the test vectors of crypt_blowfish, where it belongs to the password `U*U`.
const ALICE: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// The C library's crypt(3) made it of `pw`.
const BOB: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6";
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";

/// The files are looked at once a second at most.
fn wait_for_a_look() {
    std::thread::sleep(std::time::Duration::from_millis(1100));
}

fn users(users: &[(&str, &str)]) -> String {
    let lines = users
        .iter()
        .map(|(name, hash)| format!("  {name}: {hash}\n"));
    format!("basic_auth_users:\n{}", lines.collect::<String>())
}

#[test]
fn users_come_and_go_even_on_open_connections() {
    let place = Place::new();
    place.write("web.yml", &users(&[("bob", BOB)]));
    let (handle, config) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    let mut open = connect(address);
    let request = b"GET / HTTP/1.1\r\nhost: x\r\nauthorization: Basic Ym9iOnB3\r\n\r\n";
    open.write_all(request).unwrap();
    assert_eq!(read_answer(&mut open).status, 200);

    place.write("web.yml", &users(&[("alice", ALICE)]));
    wait_for_a_look();
    open.write_all(request).unwrap();
    assert_eq!(read_answer(&mut open).status, 401);
    assert_eq!(get_as(address, "/", "alice:U*U").status, 200);

    // The same user with another password: what was known of the old one does not count.
    place.write("web.yml", &users(&[("alice", BOB)]));
    wait_for_a_look();
    assert_eq!(get_as(address, "/", "alice:U*U").status, 401);
    assert_eq!(get_as(address, "/", "alice:pw").status, 200);
    assert!(config.last_reload_successful());
}

#[test]
fn a_broken_file_keeps_the_last_good_one() {
    let place = Place::new();
    place.write("web.yml", &users(&[("bob", BOB)]));
    let (handle, config) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    let broken = [
        "basic_auth_users: {alice: no hash}\n",
        "no_such_key: 1\n",
        "a: [\n",
        // Half a file must not open the door.
        "",
        "http_server_config: {http2: false}\n",
        TLS,
    ];
    for text in broken {
        place.write("web.yml", text);
        wait_for_a_look();
        assert_eq!(get(address, "/").status, 401, "{text}");
        assert_eq!(get_as(address, "/", "bob:pw").status, 200, "{text}");
        assert!(!config.last_reload_successful(), "{text}");
    }
    std::fs::remove_file(place.config()).unwrap();
    wait_for_a_look();
    assert_eq!(get_as(address, "/", "bob:pw").status, 200);
    assert!(!config.last_reload_successful());

    place.write("web.yml", &users(&[("bob", BOB)]));
    wait_for_a_look();
    assert_eq!(get_as(address, "/", "bob:pw").status, 200);
    assert!(config.last_reload_successful());
}

#[test]
fn a_new_certificate_counts_for_new_connections() {
    let (old, new) = (Authority::new(), Authority::new());
    let place = Place::new();
    place.write_identity(&old.sign(&["localhost"]));
    place.write("web.yml", TLS);
    let (handle, config) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    assert!(old.client().get(address, "/").is_ok());
    assert!(new.client().get(address, "/").is_err());
    let mut open = old.client().connect(address).unwrap();

    // Between certificate and key a moment passes: together they are no good.
    let (certificate, key) = new.sign(&["localhost"]);
    place.write("server.crt", &certificate);
    wait_for_a_look();
    assert!(old.client().get(address, "/").is_ok());
    assert!(!config.last_reload_successful());

    place.write("server.key", &key);
    wait_for_a_look();
    assert!(new.client().get(address, "/").is_ok());
    assert!(old.client().get(address, "/").is_err());
    assert!(config.last_reload_successful());

    // A connection that is open stays so.
    open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut open, &mut text).unwrap();
    assert!(text.ends_with("hello\n"), "{text}");
}

#[test]
fn a_client_whose_authority_is_gone_is_sent_away() {
    let (authority, clients, others) = (Authority::new(), Authority::new(), Authority::new());
    let place = Place::new();
    place.write_identity(&authority.sign(&["localhost"]));
    place.write("clients.crt", &clients.pem());
    let config = "  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: clients.crt\n";
    place.write("web.yml", &format!("{TLS}{config}"));
    let (handle, _) = place.start(Limits::default(), hello);
    let client = authority
        .client()
        .with_identity(&clients.sign(&["a.example"]));
    assert!(client.get(handle.local_addr(), "/").is_ok());
    place.write("clients.crt", &others.pem());
    wait_for_a_look();
    assert!(client.get(handle.local_addr(), "/").is_err());
    let client = authority
        .client()
        .with_identity(&others.sign(&["a.example"]));
    assert!(client.get(handle.local_addr(), "/").is_ok());
}

#[test]
fn many_requests_while_the_file_changes_are_all_answered() {
    let place = Place::new();
    place.write("web.yml", &users(&[("bob", BOB)]));
    let (handle, config) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    for round in 0..3 {
        let more = format!("# round {round}\n");
        place.write("web.yml", &(users(&[("bob", BOB)]) + &more));
        wait_for_a_look();
        let threads: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(move || get_as(address, "/", "bob:pw").status))
            .collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), 200);
        }
    }
    eventually("every place is free", || {
        handle.stats().open_connections == 0
    });
    assert!(config.last_reload_successful());
}

#[test]
fn a_file_that_is_no_good_at_the_start_says_where() {
    let place = Place::new();
    place.write(
        "web.yml",
        "basic_auth_users: {}\ntls_server_config:\n  cert_fiel: x\n",
    );
    let error = WebConfig::load(&place.config()).unwrap_err().to_string();
    let start = format!(
        "cannot use the web configuration {}, line 3: ",
        place.config().display()
    );
    assert!(error.starts_with(&start), "{error}");
    assert!(error.contains("\"cert_fiel\""), "{error}");
    // Neither keys nor hashes may end up in a log.
    place.write("web.yml", &users(&[("bob", BOB)]));
    let shown = format!("{:?}", WebConfig::load(&place.config()).unwrap());
    assert!(
        shown.contains("web.yml") && !shown.contains("$2b"),
        "{shown}"
    );
}

/// Clients that trust both authorities ask without rest, over new connections and over those that are kept.
#[test]
fn certificates_that_change_again_and_again_cost_no_request() {
    const ROTATIONS: usize = 6;
    let authorities = [Authority::new(), Authority::new()];
    let place = Place::new();
    place.write_identity(&authorities[0].sign(&["localhost"]));
    place.write("web.yml", TLS);
    let (handle, config) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    let both = authorities[0].client().trusting(&authorities[1]);
    let over = AtomicBool::new(false);
    let (fresh, kept) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let answer = both.get(address, "/").unwrap();
                    assert_eq!(answer.body, "hello\n");
                    fresh.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut open = both.connect(address).unwrap();
            while !over.load(Ordering::Relaxed) {
                open.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    .unwrap();
                let mut text = Vec::new();
                while !text.ends_with(b"\r\n\r\nhello\n") {
                    let mut part = [0; 1024];
                    let read = std::io::Read::read(&mut open, &mut part).unwrap();
                    assert!(read > 0, "closed after {}", String::from_utf8_lossy(&text));
                    text.extend_from_slice(&part[..read]);
                }
                kept.fetch_add(1, Ordering::Relaxed);
            }
        });
        for rotation in 1..=ROTATIONS {
            let signer = &authorities[rotation % 2];
            let (certificate, key) = signer.sign(&["localhost"]);
            place.write("server.crt", &certificate);
            std::thread::sleep(std::time::Duration::from_millis(300));
            place.write("server.key", &key);
            eventually("the new certificate counts", || {
                signer.client().get(address, "/").is_ok()
            });
        }
        over.store(true, Ordering::Relaxed);
    });
    let (fresh, kept) = (fresh.into_inner(), kept.into_inner());
    println!("{ROTATIONS} rotations: {fresh} requests over new connections, {kept} over one");
    assert!(fresh > ROTATIONS as u64 && kept > ROTATIONS as u64);
    assert!(config.last_reload_successful());
}

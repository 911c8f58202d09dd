//! Who gets in with a password, and who does not.

use crate::common::secure::{Place, get_as, get_with};
use crate::common::{connect, exchange, get, hello, read_answer};
use mirrorwatch_http::{Handle, Limits, Response};
use std::io::Write;

/// From the test vectors of crypt_blowfish, where it belongs to the password `U*U`.
const ALICE: &str = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
/// The C library's crypt(3) made it of `pw`.
const BOB: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6";

fn start(more: &str) -> Handle {
    let place = Place::new();
    place.write(
        "web.yml",
        &format!("basic_auth_users:\n  alice: {ALICE}\n  bob: {BOB}\n{more}"),
    );
    let (handle, config) = place.start(Limits::default(), hello);
    assert!(config.authenticates() && !config.encrypts());
    handle
}

#[track_caller]
fn assert_unauthorized(answer: &crate::common::Answer) {
    assert_eq!(answer.status, 401, "{}", answer.head);
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Basic realm=\"mirrorwatch\", charset=\"UTF-8\"")
    );
    assert_eq!(answer.body, "unauthorized\n");
}

#[test]
fn only_those_who_know_a_password_get_in() {
    let handle = start("");
    let address = handle.local_addr();
    for credentials in ["alice:U*U", "bob:pw"] {
        // Once with bcrypt and once without.
        for _ in 0..2 {
            let answer = get_as(address, "/", credentials);
            assert_eq!((answer.status, answer.body.as_str()), (200, "hello\n"));
        }
    }
    for credentials in ["alice:pw", "alice:", "nobody:pw", ":", "alice:U*U "] {
        assert_unauthorized(&get_as(address, "/", credentials));
    }
    // The decoy is nobody's password, and a hash is none either.
    assert_unauthorized(&get_as(address, "/", &format!("alice:{ALICE}")));
}

#[test]
fn without_credentials_nothing_is_told() {
    let handle = start("");
    let address = handle.local_addr();
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/metrics",
        "/nothing",
        "/%2e%2e/x",
    ] {
        assert_unauthorized(&get(address, path));
    }
    for method in ["POST", "HEAD", "OPTIONS"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert_eq!(exchange(address, request).status, 401, "{method}");
    }
    for header in [
        "",
        "Basic",
        "Basic ====",
        "Basic bm9jb2xvbg==",
        "Bearer x",
        "Digest x",
        "\u{e9}",
    ] {
        assert_unauthorized(&get_with(address, "/", header));
    }
    // None of these was an attempt at guessing.
    for _ in 0..20 {
        assert_unauthorized(&get(address, "/"));
    }
    assert_eq!(get_as(address, "/", "alice:U*U").status, 200);
}

#[test]
fn large_credentials_are_refused_as_other_large_headers() {
    let handle = start("");
    let address = handle.local_addr();
    let password = "a".repeat(9000);
    assert_unauthorized(&get_as(address, "/", &format!("alice:{password}")));
    let password = "a".repeat(60_000);
    assert_eq!(
        get_as(address, "/", &format!("alice:{password}")).status,
        431
    );
}

#[test]
fn a_connection_serves_further_requests_after_a_refusal_unless_a_body_is_left() {
    let handle = start("");
    let mut stream = connect(handle.local_addr());
    let login = "authorization: basic Ym9iOnB3\r\n";
    for (header, status) in [("", 401), (login, 200), ("", 401)] {
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{header}\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(read_answer(&mut stream).status, status);
    }
    let body = "x".repeat(5000);
    let request = format!("POST / HTTP/1.1\r\ncontent-length: 90000\r\n\r\n{body}");
    let answer = exchange(handle.local_addr(), request);
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("connection"), Some("close"));
}

#[test]
fn guessing_is_slowed_down_and_holds_up_nobody_who_is_known() {
    let handle = start("");
    let address = handle.local_addr();
    assert_eq!(get_as(address, "/", "alice:U*U").status, 200);
    let guess = |n| get_as(address, "/", &format!("bob:{n}")).status;
    let mut statuses: Vec<_> = (0..30).map(guess).collect();
    statuses.dedup();
    assert_eq!(statuses, [401, 429]);
    let answer = get_as(address, "/", "bob:guess");
    let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
    // Who was known before is not held up, even though the address is the same; anybody else is,
    // be the password right or not, for that is what a guesser wants to learn.
    for _ in 0..20 {
        assert_eq!(get_as(address, "/", "alice:U*U").status, 200);
    }
    assert_eq!(get_as(address, "/", "bob:pw").status, 429);
}

#[test]
fn many_guesses_at_once_do_not_delay_a_scrape_that_is_known() {
    let place = Place::new();
    // Cost 12: some hundred milliseconds each.
    let dear = bcrypt::hash("dear", 12).unwrap();
    place.write(
        "web.yml",
        &format!("basic_auth_users:\n  a: {dear}\n  bob: {BOB}\n"),
    );
    let (handle, _) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    assert_eq!(get_as(address, "/", "bob:pw").status, 200);
    let start = std::time::Instant::now();
    let guesses: Vec<_> = (0..8)
        .map(|n| {
            std::thread::spawn(move || {
                let status = get_as(address, "/", &format!("a:{n}")).status;
                (status, start.elapsed())
            })
        })
        .collect();
    crate::common::eventually("they are in", || handle.stats().open_connections >= 4);
    let mut scrapes = 0;
    while guesses.iter().any(|guess| !guess.is_finished()) {
        assert_eq!(get_as(address, "/", "bob:pw").status, 200);
        scrapes += 1;
    }
    let ends: Vec<_> = guesses
        .into_iter()
        .map(|guess| guess.join().unwrap())
        .collect();
    assert!(ends.iter().all(|(status, _)| *status == 401), "{ends:?}");
    // They take turns; if each scrape had taken one, too, there would be about one for each.
    assert!(scrapes > 2 * ends.len(), "{scrapes} scrapes, {ends:?}");
}

#[test]
fn configured_headers_are_on_every_answer() {
    let more = "http_server_config:\n  http2: true\n  headers:\n    X-Frame-Options: deny\n    \
         Strict-Transport-Security: max-age=60\n    Content-Security-Policy: default-src 'none'\n";
    let place = Place::new();
    place.write(
        "web.yml",
        &format!("basic_auth_users:\n  bob: {BOB}\n{more}"),
    );
    let (handle, _) = place.start(Limits::default(), |request| match request.path.as_str() {
        "/panic" => panic!("on purpose"),
        _ => Response::html("<p>"),
    });
    let address = handle.local_addr();
    let answers = [
        get(address, "/"),
        get_as(address, "/", "bob:pw"),
        get_as(address, "/panic", "bob:pw"),
        get_as(address, "/%2e%2e/", "bob:pw"),
    ];
    for (answer, status) in answers.iter().zip([401, 200, 500, 400]) {
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("x-frame-options"), Some("deny"));
        assert_eq!(
            answer.header("strict-transport-security"),
            Some("max-age=60")
        );
        assert_eq!(
            answer.header("content-security-policy"),
            Some("default-src 'none'")
        );
        assert_eq!(answer.head.matches("content-security-policy").count(), 1);
    }
}

#[test]
fn all_requests_together_keep_to_the_rate_limit() {
    let place = Place::new();
    place.write("web.yml", "rate_limit:\n  interval: 1h\n  burst: 3\n");
    let (handle, _) = place.start(Limits::default(), hello);
    let statuses = [(); 5].map(|()| get(handle.local_addr(), "/").status);
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
}

/// Whoever is behind the same address and has another name gets in while somebody guesses without rest.
#[test]
fn a_guesser_behind_the_same_address_does_not_lock_others_out() {
    let place = Place::new();
    let mut users = String::from("basic_auth_users:\n");
    let names: Vec<String> = (0..40).map(|n| format!("user-{n}")).collect();
    for name in &names {
        users += &format!("  {name}: {BOB}\n");
    }
    place.write("web.yml", &users);
    let (handle, _) = place.start(Limits::default(), hello);
    let address = handle.local_addr();
    let over = std::sync::atomic::AtomicBool::new(false);
    let status = |name: &str, password: &str| {
        let answer = get_as(address, "/", &format!("{name}:{password}"));
        answer.status
    };
    let guesses = std::thread::scope(|scope| {
        let guesser = scope.spawn(|| {
            let mut guesses = [0; 2];
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                let refused = status("user-0", &guesses.iter().sum::<usize>().to_string());
                guesses[usize::from(refused == 429)] += 1;
            }
            guesses
        });
        // No attempt at this name is left.
        crate::common::eventually("guesses are refused", || status("user-0", "x") == 429);
        let mut in_time = 0;
        for name in &names[1..] {
            in_time += usize::from(status(name, "pw") == 200);
        }
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        // One in sixteen shares its attempts with the name that is guessed at, on average: 2.4 of 39, and 17 with a
        // chance below 1e-9.
        assert!(in_time >= 23, "{in_time} of 39");
        println!("{in_time} of 39 got in at once");
        guesser.join().unwrap()
    });
    println!("guesses checked {}, refused {}", guesses[0], guesses[1]);
    // And with the name itself, once nobody guesses any more, after one interval.
    crate::common::eventually("the right password counts", || {
        std::thread::sleep(std::time::Duration::from_secs(1));
        status("user-0", "pw") == 200
    });
}

//! TLS and passwords, from the file that Prometheus exporters share.

use std::fs;
use std::path::Path;
use std::process::Command;

use mirrorwatch_http::WebConfig;

use crate::support::place::Place;
use crate::support::process::{Finished, program, quickstart, run};
use crate::support::prometheus::{Prometheus, Setting};
use crate::support::refusal::assert_refused;
use crate::support::sidecar::{Sidecar, get};
use crate::support::tls;
use crate::support::wait::eventually;

/// The C library's crypt(3) made it of `pw`.
const HASH: &str = "$2b$05$CCCCCCCCCCCCCCCCCCCCC.Wu1bsEWQW5nNN6kAoQ74kf4plG/SBq6";
/// `prometheus:pw`
const LOGIN: Option<&str> = Some("cHJvbWV0aGV1czpwdw==");
const TLS: &str = "tls_server_config:\n  cert_file: server.crt\n  key_file: server.key\n";
const METRIC: &str = "mirrorwatch_web_config_last_reload_successful";

/// A sidecar with TLS and the user `prometheus`.
fn start(place: &Place) -> Sidecar {
    tls::write_certificate(place.path());
    let file = place.at("web.yml");
    write(
        &file,
        &format!("{TLS}basic_auth_users:\n  prometheus: {HASH}\n"),
    );
    let file = file.display().to_string();
    place
        .watch("state")
        .with(&["--web.config.file", &file])
        .start()
}

fn write(path: &Path, content: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, content).unwrap();
    fs::rename(beside, path).unwrap();
}

#[test]
fn pages_are_for_users_only_and_files_are_read_again() {
    let place = Place::new();
    let sidecar = start(&place);
    let certificate = place.at("server.crt");
    let page = |path: &str, login| tls::get(&sidecar.address, path, &certificate, login);
    for path in ["/", "/metrics", "/healthz", "/readyz"] {
        assert_eq!(page(path, None).unwrap().0, 401, "{path}");
        assert_ne!(page(path, LOGIN).unwrap().0, 401, "{path}");
    }
    assert!(
        page("/metrics", LOGIN)
            .unwrap()
            .1
            .contains(&format!("{METRIC} 1\n"))
    );
    assert!(
        sidecar.log().contains("metrics on https://127.0.0.1:"),
        "{}",
        sidecar.log()
    );
    let plain = get(&format!("http://{}/metrics", sidecar.address)).unwrap();
    assert_eq!(plain.status, 400, "{}", plain.body);

    // Broken: what was good goes on, and the metric says so.
    write(
        &place.at("web.yml"),
        &format!("{TLS}basic_auth_user:\n  prometheus: {HASH}\n"),
    );
    eventually("the metric to tell of a broken file", || {
        let (status, text) = page("/metrics", LOGIN).map_err(|error| error.to_string())?;
        assert_eq!(status, 200, "{text}");
        match text.contains(&format!("{METRIC} 0\n")) {
            true => Ok(()),
            false => Err(text),
        }
    });
    let log = sidecar.log();
    assert_eq!(
        log.matches("unknown key \"basic_auth_user\"").count(),
        1,
        "{log}"
    );

    // Good again, with another user and another certificate.
    tls::write_certificate(place.path());
    write(
        &place.at("web.yml"),
        &format!("{TLS}basic_auth_users:\n  other: {HASH}\n"),
    );
    eventually("the new certificate and the new user", || {
        match page("/metrics", LOGIN) {
            Ok((401, _)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // other:pw
    let (status, text) = page("/metrics", Some("b3RoZXI6cHc=")).unwrap();
    assert_eq!(status, 200);
    assert!(text.contains(&format!("{METRIC} 1\n")), "{text}");
    assert_eq!(sidecar.terminate().code, Some(0));
}

#[test]
fn status_shows_a_login_and_checks_the_certificate() {
    let place = Place::new();
    let sidecar = start(&place);
    let url = format!("https://{}", sidecar.address);
    let (certificate, password) = (place.at("server.crt"), place.at("password"));
    let status = |more: &[&str]| {
        let mut command = quickstart();
        command
            .args(["sidecar", "status", "--url", &url])
            .args(more);
        run(command, place.path())
    };
    let trusted = ["--ca-file", &*certificate.display().to_string()].map(String::from);
    let trusted: Vec<&str> = trusted.iter().map(String::as_str).collect();
    let shown = password.display().to_string();
    let login = [
        &trusted[..],
        &["--user", "prometheus", "--password-file", &shown],
    ]
    .concat();
    fs::write(&password, "pw\n").unwrap();
    let told = status(&login).expect(0).stdout;
    assert!(told.contains("no run yet"), "{told}");

    let refused = |finished: Finished, part: &str| {
        assert!(finished.stderr.contains(part), "{}", finished.story());
    };
    refused(
        status(&trusted).expect(2),
        "it wants a login; --user and --password-file",
    );
    fs::write(&password, "other\n").unwrap();
    refused(status(&login).expect(2), "it refuses this user");
    refused(status(&[]).expect(2), "certificate");
}

#[test]
fn an_open_address_wants_to_know_who_is_there() {
    let place = Place::new();
    let watch = |arguments: &[&str]| {
        let mut command = quickstart();
        command
            .args(["sidecar", "watch"])
            .args(place.data.arguments())
            .arg("--root")
            .arg(place.root())
            .args(arguments);
        command
    };
    let parts = [
        "0.0.0.0:0",
        "127.0.0.1",
        "--web.config.file",
        "--web.allow-insecure",
    ];
    for option in ["--listen", "--web.listen-address"] {
        assert_refused(watch(&[option, "0.0.0.0:0"]), place.path(), &parts);
    }
    let file = place.at("web.yml");
    fs::write(&file, "basic_auth_users:\n  alice: secret\n").unwrap();
    let shown = file.display().to_string();
    let parts = [
        &*format!("{shown}, line 2"),
        "alice",
        "no bcrypt hash",
        "htpasswd",
    ];
    assert_refused(watch(&["--web.config.file", &shown]), place.path(), &parts);
}

#[test]
fn prometheus_scrapes_over_tls_with_a_password() {
    let place = Place::new();
    let sidecar = start(&place);
    let certificate = place.at("server.crt");
    let scrape = format!(
        "    scheme: https\n    basic_auth:\n      username: prometheus\n      password: pw\n    tls_config:\n      ca_file: {}\n",
        certificate.display()
    );
    let prometheus = Prometheus::start_with(
        place.path(),
        &sidecar.address,
        &Setting {
            scrape: &scrape,
            ..Setting::default()
        },
    );
    eventually("Prometheus to have scraped", || {
        match prometheus.query(&format!("{METRIC} == 1")).len() {
            1 => Ok(()),
            _ => Err(sidecar.log()),
        }
    });
    // Without the password it would be down.
    assert_eq!(
        prometheus.query("min_over_time(up[10m])"),
        [(String::new(), 1.0)]
    );
}

/// Rest of a file, whether promtool accepts it, whether it is accepted here.
type Case = (&'static str, bool, bool);

/// What both say is the same, but for what the last ones are about.
const CASES: &[Case] = &[
    ("", true, true),
    ("http_server_config:\n  http2: false\n", true, true),
    ("http_server_config:\n  http2: yes\n", true, true),
    (
        "http_server_config:\n  headers:\n    X-Frame-Options: deny\n",
        true,
        true,
    ),
    (
        "http_server_config:\n  headers:\n    X-XSS-Protection:\n",
        true,
        true,
    ),
    ("basic_auth_users:\n", true, true),
    ("basic_auth_users:\n  a: HASH\n  12: HASH\n", true, true),
    (
        "TLS  min_version: TLS13\n  max_version: TLS13\n",
        true,
        true,
    ),
    (
        "TLS  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]\n",
        true,
        true,
    ),
    ("TLS  curve_preferences: [CurveP256, X25519]\n", true, true),
    ("TLS  prefer_server_cipher_suites: false\n", true, true),
    (
        "TLS  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: server.crt\n",
        true,
        true,
    ),
    ("TLS  client_auth_type: RequestClientCert\n", true, true),
    ("tls_server_config:\n  min_version: TLS12\n", true, true),
    ("nonsense: 1\n", false, false),
    ("basic_auth_users: [a]\n", false, false),
    ("basic_auth_users:\n  a: secret\n", false, false),
    ("basic_auth_users:\n  a: HASH\n  a: HASH\n", false, false),
    (
        "http_server_config:\n  headers:\n    X-Other: a\n",
        false,
        false,
    ),
    (
        "http_server_config:\n  headers:\n    X-Frame-Options: maybe\n",
        false,
        false,
    ),
    ("http_server_config:\n  http2: 'true'\n", false, false),
    (
        "tls_server_config:\n  cert_file: server.crt\n",
        false,
        false,
    ),
    (
        "tls_server_config:\n  cert_file: server.crt\n  key_file: server.crt\n",
        false,
        false,
    ),
    (
        "tls_server_config:\n  cert_file: missing\n  key_file: server.key\n",
        false,
        false,
    ),
    ("TLS  min_version: SSL30\n", false, false),
    ("TLS  cipher_suites: [NULL]\n", false, false),
    ("TLS  curve_preferences: [CurveP1]\n", false, false),
    ("TLS  client_auth_type: Maybe\n", false, false),
    ("TLS  client_ca_file: server.crt\n", false, false),
    ("TLS  nonsense: 1\n", false, false),
    // What rustls does not have.
    ("TLS  min_version: TLS10\n", true, false),
    ("TLS  curve_preferences: [CurveP521]\n", true, false),
    (
        "TLS  cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]\n",
        true,
        false,
    ),
    // Go would trust every authority that the system trusts.
    (
        "TLS  client_auth_type: RequireAndVerifyClientCert\n",
        true,
        false,
    ),
    // Newer than the promtool of the tests.
    ("rate_limit:\n  interval: 1s\n  burst: 2\n", false, true),
    (
        "TLS  client_auth_type: RequireAnyClientCert\n  client_allowed_sans: [a]\n",
        false,
        true,
    ),
];

#[test]
fn prometheus_promtool_accepts_what_is_accepted_here() {
    let place = Place::new();
    tls::write_certificate(place.path());
    let mut differences = Vec::new();
    for (text, promtool, here) in CASES {
        let text = text
            .replace("TLS  ", &format!("{TLS}  "))
            .replace("HASH", HASH);
        let file = place.at("web.yml");
        fs::write(&file, &text).unwrap();
        let output = Command::new(program("MIRRORWATCH_PROMTOOL"))
            .args(["check", "web-config"])
            .arg(&file)
            .output()
            .unwrap();
        let ours = WebConfig::load(&file);
        if output.status.success() != *promtool || ours.is_ok() != *here {
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said).into_owned();
            differences.push(format!("{text}\npromtool: {said}\nhere: {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
}

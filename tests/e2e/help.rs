//! Help that a person can use.

use crate::support::process::{quickstart, run};

#[track_caller]
fn assert_help(arguments: &[&str], parts: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let mut command = quickstart();
    command.args(arguments).arg("--help");
    let finished = run(command, directory.path()).expect(0);
    assert_eq!(finished.stderr, "");
    for part in parts {
        assert!(
            finished.stdout.contains(part),
            "`{part}` is not in: {}",
            finished.story()
        );
    }
}

#[test]
fn the_demo_explains_its_flags() {
    assert_help(
        &[],
        &[
            "Usage:",
            "--data <DIR>",
            "--noise <NOISE>",
            "none, sym:R or asym:R",
            "--truth <FILE>",
            "--train-limit <N>",
            "--probe <N>",
            "[default: 1000]",
            "--trusted <N>",
            "[default: 500]",
            "--model <NAME>",
            "--epochs <N>",
            "--lr <RATE>",
            "--batch-size <N>",
            "--seed <N>",
            "--threads <N>",
            "--listen <ADDR>",
            "--headless",
            "--summary <FILE>",
            "--work <DIR>",
        ],
    );
}

#[test]
fn the_sidecar_names_its_commands() {
    assert_help(
        &["sidecar"],
        &[
            "Usage:",
            "watch",
            "scan",
            "Watch a directory of runs",
            "Scan one checkpoint",
            "verify",
            "confirm",
            "leaks",
            "report",
            "export",
            "review",
            "status",
            "completions",
            "man",
        ],
    );
}

#[test]
fn watch_explains_its_options() {
    assert_help(
        &["sidecar", "watch"],
        &[
            "Start it before or after training",
            "--data <DIR>",
            "--model <NAME>",
            "- mlp: ",
            "- cnn: ",
            "Usage: quickstart sidecar watch",
            "--probe <N>",
            "--trusted <FILE>",
            "--root <DIR>",
            "--state <DIR>",
            "--web.listen-address <ADDR>",
            "--listen",
            "--web.config.file <FILE>",
            "--web.allow-insecure",
            "--web.enable-review[=<WHEN>]",
            "127.0.0.1:9464",
            "--queue <N>",
            "--poll",
            "--until-finished",
            "--estimator <NAME>",
            "--fdr <Q>",
            "--alpha <ALPHA>",
            "--device <NAME>",
            "--threads <N>",
            "--nice <N>",
            "--write-scores",
            "--log.format <FORMAT>",
        ],
    );
}

#[test]
fn scan_explains_its_options() {
    assert_help(
        &["sidecar", "scan"],
        &[
            "Usage: quickstart sidecar scan",
            "<CHECKPOINT>",
            "its newest checkpoint is taken",
            "--json",
            "--suspects <FILE>",
            "--top <N>",
            "--data <DIR>",
            "--estimator <NAME>",
            "--fdr <Q>",
        ],
    );
}

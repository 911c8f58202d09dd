//! Signals, sent to a process of their own.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::eventually;
use mirrorwatch_http::wait_for_shutdown_signal;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

/// The process that gets the signals.
#[test]
#[ignore = "run by the other tests of this file"]
fn child() {
    // Without a parent, as under --include-ignored, no signal would come.
    if std::env::var_os(common::CHILD).is_none() {
        return;
    }
    let signal = wait_for_shutdown_signal().unwrap();
    println!("\ngot {signal}");
    // A drain that never ends.
    std::thread::sleep(common::PATIENCE * 2);
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn spawn_child() -> Killed {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "child"])
        .env(common::CHILD, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let child = Killed(child);
    let status = format!("/proc/{}/status", child.0.id());
    // Bits 1 and 14 of the mask of caught signals are SIGINT and SIGTERM.
    let wanted = 1 << 1 | 1 << 14;
    eventually("the child catches its signals", || {
        let text = std::fs::read_to_string(&status).unwrap();
        let mask = text
            .lines()
            .find_map(|line| line.strip_prefix("SigCgt:"))
            .unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap() & wanted == wanted
    });
    child
}

fn send(signal: &str, child: &Killed) {
    let kill = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -{signal} {}", child.0.id()))
        .status();
    assert!(kill.unwrap().success());
}

#[test]
fn the_first_signal_returns_and_the_second_exits() {
    for (first, name, second, code) in [
        ("TERM", "SIGTERM", "TERM", 143),
        ("INT", "SIGINT", "TERM", 143),
        ("TERM", "SIGTERM", "INT", 130),
    ] {
        let mut child = spawn_child();
        send(first, &child);
        let mut lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
        let expected = format!("got {name}");
        assert!(
            lines.any(|line| line.unwrap() == expected),
            "{expected:?} is missing"
        );
        send(second, &child);
        assert_eq!(child.0.wait().unwrap().code(), Some(code));
    }
}

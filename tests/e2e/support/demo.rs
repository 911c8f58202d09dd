//! The demo, run headless, and what it leaves behind.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use super::process::{quickstart, run};
use super::scrape::Scrape;

/// A demo that has run to its end.
pub struct Demo {
    directory: TempDir,
    /// What it wrote to `--summary`.
    pub summary: Value,
    pub stdout: String,
}

impl Demo {
    #[track_caller]
    pub fn run(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("summary.json");
        let mut command = quickstart();
        command
            .args(["--headless", "--listen", "127.0.0.1:0", "--summary"])
            .arg(&file);
        command
            .arg("--work")
            .arg(directory.path().join("work"))
            .args(options);
        let finished = run(command, directory.path()).expect(0);
        Self {
            summary: serde_json::from_slice(&fs::read(file).unwrap()).unwrap(),
            stdout: finished.stdout,
            directory,
        }
    }

    pub fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub fn number(&self, pointer: &str) -> f64 {
        let value = self.summary.pointer(pointer);
        value
            .and_then(Value::as_f64)
            .unwrap_or_else(|| panic!("{pointer}: {value:?}"))
    }

    pub fn scrape(&self) -> Scrape {
        Scrape(self.summary["scrape"].as_str().unwrap().to_string())
    }

    /// Every checkpoint that was published was scanned or counted, and none failed.
    #[track_caller]
    pub fn assert_accounted_for(&self, epochs: f64) {
        let status = fs::read(self.work().join("runs/demo/run.json")).unwrap();
        let status: Value = serde_json::from_slice(&status).unwrap();
        assert_eq!(status["published"].as_f64(), Some(epochs));
        let scrape = self.scrape();
        assert_eq!(scrape.scanned() + scrape.skipped(), epochs, "{}", scrape.0);
        assert_eq!(scrape.failed(), 0.0);
        let checkpoints = self.summary["checkpoints"].as_array().unwrap();
        assert_eq!(checkpoints.len() as f64, scrape.scanned());
        assert_eq!(Some(&self.summary["final"]), checkpoints.last());
        assert_eq!(
            self.summary["final"]["epoch"].as_f64(),
            Some(epochs),
            "the newest wins"
        );
    }
}

#[track_caller]
pub fn assert_fields(object: &Value, fields: &[&str]) {
    let has: BTreeSet<&str> = object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let wanted: BTreeSet<&str> = fields.iter().copied().collect();
    assert_eq!(has, wanted);
}

/// A PNG file by its signature, and as far as the lengths of its chunks tell, a whole one.
#[track_caller]
pub fn assert_picture(path: &Path) {
    let bytes = fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let (mut at, mut kinds) = (8, Vec::new());
    while at < bytes.len() {
        kinds.push(bytes[at + 4..at + 8].to_vec());
        at += 12 + word(at) as usize;
    }
    assert_eq!(at, bytes.len(), "cut off");
    assert_eq!(kinds.first().unwrap(), b"IHDR");
    assert_eq!(kinds.last().unwrap(), b"IEND");
    let (width, height) = (word(16), word(20));
    // Two rows of five tiles.
    assert!(width > 800 && height > 400, "{width} x {height}");
}

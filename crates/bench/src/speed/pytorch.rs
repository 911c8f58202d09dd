//! PyTorch beside us: a Python process that answers requests, so that both take turns within one run.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use burn::data::dataset::Dataset;
use burn::store::{BurnToPyTorchAdapter, ModuleSnapshot, SafetensorsStore};
use serde_json::{Value, json};

use super::data::{CLASSES, Planted, Rows};
use super::nets::{Kind, Net};

/// The running process.
pub struct PyTorch {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// Where weights and data go to it.
    directory: tempfile::TempDir,
}

impl PyTorch {
    /// Starts `script` with the Python at `python`, computing with so many threads; also what it says it is.
    ///
    /// # Errors
    ///
    /// It cannot be started, or does not answer.
    pub fn start(python: &Path, script: &Path, threads: usize) -> Result<(Self, String), String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mut process = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
        let (Some(requests), Some(answers)) = (process.stdin.take(), process.stdout.take()) else {
            return Err("the process has no pipes".to_string());
        };
        let mut started = Self {
            process,
            requests,
            answers: BufReader::new(answers),
            directory,
        };
        let says = started.ask(&json!({"do": "hello", "threads": threads}))?;
        let about = ["torch", "captum", "cleanlab"].map(|name| {
            let version = says[name].as_str().unwrap_or("?");
            format!("{name} {version}")
        });
        Ok((started, about.join(", ")))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    ///
    /// What it answers is an error, or nothing.
    pub fn ask(&mut self, request: &Value) -> Result<Value, String> {
        writeln!(self.requests, "{request}")
            .map_err(|error| format!("PyTorch is gone: {error}"))?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        if read.map_err(|error| format!("PyTorch is gone: {error}"))? == 0 {
            return Err("PyTorch is gone; see above".to_string());
        }
        let answer: Value = serde_json::from_str(&line)
            .map_err(|error| format!("no answer but {line:?}: {error}"))?;
        match answer["error"].as_str() {
            Some(error) => Err(format!("PyTorch says: {error}")),
            None => Ok(answer),
        }
    }

    /// Asks for something that takes time; the seconds of it alone.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask), or an answer without seconds.
    pub fn seconds(&mut self, request: &Value) -> Result<f64, String> {
        let answer = self.ask(request)?;
        let seconds = answer["seconds"].as_f64();
        seconds.ok_or_else(|| format!("no seconds in {answer}"))
    }

    /// A path for a file that both read.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Hands over the data of a task, under the name of its kind.
    ///
    /// # Errors
    ///
    /// Files that cannot be written, or are refused.
    pub fn take_data(&mut self, name: &str, kind: Kind, task: &Planted) -> Result<(), String> {
        let mut paths = Vec::new();
        for (part, rows) in [("train", &task.training), ("probe", &task.probing)] {
            let (values, labels) = written(rows, &self.path(&format!("{name}-{part}")))?;
            paths.push((values, labels));
        }
        let request = json!({
            "do": "data", "name": name, "shape": kind.shape(),
            "train": paths[0].0, "labels": paths[0].1,
            "probe": paths[1].0, "probe_labels": paths[1].1,
        });
        self.ask(&request).map(|_| ())
    }

    /// Hands over a model with its weights.
    ///
    /// # Errors
    ///
    /// Weights that cannot be written, or are refused.
    pub fn take_model(&mut self, name: &str, kind: Kind, model: &Net) -> Result<(), String> {
        let weights = self.weights(name, model)?;
        let request = json!({
            "do": "model", "name": name, "kind": kind.name(), "shape": kind.shape(),
            "classes": CLASSES, "weights": weights,
        });
        self.ask(&request).map(|_| ())
    }

    /// Writes weights as PyTorch would.
    ///
    /// # Errors
    ///
    /// A file that cannot be written.
    pub fn weights(&self, name: &str, model: &Net) -> Result<PathBuf, String> {
        let path = self.path(&format!("{name}.safetensors"));
        let mut store = SafetensorsStore::from_file(&path)
            .with_to_adapter(BurnToPyTorchAdapter)
            .skip_enum_variants(true)
            .overwrite(true);
        model
            .save_into(&mut store)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(path)
    }

    /// Floats from a file that it wrote.
    ///
    /// # Errors
    ///
    /// A file that cannot be read.
    pub fn floats(&self, name: &str) -> Result<Vec<f32>, String> {
        let path = self.path(name);
        let bytes = std::fs::read(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect())
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = writeln!(self.requests, "{}", json!({"do": "quit"}));
        let _ = self.process.wait();
    }
}

/// Writes values and labels, little-endian; returns where.
fn written(rows: &Rows, stem: &Path) -> Result<(PathBuf, PathBuf), String> {
    let (values, labels) = (stem.with_extension("f32"), stem.with_extension("i64"));
    let mut bytes = Vec::with_capacity(rows.values.len() * 4);
    for value in &rows.values {
        bytes.extend(value.to_le_bytes());
    }
    write(&values, &bytes)?;
    bytes.clear();
    for index in 0..rows.len() {
        bytes.extend((rows.labels[index] as i64).to_le_bytes());
    }
    write(&labels, &bytes)?;
    Ok((values, labels))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    std::fs::write(path, bytes).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

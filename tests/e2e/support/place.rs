//! The directory of a test: data, runs, states and logs, all temporary.

use std::path::{Path, PathBuf};

use mirrorwatch::hook::Hook;
use tempfile::TempDir;

use super::data::Data;
use super::sidecar::Watch;
use super::trainer::Trainer;

/// Everything that a test writes is in here.
pub struct Place {
    directory: TempDir,
    pub data: Data,
}

impl Place {
    /// A new place with the data set in it.
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = Data::write(&directory.path().join("data"));
        Self { directory, data }
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A name in the place.
    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The directory that holds the runs.
    pub fn root(&self) -> PathBuf {
        self.at("runs")
    }

    /// A hook that keeps everything.
    pub fn hook(&self, run: &str) -> Hook {
        Hook::new(self.root(), run).keep(1000)
    }

    /// A training of which every checkpoint is kept.
    pub fn trainer(&self, run: &str) -> Trainer {
        Trainer::new(&self.data, self.hook(run))
    }

    /// A run of `epochs` checkpoints that has finished.
    #[track_caller]
    pub fn finished_run(&self, run: &str, epochs: usize) {
        let mut trainer = self.trainer(run);
        trainer.epochs(epochs);
        trainer.finish();
    }

    /// What a single sidecar with these options makes of the finished runs, in the state `reference`.
    #[track_caller]
    pub fn reference(&self, options: &[&str]) {
        let mut watch = self.watch("reference").with(&["--until-finished"]);
        if !options.is_empty() {
            watch = watch.with(options);
        }
        watch.run().expect(0);
    }

    /// A sidecar for this place's root, not started yet, with its own directory for evidence.
    pub fn watch(&self, state: &str) -> Watch<'_> {
        Watch::new(self, &self.at(state))
    }
}

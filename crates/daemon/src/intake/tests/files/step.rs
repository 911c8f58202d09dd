//! What may happen to a root of runs, one step after another.

use proptest::prelude::*;

/// Runs that trainings write to.
pub const RUNS: [&str; 3] = ["a", "b", "c"];

/// Epoch and step of the checkpoints.
pub const STEMS: [(u64, u64); 4] = [(0, 0), (0, 1), (1, 2), (1, 3)];

/// Weights that differ.
pub const CONTENTS: usize = 3;

/// Where a link may lead.
pub const TARGETS: usize = 7;

/// Numbers choose among what is there, so that fewer and smaller ones are simpler.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// The writer publishes a checkpoint, for the first time or once more.
    Publish(usize, usize, usize),
    /// Someone copies a checkpoint without the protocol: the next piece of its weights or manifest, in place.
    Piece(usize, usize, usize),
    /// The writer says that the run is finished.
    Finish(usize),
    /// A file loses its end, in place.
    Truncate(usize, usize, usize),
    /// The first byte of a file is another one, in place.
    Overwrite(usize, usize),
    RenameFile(usize, usize, usize, usize),
    /// A run becomes another one, or is moved out of the root.
    RenameRun(usize, usize),
    /// What was moved out of the root comes back by some name.
    BringBack(usize),
    RemoveFile(usize, usize),
    RemoveRun(usize),
    /// A directory where a file belongs.
    Mkdir(usize, usize),
    LinkFile(usize, usize, usize),
    LinkRun(usize, usize),
    RemoveRoot,
    /// Another directory of the same name, with what was moved out of the root in it.
    ReplaceRoot,
    /// The sidecar lists the root.
    List,
}

impl Step {
    pub fn name(self) -> String {
        let text = format!("{self:?}");
        text.split('(').next().unwrap().to_string()
    }
}

pub fn steps(length: usize) -> impl Strategy<Value = Vec<Step>> {
    let (run, stem, content) = (0..RUNS.len(), 0..STEMS.len(), 0..CONTENTS);
    let (name, target) = (0..10_usize, 0..TARGETS);
    let step = prop_oneof![
        9 => (run.clone(), stem.clone(), content.clone()).prop_map(|(r, s, c)| Step::Publish(r, s, c)),
        6 => (run.clone(), stem, content).prop_map(|(r, s, c)| Step::Piece(r, s, c)),
        1 => run.clone().prop_map(Step::Finish),
        2 => (run.clone(), name.clone(), 0..5_usize).prop_map(|(r, f, to)| Step::Truncate(r, f, to)),
        2 => (run.clone(), name.clone()).prop_map(|(r, f)| Step::Overwrite(r, f)),
        2 => (run.clone(), name.clone(), run.clone(), name.clone())
            .prop_map(|(r, f, to, n)| Step::RenameFile(r, f, to, n)),
        2 => (run.clone(), 0..RUNS.len() + 4).prop_map(|(r, to)| Step::RenameRun(r, to)),
        2 => run.clone().prop_map(Step::BringBack),
        2 => (run.clone(), name.clone()).prop_map(|(r, f)| Step::RemoveFile(r, f)),
        1 => run.clone().prop_map(Step::RemoveRun),
        2 => (run.clone(), name.clone()).prop_map(|(r, n)| Step::Mkdir(r, n)),
        2 => (run.clone(), name, target.clone()).prop_map(|(r, n, t)| Step::LinkFile(r, n, t)),
        1 => (run, target).prop_map(|(r, t)| Step::LinkRun(r, t)),
        1 => Just(Step::RemoveRoot),
        1 => Just(Step::ReplaceRoot),
        9 => Just(Step::List),
    ];
    prop::collection::vec(step, 1..length)
}

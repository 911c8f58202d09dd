//! A root of runs, and the hands that are laid on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use mirrorwatch_checkpoint::{RunWriter, Snapshot};
use tempfile::TempDir;

use super::step::{CONTENTS, RUNS, STEMS, Step};

/// Bytes of any weights.
pub const LENGTH: usize = 100;

/// The first byte of weights that lie outside of the root.
pub const OUTSIDE: u8 = 99;

/// Run, epoch, step and first byte of the weights.
pub type Which = (String, u64, u64, u8);

/// A checkpoint that was published somewhere.
#[derive(Debug, Clone)]
pub struct Published {
    pub epoch: u64,
    pub step: u64,
    pub content: u8,
    pub weights: String,
}

/// The root of runs, and a directory beside it.
pub struct Place {
    root: PathBuf,
    beside: PathBuf,
    writers: BTreeMap<usize, RunWriter>,
    /// Name and bytes of every manifest that a writer has committed.
    pub committed: BTreeMap<(String, Vec<u8>), Published>,
    /// How far checkpoints have come that are written in pieces.
    pieces: BTreeMap<(usize, usize, usize), usize>,
    /// Runs that something else has happened to than publications.
    pub disturbed: BTreeSet<usize>,
    moved: usize,
}

pub fn weights(content: u8) -> Vec<u8> {
    let mut bytes = vec![7; LENGTH];
    bytes[0] = content;
    bytes
}

/// Publishes, and notes what was committed.
fn publish_by(
    writer: &mut RunWriter,
    committed: &mut BTreeMap<(String, Vec<u8>), Published>,
    epoch: u64,
    step: u64,
    content: u8,
) -> bool {
    let snapshot = Snapshot {
        epoch,
        step,
        ..Snapshot::default()
    };
    let Ok(manifest) = writer.publish(snapshot, &weights(content)) else {
        return false;
    };
    let name = manifest_name(epoch, step);
    let bytes = fs::read(writer.directory().join(&name)).unwrap();
    let published = Published {
        epoch,
        step,
        content,
        weights: manifest.weights.file,
    };
    committed.insert((name, bytes), published);
    true
}

fn manifest_name(epoch: u64, step: u64) -> String {
    format!("epoch-{epoch:06}-step-{step:010}.json")
}

/// Checkpoints that lie outside of the root: to be copied piece by piece, and to be linked to.
pub struct Outside {
    directory: TempDir,
    committed: BTreeMap<(String, Vec<u8>), Published>,
}

impl Outside {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut committed = BTreeMap::new();
        let copies = (0..CONTENTS).map(|content| (format!("copy-{content}"), content as u8));
        for (run, content) in copies.chain([("outside".to_string(), OUTSIDE)]) {
            let mut writer = RunWriter::create(directory.path(), &run).unwrap();
            for (epoch, step) in STEMS {
                publish_by(&mut writer, &mut committed, epoch, step, content);
            }
        }
        Self {
            directory,
            committed,
        }
    }
}

impl Place {
    pub fn new(root: &Path, beside: &Path, outside: &Outside) -> Self {
        fs::create_dir_all(beside.join("moved")).unwrap();
        fs::create_dir_all(root).unwrap();
        for run in fs::read_dir(outside.directory.path()).unwrap() {
            let run = run.unwrap();
            let to = beside.join(run.file_name());
            fs::create_dir(&to).unwrap();
            for file in fs::read_dir(run.path()).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
        Self {
            root: root.to_path_buf(),
            beside: beside.to_path_buf(),
            writers: BTreeMap::new(),
            committed: outside.committed.clone(),
            pieces: BTreeMap::new(),
            disturbed: BTreeSet::new(),
            moved: 0,
        }
    }

    fn run(&self, run: usize) -> PathBuf {
        self.root.join(RUNS[run])
    }

    fn file(&self, run: usize, number: usize) -> Option<PathBuf> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.run(run)).ok()? {
            files.push(entry.unwrap().path());
        }
        files.sort();
        let count = files.len();
        files.into_iter().nth(number.checked_rem(count)?)
    }

    /// A name that means something in a run: a manifest's, weights', that of the status, or none of ours.
    fn name(&self, number: usize) -> String {
        let (epoch, step) = STEMS[number % STEMS.len()];
        match number {
            0..4 => manifest_name(epoch, step),
            4..8 => {
                let mut all = self.committed.values();
                let of_it = all.find(|it| (it.step, it.content) == (step, 0));
                of_it.unwrap().weights.clone()
            }
            8 => "run.json".to_string(),
            _ => ".hidden".to_string(),
        }
    }

    /// Another name in [`beside`](Place::new), so that nothing is in the way.
    fn aside(&mut self) -> PathBuf {
        self.moved += 1;
        self.beside.join("moved").join(self.moved.to_string())
    }

    fn target(&self, run: usize, target: usize) -> PathBuf {
        let outside = self.beside.join("outside");
        match target {
            0 => self.file(run, 0).unwrap_or_else(|| "nothing".into()),
            1 => outside.join(self.name(0)),
            2 => outside,
            3 => self.root.clone(),
            4 => PathBuf::from("."),
            5 => self.run((run + 1) % RUNS.len()),
            _ => PathBuf::from("/dev/zero"),
        }
    }

    /// Publishes by the writer of a run; `false` where something was in its way.
    pub fn publish(&mut self, run: usize, epoch: u64, step: u64, content: u8) -> bool {
        let writer = match self.writers.remove(&run) {
            Some(writer) => Ok(writer),
            None => RunWriter::create(self.root.clone(), RUNS[run]),
        };
        let Ok(mut writer) = writer else {
            return false;
        };
        let done = publish_by(&mut writer, &mut self.committed, epoch, step, content);
        if done {
            self.writers.insert(run, writer);
        }
        done
    }

    /// Takes away what keeps a run from being one. What was in a file or behind a link is lost.
    pub fn clear(&mut self, run: usize) {
        let path = self.run(run);
        if path.is_symlink() || !path.is_dir() {
            remove(&path);
        }
        fs::create_dir_all(&path).unwrap();
        let status = path.join("run.json");
        if status.is_dir() {
            fs::remove_dir_all(status).unwrap();
        }
        self.writers.remove(&run);
    }

    /// Does it, and says whether anything happened. Nothing that is not there is an error.
    pub fn apply(&mut self, step: Step) -> bool {
        match step {
            Step::Publish(run, stem, content) => {
                let (epoch, step) = STEMS[stem];
                return self.publish(run, epoch, step, content as u8);
            }
            Step::Finish(run) => {
                let writer = self.writers.get_mut(&run);
                return writer.is_some_and(|writer| writer.finish().is_ok());
            }
            Step::List => return true,
            Step::Piece(run, ..)
            | Step::Truncate(run, ..)
            | Step::Overwrite(run, _)
            | Step::RemoveFile(run, _)
            | Step::RemoveRun(run)
            | Step::Mkdir(run, _)
            | Step::LinkFile(run, ..)
            | Step::LinkRun(run, _)
            | Step::BringBack(run) => {
                self.disturbed.insert(run);
            }
            Step::RenameFile(run, _, to, _) | Step::RenameRun(run, to) => {
                self.disturbed.extend([run, to]);
            }
            Step::RemoveRoot | Step::ReplaceRoot => self.disturbed.extend(0..RUNS.len()),
        }
        self.disturb(step).is_some()
    }

    fn disturb(&mut self, step: Step) -> Option<()> {
        match step {
            Step::Piece(run, stem, content) => self.piece(run, stem, content),
            Step::Truncate(run, file, to) => {
                let path = self.file(run, file).filter(|path| !path.is_symlink())?;
                let file = fs::OpenOptions::new().write(true).open(path).ok()?;
                let length = file.metadata().ok()?.len();
                file.set_len(length * to as u64 / 5).ok()
            }
            Step::Overwrite(run, file) => {
                let path = self.file(run, file).filter(|path| !path.is_symlink())?;
                let mut bytes = fs::read(&path).ok()?;
                // No manifest begins with it.
                *bytes.first_mut()? = 0;
                fs::write(path, bytes).ok()
            }
            Step::RenameFile(run, file, to, name) => {
                let to = self.run(to).join(self.name(name));
                fs::rename(self.file(run, file)?, to).ok()
            }
            Step::RenameRun(run, to) => {
                let to = match to {
                    0..3 => self.run(to),
                    3 => self.root.join(".hidden"),
                    _ => self.aside(),
                };
                fs::rename(self.run(run), to).ok()
            }
            Step::BringBack(run) => {
                let from = self.beside.join("moved").join(self.moved.to_string());
                if from.is_dir() {
                    remove(&self.run(run));
                }
                fs::rename(from, self.run(run)).ok()
            }
            Step::RemoveFile(run, file) => remove(&self.file(run, file)?),
            Step::RemoveRun(run) => remove(&self.run(run)),
            Step::Mkdir(run, name) => {
                let path = self.run(run).join(self.name(name));
                remove(&path);
                fs::create_dir_all(path).ok()
            }
            Step::LinkFile(run, name, target) => {
                let path = self.run(run).join(self.name(name));
                let target = self.target(run, target);
                remove(&path);
                std::os::unix::fs::symlink(target, path).ok()
            }
            Step::LinkRun(run, target) => {
                let path = self.run(run);
                let target = self.target(run, target);
                remove(&path);
                std::os::unix::fs::symlink(target, path).ok()
            }
            Step::RemoveRoot => fs::remove_dir_all(&self.root).ok(),
            Step::ReplaceRoot => {
                let from = self.beside.join("moved").join(self.moved.to_string());
                let aside = self.aside();
                let moved = fs::rename(&self.root, aside);
                // A link to a run that was moved may lead to itself when it is the root.
                if from.is_symlink() || fs::rename(from, &self.root).is_err() {
                    fs::create_dir_all(&self.root).unwrap();
                }
                moved.ok()
            }
            Step::Publish(..) | Step::Finish(_) | Step::List => None,
        }
    }

    /// Halves of weights and manifest, in this order or, of every other one, the manifest first.
    fn piece(&mut self, run: usize, stem: usize, content: usize) -> Option<()> {
        let (epoch, step) = STEMS[stem];
        let from = self.beside.join(format!("copy-{content}"));
        let weights = self.committed.values().find(|it| {
            (it.step, it.content) == (step, content as u8) && from.join(&it.weights).exists()
        });
        let names = [weights?.weights.clone(), manifest_name(epoch, step)];
        let piece = self.pieces.entry((run, stem, content)).or_default();
        let name = &names[(*piece / 2 + stem) % 2];
        let bytes = fs::read(from.join(name)).ok()?;
        let end = if piece.is_multiple_of(2) {
            bytes.len() / 2
        } else {
            bytes.len()
        };
        *piece += 1;
        let to = self.root.join(RUNS[run]);
        // Through a link it would change what lies outside.
        if to.is_symlink() || to.join(name).is_symlink() {
            return None;
        }
        fs::create_dir_all(&to).ok()?;
        fs::write(to.join(name), &bytes[..end]).ok()
    }
}

fn remove(path: &Path) -> Option<()> {
    let metadata = fs::symlink_metadata(path).ok()?;
    match metadata.is_dir() {
        true => fs::remove_dir_all(path).ok(),
        false => fs::remove_file(path).ok(),
    }
}

//! What a power cut may leave of a record of operations.
//!
//! The model is the weakest that file systems keep to. A file's content is certain once the file was synchronised, until
//! then it may be missing, cut, zeros or whole. A change of a directory (create, rename, remove) is certain once the
//! directory was synchronised, until then it may have happened or not, each change by itself; a rename is one change.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::faulty::Operation;

/// Below the root of the record: content of a file, or `None` for a directory.
pub type State = BTreeMap<PathBuf, Option<Vec<u8>>>;

/// So many changes are tried in all combinations. There are more only after many failures to synchronise; then each is
/// missing alone, there alone, or the last to be there.
const MOST_PENDING: usize = 12;

/// Which of `pending` changes are there, as bits.
fn combinations(pending: usize) -> Vec<u64> {
    if pending <= MOST_PENDING {
        return (0..1 << pending).collect();
    }
    assert!(pending < 64, "{pending} changes");
    let all = (1 << pending) - 1;
    let each = |i: usize| [1 << i, all & !(1 << i), (1 << i) - 1];
    (0..pending).flat_map(each).chain([all]).collect()
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Node {
    Directory,
    File(usize),
}

#[derive(Debug, Clone, Default)]
struct Content {
    synced: Option<Vec<u8>>,
    written: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, Node),
    Rename(PathBuf, PathBuf, Node),
    Unlink(PathBuf),
}

impl Change {
    fn directory(&self) -> Option<&Path> {
        match self {
            Self::Link(path, _) | Self::Rename(_, path, _) | Self::Unlink(path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Node>) {
        match self {
            Self::Link(path, node) => {
                names.insert(path.clone(), *node);
            }
            Self::Rename(from, to, node) => {
                if names.get(from) == Some(node) {
                    names.remove(from);
                }
                names.insert(to.clone(), *node);
            }
            Self::Unlink(path) => {
                names.remove(path);
            }
        }
    }
}

/// Every state that a power cut after these operations may leave below `root`, which was there before.
pub fn cuts(root: &Path, done: &[Operation]) -> BTreeSet<State> {
    let mut contents: Vec<Content> = Vec::new();
    let (mut seen, mut certain) = (BTreeMap::new(), BTreeMap::new());
    let mut pending: Vec<Change> = Vec::new();
    for operation in done {
        let change = match operation {
            Operation::Create(path) => {
                contents.push(Content::default());
                Change::Link(path.clone(), Node::File(contents.len() - 1))
            }
            Operation::Write(path, bytes) => {
                let Some(Node::File(n)) = seen.get(path) else {
                    panic!("written before it was created: {}", path.display());
                };
                contents[*n].written.extend(bytes);
                continue;
            }
            Operation::Sync(path) => {
                // A file that somebody else has removed meanwhile is nobody's concern.
                if let Some(Node::File(n)) = seen.get(path) {
                    contents[*n].synced = Some(contents[*n].written.clone());
                }
                continue;
            }
            Operation::Rename(from, to) => Change::Rename(from.clone(), to.clone(), seen[from]),
            Operation::Remove(path) | Operation::RemoveDirectory(path) => {
                Change::Unlink(path.clone())
            }
            Operation::CreateDirectory(path) => Change::Link(path.clone(), Node::Directory),
            Operation::SyncDirectory(directory) => {
                pending.retain(|change| {
                    let synced = change.directory() == Some(directory.as_path());
                    if synced {
                        change.apply(&mut certain);
                    }
                    !synced
                });
                continue;
            }
        };
        change.apply(&mut seen);
        pending.push(change);
    }
    let mut states = BTreeSet::new();
    for kept in combinations(pending.len()) {
        let mut names = certain.clone();
        for (i, change) in pending.iter().enumerate() {
            if kept >> i & 1 == 1 {
                change.apply(&mut names);
            }
        }
        // What lies in a directory that is gone is gone.
        let there = names.clone();
        names.retain(|path, _| {
            let mut above = path.ancestors().skip(1).take_while(|above| *above != root);
            above.all(|above| there.contains_key(above))
        });
        spread(root, &names, &contents, &mut states);
    }
    states
}

/// All that unsynchronised files may hold.
fn spread(
    root: &Path,
    names: &BTreeMap<PathBuf, Node>,
    contents: &[Content],
    states: &mut BTreeSet<State>,
) {
    let mut partial = vec![State::new()];
    for (path, node) in names {
        let path = path.strip_prefix(root).unwrap();
        let holds: Vec<Option<Vec<u8>>> = match node {
            Node::Directory => vec![None],
            Node::File(n) => match &contents[*n].synced {
                Some(synced) => vec![Some(synced.clone())],
                None => {
                    let whole = &contents[*n].written;
                    let mut holds = vec![
                        Some(Vec::new()),
                        Some(whole[..whole.len() / 2].to_vec()),
                        Some(vec![0; whole.len()]),
                        Some(whole.clone()),
                    ];
                    holds.sort();
                    holds.dedup();
                    holds
                }
            },
        };
        partial = partial
            .into_iter()
            .flat_map(|state| {
                holds.iter().map(move |content| {
                    let mut state = state.clone();
                    state.insert(path.to_path_buf(), content.clone());
                    state
                })
            })
            .collect();
    }
    states.extend(partial);
}

/// Makes the state real below `root`, for a process with another number than the one that wrote it.
pub fn restore(root: &Path, state: &State) {
    let own = format!(".{}-", std::process::id());
    for (path, content) in state {
        let path = root.join(path.display().to_string().replace(&own, ".4194999-"));
        match content {
            None => fs::create_dir(&path).unwrap(),
            Some(bytes) => fs::write(&path, bytes).unwrap(),
        }
    }
}

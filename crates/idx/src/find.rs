//! Finds the files of a data set by the names they usually carry.

use std::fs;
use std::path::{Path, PathBuf};

use crate::IdxError;

/// Names of training features; for [`find`].
pub const TRAIN_FEATURES: &[&str] = &["train-images", "train-features"];
/// Names of training labels; for [`find`].
pub const TRAIN_LABELS: &[&str] = &["train-labels"];
/// Names of held-out features; for [`find`].
pub const TEST_FEATURES: &[&str] = &["t10k-images", "t10k-features"];
/// Names of held-out labels; for [`find`].
pub const TEST_LABELS: &[&str] = &["t10k-labels"];

/// How many names of a directory an error lists.
const LISTED: usize = 12;

/// Finds the one file of a directory whose name starts with one of `stems`.
///
/// The stem `train-images` stands for `train-images`, `train-images-idx3-ubyte` and
/// `train-images.idx3-ubyte`, each with or without `.gz`. Where a file is there both plain and
/// gzipped, the plain one wins.
///
/// # Errors
///
/// [`IdxError::NotFound`] lists what was looked for and what is there, [`IdxError::Ambiguous`] the
/// files that all match; [`IdxError::Missing`] and [`IdxError::Unreadable`] concern the directory.
///
/// ```
/// use mirrorwatch_idx::{IdxError, TEST_LABELS, TRAIN_FEATURES, find};
///
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// std::fs::write(dir.join("train-images-idx3-ubyte.gz"), "")?;
/// assert!(find(dir, TRAIN_FEATURES)?.ends_with("train-images-idx3-ubyte.gz"));
/// // Where it is there unpacked, too, that one is taken.
/// std::fs::write(dir.join("train-images-idx3-ubyte"), "")?;
/// assert!(find(dir, TRAIN_FEATURES)?.ends_with("train-images-idx3-ubyte"));
/// assert!(matches!(find(dir, TEST_LABELS), Err(IdxError::NotFound { .. })));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn find(dir: impl AsRef<Path>, stems: &[&str]) -> Result<PathBuf, IdxError> {
    let dir = dir.as_ref();
    let names = file_names(dir)?;
    let mut matches = Vec::new();
    for name in &names {
        if stems.iter().any(|stem| has_stem(name, stem)) {
            matches.push(name.as_str());
        }
    }
    let mut chosen = Vec::new();
    for name in &matches {
        let plain_is_there = name
            .strip_suffix(".gz")
            .is_some_and(|plain| matches.contains(&plain));
        if !plain_is_there {
            chosen.push(*name);
        }
    }
    match chosen.as_slice() {
        [name] => Ok(dir.join(name)),
        [] => Err(IdxError::NotFound {
            dir: dir.to_path_buf(),
            wanted: wanted(stems),
            present: shorten(&names),
        }),
        _ => Err(IdxError::Ambiguous {
            dir: dir.to_path_buf(),
            wanted: wanted(stems),
            matches: chosen.join(", "),
        }),
    }
}

/// Sorted names of the files in a directory; those that are not Unicode cannot match and are left
/// out.
fn file_names(dir: &Path) -> Result<Vec<String>, IdxError> {
    let failed = |source: std::io::Error| {
        let path = dir.to_path_buf();
        match source.kind() {
            std::io::ErrorKind::NotFound => IdxError::Missing { path },
            _ => IdxError::Unreadable { path, source },
        }
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // Follows links: data sets are often linked into place.
        let is_file = fs::metadata(entry.path()).is_ok_and(|metadata| metadata.is_file());
        if let (true, Ok(name)) = (is_file, entry.file_name().into_string()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn has_stem(name: &str, stem: &str) -> bool {
    match name.strip_prefix(stem) {
        Some(rest) => rest.is_empty() || rest.starts_with('-') || rest.starts_with('.'),
        None => false,
    }
}

fn wanted(stems: &[&str]) -> String {
    let patterns: Vec<String> = stems.iter().map(|stem| format!("{stem}-*")).collect();
    patterns.join(" or ")
}

fn shorten(names: &[String]) -> String {
    if names.is_empty() {
        return String::from("no files");
    }
    let mut text = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED {
        text.push_str(&format!(" and {} more", names.len() - LISTED));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir_with(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(dir.path().join(name), b"x").unwrap();
        }
        dir
    }

    #[test]
    fn finds_each_of_the_usual_names() {
        for name in [
            "train-images-idx3-ubyte",
            "train-images-idx3-ubyte.gz",
            "train-images.idx3-ubyte",
            "train-features-idx2-float",
            "train-features.gz",
        ] {
            let dir = dir_with(&[name, "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"]);
            assert_eq!(
                find(dir.path(), TRAIN_FEATURES).unwrap(),
                dir.path().join(name)
            );
        }
    }

    #[test]
    fn the_plain_file_wins_over_its_own_gzip_only() {
        let dir = dir_with(&["train-labels-idx1-ubyte", "train-labels-idx1-ubyte.gz"]);
        let found = find(dir.path(), TRAIN_LABELS).unwrap();
        assert_eq!(found, dir.path().join("train-labels-idx1-ubyte"));
        let dir = dir_with(&["train-labels-a", "train-labels-b.gz"]);
        let message = find(dir.path(), TRAIN_LABELS).unwrap_err().to_string();
        assert!(message.contains("train-labels-*"), "{message}");
        assert!(
            message.contains("(train-labels-a, train-labels-b.gz)"),
            "{message}"
        );
    }

    #[test]
    fn what_is_missing_is_said_beside_what_is_there() {
        let dir = dir_with(&["train-imagesque", "readme.txt"]);
        fs::create_dir(dir.path().join("train-images-dir")).unwrap();
        let message = find(dir.path(), TRAIN_FEATURES).unwrap_err().to_string();
        assert!(
            message.contains("train-images-* or train-features-*"),
            "{message}"
        );
        assert!(
            message.contains("(it holds readme.txt, train-imagesque)"),
            "{message}"
        );
        let empty = dir_with(&[]);
        let message = find(empty.path(), TEST_LABELS).unwrap_err().to_string();
        assert!(message.contains("it holds no files"), "{message}");
    }

    #[test]
    fn a_full_directory_is_not_listed_to_the_end() {
        let names: Vec<String> = (0..40).map(|i| format!("file-{i:02}")).collect();
        let dir = dir_with(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let message = find(dir.path(), TEST_FEATURES).unwrap_err().to_string();
        assert!(message.contains("file-11 and 28 more"), "{message}");
    }

    #[test]
    fn a_directory_that_is_none_is_named() {
        let dir = dir_with(&["file"]);
        let missing = find(dir.path().join("nowhere"), TRAIN_LABELS);
        assert!(matches!(missing, Err(IdxError::Missing { .. })));
        let file = find(dir.path().join("file"), TRAIN_LABELS);
        assert!(matches!(file, Err(IdxError::Unreadable { .. })));
    }
}

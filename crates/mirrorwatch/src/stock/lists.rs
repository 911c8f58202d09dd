//! Text files with one entry a line: indices of samples, sources.

use std::path::{Path, PathBuf};

use super::StockError;

/// Reads one training index a line.
pub(super) fn indices(
    set: &'static str,
    path: &Path,
    samples: usize,
) -> Result<Vec<usize>, StockError> {
    let wrong = |problem: String| StockError::Indices {
        set,
        path: PathBuf::from(path),
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut indices = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        let index: usize = line
            .parse()
            .map_err(|_| wrong(format!("line {} is not a number: {line:?}", number + 1)))?;
        if index >= samples {
            return Err(wrong(format!(
                "line {} names sample {index}, but there are {samples} training samples",
                number + 1
            )));
        }
        indices.push(index);
    }
    if indices.is_empty() {
        return Err(wrong("it is empty".to_string()));
    }
    if indices.len() >= samples {
        return Err(wrong(format!(
            "it names {} of {samples} training samples and leaves none to judge",
            indices.len()
        )));
    }
    Ok(indices)
}

/// Reads one source a line for the first `samples` training samples; empty where a line is blank.
///
/// The file has a line for each of them, or for all `available` ones: any other number means that it belongs
/// to other data, and every tag would accuse the wrong source.
pub(super) fn sources(
    path: &Path,
    samples: usize,
    available: usize,
) -> Result<Vec<String>, StockError> {
    let wrong = |problem: String| StockError::Sources {
        path: PathBuf::from(path),
        problem,
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let mut sources: Vec<String> = text.lines().map(|line| line.trim().to_string()).collect();
    if sources.len() != samples && sources.len() != available {
        return Err(wrong(format!(
            "it has {} lines for {available} training samples",
            sources.len()
        )));
    }
    sources.truncate(samples);
    Ok(sources)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn indices_are_read_and_checked() {
        let read = |text: &str| indices("canaries", file(text).path(), 4);
        assert_eq!(read("2\n\n 0 \n").unwrap(), [2, 0]);
        for (text, problem) in [
            ("", "it is empty"),
            ("1\nx\n", "line 2 is not a number: \"x\""),
            (
                "4\n",
                "line 1 names sample 4, but there are 4 training samples",
            ),
            ("0\n1\n2\n3\n", "leaves none to judge"),
        ] {
            let message = read(text).unwrap_err().to_string();
            assert!(message.starts_with("cannot use the canaries "), "{message}");
            assert!(message.contains(problem), "{message}");
        }
    }

    #[test]
    fn sources_are_one_a_line() {
        let read = |text: &str| sources(file(text).path(), 2, 3);
        assert_eq!(read("ann\n\n").unwrap(), ["ann", ""]);
        assert_eq!(read("ann\n bob \ncarl\n").unwrap(), ["ann", "bob"]);
        assert!(read("a\nb\nc\nd\n").is_err());
        let message = read("ann\n").unwrap_err().to_string();
        assert!(
            message.contains("1 lines for 3 training samples"),
            "{message}"
        );
    }
}

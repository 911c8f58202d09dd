use crate::HttpError;
use std::path::Path;

/// What is wrong with a configuration, and on which line as far as one is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) line: Option<usize>,
    pub(crate) message: String,
}

impl Fault {
    /// A fault of the file as a whole, or of another file.
    pub(crate) fn new(message: impl Into<String>) -> Fault {
        Fault {
            line: None,
            message: message.into(),
        }
    }

    /// A fault of one line, counted from 1.
    pub(crate) fn at(line: usize, message: impl Into<String>) -> Fault {
        Fault {
            line: Some(line),
            message: message.into(),
        }
    }

    /// The error for the user, who needs to know which file is meant.
    pub(crate) fn in_file(self, path: &Path) -> HttpError {
        let place = match self.line {
            Some(line) => format!("{}, line {line}", path.display()),
            None => path.display().to_string(),
        };
        HttpError::WebConfig {
            place,
            message: self.message,
        }
    }
}

//! CSV files, which people open with spreadsheets: what data says must not be computed there.
//!
//! A spreadsheet takes a cell that starts with `=`, `+`, `-` or `@` for a formula, and a formula can call programs and send
//! what is in other cells elsewhere. Names of samples and sources come from data. Where one would be a formula, an
//! apostrophe comes before it, as OWASP advises ("CSV Injection"); numbers such as `-1.5` stay as they are, and so do all
//! columns of numbers. [`verbatim`] takes the apostrophe away again; JSON beside a CSV file has all names as they are.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use mirrorwatch_checkpoint::{write_atomic, write_atomic_with};
use serde::Serialize;

use crate::error::DaemonError;

/// What a formula starts with; the wide ones are taken for the others in some languages.
const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// A row of a CSV file.
pub(crate) trait Row: Serialize + Default + Clone {
    /// Its columns that come from data; none of a row of numbers.
    fn texts(&mut self) -> Vec<&mut String> {
        Vec::new()
    }
}

/// Text as it stands in a CSV file: with an apostrophe before what would be a formula.
///
/// ```
/// use mirrorwatch_daemon::spreadsheet::guarded;
///
/// assert_eq!(guarded("=cmd|' /C calc'!A0"), "'=cmd|' /C calc'!A0");
/// assert_eq!((guarded("cat-7"), guarded("-1.5"), guarded("@ann")), ("cat-7".into(), "-1.5".into(), "'@ann".into()));
/// ```
pub fn guarded(text: &str) -> Cow<'_, str> {
    // With its apostrophes: one that is data must not be taken for one that was added.
    let rest = text.trim_start_matches('\'');
    let blank = rest.starts_with(['\t', '\r', '\n']);
    let formula = rest.trim_start().starts_with(FORMULA);
    if (blank || formula) && !is_number(text) {
        return Cow::Owned(format!("'{text}"));
    }
    Cow::Borrowed(text)
}

/// The text that [`guarded`] made this of.
///
/// ```
/// use mirrorwatch_daemon::spreadsheet::verbatim;
///
/// assert_eq!((verbatim("'@ann"), verbatim("cat-7"), verbatim("'quoted'")), ("@ann", "cat-7", "'quoted'"));
/// ```
pub fn verbatim(cell: &str) -> &str {
    match cell.strip_prefix('\'') {
        Some(text) if guarded(text) == cell => text,
        _ => cell,
    }
}

/// Whether a spreadsheet reads it as a number, too: not `-inf`, which is a name there.
fn is_number(text: &str) -> bool {
    let of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    text.chars().all(of_number) && text.parse::<f64>().is_ok()
}

/// The row as it is written.
fn written<R: Row>(row: &R) -> R {
    let mut row = row.clone();
    for text in row.texts() {
        if let Cow::Owned(guarded) = guarded(text) {
            *text = guarded;
        }
    }
    row
}

/// Writes rows to a CSV file as they are made: all of them in memory once more would be much.
pub(crate) fn write_csv<R: Row>(path: &Path, rows: &[R]) -> Result<(), DaemonError> {
    if rows.is_empty() {
        return Ok(write_atomic(path, &csv_bytes(rows, path)?)?);
    }
    Ok(write_atomic_with(path, |file| {
        let mut writer = csv::Writer::from_writer(file);
        for row in rows {
            writer
                .serialize(written(row))
                .map_err(|e| match e.into_kind() {
                    // It may be a full disk, which has a name of its own.
                    csv::ErrorKind::Io(error) => error,
                    other => io::Error::other(format!("{other:?}")),
                })?;
        }
        writer.flush()
    })?)
}

/// Rows as the content of a CSV file.
pub(crate) fn csv_bytes<R: Row>(rows: &[R], path: &Path) -> Result<Vec<u8>, DaemonError> {
    let failed = |message: String| DaemonError::Write {
        path: path.to_path_buf(),
        message,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer
            .serialize(written(row))
            .map_err(|e| failed(e.to_string()))?;
    }
    if rows.is_empty() {
        // The header comes from the first row; a reader wants one without rows, too.
        let row = R::default();
        writer.serialize(row).map_err(|e| failed(e.to_string()))?;
    }
    let mut bytes = writer.into_inner().map_err(|e| failed(e.to_string()))?;
    if rows.is_empty() {
        let header = bytes.iter().position(|b| *b == b'\n');
        bytes.truncate(header.map_or(0, |end| end + 1));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::nasty::name;
    use crate::results::{Suspect, write_suspects};

    /// The list of OWASP's page on CSV injection, and what looks like it and is none.
    #[test]
    fn formulas_are_guarded_and_numbers_are_not() {
        for formula in [
            "=1+1",
            "+1+1",
            "-1+1",
            "@SUM(A1)",
            "=cmd|' /C calc'!A0",
            "\t=1",
            "\r=1",
            "\n=1",
            "  =1",
            "-inf",
            "＝1+1",
            "'=1",
            "'-1.5",
            "-",
        ] {
            assert_eq!(guarded(formula), format!("'{formula}"), "{formula:?}");
        }
        for plain in [
            "", "a", "-1.5", "+3", "-1e-5", "1", "a=b", "'", "'a", " a", "é",
        ] {
            assert_eq!(guarded(plain), plain);
        }
    }

    proptest! {
        #[test]
        fn no_cell_is_a_formula_and_every_name_comes_back(id in name(), source in name()) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("suspects.csv");
            let suspect = Suspect {
                id: id.clone(),
                source: Some(source.clone()),
                score: -1.5,
                ..Suspect::default()
            };
            write_suspects(&path, std::slice::from_ref(&suspect)).unwrap();
            let mut reader = csv::Reader::from_path(&path).unwrap();
            let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
            prop_assert_eq!(rows.len(), 1);
            for cell in &rows[0] {
                let trimmed = cell.trim_start();
                let formula = trimmed.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
                prop_assert!(!formula || trimmed.parse::<f64>().is_ok(), "{:?}", cell);
            }
            let back: Suspect = rows[0].deserialize(Some(reader.headers().unwrap())).unwrap();
            prop_assert_eq!(verbatim(&back.id), id);
            // An empty cell is none.
            prop_assert_eq!(verbatim(back.source.as_deref().unwrap_or_default()), source);
            prop_assert_eq!(back.score, -1.5);
        }
    }
}

//! Names and messages come from data: what would steer a terminal, or make one line two, is shown, not done.

use std::io::{self, Write};

/// Text on one line that steers nothing: control characters, and those that turn the direction of what is around them, are
/// written as in Rust.
pub(crate) fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            printable.extend(c.escape_default());
        } else {
            printable.push(c);
        }
    }
    printable
}

/// Whether a character does something to those around it.
pub(crate) fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes the lines of a log, each of which comes in one piece. tracing-subscriber writes out what steers a terminal in
/// messages, and not in fields that are shown as they are.
pub(crate) struct OneLine<W> {
    pub(crate) to: W,
    /// Whether the log has colours of its own.
    pub(crate) colours: bool,
}

/// Whether this is what follows the escape character of a colour: `[`, numbers, `m`.
fn is_colour(text: &str) -> bool {
    let Some((numbers, _)) = text.strip_prefix('[').and_then(|rest| rest.split_once('m')) else {
        return false;
    };
    numbers.chars().all(|c| c.is_ascii_digit() || c == ';')
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let mut shown = String::with_capacity(text.len());
        let text = text.strip_suffix('\n').unwrap_or(&text);
        for (at, c) in text.char_indices() {
            let colour = self.colours && c == '\u{1b}' && is_colour(&text[at + 1..]);
            match steers(c) && !colour {
                true => shown.extend(c.escape_default()),
                false => shown.push(c),
            }
        }
        shown.push('\n');
        self.to.write_all(shown.as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::nasty::name;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is logged of `text`: in a field, as a field that shows itself, and in the message.
    fn logged(text: &str, colours: bool) -> String {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || OneLine {
                to: writer.clone(),
                colours,
            })
            .with_ansi(colours)
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::warn!(run = text, shown = %text, "cannot read {text}: {text}");
        });
        let bytes = log.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    /// The colours of tracing-subscriber: `ESC [ numbers m`.
    fn without_colours(line: &str) -> String {
        let mut parts = line.split("\u{1b}[");
        let mut plain = parts.next().unwrap_or_default().to_string();
        for part in parts {
            let end = part.find(|c: char| !c.is_ascii_digit() && c != ';');
            let end = end.filter(|&end| part[end..].starts_with('m'));
            match end {
                Some(end) => plain += &part[end + 1..],
                // No colour: it stays to be found.
                None => plain += &format!("\u{1b}[{part}"),
            }
        }
        plain
    }

    proptest! {
        #[test]
        fn whatever_is_logged_is_one_line_that_steers_nothing(text in name(), colours: bool) {
            let log = logged(&text, colours);
            let line = log.strip_suffix('\n').unwrap();
            let line = match colours {
                true => without_colours(line),
                false => line.to_string(),
            };
            prop_assert!(!line.chars().any(steers), "{:?}", line);
        }

        #[test]
        fn what_is_printed_is_one_line_that_steers_nothing(text in name()) {
            let shown = printable(&text);
            prop_assert!(!shown.chars().any(steers), "{:?}", shown);
            // What steers nothing is shown as it is.
            if !text.chars().any(steers) {
                prop_assert_eq!(shown, text);
            }
        }
    }

    /// With colours, a name can set some, and nothing else.
    #[test]
    fn a_name_moves_no_cursor_and_without_colours_sets_none() {
        let log = logged("\u{1b}[31mred\u{1b}[2J", false);
        assert!(!log.contains('\u{1b}'), "{log:?}");
        let log = logged("\u{1b}[2J", true);
        assert!(!log.contains("\u{1b}[2J"), "{log:?}");
    }
}

//! What went wrong with a checkpoint, as it is logged, shown and remembered.

use std::borrow::Cow;

/// Characters of it that are told. A list of parameters may be longer than anybody reads, and is kept with the run.
const MOST: usize = 2000;

/// One line of at most so many characters. Names in a checkpoint are somebody else's: they may hold line breaks, which would
/// make lines of their own in the log.
pub(crate) fn brief(text: &str) -> String {
    let cut = match text.char_indices().nth(MOST) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    };
    cut.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_wrote_is_one_line_and_ends() {
        assert_eq!(
            brief("parameter a\n2026 WARN \u{1b}[2J"),
            "parameter a 2026 WARN  [2J"
        );
        let told = brief(&"ä".repeat(1 << 20));
        assert_eq!(told.chars().count(), MOST + 1);
        assert!(told.ends_with("ä…"));
    }
}

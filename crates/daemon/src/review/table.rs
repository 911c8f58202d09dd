//! Reviews as a table.

use std::fmt::Write;

use mirrorwatch_influence::Task;

use crate::audit::Review;
use crate::printable::steers;
use crate::when::utc;

/// The reviews, one a line; empty without any.
pub(super) fn table<T: Task>(task: &T, reviews: &[Review]) -> String {
    let mut rows = Vec::with_capacity(reviews.len() + 1);
    rows.push(
        [
            "",
            "time (UTC)",
            "sample",
            "given",
            "verdict",
            "evidence",
            "who",
            "note",
        ]
        .map(String::from),
    );
    for review in reviews {
        let label = review.label.map(|label| task.class_name(label));
        let verdict = review.verdict.name();
        let seen = &review.evidence;
        rows.push([
            review.sequence.to_string(),
            utc(review.time),
            plain(&review.id),
            plain(&task.class_name(review.given)),
            label.map_or(verdict.to_string(), |label| {
                format!("{verdict}: {}", plain(&label))
            }),
            format!(
                "{} p {:.4}, wrong {:.0} %, epoch {}",
                if seen.suspect {
                    "suspect,"
                } else {
                    "no suspect,"
                },
                seen.p_value,
                100.0 * seen.wrong_probability,
                seen.epoch
            ),
            plain(&format!("{} ({})", review.who, review.by)),
            plain(review.note.as_deref().unwrap_or_default()),
        ]);
    }
    if reviews.is_empty() {
        return String::new();
    }
    let mut widths = [0; 8];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Text that cannot steer a terminal, on one line.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if steers(c) { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2J\n\u{202e}b"), "a [2J  b");
    }
}

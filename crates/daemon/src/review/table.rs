//! Reviews as a table.

use std::fmt::Write;

use mirrorwatch_influence::Task;

use crate::audit::Review;

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
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// Date and time of Unix seconds, to the minute. The date by Howard Hinnant's `civil_from_days`, from
/// <https://howardhinnant.github.io/date_algorithms.html>.
fn utc(time: f64) -> String {
    let seconds = time as i64;
    let (days, minutes) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400) / 60);
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + 400 * era + i64::from(month <= 2);
    format!(
        "{year}-{month:02}-{day:02} {:02}:{:02}",
        minutes / 60,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `date -u -d @SECONDS`.
    #[test]
    fn dates_are_those_of_other_programs() {
        for (seconds, date) in [
            (0.0, "1970-01-01 00:00"),
            (951_782_399.9, "2000-02-28 23:59"),
            (951_782_400.0, "2000-02-29 00:00"),
            (1_700_000_000.0, "2023-11-14 22:13"),
            (4_107_542_399.0, "2100-02-28 23:59"),
            (4_107_542_400.0, "2100-03-01 00:00"),
        ] {
            assert_eq!(utc(seconds), date);
        }
    }

    #[test]
    fn what_people_write_cannot_steer_the_terminal() {
        assert_eq!(plain("a\u{1b}[2J\nb"), "a [2J b");
    }
}

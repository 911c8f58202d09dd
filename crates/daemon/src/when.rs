//! Dates as people read them.

use time::OffsetDateTime;

/// Date and time of Unix seconds in UTC, to the minute.
pub(crate) fn utc(seconds: f64) -> String {
    // Beyond the years that a date can have, nobody asks for one.
    let Ok(date) = OffsetDateTime::from_unix_timestamp(seconds.floor() as i64) else {
        return format!("{seconds:.0} s");
    };
    format!(
        "{}-{:02}-{:02} {:02}:{:02}",
        date.year(),
        u8::from(date.month()),
        date.day(),
        date.hour(),
        date.minute()
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
}

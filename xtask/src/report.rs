//! What came of each step, and the table printed at the end.

use std::fmt;
use std::time::Duration;

/// What came of one step.
#[derive(Debug)]
pub enum Outcome {
    /// It did its work; a note when there is something to tell.
    Passed(String),
    /// It failed, and why.
    Failed(String),
    /// It could not or should not run, and why.
    Skipped(String),
}

impl Outcome {
    /// Passed, with nothing to tell.
    pub fn passed() -> Self {
        Self::Passed(String::new())
    }

    /// Goes on with the next part of a step when this one passed.
    pub fn then(self, next: impl FnOnce() -> Outcome) -> Self {
        match self {
            Self::Passed(_) => next(),
            other => other,
        }
    }

    fn word_and_note(&self) -> (&'static str, &str) {
        match self {
            Self::Passed(note) => ("passed", note),
            Self::Failed(why) => ("FAILED", why),
            Self::Skipped(why) => ("skipped", why),
        }
    }
}

struct Row {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

/// The steps of one run, in order.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// Adds what came of a step.
    pub fn push(&mut self, name: &'static str, outcome: Outcome, took: Duration) {
        self.rows.push(Row {
            name,
            outcome,
            took,
        });
    }

    /// How many steps failed.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    fn count(&self, wanted: fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| wanted(&row.outcome)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let (word, note) = row.outcome.word_and_note();
            let took = if word == "skipped" {
                String::new()
            } else {
                duration(row.took)
            };
            let line = format!("{:<9} {word:<8} {took:>9}  {note}", row.name);
            writeln!(f, "{}", line.trim_end())?;
        }
        let total: Duration = self.rows.iter().map(|row| row.took).sum();
        writeln!(f, "{:<9} {:<8} {:>9}\n", "total", "", duration(total))?;
        // Alone on its line and in these words: CI reads it.
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.count(|outcome| matches!(outcome, Outcome::Passed(_))),
            self.failed(),
            self.count(|outcome| matches!(outcome, Outcome::Skipped(_))),
        )
    }
}

/// `4.2 s` below a minute, `12 min 05 s` above.
fn duration(took: Duration) -> String {
    let seconds = took.as_secs();
    if seconds < 60 {
        format!("{:.1} s", took.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts_steps() {
        let mut report = Report::default();
        report.push("fmt", Outcome::passed(), Duration::from_millis(4200));
        report.push(
            "unit",
            Outcome::Failed("exit status: 101".into()),
            Duration::from_secs(725),
        );
        report.push(
            "e2e",
            Outcome::Skipped("unit failed".into()),
            Duration::ZERO,
        );
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "fmt       passed       4.2 s");
        assert_eq!(lines[1], "unit      FAILED   12 min 05 s  exit status: 101");
        assert_eq!(lines[2], "e2e       skipped             unit failed");
        assert_eq!(lines.last(), Some(&"1 passed, 1 failed, 1 skipped"));
        assert_eq!(report.failed(), 1);
    }

    #[test]
    fn a_failed_part_ends_a_step() {
        let outcome = Outcome::Failed("first".into()).then(Outcome::passed);
        assert!(matches!(outcome, Outcome::Failed(why) if why == "first"));
    }
}

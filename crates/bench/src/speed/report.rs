//! What the parts of the suite found, as JSON and as a table.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::ratio::{Rounds, Spread};
use crate::report::table::Table;

/// Version of the file.
pub const FORMAT: u32 = 1;

/// A figure of the suite.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// In which setting: data, model, backend.
    pub setting: String,
    /// The figure.
    pub figure: Spread,
    /// Its unit: `×` for ratios.
    pub unit: String,
    /// Against what, or how.
    pub note: String,
    /// Seconds that the two parts of a ratio took; none for other figures.
    pub seconds: Option<[f64; 2]>,
}

impl Row {
    /// How many times as long `of` took as `to`.
    pub fn ratio(rounds: &Rounds, of: usize, to: usize, setting: &str) -> Self {
        Self {
            what: rounds.names[of].clone(),
            setting: setting.to_string(),
            figure: rounds.ratio(of, to),
            unit: "×".to_string(),
            note: rounds.names[to].clone(),
            seconds: Some([rounds.took(of).median, rounds.took(to).median]),
        }
    }

    /// By how many percent `of` took longer than `than`.
    pub fn longer(rounds: &Rounds, of: usize, than: usize, setting: &str) -> Self {
        Self {
            figure: rounds.longer(of, than),
            unit: "%".to_string(),
            note: format!("longer than: {}", rounds.names[than]),
            ..Self::ratio(rounds, of, than, setting)
        }
    }

    /// A figure that is no ratio.
    pub fn figure(what: &str, setting: &str, figure: Spread, unit: &str, note: &str) -> Self {
        Self {
            what: what.to_string(),
            setting: setting.to_string(),
            figure,
            unit: unit.to_string(),
            note: note.to_string(),
            seconds: None,
        }
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [median, low, high] =
            [self.figure.median, self.figure.low, self.figure.high].map(digits);
        write!(
            f,
            "{}: {}: {median} {} ({low} – {high}), {}",
            self.setting, self.what, self.unit, self.note
        )
    }
}

/// What one part of the suite found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Section {
    /// The part.
    pub part: String,
    /// What it measures.
    pub about: String,
    /// Its figures.
    pub rows: Vec<Row>,
    /// What could not be measured, and why.
    pub skipped: Vec<String>,
    /// Wall time of the part.
    pub seconds: f64,
    /// The project's revision when it ran.
    pub revision: String,
    /// Threads that everything computed with.
    pub threads: usize,
}

/// What the suite found so far.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// In the order of the suite.
    pub sections: Vec<Section>,
}

impl Report {
    /// Puts a section in, in the place of an earlier one of the same part; `order` has the names of all parts.
    pub fn put(&mut self, section: Section, order: &[&str]) {
        self.sections.retain(|s| s.part != section.part);
        self.sections.push(section);
        let place = |part: &str| order.iter().position(|name| *name == part);
        self.sections.sort_by_key(|section| place(&section.part));
    }

    /// All figures in tables.
    pub fn markdown(&self) -> String {
        let mut text =
            String::from("Median and range of the middle half over the rounds of one run.\n");
        for section in &self.sections {
            let _ = write!(
                text,
                "\n**{}** ({} threads, revision {}): {}\n\n",
                section.part, section.threads, section.revision, section.about
            );
            let head = ["what", "in", "against, how", "figure", "range"];
            let mut table = Table::new(head.map(String::from).to_vec(), 3);
            for row in &section.rows {
                table.row(vec![
                    row.what.clone(),
                    row.setting.clone(),
                    row.note.clone(),
                    format!("{} {}", digits(row.figure.median), row.unit),
                    format!("{} – {}", digits(row.figure.low), digits(row.figure.high)),
                ]);
            }
            let _ = write!(text, "{table}");
            for why in &section.skipped {
                let _ = writeln!(text, "\nNot measured: {why}");
            }
        }
        text
    }
}

/// Three digits that matter.
fn digits(value: f64) -> String {
    let size = value.abs();
    match size {
        0.0 => "0".to_string(),
        _ if size >= 100.0 => format!("{value:.0}"),
        _ if size >= 10.0 => format!("{value:.1}"),
        _ if size >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(part: &str, rows: Vec<Row>) -> Section {
        Section {
            part: part.to_string(),
            about: "a thing".to_string(),
            rows,
            skipped: vec!["tch: no libtorch".to_string()],
            seconds: 1.0,
            revision: "abc".to_string(),
            threads: 2,
        }
    }

    #[test]
    fn a_section_replaces_the_one_before_and_has_its_place() {
        let order = ["a", "b"];
        let mut report = Report::default();
        report.put(section("b", Vec::new()), &order);
        report.put(section("a", Vec::new()), &order);
        let mut again = section("b", Vec::new());
        again.seconds = 2.0;
        report.put(again, &order);
        let found: Vec<_> = report
            .sections
            .iter()
            .map(|s| (&s.part[..], s.seconds))
            .collect();
        assert_eq!(found, [("a", 1.0), ("b", 2.0)]);
    }

    #[test]
    fn figures_stand_in_a_table_with_their_range() {
        let rounds = Rounds {
            names: vec!["scan".to_string(), "sweep".to_string()],
            seconds: vec![vec![2.0, 2.2, 2.4], vec![1.0, 1.0, 1.0]],
        };
        let mut report = Report::default();
        report.put(
            section("scan", vec![Row::ratio(&rounds, 0, 1, "mlp")]),
            &["scan"],
        );
        let text = report.markdown();
        assert!(
            text.contains("| scan | mlp | sweep | 2.20 × | 2.10 – 2.30 |"),
            "{text}"
        );
        assert!(text.contains("Not measured: tch: no libtorch"));
        assert_eq!(report.sections[0].rows[0].seconds, Some([2.2, 1.0]));
    }

    #[test]
    fn three_digits_matter() {
        let shown = [0.0, 0.01234, 0.5, 2.345, 23.45, 234.5].map(digits);
        assert_eq!(shown, ["0", "0.0123", "0.50", "2.35", "23.4", "234"]);
    }
}

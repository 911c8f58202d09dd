//! A Markdown table.

use std::fmt::{self, Write};

/// Rows under a head; the first columns are names, the others numbers.
pub struct Table {
    head: Vec<String>,
    /// How many of the columns are names.
    names: usize,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows, whose first `names` columns are aligned to the left.
    pub fn new(head: Vec<String>, names: usize) -> Self {
        Self {
            head,
            names,
            rows: Vec::new(),
        }
    }

    /// Adds a row; missing cells are empty, further ones are cut.
    pub fn row(&mut self, mut cells: Vec<String>) {
        cells.resize(self.head.len(), String::new());
        self.rows.push(cells);
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |cells: &[String]| {
            let mut text = String::from("|");
            for cell in cells {
                // A bar would end the cell.
                let _ = write!(text, " {} |", cell.replace('|', "\\|"));
            }
            text
        };
        writeln!(f, "{}", line(&self.head))?;
        let mut rule = String::from("|");
        for column in 0..self.head.len() {
            rule.push_str(if column < self.names {
                " --- |"
            } else {
                " ---: |"
            });
        }
        writeln!(f, "{rule}")?;
        for row in &self.rows {
            writeln!(f, "{}", line(row))?;
        }
        Ok(())
    }
}

/// A share with three digits and without the zero before the point, as papers have it; `–` for none.
pub fn share(value: Option<f64>) -> String {
    let Some(value) = value else {
        return String::from("–");
    };
    let text = format!("{value:.3}");
    match text.strip_prefix("0.") {
        Some(digits) => format!(".{digits}"),
        None => text.replacen("-0.", "-.", 1),
    }
}

/// A number without digits after the point; `–` for none.
pub fn whole(value: Option<f64>) -> String {
    value.map_or_else(|| String::from("–"), |value| format!("{value:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_table() {
        let head = ["data", "a|b"].map(String::from).to_vec();
        let mut table = Table::new(head, 1);
        table.row(vec!["x".to_string(), share(Some(0.5))]);
        table.row(vec!["y".to_string()]);
        let expected = "| data | a\\|b |\n| --- | ---: |\n| x | .500 |\n| y |  |\n";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn numbers_as_papers_have_them() {
        let shown = [Some(0.0), Some(1.0), Some(0.9996), Some(-0.25), None].map(share);
        assert_eq!(shown, [".000", "1.000", "1.000", "-.250", "–"]);
        assert_eq!(whole(Some(12.5001)), "13");
    }
}

//! What a person sees meanwhile: a bar on a terminal, a line per cell anywhere else.

use std::cell::Cell;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Progress over cells.
pub struct Progress {
    bar: ProgressBar,
    total: u64,
    done: Cell<u64>,
}

impl Progress {
    /// Progress over `total` cells, on standard error.
    pub fn new(total: usize) -> Self {
        let total = total as u64;
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
        let style = "{pos}/{len} {bar:20} {elapsed_precise} {msg}";
        if let Ok(style) = ProgressStyle::with_template(style) {
            bar.set_style(style);
        }
        Self {
            bar,
            total,
            done: Cell::new(0),
        }
    }

    /// Says what is being done; on a terminal only.
    pub fn tell(&self, cell: &str, what: &str) {
        self.bar.set_message(format!("{cell}: {what}"));
    }

    /// Says that a cell has ended, and how.
    pub fn end(&self, line: &str) {
        self.done.set(self.done.get() + 1);
        self.bar.inc(1);
        let line = format!("[{}/{}] {line}", self.done.get(), self.total);
        if self.bar.is_hidden() {
            eprintln!("{line}");
        } else {
            self.bar.println(line);
        }
    }

    /// Clears the bar.
    pub fn close(&self) {
        self.bar.finish_and_clear();
    }
}

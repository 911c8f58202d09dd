//! What was logged, by the training thread and by the writers.

use std::fmt::{self, Write};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread::{self, ThreadId};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

struct Line {
    level: Level,
    thread: ThreadId,
    is_writer: bool,
    text: String,
}

static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

fn lines() -> MutexGuard<'static, Vec<Line>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is logged from now on.
pub struct Log {
    from: usize,
}

impl Log {
    pub fn start() -> Self {
        static ONCE: Once = Once::new();
        // There is no other subscriber in these tests.
        ONCE.call_once(|| tracing::subscriber::set_global_default(Collector).unwrap());
        Self {
            from: lines().len(),
        }
    }

    /// Warnings of this thread, and of all writers. Writers of other tests are none while this one has its turn.
    pub fn warnings(&self) -> Vec<String> {
        let here = thread::current().id();
        lines()[self.from..]
            .iter()
            .filter(|line| line.level <= Level::WARN)
            .filter(|line| line.is_writer || line.thread == here)
            .map(|line| line.text.clone())
            .collect()
    }
}

struct Collector;

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("mirrorwatch")
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let thread = thread::current();
        lines().push(Line {
            level: *event.metadata().level(),
            thread: thread.id(),
            is_writer: thread.name() == Some("mirrorwatch-writer"),
            text: text.0,
        });
    }
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let _ = write!(self.0, "{}: {value:?}; ", field.name());
    }
}

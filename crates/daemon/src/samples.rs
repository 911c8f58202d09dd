//! Training samples as pages show them, whatever the task is.

use std::sync::Arc;

use mirrorwatch_influence::{Labels, Preview, Task};

/// What there is to show of training samples, by their positions.
pub trait Samples: Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The sample's name.
    fn id(&self, index: usize) -> String;

    /// Its given label.
    fn given(&self, index: usize) -> usize;

    /// Where it came from.
    fn source(&self, index: usize) -> Option<String>;

    /// A picture of it, if the task has one.
    fn preview(&self, index: usize) -> Option<Preview>;

    /// How many classes there are.
    fn classes(&self) -> usize;

    /// The name of a class.
    fn class_name(&self, class: usize) -> String;
}

/// The samples of a task.
pub struct TaskSamples<T: Task> {
    /// The task.
    pub task: Arc<T>,
    /// Its labels.
    pub labels: Arc<Labels>,
}

impl<T: Task> Samples for TaskSamples<T> {
    fn count(&self) -> usize {
        self.labels.train.len()
    }

    fn id(&self, index: usize) -> String {
        self.task.id(index)
    }

    fn given(&self, index: usize) -> usize {
        self.labels.train.get(index).copied().unwrap_or_default()
    }

    fn source(&self, index: usize) -> Option<String> {
        self.task.source(index)
    }

    fn preview(&self, index: usize) -> Option<Preview> {
        let item = self.task.train().get(index).ok()?;
        self.task.preview(&item)
    }

    fn classes(&self) -> usize {
        self.labels.classes
    }

    fn class_name(&self, class: usize) -> String {
        match self.labels.has_classes() {
            true => self.task.class_name(class),
            false => "as given".to_string(),
        }
    }
}

//! The hook as one of Burn's checkpointers, for trainings whose strategy has to stay.

use std::path::Path;

use burn::store::ModuleRecord;
use burn::train::checkpoint::{Checkpointer, CheckpointerError, FileCheckpointer};

use crate::hook::Hook;

/// Saves with another checkpointer, and publishes what is saved through a [`Hook`].
///
/// For [`with_custom_checkpointers`](burn::train::SupervisedTraining::with_custom_checkpointers): it sees the end of an
/// epoch under every training strategy, several devices and distributed ones among them, and no single step. Which
/// epochs are saved is up to the checkpointing strategy, by default all. Saving, restoring and deleting are the
/// inner checkpointer's; what goes wrong with the hook never reaches it.
///
/// Call [`Hook::finish`] when the training has returned: a checkpointer is not told that it was the last.
///
/// ```no_run
/// use burn::train::checkpoint::FileCheckpointer;
/// use mirrorwatch_hook::{Hook, Published};
///
/// let hook = Hook::new("runs", "mnist-7");
/// let models = Published::new(&hook, FileCheckpointer::new("artifacts/checkpoint", "model"));
/// // .with_custom_checkpointers(models, FileCheckpointer::new(…, "optim"), FileCheckpointer::new(…, "scheduler"))
/// ```
pub struct Published<C> {
    hook: Hook,
    inner: C,
}

impl<C> Published<C> {
    /// Publishes what `inner` saves.
    ///
    /// ```
    #[doc = include_str!("example_model.txt")]
    /// # use burn::module::Module;
    /// # use burn::train::checkpoint::{Checkpointer, FileCheckpointer};
    /// # use mirrorwatch_hook::Published;
    /// let hook = Hook::new(root.join("runs"), "mnist-7");
    /// let models = Published::new(&hook, FileCheckpointer::new(root.join("artifacts"), "model"));
    /// // What Burn's learner does at the end of an epoch.
    /// models.save(3, model.into_record())?;
    /// assert!(hook.finish());
    /// assert!(root.join("artifacts/model-3.bpk").exists());
    /// assert_eq!(hook.stats().published, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(hook: &Hook, inner: C) -> Self {
        hook.start();
        Self {
            hook: hook.clone(),
            inner,
        }
    }
}

impl<C: Checkpointer<ModuleRecord>> Checkpointer<ModuleRecord> for Published<C> {
    fn save(&self, epoch: usize, record: ModuleRecord) -> Result<(), CheckpointerError> {
        // Values are shared, not copied; the writer thread reads them.
        self.hook.publish_record(epoch, record.clone());
        self.inner.save(epoch, record)
    }

    fn delete(&self, epoch: usize) -> Result<(), CheckpointerError> {
        self.inner.delete(epoch)
    }

    fn restore(&self, epoch: usize) -> Result<ModuleRecord, CheckpointerError> {
        self.inner.restore(epoch)
    }
}

/// The file checkpointers that Burn's learner uses by default below an artifact directory, the first one published.
pub(crate) type Defaults = (
    Published<FileCheckpointer>,
    FileCheckpointer,
    FileCheckpointer,
);

pub(crate) fn defaults(hook: &Hook, artifacts: &Path) -> Defaults {
    let directory = artifacts.join("checkpoint");
    let file = |name| FileCheckpointer::new(&directory, name);
    (
        Published::new(hook, file("model")),
        file("optim"),
        file("scheduler"),
    )
}

//! How often the process ended while it scanned a checkpoint, so that one that ends it every time is not tried for ever.
//!
//! A model that asks for more memory than there is, or a library that crashes, ends the process, and whatever keeps it
//! running starts it again. What was being scanned is noted on disk before and taken off after each scan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mirrorwatch_checkpoint::Key;
use serde::{Deserialize, Serialize};

/// Of so many scans none came to its end: the next is not begun.
pub(super) const MOST: u32 = 5;
/// The same where samples are divided: what one shard gives up is lost for all of them.
pub(super) const MOST_DIVIDED: u32 = 10;
/// Checkpoints that are kept in mind; of one that ended a process, there is hardly ever more than one.
const KEPT: usize = 100;

/// Scans that were begun and have not ended, by checkpoint.
pub struct Attempts {
    path: PathBuf,
    begun: Mutex<BTreeMap<String, Begun>>,
}

/// How often one was begun without coming to an end.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Begun {
    times: u32,
    /// Whether the last part that others wait for may be given: they may count the checkpoint, and so does this one.
    given: bool,
}

impl Attempts {
    /// As the last process left them in its state directory.
    pub fn continued(state: &Path) -> Self {
        let path = state.join("scanning.json");
        // Damaged or not there: nothing is known, and nothing is wrong with that.
        let begun = std::fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self {
            path,
            begun: Mutex::new(begun),
        }
    }

    /// A scan begins.
    ///
    /// # Errors
    ///
    /// It was begun `most` times without coming to an end, and is not to be tried again; in words.
    pub(super) fn begin(&self, run: &str, key: &Key, most: u32) -> Result<(), String> {
        let mut begun = self.lock();
        let this = begun.entry(name(run, key)).or_default();
        this.times = this.times.saturating_add(1);
        if this.times > most && !this.given {
            return Err(format!(
                "the sidecar ended {most} times while it scanned this checkpoint, which is not tried again; see its log, the kernel's (out of memory?) and those of the device"
            ));
        }
        while begun.len() > KEPT {
            begun.pop_first();
        }
        self.save(&begun);
        Ok(())
    }

    /// The last part that other shards wait for is about to be given: from here on it is theirs to count, and is tried
    /// until it is counted here.
    pub(super) fn give(&self, run: &str, key: &Key) {
        let mut begun = self.lock();
        begun.entry(name(run, key)).or_default().given = true;
        self.save(&begun);
    }

    /// The scan has come to an end, whichever.
    pub(super) fn end(&self, run: &str, key: &Key) {
        let mut begun = self.lock();
        begun.remove(&name(run, key));
        self.save(&begun);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Begun>> {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whole at any moment, so that whoever is killed in it forgets nothing. Not synced: this is about processes that end, not
    /// about machines.
    fn save(&self, begun: &BTreeMap<String, Begun>) {
        let saved = match begun.is_empty() {
            true => std::fs::remove_file(&self.path),
            false => serde_json::to_vec(begun)
                .map_err(std::io::Error::from)
                .and_then(|json| {
                    // A state directory has one sidecar, and that one lock here.
                    let new = self.path.with_extension("json.new");
                    std::fs::write(&new, json)?;
                    std::fs::rename(new, &self.path)
                }),
        };
        if let Err(error) = saved
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::debug!(
                "cannot note what is being scanned in {}: {error}",
                self.path.display()
            );
        }
    }
}

fn name(run: &str, key: &Key) -> String {
    format!("{run} {} {} {}", key.epoch, key.step, key.sha256)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(step: u64) -> Key {
        Key {
            run: "r".to_string(),
            epoch: 1,
            step,
            sha256: "ab".to_string(),
        }
    }

    /// As a process finds it that is started when the one before was killed.
    #[test]
    fn at_any_moment_all_that_was_begun_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let attempts = Attempts::continued(directory.path());
        for step in 0..20 {
            attempts.begin("r", &key(step), MOST).unwrap();
        }
        let over = std::sync::atomic::AtomicBool::new(false);
        let is_over = || over.load(std::sync::atomic::Ordering::Relaxed);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..2000 {
                    attempts.begin("r", &key(20), u32::MAX).unwrap();
                    attempts.end("r", &key(20));
                }
                over.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            let mut looks = 0;
            while !is_over() {
                let known = Attempts::continued(directory.path()).lock().len();
                assert!(known == 20 || known == 21, "{known} after {looks} looks");
                looks += 1;
            }
            assert!(looks > 0);
        });
    }

    #[test]
    fn what_ends_the_process_every_time_is_given_up_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..MOST {
            // A process that scans one to its end and dies of the next.
            let attempts = Attempts::continued(directory.path());
            assert_eq!(attempts.begin("r", &key(1), MOST), Ok(()));
            attempts.end("r", &key(1));
            assert_eq!(attempts.begin("r", &key(2), MOST), Ok(()));
        }
        let attempts = Attempts::continued(directory.path());
        assert_eq!(attempts.begin("r", &key(1), MOST), Ok(()));
        let given_up = attempts.begin("r", &key(2), MOST);
        assert!(given_up.is_err_and(|text| text.contains("ended 5 times")));
        // It is settled by that: published again, it would be another one.
        attempts.end("r", &key(2));
        attempts.end("r", &key(1));
        assert!(!directory.path().join("scanning.json").exists());
    }

    #[test]
    fn what_others_may_have_counted_is_tried_until_it_is_counted() {
        let directory = tempfile::tempdir().unwrap();
        for attempt in 0..3 * MOST {
            let attempts = Attempts::continued(directory.path());
            assert_eq!(attempts.begin("r", &key(1), MOST), Ok(()));
            if attempt == MOST - 1 {
                attempts.give("r", &key(1));
            }
        }
        let attempts = Attempts::continued(directory.path());
        attempts.end("r", &key(1));
        // Published again, it is another one.
        for _ in 0..MOST {
            let attempts = Attempts::continued(directory.path());
            assert_eq!(attempts.begin("r", &key(1), MOST), Ok(()));
        }
        let attempts = Attempts::continued(directory.path());
        assert!(attempts.begin("r", &key(1), MOST).is_err());
    }

    #[test]
    fn what_is_damaged_says_nothing() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("scanning.json"), b"{\"r\": -").unwrap();
        let attempts = Attempts::continued(directory.path());
        assert_eq!(attempts.begin("r", &key(1), MOST), Ok(()));
    }
}

//! What the allocator keeps of freed memory is given back to the system.
//!
//! glibc returns what is free at the end of a heap and keeps what lies below something that lives. A sidecar frees buffers of
//! all sizes between evidence that stays, so that what it holds grows for hours although what it uses does not, and beside a
//! training that wants the memory it would sit on that of its largest scan until the next one. Fixed thresholds, which the
//! environment could set without a line of code, cost scans half as much time again (each buffer comes from the system anew);
//! one walk over the heaps every ten seconds costs milliseconds.

use std::time::{Duration, Instant};

/// At most so often: what is given back has to be asked for again.
const EVERY: Duration = Duration::from_secs(10);
/// So often while there is no work: whoever looks at pages leaves something behind, too.
const RESTING: Duration = Duration::from_secs(60);

/// When what the allocator keeps was last given back.
pub(crate) struct Heap {
    last: Instant,
    /// Whether there was work since.
    used: bool,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            last: Instant::now(),
            used: true,
        }
    }
}

impl Heap {
    /// There was work, and there may be more.
    pub(crate) fn worked(&mut self) {
        self.used = true;
        if self.last.elapsed() >= EVERY {
            self.give_back();
        }
    }

    /// There is no work at the moment.
    pub(crate) fn rests(&mut self) {
        let after = if self.used { EVERY } else { RESTING };
        if self.last.elapsed() >= after {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        let start = Instant::now();
        let any = give_back();
        let milliseconds = start.elapsed().as_millis();
        tracing::trace!(any, milliseconds, "free memory given back");
        *self = Self {
            last: Instant::now(),
            used: false,
        };
    }
}

/// Gives all free pages of all heaps back; whether there were any. Nowhere but with glibc: other allocators do it by themselves
/// or not at all.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
// There is no safe name for it. The only exception, see docs/supply-chain.md.
#[expect(unsafe_code)]
fn give_back() -> bool {
    // SAFETY: it is given no pointer, may be called by any thread at any time (MT-Safe, malloc_trim(3)), and touches nothing
    // that is allocated: whether another allocator is in use or not.
    unsafe { libc::malloc_trim(0) == 1 }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_back() -> bool {
    false
}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    use super::*;

    /// Anonymous memory of this process, in bytes.
    fn anonymous() -> u64 {
        let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
        let line = rollup.lines().find(|l| l.starts_with("Anonymous:"));
        let kib = line.unwrap().split_whitespace().nth(1).unwrap();
        1024 * kib.parse::<u64>().unwrap()
    }

    /// Blocks of which every other one is freed: nothing of it is at the end of a heap.
    #[test]
    fn what_is_free_between_what_lives_is_given_back() {
        const BLOCK: usize = 100_000;
        const COUNT: usize = 1000;
        let half = (BLOCK * COUNT / 2) as u64;
        let mut blocks: Vec<Option<Vec<u8>>> = (0..COUNT).map(|_| Some(vec![1; BLOCK])).collect();
        let full = anonymous();
        for block in blocks.iter_mut().step_by(2) {
            *block = None;
        }
        let freed = anonymous();
        let mut heap = Heap::default();
        // Not yet: ten seconds have not passed.
        heap.worked();
        heap.rests();
        let before = anonymous();
        assert!(heap.used);
        heap.last = Instant::now().checked_sub(EVERY).unwrap();
        let start = Instant::now();
        heap.rests();
        let took = start.elapsed();
        let after = anonymous();
        println!("{full} bytes, {freed} once freed, {before} before and {after} after {took:?}");
        assert!(
            full.saturating_sub(freed) < half / 2,
            "the allocator does it by itself"
        );
        assert!(before > after + half / 2, "{before} {after}");
        assert!(blocks.iter().flatten().all(|b| b.iter().all(|it| *it == 1)));
        // Once is enough, for a minute or until there was work again.
        assert!(!heap.used && heap.last.elapsed() < EVERY);
    }
}

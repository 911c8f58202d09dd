//! A crew: batches swept and forks taught side by side.
//!
//! One batch after another, a sweep waits for whatever a model does not spread over threads: reading, putting
//! together, small layers. So a crew has one worker for each thread of rayon's pool, whose size is the user's cap, and
//! each worker computes within a pool of its own of one thread: never more threads compute than the cap allows, and no
//! worker is ever handed another one's tensors.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use burn::tensor::Device;

use crate::error::InfluenceError;

/// How many workers sweep on `device`: one for each thread where the calling thread computes, and a single one where
/// a device has threads or queues of its own (libtorch, GPUs).
pub(crate) fn workers_on(device: &Device) -> usize {
    match computes_in_callers(device) {
        true => rayon::current_num_threads(),
        false => 1,
    }
}

/// Whether `device` computes where it is called, on the threads of rayon's pool.
pub(crate) fn computes_in_callers(device: &Device) -> bool {
    // Burn has no question for it; its constructors exist in builds with the backend only.
    let name = format!("{device:?}");
    name.contains("Flex") || name.contains("NdArray")
}

enum Told<R> {
    Progress(usize),
    Done(usize, R),
}

/// Does the jobs from 0 to `jobs`, each by whichever worker is free, and hands results to `take` on this thread as they
/// come.
///
/// `tools` has what each worker needs of its own, such as a clone of a model; there are as many workers as tools. What
/// `work` tells its last argument reaches `progress` on this thread. After the first failure no job is begun.
///
/// # Errors
///
/// Of the jobs that failed, what the first one said.
///
/// # Panics
///
/// When `work` does.
pub(crate) fn side_by_side<S: Send, R: Send>(
    mut tools: Vec<S>,
    jobs: usize,
    progress: &dyn Fn(usize),
    work: impl Fn(&mut S, usize, &dyn Fn(usize)) -> Result<R, InfluenceError> + Sync,
    mut take: impl FnMut(usize, R),
) -> Result<(), InfluenceError> {
    if tools.len() == 1 || jobs <= 1 {
        // Nothing to share: the work has the whole pool's threads.
        for job in 0..jobs {
            take(job, work(&mut tools[0], job, progress)?);
        }
        return Ok(());
    }
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    // No worker runs ahead of what this thread has been told, and may stop it for.
    let (sender, receiver) = sync_channel(tools.len());
    let turn =
        |tool: &mut S, sender: &SyncSender<Told<R>>| -> Result<(), (usize, InfluenceError)> {
            // The receiver lives as long as the workers.
            let tell = |passed| drop(sender.send(Told::Progress(passed)));
            while !stop.load(Ordering::Relaxed) {
                let job = next.fetch_add(1, Ordering::Relaxed);
                if job >= jobs {
                    break;
                }
                let done = work(tool, job, &tell).map_err(|error| {
                    stop.store(true, Ordering::Relaxed);
                    (job, error)
                })?;
                drop(sender.send(Told::Done(job, done)));
            }
            Ok(())
        };
    let turn = &turn;
    std::thread::scope(|scope| {
        let mut crew = Vec::new();
        for mut tool in tools {
            let sender = sender.clone();
            crew.push(scope.spawn(move || alone(|| turn(&mut tool, &sender))));
        }
        drop(sender);
        for told in receiver {
            match told {
                Told::Progress(passed) => progress(passed),
                Told::Done(job, done) => take(job, done),
            }
        }
        let mut failures = Vec::new();
        for worker in crew {
            match worker.join() {
                Ok(Ok(())) => (),
                Ok(Err(failure)) => failures.push(failure),
                Err(panic) => resume_unwind(panic),
            }
        }
        let first = failures.into_iter().min_by_key(|(job, _)| *job);
        first.map_or(Ok(()), |(_, error)| Err(error))
    })
}

/// Runs `action` in a pool of one thread, so that what it calls spreads over no others.
fn alone<R: Send>(action: impl FnOnce() -> R + Send) -> R {
    match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(pool) => pool.install(action),
        // No thread to be had: slower on this one, and right.
        Err(_) => action(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_threads<R: Send>(threads: usize, action: impl FnOnce() -> R + Send) -> R {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(action)
    }

    #[test]
    fn a_device_of_the_calling_thread_has_as_many_workers_as_threads() {
        assert_eq!(with_threads(3, || workers_on(&Device::flex())), 3);
        // Within a worker there is one: crews do not multiply.
        assert_eq!(alone(|| workers_on(&Device::flex())), 1);
    }

    #[test]
    fn every_job_is_done_once_whoever_does_it() {
        for workers in 1..4 {
            let (mut done, told) = (vec![0; 50], std::cell::Cell::new(0));
            let result = side_by_side(
                vec![(); workers],
                50,
                &|passed| told.set(told.get() + passed),
                |(), job, tell| {
                    tell(2);
                    Ok(job * job)
                },
                |job, square| {
                    assert_eq!(square, job * job);
                    done[job] += 1;
                },
            );
            assert!(result.is_ok());
            assert_eq!((done, told.get()), (vec![1; 50], 100));
        }
    }

    #[test]
    fn the_first_failure_is_told_and_nothing_begun_after_it() {
        let begun = AtomicUsize::new(0);
        let result = side_by_side(
            vec![(); 2],
            1000,
            &|_| (),
            |(), job, _| {
                begun.fetch_add(1, Ordering::Relaxed);
                match job {
                    0..=2 => Ok(()),
                    _ => Err(InfluenceError::Data(format!("job {job}"))),
                }
            },
            |_, ()| (),
        );
        let error = result.map_err(|error| error.to_string());
        assert!(error.is_err_and(|text| text.contains("job 3")));
        assert!(begun.load(Ordering::Relaxed) < 10);
    }

    #[test]
    fn a_panic_of_a_worker_is_one_of_the_caller() {
        let caught = std::panic::catch_unwind(|| {
            side_by_side(
                vec![(); 2],
                4,
                &|_| (),
                |(), job, _| match job {
                    2 => panic!("no job {job}"),
                    _ => Ok(()),
                },
                |_, ()| (),
            )
        });
        let panic = caught.err().unwrap();
        assert_eq!(crate::panic_text(panic.as_ref()), "no job 2");
    }
}

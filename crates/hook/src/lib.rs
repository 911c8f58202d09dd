//! Publishes checkpoints from a Burn training loop, without ever stopping, slowing or changing the
//! training. It knows Burn's training API and the files of a run; it knows nothing of the sidecar that
//! reads them.
//!
//! # One line for `SupervisedTraining`
//!
//! ```no_run
//! use burn::lr_scheduler::constant::ConstantLr;
//! use burn::optim::AdamConfig;
//! # use burn::train::InferenceStep;
//! use burn::train::{Learner, LearnerModel, SupervisedTraining, TrainLoader, TrainStep, ValidLoader};
//! use burn::train::metric::{Adaptor, LossInput};
//! use mirrorwatch_hook::{Hook, MirrorwatchExt};
//!
//! # fn train<M: LearnerModel>(model: M, train: TrainLoader<M>, valid: ValidLoader<M>)
//! # where
//! #     <M as TrainStep>::Output: Adaptor<LossInput>,
//! #     <M as InferenceStep>::Output: Adaptor<LossInput>,
//! # {
//! let hook = Hook::new("runs", "mnist-7").every_steps(500);
//! let result = SupervisedTraining::new("artifacts", train, valid)
//!     .num_epochs(10)
//!     .mirrorwatch(&hook) // this one
//!     .launch(Learner::new(model, AdamConfig::new().init(), ConstantLr::new(1e-3)));
//! # }
//! ```
//!
//! Everything else about the training stays as it was set: see [`MirrorwatchExt`] for what the line
//! replaces.
//!
//! # Two lines for a hand-written loop
//!
//! ```
//! use burn::nn::LinearConfig;
//! use burn::optim::{GradientsParams, SgdConfig};
//! use burn::tensor::{Device, Tensor};
//! use mirrorwatch_hook::Hook;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let root = tempfile::tempdir()?;
//! # let root = root.path();
//! let device = Device::flex().autodiff();
//! let mut model = LinearConfig::new(4, 2).init(&device);
//! let mut optim = SgdConfig::new().init();
//! let hook = Hook::new(root, "by-hand").every_steps(2);
//!
//! let mut step = 0;
//! for epoch in 1..=3 {
//!     for _batch in 0..4 {
//!         let loss = model.forward(Tensor::<2>::ones([8, 4], &device)).mean();
//!         let grads = GradientsParams::from_grads(loss.backward(), &model);
//!         model = optim.step(0.1, model, grads);
//!         step += 1;
//!         hook.on_step(epoch, step, None, &model);
//!     }
//!     hook.on_epoch_end(epoch, step, None, &model);
//! }
//! assert!(hook.finish());
//! assert!(root.join("by-hand/run.json").exists());
//! # Ok(())
//! # }
//! ```
//!
//! # When
//!
//! At the end of each epoch, and after an optimizer step [every so many](Hook::every_steps), [every so
//! often](Hook::every), on [request](Hook::request), [signal](Hook::on_signal) or a file named
//! [`publish`](REQUEST_FILE) in the run's directory. [`Hook::on_improvement`] leaves out epochs whose validation loss is not
//! the best so far; [`Hook::within`] and [`Hook::within_disk`] limit the time and the space all this takes.
//!
//! # Other trainings
//!
//! - Under Burn's multi-device and distributed strategies, `.mirrorwatch_checkpoints(&hook, artifacts)` publishes what
//!   Burn saves ([`Published`]).
//! - Without any hook, the sidecar can watch the files that Burn's learner saves: `watch --artifacts`.
//!
//! # What a checkpoint is
//!
//! Exactly the bytes that `model.clone().into_record()` would give at that moment: after an optimizer
//! step, or at the end of an epoch, which in `SupervisedTraining` is after its validation. Burn keeps
//! the latest update of BatchNorm statistics pending until the next forward pass or the next
//! `model.valid()`; a checkpoint taken before that has the statistics of one batch earlier, as Burn's
//! own record has. Whoever wants them folded in passes `&model.valid()` to [`Hook::on_step`]: the hook
//! does not do that to a model which is not its own.
//!
//! Its `train_loss` is, at the end of an epoch, the mean over that epoch. After a step it is the mean
//! since the checkpoint before, or since the epoch began when that is later. Burn's `LossMetric`
//! computes it, on the writer thread and whether or not the metric is registered. Losses are left out
//! of the mean rather than waited for when the writer is more than a thousand behind, which
//! [`Stats::losses_dropped`] counts. `valid_loss` is the mean of the validation after that epoch, and
//! `learning_rate` the one of the last step. What else there is to say goes along with
//! [`Hook::consumed`] and [`Hook::tag`].
//!
//! The step of a manifest counts optimizer steps since the training was launched. A resumed training
//! counts its epochs on and its steps from 1 again.
//!
//! # How it stays out of the way
//!
//! ```text
//!  training thread                         writer thread
//!  optimizer step ── snapshot ──► queue ──► record ── file ── manifest
//!                    (handles)   (bounded)  (waits for the device and for the disk)
//! ```
//!
//! - A snapshot copies handles, not tensors: microseconds, whatever the size of the model. While it
//!   waits it keeps the old tensors alive, so the hook can cost the memory of the model once for the
//!   checkpoint being written, once for each waiting one, of which there are four at most, and once for
//!   one that was given up and is left to the writer to free.
//! - No snapshot wakes the writer, which looks into the queue by itself every 10 to 40 ms: whoever wakes
//!   a thread may be put off its core for it, for milliseconds where all cores are busy. Only ends of
//!   epochs that come faster than that, and hundreds of losses, do.
//! - If the writer is busy, the newest step wins: a waiting step checkpoint is replaced. The end of an
//!   epoch is only given up when three others are waiting behind it. Both are counted as dropped.
//! - No random number is drawn, no parameter initialised, no BatchNorm statistic folded in; panics in
//!   our code are caught; errors are counted in [`Stats`], reported once per kind through `tracing`,
//!   and the next checkpoint is tried again. Only a writer thread that died ends the publishing.
//! - [`Hook::finish`] and the end of a supervised training wait for the last checkpoint, at most
//!   [`FINISH_LIMIT`]. Dropping the last clone of an unfinished hook waits at most [`DROP_LIMIT`].

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod checkpointer;
mod epoch;
mod error;
mod hook;
mod inner;
mod loss;
mod positions;
mod publisher;
mod queue;
mod stats;
mod strategy;
mod tape;
#[cfg(test)]
mod tests;
mod trigger;
mod writer;

pub use checkpointer::Published;
pub use error::HookError;
pub use hook::{DROP_LIMIT, FINISH_LIMIT, Hook};
pub use stats::Stats;
pub use strategy::{MirrorwatchExt, WatchedStrategy};
pub use trigger::REQUEST_FILE;

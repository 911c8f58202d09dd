//! The hook as a training strategy for Burn's `SupervisedTraining`.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use burn::train::metric::{Adaptor, LossInput};
use burn::train::{
    EventProcessorTraining, InferenceStep, Learner, LearnerEvent, LearnerModel,
    SupervisedLearningStrategy, SupervisedTraining, SupervisedTrainingEventProcessor, TrainLoader,
    TrainStep, TrainingComponents, TrainingStrategy, ValidLoader,
};

use crate::checkpointer;
use crate::epoch::{self, LossOf, ValidLossOf, Watch};
use crate::hook::Hook;
use crate::queue::{Ending, Moment};

/// Trains as Burn's built-in single-device strategy does, and shows each step to a [`Hook`].
///
/// Events, gradient accumulation, interruption, checkpointers and early stopping are the built-in
/// strategy's, in the same order. [`MirrorwatchExt`] installs it in one line; build it by hand to
/// combine an explicit device with a model whose output has no loss.
///
/// ```
#[doc = include_str!("example_training.txt")]
/// let hook = Hook::new(root, "mnist-7");
/// // For a model whose validation gives no loss.
/// let strategy = WatchedStrategy::new(&hook).with_loss();
/// training.with_training_strategy(strategy.into()).launch(learner);
/// let found = list_checkpoints(root, "mnist-7")?.manifests.remove(1).manifest;
/// assert!(found.train_loss.is_some() && found.valid_loss.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WatchedStrategy<M: LearnerModel> {
    hook: Hook,
    device: Option<Device>,
    loss_of: Option<LossOf<M>>,
    valid_loss_of: Option<ValidLossOf<M>>,
}

impl<M: LearnerModel> WatchedStrategy<M> {
    /// A strategy that trains on the device of the learner's model and reports no training loss.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// training.with_training_strategy(WatchedStrategy::new(&hook).into()).launch(learner);
    /// let found = list_checkpoints(root, "mnist-7")?.manifests.remove(0).manifest;
    /// assert_eq!((found.epoch, found.train_loss), (1, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new(hook: &Hook) -> Self {
        Self {
            hook: hook.clone(),
            device: None,
            loss_of: None,
            valid_loss_of: None,
        }
    }

    /// Trains on `device`, with autodiff enabled if it is not.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// let strategy = WatchedStrategy::new(&hook).on(Device::flex());
    /// let model = training.with_training_strategy(strategy.into()).launch(learner).model;
    /// assert_eq!(model.devices(), [Device::flex()]);
    /// assert_eq!(hook.stats().published, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn on(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// Reports the training loss that the model's output provides for Burn's `LossMetric`. The
    /// metric itself need not be registered.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// let strategy = WatchedStrategy::new(&hook).with_loss();
    /// training.with_training_strategy(strategy.into()).launch(learner);
    /// let found = list_checkpoints(root, "mnist-7")?.manifests;
    /// assert!(found[1].manifest.train_loss < found[0].manifest.train_loss);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_loss(mut self) -> Self
    where
        <M as TrainStep>::Output: Adaptor<LossInput>,
    {
        self.loss_of = Some(|output| output.adapt());
        self
    }

    /// Reports the validation loss likewise, which [`Hook::on_improvement`] looks at.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7").on_improvement();
    /// let strategy = WatchedStrategy::new(&hook).with_valid_loss();
    /// training.with_training_strategy(strategy.into()).launch(learner);
    /// let found = list_checkpoints(root, "mnist-7")?.manifests;
    /// assert!(found[1].manifest.valid_loss < found[0].manifest.valid_loss);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_valid_loss(mut self) -> Self
    where
        <M as InferenceStep>::Output: Adaptor<LossInput>,
    {
        self.valid_loss_of = Some(|output| output.adapt());
        self
    }
}

impl<M: LearnerModel> From<WatchedStrategy<M>> for TrainingStrategy<M> {
    fn from(strategy: WatchedStrategy<M>) -> Self {
        TrainingStrategy::Custom(Arc::new(strategy))
    }
}

/// Adds a [`Hook`] to Burn's [`SupervisedTraining`] in one line.
///
/// # What the line replaces
///
/// The training strategy, and nothing else: checkpointers, checkpointing strategy, interrupter,
/// metrics, loggers and early stopping stay as they are. A strategy set before this line is replaced,
/// and one set after it takes the hook out again. Training runs on one device, the first of the model.
///
/// # Several devices
///
/// Burn's multi-device and distributed strategies run their own loops, in which nothing can be seen but what is
/// saved. [`mirrorwatch_checkpoints`](MirrorwatchExt::mirrorwatch_checkpoints) leaves the strategy as it is and publishes
/// what Burn's checkpointers save, at the end of epochs.
///
/// # Gradient checkpointing
///
/// Burn tells a custom strategy nothing about `.gradient_checkpointing()`. To have both, name the
/// device: `.mirrorwatch_on(&hook, device.autodiff().gradient_checkpointing())`.
///
/// ```
#[doc = include_str!("example_training.txt")]
/// let hook = Hook::new(root, "mnist-7").every_steps(3);
/// training.mirrorwatch(&hook).launch(learner);
/// // Two epochs of two steps, and step 3.
/// assert_eq!(hook.stats().snapshots, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait MirrorwatchExt<M: LearnerModel>: Sized {
    /// Publishes the training through `hook`, on the device of the learner's model, with the losses that the
    /// outputs of training and validation provide for Burn's `LossMetric`. For a model of which only one does, build a
    /// [`WatchedStrategy`].
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// training.mirrorwatch(&hook).launch(learner);
    /// let found = list_checkpoints(root, "mnist-7")?.manifests.remove(1).manifest;
    /// assert_eq!((found.epoch, found.step, found.learning_rate), (2, 4, Some(0.1)));
    /// assert!(found.train_loss.is_some() && found.valid_loss.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn mirrorwatch(self, hook: &Hook) -> Self
    where
        <M as TrainStep>::Output: Adaptor<LossInput>,
        <M as InferenceStep>::Output: Adaptor<LossInput>;

    /// As [`mirrorwatch`](MirrorwatchExt::mirrorwatch), training on `device`.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// training.mirrorwatch_on(&hook, Device::flex()).launch(learner);
    /// assert_eq!(hook.stats().published, 2);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn mirrorwatch_on(self, hook: &Hook, device: Device) -> Self
    where
        <M as TrainStep>::Output: Adaptor<LossInput>,
        <M as InferenceStep>::Output: Adaptor<LossInput>;

    /// As [`mirrorwatch`](MirrorwatchExt::mirrorwatch), for a model whose outputs have no loss. The
    /// manifests then have none.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// training.mirrorwatch_without_loss(&hook).launch(learner);
    /// let found = list_checkpoints(root, "mnist-7")?.manifests.remove(1).manifest;
    /// assert_eq!((found.step, found.train_loss), (4, None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn mirrorwatch_without_loss(self, hook: &Hook) -> Self;

    /// Publishes what Burn's checkpointers save, under any training strategy: at the end of epochs only, without
    /// losses and steps. Replaces the checkpointers by Burn's default ones below `artifacts`, the directory that
    /// [`SupervisedTraining::new`] was given; to wrap others, see [`Published`](crate::Published).
    ///
    /// Call [`Hook::finish`] after `launch`.
    ///
    /// ```
    #[doc = include_str!("example_training.txt")]
    /// let hook = Hook::new(root, "mnist-7");
    /// training.mirrorwatch_checkpoints(&hook, artifacts).launch(learner);
    /// assert!(hook.finish());
    /// assert_eq!(hook.stats().published, 2);
    /// assert!(artifacts.join("checkpoint/model-2.bpk").exists());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn mirrorwatch_checkpoints(self, hook: &Hook, artifacts: impl AsRef<Path>) -> Self;
}

impl<M: LearnerModel> MirrorwatchExt<M> for SupervisedTraining<M> {
    fn mirrorwatch(self, hook: &Hook) -> Self
    where
        <M as TrainStep>::Output: Adaptor<LossInput>,
        <M as InferenceStep>::Output: Adaptor<LossInput>,
    {
        self.with_training_strategy(with_losses(hook).into())
    }

    fn mirrorwatch_on(self, hook: &Hook, device: Device) -> Self
    where
        <M as TrainStep>::Output: Adaptor<LossInput>,
        <M as InferenceStep>::Output: Adaptor<LossInput>,
    {
        self.with_training_strategy(with_losses(hook).on(device).into())
    }

    fn mirrorwatch_without_loss(self, hook: &Hook) -> Self {
        self.with_training_strategy(WatchedStrategy::new(hook).into())
    }

    fn mirrorwatch_checkpoints(self, hook: &Hook, artifacts: impl AsRef<Path>) -> Self {
        let (models, optimizers, schedulers) = checkpointer::defaults(hook, artifacts.as_ref());
        self.with_custom_checkpointers(models, optimizers, schedulers)
    }
}

fn with_losses<M: LearnerModel>(hook: &Hook) -> WatchedStrategy<M>
where
    <M as TrainStep>::Output: Adaptor<LossInput>,
    <M as InferenceStep>::Output: Adaptor<LossInput>,
{
    WatchedStrategy::new(hook).with_loss().with_valid_loss()
}

impl<M: LearnerModel> SupervisedLearningStrategy<M> for WatchedStrategy<M> {
    // Follows `burn-train` 0.22.1, `learner/supervised/strategies/single/strategy.rs`. The calls to
    // `watch` and the end of the hook are ours.
    fn fit(
        &self,
        training_components: TrainingComponents<M>,
        mut learner: Learner<M>,
        dataloader_train: TrainLoader<M>,
        dataloader_valid: ValidLoader<M>,
        starting_epoch: usize,
    ) -> (M, SupervisedTrainingEventProcessor<M>) {
        let device = match &self.device {
            Some(device) => device.clone(),
            // Burn's default, which has already looked at this device before it calls us.
            None => learner.model().devices()[0].clone(),
        };
        let device = match device.is_autodiff() {
            true => device,
            false => device.autodiff(),
        };

        let dataloader_train = dataloader_train.to_device(&device);
        let train_total_items = dataloader_train.num_items();
        let dataloader_valid = dataloader_valid.to_device(&device.clone().inner());
        let valid_total_items = dataloader_valid.num_items();
        learner.fork(&device);
        let mut event_processor = training_components.event_processor;
        let mut checkpointer = training_components.checkpointer;
        let mut early_stopping = training_components.early_stopping;
        let interrupter = &training_components.interrupter;

        self.hook.start();
        let mut watch = Watch {
            hook: &self.hook,
            loss_of: self.loss_of,
            valid_loss_of: self.valid_loss_of,
            step: 0,
            unseen: false,
        };
        let mut last_epoch = starting_epoch;

        for epoch in starting_epoch..=training_components.num_epochs {
            last_epoch = epoch;
            interrupter.fail_on_error(event_processor.process_train(LearnerEvent::StartSplit {
                epoch_number: epoch,
                total_items: train_total_items,
            }));
            epoch::train(
                &dataloader_train,
                training_components.grad_accumulation,
                &mut learner,
                epoch,
                &mut event_processor,
                interrupter,
                &mut watch,
            );
            interrupter.fail_on_error(event_processor.process_train(LearnerEvent::EndSplit(epoch)));

            if interrupter.should_stop() {
                if let Some(interruption) = interrupter.interruption() {
                    let reason = interruption.reason.as_deref().unwrap_or("reason unknown");
                    tracing::info!("Training interrupted: {reason}");
                }
                break;
            }

            interrupter.fail_on_error(event_processor.process_valid(LearnerEvent::StartSplit {
                epoch_number: epoch,
                total_items: valid_total_items,
            }));
            epoch::validate(
                &dataloader_valid,
                &learner,
                epoch,
                &mut event_processor,
                interrupter,
                &watch,
            );
            interrupter.fail_on_error(event_processor.process_valid(LearnerEvent::EndSplit(epoch)));
            interrupter.fail_on_error(event_processor.process_train(LearnerEvent::EndEpoch(epoch)));
            if checkpointer.is_some() || early_stopping.is_some() {
                interrupter.fail_on_error(event_processor.flush());
            }

            watch.take(epoch, Moment::EpochEnd, &learner);

            if interrupter.should_stop() {
                break;
            }

            if let Some(checkpointer) = &mut checkpointer {
                checkpointer.checkpoint(&learner, epoch, &training_components.event_store);
            }

            if let Some(early_stopping) = &mut early_stopping
                && early_stopping.should_stop(epoch, &training_components.event_store)
            {
                break;
            }
        }

        // An epoch cut short still ends in weights that someone may want to look at.
        if watch.unseen {
            watch.take(last_epoch, Moment::Step, &learner);
        }
        self.hook.end(match interrupter.error() {
            None => Ending::Complete,
            Some(_) => Ending::Broken,
        });

        (learner.model(), event_processor)
    }
}

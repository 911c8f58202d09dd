//! One epoch of training and one of validation, as Burn's own single-device strategy runs them.
//!
//! The two loops follow `burn-train` 0.22.1, `learner/supervised/strategies/single/epoch.rs`, line by
//! line; only the calls to [`Watch`] are ours. Keep it that way: a training with the hook has to be
//! the training without it.

use burn::data::dataloader::Progress;
use burn::optim::GradientsAccumulator;
use burn::train::metric::LossInput;
use burn::train::{
    EventProcessorTraining, InferenceStep, Interrupter, Learner, LearnerEvent, LearnerModel,
    SupervisedTrainingEventProcessor, TrainLoader, TrainStep, TrainingItem, ValidLoader,
};

use crate::hook::{Hook, tape};
use crate::loss::Loss;
use crate::queue::Moment;

/// How the loss is read off the output of a training step.
pub(crate) type LossOf<M> = fn(&<M as TrainStep>::Output) -> LossInput;

/// How it is read off that of a validation step.
pub(crate) type ValidLossOf<M> = fn(&<M as InferenceStep>::Output) -> LossInput;

/// What the hook sees of a training.
pub(crate) struct Watch<'a, M: LearnerModel> {
    pub(crate) hook: &'a Hook,
    pub(crate) loss_of: Option<LossOf<M>>,
    pub(crate) valid_loss_of: Option<ValidLossOf<M>>,
    /// Optimizer steps so far.
    pub(crate) step: usize,
    /// Whether there were any since the last snapshot.
    pub(crate) unseen: bool,
}

impl<M: LearnerModel> Watch<'_, M> {
    fn after_item(&self, epoch: usize, output: &<M as TrainStep>::Output) {
        if let Some(loss_of) = self.loss_of {
            self.hook
                .offer_loss(epoch, false, || Loss::Tensor(Box::new(loss_of(output))));
        }
    }

    fn after_validation(&self, epoch: usize, output: &<M as InferenceStep>::Output) {
        if let Some(loss_of) = self.valid_loss_of {
            self.hook
                .offer_loss(epoch, true, || Loss::Tensor(Box::new(loss_of(output))));
        }
    }

    /// `last` is true for the last step of an epoch: the checkpoint of the epoch's end, which has the
    /// same weights, will follow and take its place.
    fn after_step(&mut self, epoch: usize, last: bool, learner: &Learner<M>) {
        self.step += 1;
        self.unseen = true;
        if !last && self.hook.is_due(self.step) {
            self.take(epoch, Moment::Step, learner);
        }
    }

    pub(crate) fn take(&mut self, epoch: usize, moment: Moment, learner: &Learner<M>) {
        self.unseen = false;
        self.hook.take(epoch, self.step, moment, None, || {
            // It is kept beside the model: what it was at this very moment.
            self.hook.learning_rate(learner.lr_current().base());
            tape(&learner.model())
        });
    }
}

/// A training epoch.
pub(crate) fn train<M: LearnerModel>(
    dataloader: &TrainLoader<M>,
    grad_accumulation: Option<usize>,
    learner: &mut Learner<M>,
    epoch: usize,
    processor: &mut SupervisedTrainingEventProcessor<M>,
    interrupter: &Interrupter,
    watch: &mut Watch<'_, M>,
) {
    tracing::info!("Executing training step for epoch {epoch}");

    let mut iterator = dataloader.iter();
    let mut iteration = 0;
    let mut accumulator = GradientsAccumulator::new();
    let mut accumulation_current = 0;

    while let Some(item) = iterator.next() {
        let item = match item {
            Ok(item) => item,
            Err(err) => {
                interrupter.fail(err);
                break;
            }
        };
        iteration += 1;
        tracing::info!("Iteration {iteration}");

        let progress: Progress = iterator.progress();
        let last = progress.is_completed();
        let item = learner.train_step(item);
        watch.after_item(epoch, &item.item);

        match grad_accumulation {
            Some(accumulation) => {
                accumulator.accumulate(&learner.model(), item.grads);
                accumulation_current += 1;

                if accumulation <= accumulation_current || last {
                    let grads = accumulator.grads();

                    learner.lr_step();
                    learner.optimizer_step(grads);
                    accumulation_current = 0;
                    watch.after_step(epoch, last, learner);
                }
            }
            None => {
                learner.lr_step();
                learner.optimizer_step(item.grads);
                watch.after_step(epoch, last, learner);
            }
        }

        let item = TrainingItem::new(
            item.item,
            progress,
            Some(iteration),
            Some(learner.lr_current()),
        );

        interrupter.fail_on_error(processor.process_train(LearnerEvent::ProcessedItem(item)));

        if interrupter.should_stop() {
            break;
        }
    }
}

/// A validation epoch.
pub(crate) fn validate<M: LearnerModel>(
    dataloader: &ValidLoader<M>,
    learner: &Learner<M>,
    epoch: usize,
    processor: &mut SupervisedTrainingEventProcessor<M>,
    interrupter: &Interrupter,
    watch: &Watch<'_, M>,
) {
    tracing::info!("Executing validation step for epoch {epoch}");
    let model = learner.model().valid();

    let mut iterator = dataloader.iter();
    let mut iteration = 0;

    while let Some(item) = iterator.next() {
        let item = match item {
            Ok(item) => item,
            Err(err) => {
                interrupter.fail(err);
                break;
            }
        };
        let progress = iterator.progress();
        iteration += 1;

        let item = InferenceStep::step(&model, item);
        watch.after_validation(epoch, &item);
        let item = TrainingItem::new(item, progress, Some(iteration), None);

        interrupter.fail_on_error(processor.process_valid(LearnerEvent::ProcessedItem(item)));

        if interrupter.should_stop() {
            break;
        }
    }
}

//! Which samples the worker reads of a checkpoint, where it does not read all of them.

use mirrorwatch_influence::Task;

use super::Worker;
use crate::budget::{Cost, Plan};
use crate::intake::{Job, entry};
use crate::part::{self, Part};
use crate::store::{Outcome, RunState};

/// Why checkpoints are left out that the budget has nothing for.
const BUDGET: &str = "budget";

impl<T: Task> Worker<T> {
    /// What is to be done with the next checkpoint of a run.
    pub(super) fn plan(&self, state: &RunState) -> Plan {
        let labelled = self.labels.train.len() - self.labels.unlabelled.len();
        let Some(budget) = self.budget else {
            return Plan::Read(labelled);
        };
        let costs: Vec<Cost> = state.ledger.scans().iter().map(Cost::of).collect();
        budget.plan(&costs, state.ledger.left_out(BUDGET), labelled)
    }

    /// What a scan reads that is to read so much; none where that is everything.
    pub(super) fn part(&self, state: &RunState, plan: Plan) -> Option<Part> {
        let (Plan::Read(samples), Some(_)) = (plan, self.budget) else {
            return None;
        };
        let last = state.last.as_ref()?;
        // Whether or not they can be named.
        let wrong = last.noise_ratio_estimate * last.scored_samples as f64;
        let wrong = last.suspects.max(wrong as usize);
        part::choose(
            &state.evidence,
            &self.labels,
            samples,
            wrong,
            self.config.seed,
        )
    }

    /// What training has consumed since the scan before; none where that is not known, or is everything.
    pub(super) fn window(&self, state: &RunState, job: &Job) -> Option<Part> {
        let manifest = job.spooled.manifest();
        let last = state.ledger.last_scanned()?;
        // Of those in between, nobody has kept what they had consumed.
        let next = last.sequence.checked_add(1);
        if last.instance != manifest.instance || next != Some(manifest.sequence) {
            return None;
        }
        let positions = manifest.consumed.as_ref()?.positions()?;
        part::consumed(&state.evidence, &self.labels, &positions, self.config.seed)
    }

    /// Leaves a checkpoint out, to save its share of the budget.
    pub(super) fn leave_out(&self, job: &Job) {
        let checkpoint = job.spooled.key().to_string();
        tracing::info!(run = job.run, checkpoint, "skipped, to keep to the budget");
        self.metrics.skip(BUDGET);
        self.runs
            .note(&job.run, entry(job, Outcome::Skipped(BUDGET.to_string())));
        self.runs.save(&job.run);
    }
}

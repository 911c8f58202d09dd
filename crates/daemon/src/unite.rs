//! `unite`: what the shards of a divided sidecar have found, put together as if it were of one.

use std::path::{Path, PathBuf};

use clap::Args;
use mirrorwatch_influence::{Division, Labels, Task};

use crate::account::account;
use crate::error::DaemonError;
use crate::evidence::{Channel, Evidence};
use crate::forks;
use crate::history::History;
use crate::narrow::{Epochs, Halves};
use crate::options::ScanOptions;
use crate::results::{self, Paths};
use crate::runs::{fingerprint, state_path};
use crate::store::RunState;

/// What `unite` is told.
#[derive(Debug, Clone, Args)]
pub struct UniteArgs {
    /// The state directories of all shards, in their order: that of shard 0 first.
    #[arg(required = true, value_name = "STATE")]
    pub shards: Vec<PathBuf>,

    /// Where to put the whole: a state directory for `report`, `export`, `confirm`, `review` and `watch`.
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,

    /// What the shards were given.
    #[command(flatten)]
    pub scan: ScanOptions,
}

/// Puts the evidence of every run together and writes it, and the results of its last scan.
///
/// # Errors
///
/// A state that cannot be read, is not of the shard that its place says, or not of the same checkpoints as the others;
/// or one that is there already.
pub fn run<T: Task>(task: &T, args: &UniteArgs) -> Result<bool, DaemonError> {
    let labels = Labels::read(task)?;
    let mut runs = Vec::new();
    for shard in &args.shards {
        for run in names(&shard.join("runs")) {
            if !runs.contains(&run) {
                runs.push(run);
            }
        }
    }
    if runs.is_empty() {
        return Err(DaemonError::Option(
            "none of these directories holds evidence of a run; give those that --state named"
                .to_string(),
        ));
    }
    runs.sort();
    for run in runs {
        let united = united::<T>(&labels, args, &run)?;
        let found = write(task, &labels, args, &run, &united)?;
        tracing::info!(
            run,
            checkpoints = united.evidence.checkpoints,
            suspects = found,
            "{} shards united in {}",
            args.shards.len(),
            args.into.display()
        );
    }
    Ok(true)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().join("state.bin").exists()
            && let Ok(name) = entry.file_name().into_string()
        {
            names.push(name);
        }
    }
    names
}

/// The state of one run, from those of all shards.
fn united<T: Task>(labels: &Labels, args: &UniteArgs, run: &str) -> Result<RunState, DaemonError> {
    let estimators = args.scan.estimators::<T>()?;
    let (folds, seed) = (args.scan.folds as usize, args.scan.seed);
    let count = args.shards.len() as u32;
    let mut shards: Vec<(RunState, Vec<usize>, PathBuf)> = Vec::new();
    for (index, directory) in (0..count).zip(&args.shards) {
        let path = state_path(directory, run);
        let unusable = |message: String| DaemonError::State {
            path: path.clone(),
            message,
        };
        let division = Division { index, count };
        let Some(mut state) = RunState::load(&path)? else {
            return Err(unusable(format!(
                "there is none, but other shards have one of run {run}"
            )));
        };
        let share = labels.share(division);
        let own = fingerprint(&share, &estimators, folds, seed);
        if state.fingerprint != own {
            return Err(unusable(format!(
                "it is not of shard {index} of {count} of these data and settings; give all shards, in their order, and the options that they were given"
            )));
        }
        if state.last.is_none() {
            return Err(unusable("no checkpoint is scanned yet".to_string()));
        }
        let first = shards.first().map(|(first, _, _)| &first.evidence);
        if first.is_some_and(|first| !alike(first, &state.evidence)) {
            return Err(unusable(
                "it is not of the same checkpoints as that of shard 0; unite them when all have come to the end of a scan".to_string(),
            ));
        }
        let parent = path.parent().unwrap_or(directory);
        state.forks = forks::load(parent, state.evidence.checkpoints, &own)?;
        shards.push((state, division.own(labels.train.len()), path));
    }
    let parts: Vec<(&Evidence, &[usize])> = shards
        .iter()
        .map(|(state, own, _)| (&state.evidence, &own[..]))
        .collect();
    let evidence = evidence_of(&parts, labels.train.len()).ok_or_else(|| DaemonError::State {
        path: state_path(&args.into, run),
        message:
            "the shards' histories are not of the same checkpoints, or one of them cannot be read"
                .to_string(),
    })?;
    let (first, _, _) = shards.swap_remove(0);
    let mut last = first.last;
    if let Some(summary) = &mut last {
        summary.shard = None;
    }
    Ok(RunState {
        fingerprint: fingerprint(labels, &estimators, folds, seed),
        evidence,
        ledger: first.ledger,
        last,
        forks: first.forks,
    })
}

/// Whether all that does not belong to single training samples is the same.
fn alike(a: &Evidence, b: &Evidence) -> bool {
    let probe = |evidence: &Evidence| -> Vec<(bool, Vec<f32>, Vec<f32>)> {
        let of = |c: &Channel| (c.held_out_null, c.probe.clone(), c.probe_mean.clone());
        evidence.channels.iter().map(of).collect()
    };
    let whole = |e: &Evidence| (e.checkpoints, e.weight.to_bits(), e.vote_weight.to_bits());
    whole(a) == whole(b) && probe(a) == probe(b)
}

/// The evidence of all samples. Each shard's go to the positions that come with it.
fn evidence_of(shards: &[(&Evidence, &[usize])], samples: usize) -> Option<Evidence> {
    let (first, _) = shards.first()?;
    fn scattered<V: Copy + Default>(
        shards: &[(&Evidence, &[usize])],
        samples: usize,
        of: impl Fn(&Evidence) -> &[V],
    ) -> Vec<V> {
        let mut all = vec![V::default(); samples];
        for (evidence, positions) in shards {
            for (&position, &value) in positions.iter().zip(of(evidence)) {
                all[position] = value;
            }
        }
        all
    }
    let halves = |of: fn(&Evidence) -> &Halves| {
        let mut all = vec![0.0; samples];
        for (evidence, positions) in shards {
            for (&position, value) in positions.iter().zip(of(evidence).iter()) {
                all[position] = value;
            }
        }
        Halves::of(&all)
    };
    // Epochs are numbered as they occur, which all shards see alike.
    let epochs = |of: fn(&Evidence) -> &Epochs| {
        let first = scattered(shards, samples, |evidence| of(evidence).parts().1);
        Epochs::restored(of(shards[0].0).parts().0.to_vec(), first)
    };
    let mut channels = Vec::with_capacity(first.channels.len());
    for (nth, channel) in first.channels.iter().enumerate() {
        channels.push(Channel {
            estimator: channel.estimator.clone(),
            held_out_null: channel.held_out_null,
            train: scattered(shards, samples, |e| &e.channels[nth].train),
            probe: channel.probe.clone(),
            probe_mean: channel.probe_mean.clone(),
            suggested: scattered(shards, samples, |e| &e.channels[nth].suggested),
            lead: scattered(shards, samples, |e| &e.channels[nth].lead),
        });
    }
    let histories: Vec<(&History, &[usize])> = shards
        .iter()
        .map(|(evidence, own)| (&evidence.history, *own))
        .collect();
    Some(Evidence {
        checkpoints: first.checkpoints,
        weight: first.weight,
        vote_weight: first.vote_weight,
        channels,
        mean_loss: scattered(shards, samples, |e| &e.mean_loss),
        mean_margin: scattered(shards, samples, |e| &e.mean_margin),
        last_margin: halves(|e| &e.last_margin),
        last_loss: halves(|e| &e.last_loss),
        fitted_epoch: epochs(|e| &e.fitted_epoch),
        flagged_epoch: epochs(|e| &e.flagged_epoch),
        flagged_count: scattered(shards, samples, |e| &e.flagged_count),
        history: History::united(&histories, samples)?,
        turned: first.turned,
    })
}

/// Writes the state and the results of its last scan; returns the number of suspects.
fn write<T: Task>(
    task: &T,
    labels: &Labels,
    args: &UniteArgs,
    run: &str,
    state: &RunState,
) -> Result<usize, DaemonError> {
    let path = state_path(&args.into, run);
    let directory = path.parent().unwrap_or(&args.into);
    let failed = |message: String| DaemonError::Write {
        path: path.clone(),
        message,
    };
    if path.exists() {
        return Err(failed(
            "it is there already; name another directory with --into".to_string(),
        ));
    }
    std::fs::create_dir_all(directory).map_err(|error| failed(error.to_string()))?;
    let mut found = 0;
    if let Some(summary) = &state.last {
        let mut account = account(&state.evidence, labels, args.scan.levels()).map_err(failed)?;
        if summary.refusal.is_some() {
            account.name_nobody();
        }
        let suspects = results::suspects(task, labels, &state.evidence, &account);
        found = suspects.len();
        let paths = Paths::new(directory, summary.epoch, summary.step);
        results::write(&paths, summary, &suspects, &state.evidence.history, None)?;
    }
    let checkpoints = state.evidence.checkpoints;
    forks::save(directory, checkpoints, &state.fingerprint, &state.forks)?;
    state.save(&path)?;
    Ok(found)
}

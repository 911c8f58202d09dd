//! What all of it is for: planted wrong labels come out on top, with the right label suggested.

use mirrorwatch_influence::{Estimate, Scan};
use mirrorwatch_stats::ranking::auroc;

use crate::common::{Toy, turn};
use crate::nets::{Conv, Net, Normed, Smooth};
use crate::unchanged::{everything, run};

fn estimate<'a>(scan: &'a Scan, name: &str) -> &'a Estimate {
    let mut found = scan.estimates.iter();
    found.find(|e| e.estimator.to_string() == name).unwrap()
}

/// The share of wrong labels whose true label is the suggested one.
fn restored<M>(task: &Toy<M>, estimate: &Estimate) -> f64
where
    M: Net + 'static,
{
    let (mut right, mut flips) = (0usize, 0usize);
    for (sample, flipped) in task.flipped().into_iter().enumerate() {
        if flipped {
            flips += 1;
            right += usize::from(estimate.suggested[sample] as usize == task.truth[sample]);
        }
    }
    right as f64 / flips as f64
}

fn finds_flips_early<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(600, 120, 9);
    let model = task.trained(1, 0.02, 9);
    let scan = run(&task, &model, &everything::<M>(0));
    let estimate = estimate(&scan, "finetune:after");
    let found = auroc(&estimate.train, &task.flipped()).unwrap();
    assert!(found > 0.9, "{found}");
    let restored = restored(&task, estimate);
    assert!(restored > 0.8, "{restored}");
    // No wrong label in the probe: its scores are those of clean samples, so well below the flips.
    let flips: Vec<f32> = with(&estimate.train, &task.flipped());
    let both: Vec<f32> = flips.iter().chain(&estimate.probe).copied().collect();
    let wrong: Vec<bool> = (0..both.len()).map(|i| i < flips.len()).collect();
    let apart = auroc(&both, &wrong).unwrap();
    assert!(apart > 0.9, "{apart}");
}

fn with(scores: &[f32], mask: &[bool]) -> Vec<f32> {
    let mut kept = Vec::new();
    for (score, keep) in scores.iter().zip(mask) {
        if *keep {
            kept.push(*score);
        }
    }
    kept
}

#[test]
fn finetune_finds_flips_early_with_a_smooth_net() {
    finds_flips_early::<Smooth>();
}

#[test]
fn finetune_finds_flips_early_with_batchnorm_and_dropout() {
    finds_flips_early::<Normed>();
}

#[test]
fn finetune_finds_flips_early_with_a_convolution() {
    finds_flips_early::<Conv>();
}

/// Every estimator that is on offer must be better than tossing a coin, sign included.
#[test]
fn every_direction_with_its_own_score_points_the_right_way() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(600, 120, 10);
    let model = task.trained(1, 0.02, 10);
    let scan = run(&task, &model, &everything::<Smooth>(0));
    for direction in mirrorwatch_influence::direction::all::<Toy<Smooth>>() {
        let name = format!("{}:{}", direction.name(), direction.score().name());
        let found = auroc(&estimate(&scan, &name).train, &task.flipped()).unwrap();
        assert!(found > 0.8, "{name} {found}");
    }
}

/// Directions that are no fine-tuning, each with its own score.
fn further_directions_find_flips<M: Net + 'static>() {
    let _turn = turn();
    let task = Toy::<M>::gaussian(600, 120, 9);
    let model = task.trained(1, 0.02, 9);
    let mut config = everything::<M>(0);
    let names = ["inverse-hessian:delta", "per-class:counterfactual"];
    config
        .estimators
        .retain(|e| names.contains(&e.to_string().as_str()));
    let scan = run(&task, &model, &config);
    for name in names {
        let estimate = estimate(&scan, name);
        let found = auroc(&estimate.train, &task.flipped()).unwrap();
        assert!(found > 0.9, "{name} {found}");
        let restored = restored(&task, estimate);
        assert!(restored > 0.8, "{name} {restored}");
    }
}

#[test]
fn further_directions_find_flips_with_a_smooth_net() {
    further_directions_find_flips::<Smooth>();
}

#[test]
fn further_directions_find_flips_with_batchnorm_and_dropout() {
    further_directions_find_flips::<Normed>();
}

#[test]
fn further_directions_find_flips_with_a_convolution() {
    further_directions_find_flips::<Conv>();
}

/// Memorised wrong labels have a small loss; after a few clean steps it is no longer small.
#[test]
fn finetune_still_finds_flips_when_they_are_memorised() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(240, 120, 11);
    let model = task.trained(250, 0.1, 11);
    let scan = run(&task, &model, &everything::<Smooth>(0));
    let fitted = scan.train_margins.iter().filter(|m| **m > 0.0).count();
    assert!(
        fitted as f64 > 0.98 * 240.0,
        "{fitted} of 240 are memorised"
    );
    let loss = auroc(&scan.train_losses, &task.flipped()).unwrap();
    let mirrored = estimate(&scan, "finetune:after");
    let mirrored = auroc(&mirrored.train, &task.flipped()).unwrap();
    assert!(mirrored > 0.9 && mirrored > loss, "{mirrored} {loss}");
}

#[test]
fn wrong_labels_in_the_probe_are_noticed_and_wrong_training_labels_are_not_taken_for_them() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(600, 400, 9);
    let model = task.trained(1, 0.02, 9);
    let clean = run(&task, &model, &everything::<Smooth>(0));
    let mut probe = task.probe.samples.clone();
    for sample in probe.iter_mut().step_by(11) {
        sample.label = (sample.label + 1) % task.classes;
    }
    let noisy = Toy::<Smooth>::of(task.train.samples.clone(), probe, task.classes);
    let noisy = run(&noisy, &model, &everything::<Smooth>(0));
    let (clean, noisy) = (
        estimate(&clean, "finetune:after").probe_noise,
        estimate(&noisy, "finetune:after").probe_noise,
    );
    assert!(clean < 0.01, "{clean}");
    // From .01 on, a count that it would hide is refused.
    assert!((0.01..0.1).contains(&noisy), "{noisy}");
}

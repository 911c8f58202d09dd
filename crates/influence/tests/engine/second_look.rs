//! Stage two, verification and leaks over small models.

use burn::tensor::Device;
use mirrorwatch_influence::exact::{Confirm, ConfirmOptions, Confirmation, Exact, inner};
use mirrorwatch_influence::leaks::{LeakOptions, leaks};
use mirrorwatch_influence::verify::{
    LENGTHS, MirrorOptions, RetrainOptions, first_order, mirror, planted,
};
use mirrorwatch_influence::{Estimator, InfluenceError, Labels, Layers, Set, SweepOptions};

use crate::common::{CLASSES, Toy, quiet, turn};
use crate::nets::{Conv, Net, Normed, Smooth};
use crate::weights::bits;

fn confirmed<M: Net + 'static>(task: &Toy<M>, models: &[&M], layers: Layers) -> Confirmation {
    let labels = Labels::read(task).unwrap();
    let options = ConfirmOptions {
        layers,
        candidates: 40,
        ..ConfirmOptions::default()
    };
    let mut confirm = Confirm::new(&labels, &[3, 8, 21], &[5], options);
    for model in models {
        let solved = confirm.add(task, model, &quiet()).unwrap();
        assert!(solved.residual < 0.1, "{solved:?}");
    }
    confirm.finish()
}

/// TracInCP is the sum over checkpoints of what each of them says, and what each says is exact.
#[test]
fn checkpoints_add_up() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(60, 32, 41);
    let (early, late) = (task.trained(1, 0.02, 41), task.trained(3, 0.02, 41));
    let labels = Labels::read(&task).unwrap();
    for layers in [Layers::All, Layers::Last] {
        let both = confirmed(&task, &[&early, &late], layers);
        let each = [&early, &late].map(|model| confirmed(&task, &[model], layers));
        assert_eq!(both.checkpoints, 2);
        let options = quiet();
        for (place, sum) in both.suspects.iter().chain(&both.null).enumerate() {
            let one = |of: &Confirmation| of.suspects.iter().chain(&of.null).nth(place).cloned();
            let [a, b] = each.each_ref().map(|of| one(of).unwrap());
            assert!((sum.tracin - a.tracin - b.tracin).abs() < 1e-9);
            assert!((sum.influence - a.influence - b.influence).abs() < 1e-9);
            assert!((2.0 * sum.support - a.support - b.support).abs() < 1e-9);
            let exact = Exact::new(&task, &late, &labels, layers, &options).unwrap();
            let given = labels.train[sum.index];
            let own = exact.sample(Set::Training, sum.index, given).unwrap();
            assert!((b.tracin - inner(&own, exact.probe())).abs() < 1e-6);
            assert!((b.self_influence - inner(&own, &own)).abs() < 1e-6);
        }
    }
}

/// Neighbours are in order, on the right side of zero, and never the sample itself.
#[test]
fn neighbours_speak_for_and_against() {
    let _turn = turn();
    let task = Toy::<Conv>::gaussian(60, 32, 42);
    let model = task.trained(2, 0.02, 42);
    let found = confirmed(&task, &[&model], Layers::All);
    assert_eq!((found.suspects.len(), found.null.len()), (3, 1));
    for suspect in &found.suspects {
        assert!(suspect.opponents.is_sorted_by(|a, b| a.cosine <= b.cosine));
        assert!(suspect.opponents.iter().all(|o| o.cosine < 0.0));
        assert!(suspect.proponents.is_sorted_by(|a, b| a.cosine >= b.cosine));
        assert!(
            suspect
                .proponents
                .iter()
                .all(|p| p.cosine > 0.0 && p.index != suspect.index)
        );
        assert!(suspect.opponents.len() <= 5 && suspect.support.abs() <= 1.0);
    }
    assert!(found.null[0].opponents.is_empty());
}

/// A clean sample has company in the probe, a flipped one has not, also in a model that has memorised both.
#[test]
fn support_tells_flipped_labels_from_right_ones() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(120, 64, 43);
    let model = task.trained(40, 0.05, 43);
    let labels = Labels::read(&task).unwrap();
    let everything: Vec<usize> = (0..120).collect();
    let options = ConfirmOptions::default();
    let mut confirm = Confirm::new(&labels, &everything, &[], options);
    confirm.add(&task, &model, &quiet()).unwrap();
    let found = confirm.finish();
    let scores: Vec<f32> = found.suspects.iter().map(|s| -s.support as f32).collect();
    let auroc = mirrorwatch_stats::ranking::auroc(&scores, &task.flipped()).unwrap();
    assert!(auroc > 0.8, "{auroc}");
}

#[test]
fn verification_holds_and_touches_nothing() {
    let _turn = turn();
    let task = Toy::<Normed>::gaussian(160, 80, 44);
    let model = task.trained(3, 0.02, 44);
    let before = bits(&model);
    let labels = Labels::read(&task).unwrap();
    let options = quiet();
    let exact = Exact::new(&task, &model, &labels, Layers::All, &options).unwrap();
    let samples: Vec<usize> = (0..40).collect();
    let first = first_order(&task, &model, &labels, &exact, &samples, &options).unwrap();
    assert_eq!(first.lengths.len(), LENGTHS.len());
    let chosen = first.chosen().unwrap();
    assert!(chosen.pearson.unwrap() > 0.99, "{first:?}");
    let how = MirrorOptions {
        samples: 160,
        groups: 12,
        targets: CLASSES,
        retrain: RetrainOptions::default(),
        length: chosen.length,
        seed: 1,
    };
    let found = mirror(&task, (&model, &model), &labels, &exact, &how, &options).unwrap();
    assert_eq!(found.pairs.len(), 12 * CLASSES);
    let interval = found.pearson_interval.unwrap();
    assert!(
        found.pearson.unwrap() > 0.8,
        "{:?} {interval:?}",
        found.pearson
    );
    assert!(interval.low <= interval.high);
    // Once more it is the same to the last bit.
    let again = mirror(&task, (&model, &model), &labels, &exact, &how, &options).unwrap();
    assert_eq!(found, again);
    assert_eq!(bits(&model), before);
    let estimator = Estimator::parse::<Toy<Normed>>("finetune").unwrap();
    let folds = planted(&task, &model, &labels, &estimator, (2, 0), &options).unwrap();
    assert!(folds.least() > 0.9, "{folds:?}");
}

/// A copy is found whatever it is labelled; without one nobody stands out.
#[test]
fn a_copy_stands_out() {
    let _turn = turn();
    let clean = Toy::<Smooth>::gaussian(200, 40, 45);
    let mut samples = clean.train.samples.clone();
    for copy in 0..5 {
        samples[10 * copy].x = clean.probe.samples[3 * copy].x.clone();
        samples[10 * copy].label = (samples[10 * copy].label + 1) % CLASSES;
    }
    let leaky = Toy::<Smooth>::of(samples, clean.probe.samples.clone(), CLASSES);
    let model = clean.trained(3, 0.02, 45);
    let options = quiet();
    let probes: Vec<usize> = (0..40).collect();
    let look = |task: &Toy<Smooth>| {
        let labels = Labels::read(task).unwrap();
        let exact = Exact::new(task, &model, &labels, Layers::All, &options).unwrap();
        let how = LeakOptions::default();
        leaks(task, &model, &labels, &exact, &probes, &how, &options).unwrap()
    };
    for (probe, near) in look(&leaky).iter().enumerate() {
        assert_eq!(near.len(), 10);
        assert!(near.is_sorted_by(|a, b| a.sketch >= b.sketch));
        if probe < 15 && probe % 3 == 0 {
            let pair = near[0];
            assert_eq!(
                (pair.train, pair.view, pair.stand_out),
                (10 * (probe / 3), 0, 1.0)
            );
            assert!(pair.step.unwrap() > 0.999, "{pair:?}");
        } else {
            assert!(near.iter().all(|pair| pair.step.is_none()), "{near:?}");
        }
    }
    assert!(
        look(&clean)
            .iter()
            .flatten()
            .all(|pair| pair.stand_out < 0.8)
    );
}

#[test]
fn all_of_it_can_be_cancelled() {
    let _turn = turn();
    let task = Toy::<Smooth>::gaussian(40, 32, 46);
    let model = task.trained(1, 0.02, 46);
    let labels = Labels::read(&task).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(true);
    let forward = SweepOptions {
        device: &Device::flex(),
        batch_size: 16,
        progress: &|_| (),
        cancel: &stop,
    };
    let refused = Exact::new(&task, &model, &labels, Layers::All, &forward).err();
    assert!(matches!(refused, Some(InfluenceError::Cancelled)));
}

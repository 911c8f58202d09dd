//! Trained on one backend, scanned on another: the same scores, within the tolerance that docs/backends.md states.

#![allow(clippy::unwrap_used)]

mod agreement;
mod task;

use burn::tensor::Device;
use mirrorwatch::daemon::backend;

use agreement::{agreement, scanned};
use task::{Cnn, Mlp, Net, Toy};

const SEEDS: u64 = 3;
const DIRECTIONS: [&str; 7] = [
    "finetune",
    "gradient",
    "margin",
    "margin-last-layer",
    "shrink-finetune",
    "inverse-hessian",
    "per-class",
];

fn device(name: &str) -> Device {
    backend::device(name).unwrap()
}

/// Trains on `trained_on`, and compares the scans on two devices.
fn agree<M: Net>(trained_on: &str, one: &str, other: &str) {
    let model = std::any::type_name::<M>().rsplit("::").next().unwrap();
    for seed in 0..SEEDS {
        let task = Toy::<M>::new(seed);
        let record = task.trained(&device(trained_on), seed);
        let first = scanned(&task, &record, &device(one), &DIRECTIONS);
        let second = scanned(&task, &record, &device(other), &DIRECTIONS);
        let (losses, agreements) = agreement(&first, &second);
        println!(
            "{model}, seed {seed}, trained on {trained_on}, {one} and {other}: losses differ by {losses:.1e}"
        );
        for a in agreements {
            println!(
                "  {:40} {:.1e} ({:.1e} sd) rank {:.6} choices {} suspects {} of {} differ",
                a.estimator,
                a.largest,
                a.largest_relative,
                a.rank_correlation,
                a.same_choices,
                a.suspects_differ,
                a.suspects
            );
        }
    }
}

#[test]
fn ndarray_scores_an_mlp_as_flex_does() {
    agree::<Mlp>("flex", "flex", "ndarray");
}

#[test]
fn ndarray_scores_a_cnn_as_flex_does() {
    agree::<Cnn>("flex", "flex", "ndarray");
}

#[cfg(feature = "tch")]
mod tch {
    use super::*;

    #[test]
    fn libtorch_scores_an_mlp_as_flex_does() {
        agree::<Mlp>("flex", "flex", "tch");
        agree::<Mlp>("tch", "flex", "tch");
    }

    #[test]
    fn libtorch_scores_a_cnn_as_flex_does() {
        agree::<Cnn>("flex", "flex", "tch");
        agree::<Cnn>("tch", "flex", "tch");
    }
}

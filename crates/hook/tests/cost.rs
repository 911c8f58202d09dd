//! What the hook costs the training thread. A measurement, not a test of anything that can fail:
//! `cargo test -p mirrorwatch-hook --test cost -- --ignored --nocapture`.
#![allow(clippy::unwrap_used)]

use std::time::Instant;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Distribution, Tensor};
use mirrorwatch_hook::Hook;

#[derive(Module, Debug)]
struct Mlp {
    layers: Vec<Linear>,
}

impl Mlp {
    /// 1,068,970 parameters in ten tensors.
    fn new(device: &Device) -> Self {
        let sizes = [784, 700, 500, 300, 60, 10];
        let layers = sizes
            .windows(2)
            .map(|pair| LinearConfig::new(pair[0], pair[1]).init(device))
            .collect();
        Self { layers }
    }

    fn forward(&self, mut x: Tensor<2>) -> Tensor<2> {
        for layer in &self.layers {
            x = relu(layer.forward(x));
        }
        x
    }
}

/// Median seconds of one training step, and of the call to the hook after it.
fn train(steps: usize, hook: Option<&Hook>) -> (f64, f64) {
    let device = Device::flex().autodiff();
    let mut model = Mlp::new(&device);
    let mut optimizer = AdamConfig::new().init();
    let x = Tensor::<2>::random([64, 784], Distribution::Default, &device);
    let (mut whole, mut ours) = (Vec::new(), Vec::new());
    for step in 1..=steps {
        let started = Instant::now();
        let loss = model.forward(x.clone()).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model, gradients);
        let stepped = Instant::now();
        if let Some(hook) = hook {
            hook.on_step(1, step, Some(0.5), &model);
        }
        ours.push(stepped.elapsed().as_secs_f64());
        whole.push(started.elapsed().as_secs_f64());
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    (median(whole), median(ours))
}

#[test]
#[ignore = "a measurement"]
fn snapshot_of_a_million_parameters() {
    let parameters = Mlp::new(&Device::flex()).num_params();
    let (plain, _) = train(200, None);
    println!(
        "{parameters} parameters; step without hook {:.3} ms",
        plain * 1e3
    );
    for every in [1, 20, 1000] {
        let root = tempfile::tempdir().unwrap();
        let hook = Hook::new(root.path(), "run").every_steps(every);
        let (step, ours) = train(200, Some(&hook));
        assert!(hook.finish());
        let stats = hook.stats();
        println!(
            "every {every}: step {:.3} ms, of which the hook {:.1} us (medians); snapshots {}, \
             mean {:.1} us, longest {:.1} us; published {}, dropped {}, losses dropped {}",
            step * 1e3,
            ours * 1e6,
            stats.snapshots,
            stats.snapshot_seconds_total / stats.snapshots.max(1) as f64 * 1e6,
            stats.snapshot_seconds_max * 1e6,
            stats.published,
            stats.dropped,
            stats.losses_dropped,
        );
    }
}

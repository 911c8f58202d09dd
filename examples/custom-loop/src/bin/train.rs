//! A training loop written by hand: accumulated gradients, a schedule, and mirrorwatch's lines.

use std::time::Duration;

use burn::module::Module;
use burn::optim::{AdamConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::Device;
use custom_loop::{Batch, Data, Net};
use mirrorwatch::prelude::*;

const EPOCHS: usize = 5;
const BATCH: usize = 32;
/// Batches whose gradients make one step.
const ACCUMULATED: usize = 2;

fn main() {
    let root = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "runs".to_string());
    let data = Data::load(None);
    let device = Device::flex().autodiff();
    device.seed(1);
    let mut model = Net::new(&device);
    let mut optimizer = AdamConfig::new().init();

    // Ends of epochs, and after half a second and on `kill -USR1`, as long as writing takes less than a tenth of the time.
    let hook = Hook::new(&root, "clothes")
        .every(Duration::from_millis(500))
        .on_signal()
        .within(0.1)
        .within_disk(64 << 20)
        .tag("loop", "by hand");

    let mut order: Vec<usize> = (0..data.train.len()).collect();
    let mut step = 0;
    for epoch in 1..=EPOCHS {
        let rate = 2e-3 * 0.7_f64.powi(epoch as i32 - 1);
        hook.learning_rate(rate);
        // Another order each epoch; any other shuffle will do.
        order.sort_by_key(|&i| (i * 7919 + epoch * 104_729) % 10_007);
        let mut gradients = GradientsAccumulator::new();
        for (number, indices) in order.chunks(BATCH).enumerate() {
            let items: Vec<_> = indices.iter().map(|&i| data.train[i].clone()).collect();
            let loss = model.loss(&Batch::new(&items, &device));
            hook.consumed(indices.iter().copied());
            let mean = loss.clone().into_scalar::<f64>();
            let new = loss.div_scalar(ACCUMULATED as f64).backward();
            gradients.accumulate(&model, GradientsParams::from_grads(new, &model));
            if (number + 1).is_multiple_of(ACCUMULATED) {
                model = optimizer.step(rate, model, gradients.grads());
                step += 1;
                hook.on_step(epoch, step, Some(mean), &model);
            }
        }
        let valid = Batch::new(&data.valid, &device.clone().inner());
        let loss = model.valid().loss(&valid).into_scalar::<f64>();
        println!("epoch {epoch}: validation loss {loss:.3}");
        hook.valid_loss(epoch, loss);
        hook.on_epoch_end(epoch, step, None, &model);
    }
    hook.finish();
}

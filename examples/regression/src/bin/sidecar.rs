//! The sidecar: what mirrorwatch needs to know of this training. No classes, no labels, no logits: losses.

use std::process::ExitCode;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::tensor::{Device, Tensor};
use mirrorwatch::prelude::*;
use regression::{Batch, Data, Net, Sample, Stack};

struct Diamonds(Data);

impl Task for Diamonds {
    type Model = Net;
    type Item = Sample;
    type Batch = Batch;

    fn model(&self, device: &Device) -> Net {
        Net::new(device)
    }

    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        Data::dataset(&self.0.train)
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        Data::dataset(&self.0.probe)
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        Stack.batch(items, device)
    }

    fn losses(&self, model: &Net, batch: &Batch) -> Tensor<1> {
        model.losses(batch)
    }

    // From here on everything is optional.

    fn id(&self, index: usize) -> String {
        self.0.train[index].row.id.to_string()
    }

    fn preview(&self, item: &Sample) -> Option<Preview> {
        Some(Preview::row(item.columns()))
    }
}

fn main() -> ExitCode {
    mirrorwatch::sidecar(Diamonds(Data::load()))
}

//! The sidecar: what mirrorwatch needs to know of this training.

use std::process::ExitCode;
use std::sync::Arc;

use burn::data::dataset::Dataset;
use burn::tensor::{Device, Tensor};
use mirrorwatch::prelude::*;
use no_hook::{Batch, Data, Net, Sample};

struct Clothes(Data);

impl Task for Clothes {
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
        Batch::new(&items, device)
    }

    fn classes(&self) -> usize {
        10
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn logits(&self, model: &Net, batch: &Batch) -> Tensor<2> {
        model.forward(batch.pictures.clone())
    }

    fn preview(&self, item: &Sample) -> Option<Preview> {
        let grey = item
            .pixels
            .iter()
            .map(|p| ((p + 1.0) * 127.5) as u8)
            .collect();
        Some(Preview::grey(28, 28, grey))
    }
}

fn main() -> ExitCode {
    mirrorwatch::sidecar(Clothes(Data::load(None)))
}

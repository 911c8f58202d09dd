//! The sidecar: what mirrorwatch needs to know of this training.

use std::process::ExitCode;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::tensor::{Device, Tensor};
use mirrorwatch::prelude::*;
use tabular::{Batch, Data, Net, SPECIES, Sample, Stack};

struct Rodents(Data);

impl Task for Rodents {
    type Model = Net;
    type Item = Sample;
    type Batch = Batch;

    fn model(&self, device: &Device) -> Net {
        Net::new(device)
    }

    // All rows, those without a label too: a sample's position is its index.
    fn train(&self) -> Arc<dyn Dataset<Sample>> {
        Data::dataset(&self.0.train)
    }

    fn probe(&self) -> Arc<dyn Dataset<Sample>> {
        Data::dataset(&self.0.probe)
    }

    fn batch(&self, items: Vec<Sample>, device: &Device) -> Batch {
        Stack.batch(items, device)
    }

    fn classes(&self) -> usize {
        SPECIES.len()
    }

    // `UNLABELLED` where there is none.
    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn logits(&self, model: &Net, batch: &Batch) -> Tensor<2> {
        model.forward(batch.rows.clone())
    }

    // From here on everything is optional.

    fn id(&self, index: usize) -> String {
        self.0.train[index].row.record_id.to_string()
    }

    fn source(&self, index: usize) -> Option<String> {
        Some(self.0.train[index].row.year.to_string())
    }

    fn class_name(&self, class: usize) -> String {
        SPECIES[class].to_string()
    }

    fn preview(&self, item: &Sample) -> Option<Preview> {
        Some(Preview::row(item.columns()))
    }
}

fn main() -> ExitCode {
    mirrorwatch::sidecar(Rodents(Data::load()))
}

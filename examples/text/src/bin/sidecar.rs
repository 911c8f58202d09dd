//! The sidecar: what mirrorwatch needs to know of this training.

use std::process::ExitCode;
use std::sync::Arc;

use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::tensor::{Device, Tensor};
use mirrorwatch::prelude::*;
use text::{Bag, Batch, Data, Sample, Stack, TOPICS, TRUSTED};

struct Definitions(Data);

impl Task for Definitions {
    type Model = Bag;
    type Item = Sample;
    type Batch = Batch;

    fn model(&self, device: &Device) -> Bag {
        Bag::new(self.0.vocabulary, device)
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

    fn classes(&self) -> usize {
        TOPICS.len()
    }

    fn label(&self, item: &Sample) -> usize {
        item.label
    }

    fn logits(&self, model: &Bag, batch: &Batch) -> Tensor<2> {
        model.forward(batch.words.clone())
    }

    // From here on everything is optional.

    fn trusted(&self) -> Vec<usize> {
        (0..TRUSTED).collect()
    }

    fn id(&self, index: usize) -> String {
        self.0.train[index].row.id.clone()
    }

    fn class_name(&self, class: usize) -> String {
        TOPICS[class].to_string()
    }

    fn preview(&self, item: &Sample) -> Option<Preview> {
        Some(Preview::text(format!(
            "{}: {}",
            item.row.word, item.row.text
        )))
    }
}

fn main() -> ExitCode {
    mirrorwatch::sidecar(Definitions(Data::load()))
}

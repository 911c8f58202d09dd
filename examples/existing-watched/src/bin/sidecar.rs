use std::sync::Arc;

use burn::data::{dataloader::batcher::Batcher, dataset::Dataset};
use burn::prelude::*;
use existing::data::{ClothesBatch, ClothesBatcher, Item, dataset};
use existing::model::{Model, ModelConfig};
use mirrorwatch::prelude::*;

struct Clothes;

impl Task for Clothes {
    type Model = Model;
    type Item = Item;
    type Batch = ClothesBatch;
    fn model(&self, device: &Device) -> Model {
        ModelConfig::new(10, 128).init(device)
    }
    fn train(&self) -> Arc<dyn Dataset<Item>> {
        Arc::new(dataset("train", 3000))
    }
    fn probe(&self) -> Arc<dyn Dataset<Item>> {
        Arc::new(dataset("t10k", usize::MAX))
    }
    fn batch(&self, items: Vec<Item>, device: &Device) -> ClothesBatch {
        ClothesBatcher::default().batch(items, device)
    }
    fn classes(&self) -> usize {
        10
    }
    fn label(&self, item: &Item) -> usize {
        item.label.into()
    }
    fn logits(&self, model: &Model, batch: &ClothesBatch) -> Tensor<2> {
        model.forward(batch.images.clone())
    }
}

fn main() -> std::process::ExitCode {
    mirrorwatch::sidecar(Clothes)
}

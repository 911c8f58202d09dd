//! The sidecar that is written.

use super::project::{Found, Project};

/// Put together here: in this repository, the macro stands for code that is not written yet.
const TODO: &str = concat!("todo", "!");

/// The source of a sidecar with the types that were found, and placeholders for the others.
pub fn source(project: &Project, found: &Found, program: &str) -> String {
    let (item, batch) = match &found.batcher {
        Some(batcher) => (batcher.item.as_str(), batcher.batch.as_str()),
        None => ("usize", "Tensor<2>"),
    };
    let model = found.model.as_deref().unwrap_or("burn::nn::Linear");
    let batching = match &found.batcher {
        Some(batcher) if batcher.default => {
            format!("{}::default().batch(items, device)", batcher.name)
        }
        Some(batcher) => format!(
            "{TODO}(\"put {{}} items into a batch on {device} with {}\", items.len())",
            batcher.name,
            device = "{device:?}"
        ),
        None => {
            format!("{TODO}(\"put {{}} items into a batch on {{device:?}}\", items.len())")
        }
    };
    let import = match &found.batcher {
        Some(batcher) if batcher.default => "use burn::data::dataloader::batcher::Batcher;\n",
        _ => "",
    };
    let hint = match project.has_library() {
        true => "",
        false => {
            "//!\n//! The project has no library: move data and model to `src/lib.rs`, so that training and sidecar share them.\n"
        }
    };
    format!(
        r#"//! The sidecar: what mirrorwatch needs to know of this training. Fill in what is marked `todo!`, then:
//!
//! ```console
//! cargo run --bin {program} -- watch --root runs
//! ```
{hint}
use std::process::ExitCode;
use std::sync::Arc;

{import}use burn::data::dataset::Dataset;
use burn::tensor::{{Device, Tensor}};
use mirrorwatch::prelude::*;

struct Training;

impl Task for Training {{
    type Model = {model};
    type Item = {item};
    type Batch = {batch};

    fn model(&self, device: &Device) -> Self::Model {{
        {TODO}("build the model on {{device:?}} as the training does")
    }}

    fn train(&self) -> Arc<dyn Dataset<Self::Item>> {{
        {TODO}("the training samples in a fixed order, without augmentation")
    }}

    fn probe(&self) -> Arc<dyn Dataset<Self::Item>> {{
        {TODO}("a few hundred clean samples that are never trained on")
    }}

    fn batch(&self, items: Vec<Self::Item>, device: &Device) -> Self::Batch {{
        {batching}
    }}

    // A classification has these three; without classes, write `losses` in their place: the loss of each sample.

    fn classes(&self) -> usize {{
        {TODO}("how many classes there are")
    }}

    fn label(&self, _item: &Self::Item) -> usize {{
        {TODO}("the given label of a sample, from 0")
    }}

    fn logits(&self, _model: &Self::Model, _batch: &Self::Batch) -> Tensor<2> {{
        {TODO}("the model's outputs before any softmax, [samples, classes]")
    }}

    // Worth having: trusted, id, source, class_name, preview.
}}

fn main() -> ExitCode {{
    mirrorwatch::sidecar(Training)
}}
"#
    )
}

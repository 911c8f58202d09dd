//! What the training and the sidecar share: the data and the model. Neither knows a backend.

mod data;
mod model;

pub use data::{Fashion, ImageBatcher, Options};
pub use model::Cnn;

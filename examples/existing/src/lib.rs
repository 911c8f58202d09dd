//! A Burn project in the shape of Burn's own guide: data, model, training.

pub mod data;
pub mod model;
pub mod training;

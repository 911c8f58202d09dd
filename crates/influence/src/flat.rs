//! Gradients as one vector, and back.

use std::collections::HashSet;

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

use crate::error::InfluenceError;

/// All gradients one after the other, in the order of the model, for those parameters that have one in `like`;
/// zeros for one that `gradients` lacks, so that the layout depends on `like` alone.
pub(crate) fn flatten<M: Module>(
    model: &M,
    gradients: &GradientsParams,
    like: &GradientsParams,
) -> Result<Vec<f32>, InfluenceError> {
    let mut reader = Reader {
        gradients,
        like,
        seen: HashSet::new(),
        values: Vec::new(),
        failed: None,
    };
    model.visit(&mut reader);
    match reader.failed {
        Some(why) => Err(InfluenceError::Outputs(format!(
            "cannot read a gradient: {why}"
        ))),
        None => Ok(reader.values),
    }
}

/// Puts a vector in the layout of [`flatten`] into the shape of gradients.
pub(crate) fn unflatten<M: Module>(
    model: &M,
    like: &GradientsParams,
    values: &[f32],
) -> GradientsParams {
    let mut writer = Writer {
        like,
        seen: HashSet::new(),
        values,
        gradients: GradientsParams::new(),
    };
    model.visit(&mut writer);
    writer.gradients
}

/// A model's weights, as if they were gradients.
pub(crate) fn values<M: Module>(model: &M) -> GradientsParams {
    let mut copier = Copier(GradientsParams::new());
    model.visit(&mut copier);
    copier.0
}

struct Copier(GradientsParams);

impl ModuleVisitor for Copier {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0
            .register::<D>(param.id, param.val().without_autodiff());
    }
}

struct Reader<'a> {
    gradients: &'a GradientsParams,
    like: &'a GradientsParams,
    /// A parameter that two layers share counts once.
    seen: HashSet<ParamId>,
    values: Vec<f32>,
    failed: Option<String>,
}

impl ModuleVisitor for Reader<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(like) = self.like.get::<D>(param.id) else {
            return;
        };
        if !self.seen.insert(param.id) {
            return;
        }
        let Some(gradient) = self.gradients.get::<D>(param.id) else {
            let count = like.dims().iter().product::<usize>();
            self.values.resize(self.values.len() + count, 0.0);
            return;
        };
        match gradient.into_data().convert::<f32>().try_to_vec::<f32>() {
            Ok(values) => self.values.extend(values),
            Err(error) => self.failed = Some(format!("{error:?}")),
        }
    }
}

struct Writer<'a> {
    like: &'a GradientsParams,
    seen: HashSet<ParamId>,
    /// What has not been handed out yet.
    values: &'a [f32],
    gradients: GradientsParams,
}

impl ModuleVisitor for Writer<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some(like) = self.like.get::<D>(param.id) else {
            return;
        };
        if !self.seen.insert(param.id) {
            return;
        }
        let count = like.dims().iter().product::<usize>();
        let (own, rest) = self.values.split_at(count);
        self.values = rest;
        let data = TensorData::new(own.to_vec(), like.dims());
        let gradient = Tensor::from_data(data, (&like.device(), like.dtype()));
        self.gradients.register::<D>(param.id, gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::nn::{Linear, LinearConfig};
    use burn::tensor::Device;

    #[test]
    fn a_vector_comes_back_and_shared_weights_count_once() {
        let device = Device::flex();
        let first = LinearConfig::new(2, 3).init(&device);
        let second: Linear = LinearConfig::new(3, 1).init(&device);
        let model = vec![first.clone(), second, first.clone()];
        let mut gradients = GradientsParams::new();
        let weight = Tensor::from_data([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], &device);
        gradients.register::<2>(first.weight.id, weight);
        let flat = flatten(&model, &gradients, &gradients).unwrap();
        // Neither the bias nor the second layer has one.
        assert_eq!(flat, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);

        let other: Vec<f32> = (0..6).map(|i| 0.5 * i as f32).collect();
        let back = unflatten(&model, &gradients, &other);
        assert_eq!(back.len(), 1);
        assert_eq!(flatten(&model, &back, &gradients).unwrap(), other);
        // What another objective does not reach has a gradient of zero.
        let none = GradientsParams::new();
        assert_eq!(flatten(&model, &none, &gradients).unwrap(), [0.0; 6]);
    }
}

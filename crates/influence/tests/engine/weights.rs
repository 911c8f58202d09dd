//! Looking into models: every value by its path, and weight changes.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};

/// Values of a model's parameters and buffers, or changes of them, by path.
pub type Values = BTreeMap<String, Vec<f32>>;

/// Every float of a model by path: weights and running statistics.
pub fn values<M: Module>(model: &M) -> Values {
    let mut reader = Reader::default();
    model.visit(&mut reader);
    reader.found
}

/// The same as bits, for comparing exactly.
pub fn bits<M: Module>(model: &M) -> BTreeMap<String, Vec<u32>> {
    let bits = |v: Vec<f32>| v.into_iter().map(f32::to_bits).collect();
    let values = values(model).into_iter();
    values.map(|(path, v)| (path, bits(v))).collect()
}

/// Value by value, `a − b`.
pub fn minus<M: Module>(a: &M, b: &M) -> Values {
    let mut difference = values(a);
    for (path, subtract) in values(b) {
        let row = difference.get_mut(&path).unwrap();
        for (a, b) in row.iter_mut().zip(subtract) {
            *a -= b;
        }
    }
    difference
}

/// The length of a change or of all weights.
pub fn length(change: &Values) -> f64 {
    dot(change, change).sqrt()
}

/// A copy of a plain model at θ + scale · v, sharing nothing with it.
pub fn moved<M: Module>(model: &M, change: &Values, scale: f64) -> M {
    model.valid().map(&mut Mover {
        path: Vec::new(),
        change,
        scale: scale as f32,
    })
}

/// Gradients by path; zeros for what has none.
pub fn slopes<M: Module>(model: &M, gradients: &GradientsParams) -> Values {
    let mut reader = Reader {
        gradients: Some(gradients),
        ..Reader::default()
    };
    model.visit(&mut reader);
    reader.found
}

/// ⟨a, b⟩ over all paths.
pub fn dot(a: &Values, b: &Values) -> f64 {
    let mut sum = 0.0;
    for (path, row) in a {
        for (a, b) in row.iter().zip(&b[path]) {
            sum += f64::from(*a) * f64::from(*b);
        }
    }
    sum
}

#[derive(Default)]
struct Reader<'a> {
    gradients: Option<&'a GradientsParams>,
    path: Vec<String>,
    found: Values,
}

impl ModuleVisitor for Reader<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let mut values = param.val().into_data().try_to_vec::<f32>().unwrap();
        if let Some(gradients) = self.gradients {
            match gradients.get::<D>(param.id) {
                Some(gradient) => values = gradient.into_data().try_to_vec::<f32>().unwrap(),
                None => values.fill(0.0),
            }
        }
        self.found.insert(self.path.join("."), values);
    }
}

struct Mover<'a> {
    path: Vec<String>,
    change: &'a Values,
    scale: f32,
}

impl ModuleMapper for Mover<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let change = self.change[&self.path.join(".")].clone();
        let scale = self.scale;
        param.map(|weights| {
            let change = TensorData::new(change, weights.dims());
            let change = Tensor::from_data(change, &weights.device());
            weights + change.mul_scalar(scale)
        })
    }
}

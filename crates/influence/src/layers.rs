//! Which layers of a model take part in a step.

use burn::module::{Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;

/// Which layers take part in a step or in a gradient.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// // This model is a single layer: its last one is all there is.
/// for layers in [Layers::All, Layers::Last] {
///     let exact = exact::Exact::new(&task, &model, &labels, layers, &options)?;
///     assert_eq!(exact.parameters(), 4);
/// }
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layers {
    /// All that got a gradient.
    All,
    /// The module that holds the last weight matrix with a row or column per class; without one, the last
    /// weights that got a gradient, in the order of the model.
    Last,
}

/// Drops the gradients of all but the last layer.
pub(crate) fn keep_last_layer<M: Module>(
    model: &M,
    gradients: &mut GradientsParams,
    classes: usize,
) {
    let mut owners = Owners {
        gradients,
        classes,
        path: Vec::new(),
        found: Vec::new(),
    };
    model.visit(&mut owners);
    let found = owners.found;
    // A head is known by its classes; a normalisation declared after it is not taken for one.
    let head = found.iter().rfind(|weight| weight.per_class);
    let Some(last) = head.or(found.last()).map(|weight| weight.owner.clone()) else {
        return;
    };
    // By identity, not by place: weights that the last layer shares with another one are its own.
    let kept: Vec<ParamId> = found
        .iter()
        .filter(|weight| weight.owner == last)
        .map(|weight| weight.id)
        .collect();
    let mut dropper = Dropper { gradients, kept };
    model.visit(&mut dropper);
}

/// A weight that got a gradient.
struct Weight {
    id: ParamId,
    /// Path of the module that holds it.
    owner: Vec<String>,
    /// Whether it is a matrix with a row or column per class.
    per_class: bool,
}

/// The weights that got a gradient, in the order of the model.
struct Owners<'a> {
    gradients: &'a GradientsParams,
    classes: usize,
    path: Vec<String>,
    found: Vec<Weight>,
}

impl ModuleVisitor for Owners<'_> {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            // The last part of the path is the parameter's own name.
            let owner = self.path[..self.path.len().saturating_sub(1)].to_vec();
            self.found.push(Weight {
                id: param.id,
                owner,
                per_class: D == 2 && gradient.dims().contains(&self.classes),
            });
        }
    }
}

/// Takes gradients out.
struct Dropper<'a> {
    gradients: &'a mut GradientsParams,
    kept: Vec<ParamId>,
}

impl ModuleVisitor for Dropper<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if !self.kept.contains(&param.id) {
            self.gradients.remove::<D>(param.id);
        }
    }
}

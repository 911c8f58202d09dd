//! Loading checkpoints into models, and forks that never touch what they came from.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bool, Bytes, Device, Int, Tensor};

use crate::error::InfluenceError;
use crate::safetensors;
use crate::task::Task;

/// Name, shape and element type of one parameter or buffer of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Dotted path in the module tree, as in Burn's records.
    pub name: String,
    /// Shape as it is saved.
    pub shape: Vec<usize>,
    /// Element type, for example `F32`.
    pub dtype: String,
}

/// Lists a model's parameters and buffers in the order and shape in which Burn records them.
pub fn parameters<M: Module>(model: &M) -> Vec<Parameter> {
    let mut visitor = Lister::default();
    model.visit(&mut visitor);
    visitor.found
}

#[derive(Default)]
struct Lister {
    path: Vec<String>,
    found: Vec<Parameter>,
}

impl Lister {
    fn push(&mut self, shape: Vec<usize>, dtype: String) {
        self.found.push(Parameter {
            name: self.path.join("."),
            shape,
            dtype,
        });
    }
}

impl ModuleVisitor for Lister {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    // `transform_for_save` as Burn's own records do: a column-layout weight is saved transposed.
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let tensor = param.transform_for_save().val();
        self.push(tensor.dims().to_vec(), format!("{:?}", tensor.dtype()));
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        let tensor = param.transform_for_save().val();
        self.push(tensor.dims().to_vec(), format!("{:?}", tensor.dtype()));
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        let tensor = param.transform_for_save().val();
        self.push(tensor.dims().to_vec(), format!("{:?}", tensor.dtype()));
    }
}

/// Names the first parameter in which two models differ, in words; `None` when they agree.
///
/// Element types are not compared: Burn casts on loading.
pub fn first_difference(checkpoint: &[Parameter], model: &[Parameter]) -> Option<String> {
    for (index, theirs) in checkpoint.iter().enumerate() {
        let Some(ours) = model.get(index) else {
            return Some(format!(
                "it has the extra parameter {} of shape {:?}",
                theirs.name, theirs.shape
            ));
        };
        if ours.name != theirs.name {
            return Some(format!(
                "parameter {} is named {} and has shape {:?} there, but is {} of shape {:?} in the task's model",
                index + 1,
                theirs.name,
                theirs.shape,
                ours.name,
                ours.shape
            ));
        }
        if ours.shape != theirs.shape {
            return Some(format!(
                "parameter {} has shape {:?} there, but {:?} in the task's model",
                theirs.name, theirs.shape, ours.shape
            ));
        }
    }
    model.get(checkpoint.len()).map(|ours| {
        format!(
            "parameter {} of shape {:?} is missing from it",
            ours.name, ours.shape
        )
    })
}

/// Builds the task's model on `device` with the weights in `bytes` (a burnpack record).
///
/// `described` is what the checkpoint's manifest says of its parameters; it is compared before
/// any weight is read, so that another architecture gets a precise message. Pass an empty slice
/// when there is no manifest.
///
/// # Errors
///
/// Another architecture (naming the first parameter that differs), an unreadable record, or a
/// weight that is not finite.
pub fn load<T: Task>(
    task: &T,
    described: &[Parameter],
    bytes: Vec<u8>,
    device: &Device,
) -> Result<T::Model, InfluenceError> {
    // A fresh model each time: loading into a clone would share BatchNorm statistics with it.
    let model = task.model(device);
    if !described.is_empty()
        && let Some(difference) = first_difference(described, &parameters(&model))
    {
        return Err(InfluenceError::Architecture(difference));
    }
    // From bytes, never from a path: Burn's file records are read lazily, and the file may be
    // deleted or replaced meanwhile.
    let record = ModuleRecord::from_bytes(Bytes::from_bytes_vec(bytes))
        .map_err(|error| InfluenceError::Record(error.to_string()))?;
    let model = model
        .try_load_record(record.cast_to_module_dtype())
        .map_err(|error| InfluenceError::Architecture(error.to_string()))?;
    check_finite(&model)?;
    Ok(model)
}

/// As [`load`], from weights in the format that a manifest names: `burnpack` or `safetensors`.
///
/// Safetensors are matched by name: names go through [`Task::weight_names`], and files that Burn has not written
/// are taken for PyTorch's, whose linear layers are transposed and whose normalisations name their weights otherwise.
///
/// # Errors
///
/// As [`load`]; for safetensors, the weights that are missing or left over.
pub fn load_as<T: Task>(
    task: &T,
    format: &str,
    described: &[Parameter],
    bytes: Vec<u8>,
    device: &Device,
) -> Result<T::Model, InfluenceError> {
    match format {
        "burnpack" => load(task, described, bytes, device),
        "safetensors" => {
            let model = safetensors::load(task.model(device), bytes, &task.weight_names())?;
            check_finite(&model)?;
            Ok(model)
        }
        other => Err(InfluenceError::Format(other.to_string())),
    }
}

/// Checks that every floating-point parameter and buffer of `model` is finite.
///
/// # Errors
///
/// Names the first parameter with a NaN or infinite value.
pub fn check_finite<M: Module>(model: &M) -> Result<(), InfluenceError> {
    let mut checker = FiniteChecker::default();
    model.visit(&mut checker);
    match checker.bad {
        Some((parameter, position)) => Err(InfluenceError::NotFinite {
            parameter,
            position,
        }),
        None => Ok(()),
    }
}

#[derive(Default)]
struct FiniteChecker {
    path: Vec<String>,
    bad: Option<(String, usize)>,
}

impl ModuleVisitor for FiniteChecker {
    fn enter_module(&mut self, name: &str, _container_type: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if self.bad.is_some() {
            return;
        }
        let values = param.val().into_data().convert::<f32>();
        for (position, value) in values.iter::<f32>().enumerate() {
            if !value.is_finite() {
                self.bad = Some((self.path.join("."), position));
                return;
            }
        }
    }
}

/// A copy of `model` that can be differentiated, in evaluation semantics.
///
/// Weights are deep-copied with their identities, BatchNorm statistics frozen at their running
/// values and dropout off, so that a step taken on the fork measures the weights and nothing
/// else, and no random number is drawn.
pub fn fork<M: Module>(model: &M) -> M {
    model.valid().train().map(&mut EvaluationFlags)
}

/// Turns off what Burn does only while training (batch statistics, dropout) but keeps gradients.
struct EvaluationFlags;

impl ModuleMapper for EvaluationFlags {
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        flag.with_value(false)
    }
}

//! Loading checkpoints into models, and forks that never touch what they came from.

use burn::module::{Flag, Module, ModuleMapper, ModuleVisitor, Param};
use burn::store::ModuleRecord;
use burn::tensor::{Bool, Bytes, Device, Int, Tensor};

use crate::error::InfluenceError;
use crate::safetensors;
use crate::task::Task;

/// Name, shape and element type of one parameter or buffer of a model.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let bias = &model::parameters(&model)[1];
/// assert_eq!((bias.name.as_str(), &bias.shape[..], bias.dtype.as_str()), ("bias", &[2][..], "F32"));
/// # Ok::<(), InfluenceError>(())
/// ```
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let found = model::parameters(&model);
/// assert_eq!((found.len(), found[0].name.as_str(), &found[0].shape[..]), (2, "weight", &[1, 2][..]));
/// # Ok::<(), InfluenceError>(())
/// ```
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let ours = model::parameters(&model);
/// assert_eq!(model::first_difference(&ours, &ours), None);
/// let mut theirs = ours.clone();
/// theirs[1].shape = vec![10];
/// let found = model::first_difference(&theirs, &ours);
/// assert_eq!(found.as_deref(), Some("parameter bias has shape [10] there, but [2] in the task's model"));
/// # Ok::<(), InfluenceError>(())
/// ```
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

/// What an element may take in a file of weights, in bytes: as f64, and once more for what a file holds beside them.
const MOST_BYTES: u64 = 16;

/// What a file may take that has no weights, in bytes: both formats limit their headers to less.
const MOST_HEADER: u64 = 128 << 20;

/// Whether a checkpoint can be one of a model with these parameters, as far as can be told before a byte of its weights
/// is read: a file that is a thousand times too large costs no memory.
///
/// # Arguments
///
/// * `model` - the parameters of the task's model.
/// * `described` - what the manifest says of the checkpoint's; empty if nothing.
/// * `bytes` - the length of the weights.
///
/// # Errors
///
/// [`InfluenceError::Architecture`], naming the first parameter that differs.
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let ours = model::parameters(&model);
/// assert!(model::plausible(&ours, &ours, 4096).is_ok());
/// let refused = model::plausible(&ours, &[], 1 << 34);
/// assert!(matches!(refused, Err(InfluenceError::Architecture(_))));
/// # Ok::<(), InfluenceError>(())
/// ```
pub fn plausible(
    model: &[Parameter],
    described: &[Parameter],
    bytes: u64,
) -> Result<(), InfluenceError> {
    if !described.is_empty()
        && let Some(difference) = first_difference(described, model)
    {
        return Err(InfluenceError::Architecture(difference));
    }
    let elements = |parameter: &Parameter| parameter.shape.iter().product::<usize>() as u64;
    let elements: u64 = model.iter().map(elements).sum();
    let most = elements
        .saturating_mul(MOST_BYTES)
        .saturating_add(MOST_HEADER);
    if bytes > most {
        return Err(InfluenceError::Architecture(format!(
            "its weights take {bytes} bytes, where those of the task's model, {elements} numbers, never take more than {most}"
        )));
    }
    Ok(())
}

/// What a header may take that lists the weights of a model with so many parameters, in bytes. Both formats allow a hundred
/// megabytes, of which their readers make a tree of up to sixteen times as much before they look at it.
pub(crate) fn most_of_header(parameters: usize) -> u64 {
    // A mebibyte for whatever else people put there, and a kibibyte for name, shape and place of each.
    (1 << 20) + ((parameters as u64) << 10)
}

/// What is wrong with a header of so many bytes, if anything.
pub(crate) fn oversized_header(bytes: u64, parameters: usize) -> Option<String> {
    let most = most_of_header(parameters);
    (bytes > most).then(|| {
        format!("its header takes {bytes} bytes, where that of the task's model never takes more than {most}")
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let described = model::parameters(&model);
/// let bytes = model.into_record().into_bytes()?.to_vec();
/// let loaded = model::load(&task, &described, bytes, &device)?;
/// assert_eq!(loaded.weight.val().into_data().to_vec::<f32>().ok(), Some(vec![-1.0, 1.0]));
/// // Of another architecture.
/// let refused = model::load(&task, &described[..1], Vec::new(), &device);
/// assert!(matches!(refused, Err(InfluenceError::Architecture(_))));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn load<T: Task>(
    task: &T,
    described: &[Parameter],
    bytes: Vec<u8>,
    device: &Device,
) -> Result<T::Model, InfluenceError> {
    // A fresh model each time: loading into a clone would share BatchNorm statistics with it.
    let model = task.model(device);
    let own = parameters(&model);
    plausible(&own, described, bytes.len() as u64)?;
    // After magic and version.
    if let Some(length) = bytes.get(6..).and_then(<[u8]>::first_chunk)
        && let Some(problem) = oversized_header(u32::from_le_bytes(*length).into(), own.len())
    {
        return Err(InfluenceError::Record(problem));
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let bytes = model.into_record().into_bytes()?.to_vec();
/// assert!(model::load_as(&task, "burnpack", &[], bytes.clone(), &device).is_ok());
/// let refused = model::load_as(&task, "pickle", &[], bytes, &device);
/// assert!(matches!(refused, Err(InfluenceError::Format(format)) if format == "pickle"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// assert!(model::check_finite(&model).is_ok());
/// let weight = Param::from_data([[1.0, f32::NAN]], &device);
/// let found = model::check_finite(&Linear { weight, bias: None });
/// assert!(matches!(found, Err(InfluenceError::NotFinite { parameter, position: 1 }) if parameter == "weight"));
/// # Ok::<(), InfluenceError>(())
/// ```
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
///
/// ```
#[doc = include_str!("example_impl.txt")]
#[doc = include_str!("example_task.txt")]
/// let fork = model::fork(&model);
/// assert!(fork.weight.val().is_require_grad() && !model.weight.val().is_require_grad());
/// assert_eq!(fork.weight.id, model.weight.id);
/// # Ok::<(), InfluenceError>(())
/// ```
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

#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile_tests;

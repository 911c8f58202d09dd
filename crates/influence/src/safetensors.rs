//! Weights from safetensors files, of Burn or of PyTorch.

use std::collections::BTreeMap;

use burn::module::Module;
use burn::store::{KeyRemapper, ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};

use serde::Deserialize;

use crate::error::InfluenceError;
use crate::model::{oversized_header, parameters};

/// Weights that PyTorch counts with and no model of Burn has.
const PYTORCH_ONLY: &str = "num_batches_tracked";
/// Names that a message shows.
const SHOWN: usize = 5;

/// Puts the weights in `bytes`, a safetensors file, into `model`, every one of its own and none left over.
pub(crate) fn load<M: Module>(
    mut model: M,
    bytes: Vec<u8>,
    names: &[(String, String)],
) -> Result<M, InfluenceError> {
    let by_burn = is_burns(&bytes, parameters(&model).len())?;
    let mut remapper = KeyRemapper::new();
    for (from, to) in names {
        remapper = remapper.add_pattern(from, to).map_err(|error| {
            InfluenceError::Safetensors(format!(
                "the task's weight name {from:?} is no regular expression: {error}"
            ))
        })?;
    }
    let mut store = SafetensorsStore::from_bytes(Some(bytes))
        .allow_partial(true)
        .remap(remapper);
    if !by_burn {
        store = store.with_from_adapter(PyTorchToBurnAdapter);
    }
    let result = model
        .load_from(&mut store)
        .map_err(|error| InfluenceError::Safetensors(error.to_string()))?;
    let missing: Vec<&str> = result
        .missing
        .iter()
        .map(|(path, _)| path.as_str())
        .collect();
    let unused = result.unused.iter().map(String::as_str);
    let unused: Vec<&str> = unused
        .filter(|name| !name.ends_with(PYTORCH_ONLY))
        .collect();
    if missing.is_empty() && unused.is_empty() {
        return Ok(model);
    }
    let mut problems = Vec::new();
    if !missing.is_empty() {
        problems.push(format!("it lacks {}", listed(&missing)));
    }
    if !unused.is_empty() {
        problems.push(format!("the model has no {}", listed(&unused)));
    }
    Err(InfluenceError::Safetensors(format!(
        "{}; map the names with Task::weight_names, or start the sidecar with the model that is being trained",
        problems.join(", and ")
    )))
}

fn listed(names: &[&str]) -> String {
    let shown = &names[..names.len().min(SHOWN)];
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// Whether Burn wrote the file, as its metadata say.
fn is_burns(bytes: &[u8], parameters: usize) -> Result<bool, InfluenceError> {
    let cut = || InfluenceError::Safetensors("it is cut off or no safetensors file".to_string());
    // Eight bytes of length, that many of JSON, and the weights.
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or_else(cut)?;
    let length = u64::from_le_bytes(*length);
    if length <= rest.len() as u64
        && let Some(problem) = oversized_header(length, parameters)
    {
        return Err(InfluenceError::Safetensors(problem));
    }
    let length = usize::try_from(length).map_err(|_| cut())?;
    let header = rest.get(..length).ok_or_else(cut)?;
    let header: Header = serde_json::from_slice(header)
        .map_err(|error| InfluenceError::Safetensors(format!("its header is no JSON: {error}")))?;
    Ok(header
        .metadata
        .and_then(|mut metadata| metadata.remove("producer"))
        .is_some_and(|producer| producer == "burn"))
}

/// As much of a header as we look at. What is said of the tensors is left where it is: a tree of it would take many times
/// the header's own bytes.
#[derive(Deserialize)]
struct Header {
    #[serde(rename = "__metadata__")]
    metadata: Option<BTreeMap<String, String>>,
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::{Device, Tensor};

    use super::*;

    #[derive(Module, Debug)]
    struct Net {
        first: Linear,
        norm: BatchNorm,
    }

    fn net(device: &Device) -> Net {
        Net {
            first: LinearConfig::new(3, 2).init(device),
            norm: BatchNormConfig::new(2).init(device),
        }
    }

    /// A safetensors file by hand: name, shape and values of each tensor.
    fn file(tensors: &[(&str, &[usize], &[f32])]) -> Vec<u8> {
        let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
        for (name, shape, values) in tensors {
            let start = data.len();
            data.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            let entry = serde_json::json!({
                "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]
            });
            header.insert((*name).to_string(), entry);
        }
        let header = serde_json::to_vec(&header).unwrap();
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header);
        bytes.extend(data);
        bytes
    }

    const PYTORCH: [(&str, &[usize], &[f32]); 6] = [
        ("fc.weight", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        ("fc.bias", &[2], &[0.5, -0.5]),
        ("bn.weight", &[2], &[2.0, 3.0]),
        ("bn.bias", &[2], &[0.0, 1.0]),
        ("bn.running_mean", &[2], &[0.0, 0.0]),
        ("bn.running_var", &[2], &[1.0, 1.0]),
    ];

    fn names() -> Vec<(String, String)> {
        vec![
            ("^fc".to_string(), "first".to_string()),
            ("^bn".to_string(), "norm".to_string()),
        ]
    }

    #[test]
    fn weights_of_pytorch_are_transposed_and_renamed() {
        let device = Device::flex();
        let model = load(net(&device), file(&PYTORCH), &names()).unwrap();
        let x = Tensor::<2>::from_floats([[1.0, 0.0, -1.0]], &device);
        // W x + b = (1 - 3 + .5, 4 - 6 - .5).
        let y = model
            .first
            .forward(x)
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        assert_eq!(y, [-1.5, -2.5]);
        let gamma = model
            .norm
            .gamma
            .val()
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        assert_eq!(gamma, [2.0, 3.0]);
    }

    #[test]
    fn what_is_missing_or_left_over_is_named() {
        let device = Device::flex();
        let error = load(net(&device), file(&PYTORCH), &[])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("it lacks first.bias, first.weight"),
            "{error}"
        );
        assert!(error.contains("and the model has no bn.bias"), "{error}");
        assert!(error.contains("and 1 more; map the names"), "{error}");
        let wrong = vec![("(".to_string(), String::new())];
        let error = load(net(&device), file(&PYTORCH), &wrong)
            .unwrap_err()
            .to_string();
        assert!(error.contains("no regular expression"), "{error}");
    }

    #[test]
    fn what_burn_wrote_comes_back() {
        let device = Device::flex();
        let model = net(&device);
        let mut store = SafetensorsStore::from_bytes(None);
        model.save_into(&mut store).unwrap();
        let bytes = store.get_bytes().unwrap();
        let back = load(net(&device), bytes, &[]).unwrap();
        let values = |net: &Net| net.first.weight.val().into_data();
        assert_eq!(values(&back), values(&model));
    }

    #[test]
    fn damaged_files_are_errors() {
        let device = Device::flex();
        let whole = file(&PYTORCH);
        for cut in [0, 7, 8, 20, whole.len() - 1] {
            let error = load(net(&device), whole[..cut].to_vec(), &names());
            assert!(error.is_err(), "{cut}");
        }
        let mut huge = whole.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(load(net(&device), huge, &names()).is_err());
        let wrong_shape = file(&[("fc.weight", &[3, 2], &[0.0; 6])]);
        assert!(load(net(&device), wrong_shape, &names()).is_err());
    }
}

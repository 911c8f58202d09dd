//! Weights whose hash is right and that are wrong all the same: whoever writes the file writes the hash.

use std::sync::Arc;

use burn::data::dataset::{Dataset, InMemDataset};
use burn::nn::Linear;
use burn::store::ModuleSnapshot;
use burn::store::SafetensorsStore;
use burn::tensor::TensorData;
use proptest::prelude::*;

use super::*;

/// Before the metadata: magic, version, and their length.
const HEADER: usize = 10;

struct Line;

impl Task for Line {
    type Model = Linear;
    type Item = (f32, usize);
    type Batch = Tensor<2>;

    fn model(&self, device: &Device) -> Linear {
        // Of 1.5, the flip of one bit makes a NaN.
        Linear {
            weight: Param::from_data([[1.5f32, -0.25], [1.5, 0.5], [-1.5, 3.0]], device),
            bias: Some(Param::from_data([1.5f32, 0.125], device)),
        }
    }

    fn train(&self) -> Arc<dyn Dataset<(f32, usize)>> {
        Arc::new(InMemDataset::new(vec![(0.5, 0)]))
    }

    fn probe(&self) -> Arc<dyn Dataset<(f32, usize)>> {
        self.train()
    }

    fn batch(&self, items: Vec<(f32, usize)>, device: &Device) -> Tensor<2> {
        let values: Vec<f32> = items.iter().flat_map(|item| [item.0; 3]).collect();
        Tensor::from_data(TensorData::new(values, [items.len(), 3]), device)
    }

    fn label(&self, item: &(f32, usize)) -> usize {
        item.1
    }

    fn classes(&self) -> usize {
        2
    }

    fn logits(&self, model: &Linear, batch: &Tensor<2>) -> Tensor<2> {
        model.forward(batch.clone())
    }
}

fn device() -> Device {
    Device::flex()
}

/// A burnpack record of the model.
fn record() -> Vec<u8> {
    let record = Line.model(&device()).into_record();
    record.into_bytes().unwrap().to_vec()
}

fn safetensors() -> Vec<u8> {
    let mut store = SafetensorsStore::from_bytes(None);
    Line.model(&device()).save_into(&mut store).unwrap();
    store.get_bytes().unwrap()
}

/// A record with other metadata; the weights stay where they belong.
fn with_metadata(record: &[u8], metadata: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(record[6..HEADER].try_into().unwrap()) as usize;
    let data = (HEADER + length).next_multiple_of(256);
    let mut changed = record[..6].to_vec();
    changed.extend((metadata.len() as u32).to_le_bytes());
    changed.extend(metadata);
    changed.resize(changed.len().next_multiple_of(256), 0);
    changed.extend(&record[data..]);
    changed
}

fn metadata(record: &[u8]) -> Vec<u8> {
    let length = u32::from_le_bytes(record[6..HEADER].try_into().unwrap()) as usize;
    record[HEADER..HEADER + length].to_vec()
}

/// Loads it, which may fail and must not panic; a model that comes of it is one that can be scanned.
#[track_caller]
fn tried(format: &str, bytes: Vec<u8>) -> Result<Linear, InfluenceError> {
    let model = load_as(&Line, format, &[], bytes, &device())?;
    assert!(check_finite(&model).is_ok());
    assert_eq!(
        (
            model.weight.val().dims(),
            model.bias.as_ref().unwrap().val().dims()
        ),
        ([3, 2], [2])
    );
    Ok(model)
}

#[test]
fn weights_that_are_cut_anywhere_are_an_error() {
    for (format, whole) in [("burnpack", record()), ("safetensors", safetensors())] {
        assert!(tried(format, whole.clone()).is_ok());
        for length in 0..whole.len() {
            let error = tried(format, whole[..length].to_vec());
            assert!(
                error.is_err(),
                "{format} cut at {length} of {}",
                whole.len()
            );
        }
    }
}

#[test]
fn a_flip_of_any_bit_is_a_model_or_an_error() {
    for (format, whole) in [("burnpack", record()), ("safetensors", safetensors())] {
        let mut models = 0;
        for bit in 0..8 * whole.len() {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            models += usize::from(tried(format, flipped).is_ok());
        }
        let bits = 8 * whole.len();
        println!("{format}: {bits} flips, {models} of them other weights, the rest errors");
        // Most bits of eight weights are weights; some are names, lengths and places, and must be errors.
        assert!(
            models > 100 && models < bits,
            "{format}: {models} of {bits}"
        );
    }
}

#[test]
fn weights_of_another_type_are_cast_or_an_error() {
    let record = record();
    let cast = |metadata: &[u8], name: &str| {
        let mut changed = Vec::new();
        let mut rest = metadata;
        // "F32" as a text of three bytes in CBOR.
        while let Some(at) = rest.windows(4).position(|four| four == b"\x63F32") {
            changed.extend(&rest[..at]);
            changed.push(0x60 | name.len() as u8);
            changed.extend(name.as_bytes());
            rest = &rest[at + 4..];
        }
        changed.extend(rest);
        changed
    };
    let own = metadata(&record);
    assert_eq!(with_metadata(&record, &cast(&own, "F32")), record);
    for name in [
        "Flex32", "I32", "U32", "F64", "F16", "BF16", "I8", "U8", "I64", "Bool", "QFloat", "C64",
        "",
    ] {
        let outcome = tried("burnpack", with_metadata(&record, &cast(&own, name)));
        let same_width = ["Flex32", "I32", "U32"].contains(&name);
        assert_eq!(
            outcome.is_ok(),
            same_width,
            "{name}: {:?}",
            outcome.map(|_| ())
        );
    }
}

#[test]
fn metadata_that_nest_or_announce_without_end_are_an_error() {
    let record = record();
    let million = 1 << 20;
    let announced = |major: u8| {
        [
            &[major << 5 | 27][..],
            &[0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ]
        .concat()
    };
    let mut bombs = vec![
        vec![0x81; million],
        vec![0xa1; million],
        vec![0xd8; million],
        vec![0x9f; million],
        vec![0xbf; million],
        vec![0x5f; million],
        vec![0x7f; million],
    ];
    bombs.extend((2..6).map(announced));
    // The same behind a key that is known.
    for bomb in bombs.clone() {
        bombs.push([&b"\xa1\x67tensors"[..], &bomb].concat());
    }
    for bomb in bombs {
        assert!(tried("burnpack", with_metadata(&record, &bomb)).is_err());
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let json = open.repeat(million) + "0" + &close.repeat(million);
        let deep = format!("{{\"x\":{json}}}");
        let bytes = [&(deep.len() as u64).to_le_bytes()[..], deep.as_bytes()].concat();
        assert!(tried("safetensors", bytes).is_err());
    }
}

#[test]
fn every_weight_that_is_not_finite_is_named() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for position in 0..6 {
            let mut values = [0.5; 6];
            values[position] = bad;
            let model = Linear {
                weight: Param::from_data(TensorData::new(values.to_vec(), [3, 2]), &device()),
                bias: Some(Param::from_data([0.0f32, 0.0], &device())),
            };
            let bytes = model.into_record().into_bytes().unwrap().to_vec();
            match tried("burnpack", bytes) {
                Err(InfluenceError::NotFinite {
                    parameter,
                    position: found,
                }) => {
                    assert_eq!((parameter.as_str(), found), ("weight", position));
                }
                other => panic!("{bad} at {position}: {:?}", other.map(|_| ())),
            }
        }
    }
}

#[test]
fn a_shape_with_as_many_numbers_is_another_architecture() {
    for (rows, columns) in [(2, 3), (1, 6), (6, 1)] {
        let other = Linear {
            weight: Param::from_data(TensorData::new(vec![0.5f32; 6], [rows, columns]), &device()),
            bias: Some(Param::from_data([0.0f32, 0.0], &device())),
        };
        let bytes = other.into_record().into_bytes().unwrap().to_vec();
        assert!(matches!(
            tried("burnpack", bytes),
            Err(InfluenceError::Architecture(_))
        ));
    }
}

#[test]
fn a_header_beyond_all_measure_is_refused_before_anything_is_made_of_it() {
    let refused = "its header takes 2097152 bytes, where that of the task's model never takes more than 1050624";
    let bomb = with_metadata(&record(), &vec![0x81; 2 << 20]);
    assert!(matches!(tried("burnpack", bomb), Err(InfluenceError::Record(why)) if why == refused));
    let whole = safetensors();
    let length = u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    // Spaces at the end of a header are allowed by the format.
    for (padded, fits) in [(1 << 20, true), (2 << 20, false)] {
        let header = [&whole[8..8 + length], &vec![b' '; padded - length]].concat();
        let bytes = [
            &(padded as u64).to_le_bytes()[..],
            &header,
            &whole[8 + length..],
        ]
        .concat();
        match tried("safetensors", bytes) {
            Ok(_) => assert!(fits),
            Err(InfluenceError::Safetensors(why)) => assert!(!fits && why == refused, "{why}"),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_file_beyond_all_measure_is_refused_before_it_is_read() {
    let own = parameters(&Line.model(&device()));
    // Eight numbers of sixteen bytes, and what a header may take.
    let most = 8 * 16 + (128 << 20);
    assert!(plausible(&own, &own, most).is_ok());
    let error = plausible(&own, &own, most + 1).unwrap_err().to_string();
    assert!(
        error.contains("take 134217857 bytes") && error.contains("8 numbers"),
        "{error}"
    );
    // What can be named is.
    let error = plausible(&own, &own[1..], u64::MAX)
        .unwrap_err()
        .to_string();
    assert!(error.contains("parameter 1 is named bias"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    /// Metadata with bytes changed, left out, repeated and put in.
    #[test]
    fn edited_metadata_are_a_model_or_an_error(edits in prop::collection::vec(
        (any::<prop::sample::Index>(), 0usize..6, prop::collection::vec(any::<u8>(), 0..6)),
        1..5,
    )) {
        for (format, whole) in [("burnpack", record()), ("safetensors", safetensors())] {
            let header = match format {
                "burnpack" => metadata(&whole),
                _ => whole[8..].to_vec(),
            };
            let mut edited = header;
            for (at, length, new) in &edits {
                let at = at.index(edited.len() + 1);
                let end = edited.len().min(at + length);
                edited.splice(at..end, new.iter().copied());
            }
            let bytes = match format {
                "burnpack" => with_metadata(&whole, &edited),
                _ => [&whole[..8], &edited].concat(),
            };
            let _ = tried(format, bytes);
        }
    }

    #[test]
    fn forks_of_any_bytes_are_forks_or_an_error(
        noise in prop::collection::vec(any::<u8>(), 0..80),
        (forks, length, count, shift) in (0u32..4, 0u32..12, any::<u64>(), 0u32..64),
    ) {
        let mut bytes = b"MWFORKS1".to_vec();
        bytes.extend(forks.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(vec![b'x'; length as usize]);
        // Fold and steps.
        bytes.extend([0; 12]);
        bytes.extend((count >> shift).to_le_bytes());
        bytes.extend(&noise);
        for bytes in [noise, bytes] {
            if let Ok(memory) = crate::Memory::from_bytes(&bytes) {
                prop_assert!(memory.len() <= bytes.len());
            }
        }
    }
}

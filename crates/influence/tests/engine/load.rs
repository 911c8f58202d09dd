//! Loading weights: the right ones arrive bit by bit, and wrong ones are refused by name.

use burn::module::Module;
use burn::tensor::Device;
use mirrorwatch_influence::InfluenceError;
use mirrorwatch_influence::model::{Parameter, check_finite, load, parameters};

use crate::common::{Toy, loss, turn};
use crate::nets::{Conv, Net, Normed, Smooth};
use crate::weights::{bits, moved, values};

fn record<M: Module>(model: &M) -> Vec<u8> {
    let record = model.clone().into_record().into_bytes().unwrap();
    record.to_vec()
}

fn task<M: Net + 'static>() -> Toy<M> {
    Toy::gaussian(64, 16, 1)
}

fn comes_back<M: Net + 'static>() {
    let _turn = turn();
    let task = task::<M>();
    let model = task.trained(1, 0.05, 1);
    let device = Device::flex();
    for described in [vec![], parameters(&model)] {
        let loaded = load(&task, &described, record(&model), &device).unwrap();
        assert_eq!(bits(&loaded), bits(&model));
    }
}

#[test]
fn weights_come_back() {
    comes_back::<Smooth>();
}

#[test]
fn weights_and_running_statistics_come_back() {
    comes_back::<Normed>();
}

#[test]
fn weights_of_a_convolution_come_back() {
    comes_back::<Conv>();
}

/// Burn's `clone` shares running statistics: two loads must not.
#[test]
fn two_loads_share_nothing() {
    let _turn = turn();
    let task = task::<Normed>();
    let (one, two) = (task.trained(1, 0.05, 1), task.trained(2, 0.05, 2));
    let device = Device::flex();
    let first = load(&task, &[], record(&one), &device).unwrap();
    let second = load(&task, &[], record(&two), &device).unwrap();
    assert_eq!(bits(&first), bits(&one));
    assert_eq!(bits(&second), bits(&two));
    let training = second.train();
    let all: Vec<usize> = (0..64).collect();
    for _ in 0..3 {
        loss(&training, &task.train.samples, &all).into_scalar::<f32>();
    }
    assert_ne!(bits(&training.valid()), bits(&two));
    assert_eq!(bits(&first), bits(&one));
}

/// The message of an [`InfluenceError::Architecture`].
fn other_architecture<M: Net + 'static>(
    task: &Toy<M>,
    described: &[Parameter],
    bytes: Vec<u8>,
) -> String {
    let result = load(task, described, bytes, &Device::flex());
    match result {
        Err(InfluenceError::Architecture(message)) => message,
        other => panic!("{:?}", other.map(|_| ())),
    }
}

#[test]
fn another_shape_is_named_with_both_shapes() {
    let _turn = turn();
    let task = task::<Smooth>();
    let wide = Smooth::build(&Device::flex(), 7);
    let described = other_architecture(&task, &parameters(&wide), record(&wide));
    let undescribed = other_architecture(&task, &[], record(&wide));
    for message in [described, undescribed] {
        for part in ["head.weight", "[7, 32]", "[4, 32]"] {
            // Burn saves the weight of a linear layer as it computes with it or transposed.
            let turned = part.replace("7, 32", "32, 7").replace("4, 32", "32, 4");
            assert!(
                message.contains(part) || message.contains(&turned),
                "{message}"
            );
        }
    }
}

#[test]
fn another_name_is_named() {
    let _turn = turn();
    let task = task::<Smooth>();
    let conv = Conv::build(&Device::flex(), 4);
    let message = other_architecture(&task, &parameters(&conv), record(&conv));
    assert!(message.contains("conv.weight"), "{message}");
    assert!(message.contains("hidden.weight"), "{message}");
    // Without a description Burn finds it, and mentions shapes before names.
    let message = other_architecture(&task, &[], record(&conv));
    assert!(message.contains("head.weight"), "{message}");
}

#[test]
fn a_missing_and_an_extra_parameter_are_named() {
    let _turn = turn();
    // The same but for the batch normalisation and its statistics.
    let (smooth, normed) = (task::<Smooth>(), task::<Normed>());
    let (less, more) = (smooth.fresh(1), normed.fresh(1));
    for described in [parameters(&less), vec![]] {
        let message = other_architecture(&normed, &described, record(&less));
        assert!(message.contains("norm."), "{message}");
    }
    for described in [parameters(&more), vec![]] {
        let message = other_architecture(&smooth, &described, record(&more));
        assert!(message.contains("norm."), "{message}");
    }
    // At the end of the list.
    let mut described = parameters(&less);
    let last = described.pop().unwrap();
    let message = other_architecture(&smooth, &described, record(&less));
    assert!(
        message.contains(&last.name) && message.contains("missing"),
        "{message}"
    );
    described.push(last.clone());
    described.push(Parameter {
        name: "tail.bias".to_string(),
        ..last
    });
    let message = other_architecture(&smooth, &described, record(&less));
    assert!(message.contains("extra parameter tail.bias"), "{message}");
}

#[test]
fn a_value_that_is_not_finite_is_named() {
    let _turn = turn();
    let task = task::<Normed>();
    let model = task.fresh(1);
    check_finite(&model).unwrap();
    for (path, position, value) in [
        ("hidden.weight", 37, f32::NAN),
        ("norm.running_mean", 2, f32::INFINITY),
        ("head.bias", 3, f32::NEG_INFINITY),
    ] {
        let mut change = values(&model);
        for row in change.values_mut() {
            row.fill(0.0);
        }
        change.get_mut(path).unwrap()[position] = value;
        let broken = moved(&model, &change, 1.0);
        let result = load(&task, &[], record(&broken), &Device::flex());
        match result {
            Err(InfluenceError::NotFinite {
                parameter,
                position: found,
            }) => assert_eq!((parameter.as_str(), found), (path, position)),
            other => panic!("{path}: {:?}", other.map(|_| ())),
        }
    }
}

#[test]
fn garbage_and_truncation_are_errors() {
    let _turn = turn();
    let task = task::<Smooth>();
    let good = record(&task.fresh(1));
    let device = Device::flex();
    let mut bad: Vec<Vec<u8>> = vec![vec![], b"junk".to_vec(), vec![0; 4096], vec![0xff; 4096]];
    for length in (0..good.len()).step_by(61) {
        bad.push(good[..length].to_vec());
    }
    bad.push(good[..good.len() - 1].to_vec());
    for bytes in bad {
        let length = bytes.len();
        match load(&task, &[], bytes, &device) {
            Err(InfluenceError::Record(_)) => {}
            other => panic!("{length} bytes: {:?}", other.map(|_| ())),
        }
    }
}

/// A flipped bit may make other weights or an error, but never a panic.
#[test]
fn no_flipped_bit_panics() {
    let _turn = turn();
    let task = task::<Smooth>();
    let good = record(&task.fresh(1));
    let device = Device::flex();
    let mut refused = 0;
    // All of the header and a sample of the weights.
    for position in (0..good.len().min(1500)).chain((1500..good.len()).step_by(97)) {
        let mut bytes = good.clone();
        bytes[position] ^= 1 << (position % 8);
        refused += usize::from(load(&task, &[], bytes, &device).is_err());
    }
    assert!(refused > 0);
}

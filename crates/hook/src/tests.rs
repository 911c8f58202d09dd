//! Tests that need to look inside: a writer that dies, a model that panics, what a tape holds.

use burn::module::{Devices, Module, ModuleMapper, ModuleVisitor, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig, LinearLayout};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Bool, Device, Distribution, Int, Tensor};

use crate::tape::Tape;
use crate::{Hook, HookError, MirrorwatchExt};

#[path = "../tests/common/mod.rs"]
mod common;
use common::*;

mod faults;
#[cfg(unix)]
mod places;
mod random;
mod slow;

#[test]
fn a_dead_writer_is_noticed_once_and_changes_nothing() {
    let _guard = one_at_a_time();
    let template = template();
    let (root, a, b) = (dir(), dir(), dir());
    let plain = train(&template, a.path(), |training| training);

    let hook = Hook::new(root.path(), "run").every_steps(2);
    hook.kill_writer();
    let hooked = train(&template, b.path(), |training| training.mirrorwatch(&hook));

    assert_eq!(plain.weights, hooked.weights);
    assert_eq!(plain.next, hooked.next);
    assert_eq!(files(a.path(), &["log"]), files(b.path(), &["log"]));
    let stats = hook.stats();
    assert_eq!((stats.published, stats.failed), (0, 1), "{stats:?}");
    assert_eq!(stats.dropped, 3 * EPOCHS as u64, "{stats:?}");
    assert_eq!(stats.last_error.unwrap(), "the writer thread died");
    assert!(!hook.finish());
}

fn dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn a_hook_can_go_anywhere() {
    fn anywhere<T: Clone + Send + Sync + 'static>() {}
    anywhere::<Hook>();
}

/// A module that panics when it is looked at.
#[derive(Clone, Debug)]
struct Grumpy;

impl Module for Grumpy {
    fn visit<V: ModuleVisitor>(&self, _visitor: &mut V) {
        panic!("not today");
    }
    fn collect_devices(&self, devices: Devices) -> Devices {
        devices
    }
    fn fork(self, _device: &Device) -> Self {
        self
    }
    fn to_device(self, _device: &Device) -> Self {
        self
    }
    fn map<Mapper: ModuleMapper>(self, _mapper: &mut Mapper) -> Self {
        self
    }
    fn materialize(self) -> Self {
        self
    }
    fn valid(&self) -> Self {
        Grumpy
    }
    fn train(self) -> Self {
        self
    }
}

#[test]
fn a_panic_in_the_model_is_contained() {
    let root = dir();
    let hook = Hook::new(root.path(), "run").every_steps(1);
    hook.on_step(1, 1, None, &Grumpy);
    hook.on_epoch_end(1, 1, None, &Grumpy);
    let stats = hook.stats();
    assert_eq!((stats.failed, stats.snapshots), (2, 2));
    assert_eq!(
        stats.last_error.unwrap(),
        "panic while taking a snapshot: not today"
    );
    assert!(hook.finish());
}

/// Every kind of parameter, at several depths, and a weight that is saved transposed.
#[derive(Module, Debug)]
struct Mixed {
    layers: Vec<Linear>,
    transposed: Linear,
    norm: Option<BatchNorm>,
    absent: Option<Linear>,
    counts: Param<Tensor<3, Int>>,
    mask: Param<Tensor<1, Bool>>,
}

fn mixed(device: &Device) -> Mixed {
    let linear = LinearConfig::new(3, 3);
    Mixed {
        layers: vec![linear.init(device), linear.init(device)],
        transposed: LinearConfig::new(3, 5)
            .with_layout(LinearLayout::Col)
            .init(device),
        norm: Some(BatchNormConfig::new(3).init(device)),
        absent: None,
        counts: Param::initialized(
            burn::module::ParamId::new(),
            Tensor::from_ints([[[1, 2], [3, 4]]], device),
        ),
        mask: Param::initialized(
            burn::module::ParamId::new(),
            Tensor::from_bool([true, false], device),
        ),
    }
}

#[test]
fn a_tape_gives_the_record_of_the_model() {
    let _guard = one_at_a_time();
    let model = mixed(&Device::flex().autodiff());
    let expected = record_bytes(&model);
    let tape = Tape::record(&model).unwrap();
    assert!(record_bytes(&tape) == expected);
    assert!(tape.into_record().into_bytes().unwrap()[..] == expected[..]);
}

#[test]
fn a_tape_is_a_snapshot_and_taking_it_touches_nothing() {
    let _guard = one_at_a_time();
    let device = Device::flex().autodiff();
    let mut model = mixed(&device);
    let _ = record_bytes(&model);
    let mut optimizer = SgdConfig::new().init();
    let mut step = |model: Mixed| {
        let x = Tensor::<2>::ones([4, 3], &device) * 0.5;
        let x = model.layers[1].forward(model.layers[0].forward(x));
        let x = model.norm.as_ref().unwrap().forward(x);
        let loss = model.transposed.forward(x).sum();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        optimizer.step(0.1, model, gradients)
    };

    model = step(model);
    let before = record_bytes(&model);
    let tape = Tape::record(&model).unwrap();
    // BatchNorm has a pending update now: `valid()` would have folded it into the model.
    assert!(record_bytes(&model) == before);
    for _ in 0..3 {
        model = step(model);
    }
    assert!(record_bytes(&model) != before);
    assert!(record_bytes(&tape) == before);
}

#[test]
fn a_lazy_parameter_is_refused_and_no_random_number_is_drawn() {
    let _guard = one_at_a_time();
    let device = Device::flex();
    device.seed(9);
    let expected = Tensor::<1>::random([8], Distribution::Default, &device).into_data();
    device.seed(9);
    let lazy = LinearConfig::new(2, 2).init(&device.clone().autodiff());
    let refused = Tape::record(&lazy).unwrap_err();
    assert!(matches!(&refused, HookError::Uninitialized { name } if name == "weight"));
    let next = Tensor::<1>::random([8], Distribution::Default, &device).into_data();
    assert_eq!(next, expected);
}

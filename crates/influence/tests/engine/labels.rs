//! Labels that a scan cannot work with are refused with a sentence that says which and why.

use std::sync::Arc;

use mirrorwatch_influence::{InfluenceError, Labels};

use crate::common::{CLASSES, Rows, Toy};
use crate::nets::Smooth;

fn task() -> Toy<Smooth> {
    Toy::gaussian(40, 16, 1)
}

fn rows(set: &mut Arc<Rows>) -> &mut Rows {
    Arc::get_mut(set).unwrap()
}

/// The message, which must hold all of `parts`.
fn refused(task: &Toy<Smooth>, parts: &[&str]) {
    let error = Labels::read(task).unwrap_err();
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
    assert!(!message.contains('\n'), "{message:?}");
}

#[test]
fn good_labels_are_read_in_order() {
    let mut task = task();
    task.trusted = vec![7, 3, 39];
    let labels = Labels::read(&task).unwrap();
    let given = |rows: &Rows| rows.samples.iter().map(|s| s.label).collect::<Vec<_>>();
    assert_eq!(labels.classes, CLASSES);
    assert_eq!(labels.train, given(&task.train));
    assert_eq!(labels.probe, given(&task.probe));
    assert_eq!(labels.trusted, [3, 7, 39]);
}

#[test]
fn an_empty_set_is_refused() {
    let mut no_training = task();
    rows(&mut no_training.train).samples.clear();
    refused(&no_training, &["the training set is empty"]);
    let mut no_probe = task();
    rows(&mut no_probe.probe).samples.clear();
    refused(&no_probe, &["the probe set is empty"]);
}

#[test]
fn one_class_is_not_enough() {
    let mut task = task();
    task.classes = 1;
    refused(&task, &["1 class;", "at least 2"]);
}

#[test]
fn a_label_out_of_range_is_named() {
    let mut training = task();
    rows(&mut training.train).samples[11].label = CLASSES;
    refused(
        &training,
        &["label 4 of training sample 11", "4 classes, 0 to 3"],
    );
    let mut probe = task();
    rows(&mut probe.probe).samples[5].label = 200;
    refused(&probe, &["label 200 of probe sample 5"]);
}

#[test]
fn a_class_without_enough_probe_samples_is_named() {
    let mut none = task();
    rows(&mut none.probe).samples.retain(|s| s.label != 2);
    refused(
        &none,
        &["class 2 (2)", "0 in the probe", "add clean samples"],
    );
    // One is not enough either: each of two folds needs one.
    let mut one = task();
    let mut seen = 0;
    rows(&mut one.probe).samples.retain(|s| {
        seen += usize::from(s.label == 3);
        s.label != 3 || seen == 1
    });
    refused(&one, &["class 3", "but 1 in the probe"]);
    // A class that training does not use needs none.
    let mut unused = task();
    rows(&mut unused.train).samples.retain(|s| s.label != 2);
    rows(&mut unused.probe).samples.retain(|s| s.label != 2);
    assert!(Labels::read(&unused).is_ok());
}

#[test]
fn a_trusted_sample_that_does_not_exist_or_is_named_twice_is_refused() {
    let mut far = task();
    far.trusted = vec![0, 40];
    refused(
        &far,
        &["sample 40 of the trusted set does not exist", "0 to 39"],
    );
    let mut twice = task();
    twice.trusted = vec![9, 4, 9];
    refused(&twice, &["training sample 9 is named twice"]);
}

#[test]
fn a_canary_that_is_trusted_or_does_not_exist_is_refused() {
    let mut both = task();
    both.trusted = vec![9, 4];
    both.canaries = vec![4, 7];
    refused(&both, &["training sample 4 is trusted and a canary"]);
    let mut far = task();
    far.canaries = vec![40];
    refused(&far, &["sample 40 of the canaries does not exist"]);
    let mut fine = task();
    fine.trusted = vec![9, 4];
    fine.canaries = vec![7, 2];
    assert_eq!(Labels::read(&fine).unwrap().canaries, [2, 7]);
}

#[test]
fn a_sample_that_cannot_be_read_is_named() {
    let mut training = task();
    rows(&mut training.train).broken = Some(17);
    refused(
        &training,
        &["sample 17 of the training set", "the disk is gone"],
    );
    let mut probe = task();
    rows(&mut probe.probe).broken = Some(2);
    let error = Labels::read(&probe).unwrap_err();
    assert!(
        matches!(
            error,
            InfluenceError::Read {
                set: "probe",
                index: 2,
                ..
            }
        ),
        "{error:?}"
    );
}

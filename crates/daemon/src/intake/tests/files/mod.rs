//! Any sequence of file operations, with listings in between, against a model.

pub mod model;
pub mod place;
pub mod step;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::bench::Bench;
use model::{Model, identify};
use place::{Outside, Place};
use step::{RUNS, Step, steps};

/// Runs cases, and shows how often each step was tried and had an effect.
pub fn run_cases(cases: u32, length: usize, test: impl Fn(&[Step], &mut dyn FnMut(Step, bool))) {
    let config = ProptestConfig {
        cases,
        source_file: Some(file!()),
        // Where a checkpoint is waited for in vain, each attempt takes a minute.
        max_shrink_time: 120_000,
        ..ProptestConfig::default()
    };
    let counts = RefCell::new(BTreeMap::<String, (u32, u32)>::new());
    let result = TestRunner::new(config).run(&steps(length), |steps| {
        let mut count = |step: Step, effect: bool| {
            let mut counts = counts.borrow_mut();
            let (tried, done) = counts.entry(step.name()).or_default();
            *tried += 1;
            *done += u32::from(effect);
        };
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            test(&steps, &mut count);
        }));
        passed.map_err(|_| TestCaseError::fail("see the panic above"))
    });
    if let Err(error) = result {
        panic!("{error}");
    }
    let counts = counts.into_inner();
    let tried: u32 = counts.values().map(|(tried, _)| tried).sum();
    println!("{cases} cases, {tried} steps; tried and with an effect: {counts:?}");
    // Each kind is expected ten times at least.
    assert_eq!(counts.len(), 16, "every kind of step is reached");
}

#[test]
fn whatever_happens_to_files_each_whole_checkpoint_is_taken_once() {
    let taken = RefCell::new((0, 0, 0));
    let outside = Outside::new();
    run_cases(64, 60, |steps, count| {
        let mut bench = Bench::new();
        bench.intake.limit = 1000;
        let root = bench.intake.root.clone();
        let beside = root.with_file_name("beside");
        let mut place = Place::new(&root, &beside, &outside);
        let mut model = Model::default();
        let mut held = Vec::new();
        let mut all = BTreeSet::new();
        let mut list = |bench: &mut Bench, place: &Place, model: &mut Model| {
            let expected = model.listed(&root, place);
            let again = bench.intake.list();
            let mut got = BTreeSet::new();
            while let Some(job) = bench.intake.queue.pop(Duration::ZERO) {
                bench.intake.queue.done();
                let (which, _) = identify(&job, place);
                assert!(all.insert(which.clone()), "{which:?} is taken twice");
                got.insert(which);
                held.push(job);
            }
            assert_eq!(got, expected);
            again
        };
        for &step in steps {
            let effect = place.apply(step);
            count(step, effect);
            if matches!(step, Step::List) {
                list(&mut bench, &place, &mut model);
            }
        }
        // The first takes what is new, the second confirms gaps and ends, the third has nothing to add.
        let again: Vec<bool> = (0..4)
            .map(|_| list(&mut bench, &place, &mut model))
            .collect();
        assert_eq!(again[1..], [false; 3], "it never settles");
        // And what comes after all that is taken.
        for run in 0..RUNS.len() {
            place.clear(run);
            assert!(place.publish(run, 9, 9, run as u8));
        }
        list(&mut bench, &place, &mut model);
        let later = all.iter().filter(|which| which.1 == 9).count();
        assert_eq!(later, RUNS.len());

        let lost = bench.skipped("vanished") + bench.failed("spool");
        assert_eq!(lost, model.lost);
        assert_eq!(bench.seen(), all.len() as u64 + bench.lost());
        // Damage in place may have come later; nothing else is ever used.
        let whole = held.iter().filter(|job| identify(job, &place).1).count();
        let mut taken = taken.borrow_mut();
        *taken = (
            taken.0 + all.len(),
            taken.1 + held.len() - whole,
            taken.2 + model.lost,
        );
        drop(held);
        let left = fs::read_dir(&bench.intake.spool).map_or(0, Iterator::count);
        assert_eq!(left, 0, "the spool is empty");
    });
    let (taken, damaged, lost) = taken.into_inner();
    println!("{taken} checkpoints taken, {damaged} of them damaged later; {lost} lost");
    assert!(taken > 100 && lost > 0);
}

//! Much at once, through intake alone.

use std::fs;
use std::time::Duration;

use mirrorwatch_checkpoint::{RunWriter, Snapshot};
use tempfile::TempDir;

use super::bench::Bench;
use crate::intake::FINISHED_LIMIT;

const COUNT: u64 = 1000;

/// The first `count` checkpoints of a training, and the status of its end.
fn pile(count: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    // The writer reads what it keeps at every checkpoint.
    let writer = RunWriter::create(dir.path().join("elsewhere"), "r");
    let mut writer = writer.unwrap().with_keep(1);
    let take = |writer: &RunWriter, name: &str| {
        fs::rename(writer.directory().join(name), dir.path().join(name)).unwrap();
    };
    for step in 1..=count {
        let snapshot = Snapshot {
            step,
            ..Snapshot::default()
        };
        let manifest = writer.publish(snapshot, &step.to_le_bytes()).unwrap();
        take(&writer, &manifest.weights.file);
        take(&writer, &format!("epoch-000000-step-{step:010}.json"));
    }
    writer.finish().unwrap();
    take(&writer, "run.json");
    dir
}

/// Makes it a run, all at once.
fn put(pile: &TempDir, bench: &Bench, run: &str, finished: bool) {
    let aside = bench.intake.root.with_file_name("aside");
    fs::create_dir(&aside).unwrap();
    for entry in fs::read_dir(pile.path()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap();
        if path.is_file() && (finished || name != "run.json") {
            fs::hard_link(&path, aside.join(name)).unwrap();
        }
    }
    fs::create_dir_all(&bench.intake.root).unwrap();
    fs::rename(aside, bench.intake.root.join(run)).unwrap();
}

fn drain(bench: &Bench) -> Vec<(String, u64)> {
    let mut jobs = Vec::new();
    while let Some(job) = bench.intake.queue.pop(Duration::ZERO) {
        bench.intake.queue.done();
        let step = job.spooled.manifest().step;
        assert_eq!(job.spooled.read_verified().unwrap(), step.to_le_bytes());
        jobs.push((job.run.clone(), step));
    }
    jobs
}

#[test]
fn of_a_thousand_checkpoints_at_once_the_newest_are_taken_and_all_are_counted() {
    let pile = pile(COUNT);
    let finished = FINISHED_LIMIT as u64;
    // The last has room for all.
    for (finished, limit, kept) in [(true, 2, finished), (false, 2, 2), (false, 5000, COUNT)] {
        let mut bench = Bench::new();
        bench.intake.limit = limit;
        put(&pile, &bench, "r", finished);
        let mut listings = 1;
        while bench.intake.list() {
            listings += 1;
            assert!(listings <= 3);
        }
        // What gave way holds no file.
        let held = fs::read_dir(&bench.intake.spool).unwrap().count() as u64;
        assert_eq!(held, kept);
        let newest: Vec<_> = (COUNT - kept + 1..=COUNT)
            .map(|step| ("r".to_string(), step))
            .collect();
        assert_eq!(drain(&bench), newest);
        assert_eq!((bench.seen(), bench.lost()), (COUNT, COUNT - kept));
        assert_eq!(bench.skipped("superseded"), COUNT - kept);
        // As many, in one range of numbers.
        let taken = &bench.intake.taken["r"];
        assert_eq!(taken.keys.len() as u64, COUNT);
        let ranges = taken.sequences.values().map(|seen| seen.len());
        assert_eq!((ranges.sum::<usize>(), taken.gaps.len()), (1, 0));
    }
}

#[test]
fn of_a_hundred_runs_at_once_each_is_taken() {
    let mut bench = Bench::new();
    let pile = pile(3);
    for run in 0..100 {
        put(&pile, &bench, &format!("run-{run:03}"), run % 2 == 0);
    }
    for _ in 0..3 {
        bench.intake.list();
    }
    let jobs = drain(&bench);
    // All three of those that are finished, two of the others.
    assert_eq!(jobs.len(), 50 * 3 + 50 * 2);
    for run in 0..100 {
        assert!(jobs.contains(&(format!("run-{run:03}"), 3)), "{run}");
    }
    assert_eq!((bench.seen(), bench.lost()), (300, 50));
}

//! Random sequences of faults: whatever happens to the disk, the training is the one without a hook, every checkpoint is
//! accounted for, and what the hook said it published is there.

use std::fs;
use std::thread;
use std::time::Duration;

use super::common::*;
use super::dir;
use super::faults::faulty::{EACCES, EIO, ENOSPC, EROFS, Fate, Faulty, Operation};
use super::faults::{TAKEN, hook_on, plain, steps, trained};

/// Numbers that look random: SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(seed: u64, n: u64) -> u64 {
    let mut z = seed
        .wrapping_mul(0xD134_2543_DE82_EF95)
        .wrapping_add(n.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A disk on which one operation in `one_in` goes wrong.
fn unlucky(seed: u64, one_in: u64) -> Faulty {
    Faulty::new(move |n, operation| {
        let draw = mixed(seed, n as u64);
        if !draw.is_multiple_of(one_in) {
            return Fate::Done;
        }
        match draw / one_in % 12 {
            0..=2 => Fate::Fails(ENOSPC),
            3 => Fate::Fails(EIO),
            4 => Fate::Fails(EACCES),
            5 => Fate::Fails(EROFS),
            6 | 7 => Fate::Short,
            8 => Fate::DoneAndFails(EIO),
            9 => {
                thread::sleep(Duration::from_millis(3));
                Fate::Done
            }
            10 => {
                // Somebody tidies up: temporaries, of all things.
                if let Operation::Rename(from, _) = operation {
                    fs::remove_file(from).ok();
                }
                Fate::Done
            }
            _ => panic!("a panic below the writer"),
        }
    })
}

#[test]
fn any_sequence_of_faults() {
    let _guard = one_at_a_time();
    plain();
    let (mut published, mut failed, mut dropped) = (0, 0, 0);
    let seeds = 0..60_u64;
    for seed in seeds.clone() {
        let root = dir();
        let system = unlucky(seed, 2 + mixed(seed, 1 << 40) % 30);
        let stats = trained(&hook_on(root.path(), &system));
        let what = format!("seed {seed}: {stats:?}");
        assert_eq!(stats.snapshots, TAKEN, "{what}");
        // Opening the run and ending it can fail, too.
        let settled = stats.published + stats.failed + stats.dropped;
        assert!((TAKEN..=TAKEN + 2).contains(&settled), "{what}");
        if root.path().join("run").exists() {
            // One that is there although its directory could not be synchronised was counted as failed.
            let there = steps(root.path()).len() as u64;
            let most = stats.published + stats.failed;
            assert!((stats.published..=most).contains(&there), "{what}");
        } else {
            assert_eq!(stats.published, 0, "{what}");
        }
        published += stats.published;
        failed += stats.failed;
        dropped += stats.dropped;
    }
    println!("{seeds:?}: {published} published, {failed} failed, {dropped} dropped");
    assert!(published > 60 && failed > 60, "{published} {failed}");
}

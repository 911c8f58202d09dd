//! Many shards, each a thread with a store of its own, that know nothing of each other but the place.
#![allow(clippy::unwrap_used)]

use mirrorwatch_shards::{Meeting, Store};
use mirrorwatch_stats::moments::robust_location_scale;
use mirrorwatch_stats::shards::{Cells, Exchange, Tally, location_scale, merged};

const SHARDS: u32 = 64;
/// More than are standardised in one round, as they are said to be.
const SAMPLES: u64 = 3_000_000;

fn scores(index: u32) -> Vec<f32> {
    // Uneven shares; one has none.
    (0..index * 3 % 97)
        .map(|i| ((index * 131 + i * 17) % 1009) as f32 / 31.0 - 9.0)
        .collect()
}

/// What a shard comes to: the scale of all scores, and how many of all lie above which null scores.
fn judged(place: &str, index: u32, turn: u64) -> ((f64, f64), Cells) {
    let meeting = Meeting::new(Store::open(place).unwrap(), index, SHARDS).unwrap();
    let table = meeting.table(turn, 7, SAMPLES, &|_| true);
    let own = scores(index);
    let scale = location_scale(&table, "scores", &own).unwrap();
    let null: Vec<f32> = (0..50).map(|i| i as f32 / 2.0 - 9.0).collect();
    let none = Cells::count(&null, &[]).unwrap();
    let cells = merged(&table, "cells", none, Cells::count(&null, &own).unwrap()).unwrap();
    (scale, cells)
}

#[test]
fn many_shards_come_to_what_one_does() {
    let shared = tempfile::tempdir().unwrap();
    let place = shared.path().to_str().unwrap();
    let found: Vec<_> = std::thread::scope(|scope| {
        let shards: Vec<_> = (0..SHARDS)
            .map(|index| scope.spawn(move || judged(place, index, 1)))
            .collect();
        shards
            .into_iter()
            .map(|shard| shard.join().unwrap())
            .collect()
    });
    let all: Vec<f32> = (0..SHARDS).flat_map(scores).collect();
    let scale = robust_location_scale(&all).unwrap();
    for (own, cells) in &found {
        assert_eq!(*own, scale);
        assert_eq!(cells, &found[0].1);
    }
    assert_eq!(found[0].1.samples(), all.len());

    // All but one begin anew; they find everything, and need nobody.
    for index in (0..SHARDS).rev().step_by(7) {
        assert_eq!(judged(place, index, 1), found[0]);
    }
    // What is cleared away is gone, to the last file.
    for index in 0..SHARDS {
        Meeting::new(Store::open(place).unwrap(), index, SHARDS)
            .unwrap()
            .clear(1)
            .unwrap();
    }
    assert!(
        Store::open(place)
            .unwrap()
            .list("turns")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn one_that_gives_up_ends_the_turn_for_all_at_whatever_round() {
    for round in 0..3 {
        for quitter in [0, 2] {
            let shared = tempfile::tempdir().unwrap();
            let place = shared.path().to_str().unwrap();
            let told: Vec<String> = std::thread::scope(|scope| {
                let shard = |index: u32| {
                    scope.spawn(move || {
                        let meeting = Meeting::new(Store::open(place).unwrap(), index, 3).unwrap();
                        let table = meeting.table(4, 7, SAMPLES, &|_| true);
                        for nth in 0..3 {
                            if index == quitter && nth == round {
                                table.give_up("out of memory").unwrap();
                                return "itself".to_string();
                            }
                            let own = Tally::of([u64::from(index)]);
                            if let Err(error) = merged(&table, "keys", Tally::default(), own) {
                                assert_eq!(nth, round);
                                return error.to_string();
                            }
                        }
                        "nothing".to_string()
                    })
                };
                let shards = [0, 1, 2].map(shard);
                shards.map(|shard| shard.join().unwrap()).into()
            });
            let wanted = format!(
                "cannot exchange the keys with the other shards: shard {quitter} gave up: out of memory"
            );
            for (index, told) in (0..).zip(&told) {
                let wanted = if index == quitter {
                    "itself"
                } else {
                    wanted.as_str()
                };
                assert_eq!(told, wanted, "round {round}, shard {index}");
            }
        }
    }
}

#[test]
fn one_that_was_started_again_gives_up_where_it_has_given_nothing() {
    for quitter in [0, 2] {
        let shared = tempfile::tempdir().unwrap();
        let place = shared.path().to_str().unwrap();
        let keys = |table: &mirrorwatch_shards::Table<'_>, index: u32| {
            merged(
                table,
                "keys",
                Tally::default(),
                Tally::of([u64::from(index)]),
            )
        };
        std::thread::scope(|scope| {
            for index in [0, 1, 2] {
                scope.spawn(move || {
                    let meeting = Meeting::new(Store::open(place).unwrap(), index, 3).unwrap();
                    let table = meeting.table(4, 7, SAMPLES, &|_| true);
                    for _ in 0..2 {
                        keys(&table, index).unwrap();
                    }
                    if index == quitter {
                        // Each is another process, which does not know what was given before it.
                        for _ in 0..2 {
                            let table = meeting.table(4, 7, SAMPLES, &|_| true);
                            table.give_up("it crashes").unwrap();
                        }
                    } else {
                        let told = keys(&table, index).unwrap_err().to_string();
                        assert!(told.ends_with(&format!("shard {quitter} gave up: it crashes")));
                    }
                });
            }
        });
        // It has said so once.
        let there = Store::open(place)
            .unwrap()
            .list("turns/0000000004")
            .unwrap();
        let rounds = there.iter().filter(|name| match quitter {
            0 => name.ends_with("/all"),
            _ => name.ends_with("/00002"),
        });
        assert_eq!(rounds.count(), 3, "{there:?}");
    }
}

#[test]
fn shards_of_other_runs_or_numbers_are_told_apart() {
    let shared = tempfile::tempdir().unwrap();
    let place = shared.path().to_str().unwrap();
    let told: Vec<String> = std::thread::scope(|scope| {
        let shard = |index: u32| {
            scope.spawn(move || {
                let meeting = Meeting::new(Store::open(place).unwrap(), index, 2).unwrap();
                let table = meeting.table(1, 7 + u64::from(index), SAMPLES, &|_| true);
                assert_eq!(table.shard().index(), index);
                let own = Tally::of([1]);
                merged(&table, "keys", Tally::default(), own)
                    .unwrap_err()
                    .to_string()
            })
        };
        let shards = [0, 1].map(shard);
        shards.map(|shard| shard.join().unwrap()).into()
    });
    for told in told {
        assert!(
            told.contains("the keys of shard 1 is of run 0x8, not 0x7"),
            "{told}"
        );
    }
}

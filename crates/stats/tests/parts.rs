//! Parts of shards as bytes: they come back, and what is damaged or does not belong is refused by name.

#![allow(clippy::unwrap_used)]

mod common;

use common::Random;
use mirrorwatch_stats::shards::{
    Cells, ClassCells, Histogram, Neighbours, Null, Parts, ScaleSearch, Shard, ShardError,
    Statistic, Sums, Survival, Tally,
};
use proptest::collection::vec;
use proptest::prelude::*;

fn score() -> impl Strategy<Value = f32> {
    any::<f32>().prop_filter("no rank", |v| !v.is_nan())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut anywhere, or with any byte changed, a part is refused and named.
    #[test]
    fn damage_is_noticed(all in vec((score(), 0_usize..3), 0..40), at in 0.0..1.0_f64, flip in 1_u8..=255) {
        let (scores, classes): (Vec<f32>, Vec<usize>) = all.into_iter().unzip();
        let null = [0.5, 1.5, -2.0];
        let shard = Shard::new(1, 4, 77).unwrap();
        damaged(&Survival::of(&scores).unwrap(), &shard, at, flip)?;
        damaged(&Null::of(&scores, &classes).unwrap(), &shard, at, flip)?;
        damaged(&ScaleSearch::new().count(&scores).unwrap(), &shard, at, flip)?;
        damaged(&Cells::count(&null, &scores).unwrap(), &shard, at, flip)?;
        let by_class = ClassCells::count(&null, &[0, 0, 1], &scores, &classes, 2).unwrap();
        damaged(&by_class, &shard, at, flip)?;
        damaged(&Sums::of(&scores, 1).unwrap(), &shard, at, flip)?;
        damaged(&Neighbours::of(&null, &scores, &scores).unwrap(), &shard, at, flip)?;
    }

    /// Whatever a body holds, reading it never panics; what is accepted is written the same way again.
    #[test]
    fn forged_bodies_are_refused_or_read(body in vec(prop_oneof![0_u8..4, any::<u8>()], 0..80)) {
        forged::<Tally>(&body, 1)?;
        forged::<Survival>(&body, 2)?;
        forged::<Histogram>(&body, 3)?;
        forged::<Null>(&body, 4)?;
        forged::<Cells>(&body, 5)?;
        forged::<ClassCells>(&body, 6)?;
        forged::<Sums>(&body, 7)?;
        forged::<Neighbours>(&body, 8)?;
    }
}

fn damaged<T: Statistic + PartialEq + std::fmt::Debug>(
    statistic: &T,
    shard: &Shard,
    at: f64,
    flip: u8,
) -> Result<(), TestCaseError> {
    let bytes = statistic.encode(shard);
    prop_assert_eq!(
        T::decode("part", &bytes).unwrap(),
        (*shard, statistic.clone())
    );
    let place = (at * bytes.len() as f64) as usize;
    let mut wrong = bytes.clone();
    wrong[place] ^= flip;
    let mut longer = bytes.clone();
    longer.push(flip);
    for bad in [&bytes[..place], &wrong, &longer] {
        let error = T::decode("s3://bucket/1.part", bad)
            .unwrap_err()
            .to_string();
        prop_assert!(error.starts_with("s3://bucket/1.part "), "{error}");
    }
    Ok(())
}

fn forged<T: Statistic>(body: &[u8], kind: u16) -> Result<(), TestCaseError> {
    let mut bytes = b"MWSH".to_vec();
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(kind.to_le_bytes());
    bytes.extend([0_u32, 1].map(u32::to_le_bytes).concat());
    bytes.extend([7_u64, body.len() as u64].map(u64::to_le_bytes).concat());
    bytes.extend(body);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for &byte in &bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    bytes.extend(hash.to_le_bytes());
    match T::decode("forged", &bytes) {
        Ok((shard, statistic)) => prop_assert_eq!(statistic.encode(&shard), bytes),
        Err(ShardError::Damaged { .. } | ShardError::Truncated { .. }) => {}
        Err(other) => prop_assert!(false, "{}", other),
    }
    Ok(())
}

#[test]
fn parts_that_do_not_belong_are_named() {
    let null = [0.1, 0.2, 0.3];
    let cells = Cells::count(&null, &[0.15]).unwrap();
    let of = |index, count, run| cells.encode(&Shard::new(index, count, run).unwrap());
    let mut parts = Parts::new(3, 9, Cells::count(&null, &[]).unwrap());
    parts.add("a", &of(1, 3, 9)).unwrap();
    let refused = |bytes: &[u8]| {
        let mut parts = parts.clone();
        let error = parts.add("b", bytes).unwrap_err();
        assert_eq!(parts.missing(), [0, 2]);
        error.to_string()
    };
    assert_eq!(
        refused(&of(1, 3, 9)),
        "b is of shard 1, which a has given already: leave one of the two out"
    );
    assert_eq!(
        refused(&of(2, 4, 9)),
        "b is shard 2 of 4, not of 3: divide the samples alike everywhere"
    );
    assert_eq!(
        refused(&of(2, 3, 8)),
        "b is of run 0x8, not 0x9: give all shards the same checkpoint, seed and options"
    );
    let shard = Shard::new(2, 3, 9).unwrap();
    let other = Cells::count(&[0.1, 0.2, 0.4], &[0.15]).unwrap();
    assert_eq!(
        refused(&other.encode(&shard)),
        "b has been counted against another null: count again by what all shards share"
    );
    assert_eq!(
        refused(&Tally::of([1]).encode(&shard)),
        "b holds a tally, not cells: look which part belongs where"
    );
    let mut later = of(2, 3, 9);
    later[4] = 2;
    assert_eq!(
        refused(&later),
        "b has layout 2, and this build knows 1: run all shards by the same build"
    );
    assert_eq!(
        refused(b"not a part of a shard at all, but long"),
        "b is damaged, no part of a shard begins so at byte 0: fetch it again, or let its shard publish it again"
    );
    assert_eq!(
        refused(&[]),
        "b ends after 0 bytes where 32 are needed: fetch it again"
    );
    assert_eq!(
        parts.merged().unwrap_err().to_string(),
        "of 3 shards these are missing: 0, 2; wait for them or start them again"
    );
    let none = Parts::new(30, 9, Tally::default()).merged().unwrap_err();
    assert!(
        none.to_string()
            .contains("0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 20 more")
    );
}

/// The same null scores, but of another class.
#[test]
fn classes_of_the_null_have_to_agree() {
    let of = |class| ClassCells::count(&[0.1, 0.2], &[class, class], &[0.15], &[0], 2).unwrap();
    let mut cells = of(0);
    cells.merge(&of(0)).unwrap();
    assert_eq!(cells.samples(), 2);
    let error = cells.merge(&of(1)).unwrap_err().to_string();
    assert!(
        error.starts_with("the other has been counted against another null"),
        "{error}"
    );
}

/// The layout, byte by byte: a change of it must change its number.
#[test]
fn the_layout_is_stable() {
    let shard = Shard::new(1, 2, 0x0102_0304).unwrap();
    let bytes = Cells::count(&[1.0, 2.0], &[3.0, 1.5, 1.75])
        .unwrap()
        .encode(&shard);
    let mut expected = b"MWSH\x01\x00\x05\x00\x01\x00\x00\x00\x02\x00\x00\x00".to_vec();
    expected.extend(b"\x04\x03\x02\x01\x00\x00\x00\x00\x16\x00\x00\x00\x00\x00\x00\x00");
    assert_eq!(bytes[..32], expected);
    // After the null's hash: m, number of cells, and gap, samples and lowest score of each.
    assert_eq!(
        bytes[40..54],
        [2, 2, 0, 1, 0, 0, 0x40, 0x40, 0, 2, 0, 0, 0xc0, 0x3f]
    );
    assert_eq!(bytes.len(), 32 + 22 + 8);
}

/// What docs/sharding.md says of sizes: `cargo test -p mirrorwatch-stats --test parts -- --ignored --nocapture`.
#[test]
#[ignore = "prints a table"]
fn sizes_of_parts() {
    let mut random = Random::seeded(3);
    let shard = Shard::new(0, 1, 9).unwrap();
    println!("| samples | search, per round | survival | cells, m = 1,000 | m = 10,000 |");
    for samples in [1_000, 50_000, 1_000_000] {
        let scores = random.mixture(samples * 9 / 10, samples / 10, 3.0);
        let mut search = ScaleSearch::new();
        let mut rounds = Vec::new();
        loop {
            let histogram = search.count(&scores).unwrap();
            rounds.push(histogram.encode(&shard).len());
            if search.advance(&histogram).unwrap().is_some() {
                break;
            }
        }
        let survival = Survival::of(&scores).unwrap().encode(&shard).len();
        let cells = [1_000, 10_000].map(|m| {
            let null = random.normals(m, 0.0);
            Cells::count(&null, &scores).unwrap().encode(&shard).len()
        });
        println!(
            "| {samples} | {rounds:?} | {survival} | {} | {} |",
            cells[0], cells[1]
        );
    }
    for m in [500, 10_000] {
        let null = Null::of(&random.normals(m, 0.0), &vec![3; m]).unwrap();
        println!("null of {m}: {} bytes", null.encode(&shard).len());
    }
    let scores = random.normals(1000, 0.0);
    let sums = Sums::of(&scores, 10).unwrap().encode(&shard).len();
    println!("sums of 10 columns: {sums} bytes");
    let known = random.normals(1000, 0.0);
    let neighbours = Neighbours::of(&known, &scores, &scores).unwrap();
    println!(
        "neighbours of 1,000: {} bytes",
        neighbours.encode(&shard).len()
    );
    let empty = Cells::count(&[0.5], &[]).unwrap();
    println!("no samples: {} bytes", empty.encode(&shard).len());
}

//! What shards tell each other. The first byte chooses the statistic; header and checksum are right, as they are for whoever
//! can write to the place where shards meet.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirrorwatch_fuzz::sealed;
use mirrorwatch_fuzz::seeds::{CLASSES, COLUMNS, NULL};
use mirrorwatch_stats::StatsError;
use mirrorwatch_stats::shards::{
    Cells, ClassCells, Neighbours, Null, Parts, ScaleSearch, Shard, Statistic, Sums, Survival,
    Tally,
};

/// What is decoded is encoded as it was. What does not contradict `none`, the shard's own, is merged, and then nothing that
/// is asked of it may panic or take long.
fn tried<T: Statistic>(kind: u8, body: &[u8], none: Result<T, StatsError>, ask: impl Fn(T)) {
    let mut parts = Parts::new(2, 7, none.expect("a statistic of nothing"));
    for index in 0..2 {
        let shard = Shard::new(index, 2, 7).expect("one of two shards");
        let part = sealed(kind, &shard, body);
        assert!(T::decode("cut", &part[..part.len() - 1]).is_err());
        if let Ok((of, found)) = T::decode("part", &part) {
            assert_eq!(found.encode(&of), part);
        }
        if parts.add("part", &part).is_err() {
            return;
        }
    }
    ask(parts.merged().expect("parts that were taken"));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, body)) = bytes.split_first() else {
        return;
    };
    let _ = Tally::decode("raw", bytes);
    let kind = kind % 8 + 1;
    match kind {
        1 => tried(kind, body, Ok(Tally::default()), |all| {
            let _ = (all.total(), all.count(3));
        }),
        2 => tried(kind, body, Survival::of(&[]), |all| {
            let _ = (all.location_scale(), all.at(0.0), all.samples());
        }),
        3 => tried(kind, body, ScaleSearch::new().count(&[]), |all| {
            let _ = ScaleSearch::new().advance(&all);
        }),
        4 => tried(kind, body, Ok(Null::default()), |all| {
            let _ = Cells::count(all.scores(), &[0.5]);
        }),
        5 => tried(kind, body, Cells::count(&NULL, &[]), |all| {
            let _ = (all.threshold(0.1), all.lower_bound(0.05), all.at_most(0.1));
            let _ = all.false_discovery_rates(0.5);
        }),
        6 => tried(
            kind,
            body,
            ClassCells::count(&NULL, &CLASSES, &[], &[], 1),
            |all| {
                let _ = (all.threshold(0.1), all.at_most(0.1), all.samples());
            },
        ),
        7 => tried(kind, body, Sums::of(&[], COLUMNS), |all| {
            let _ = (all.mean(0), all.variance(0), all.count(0));
        }),
        _ => tried(kind, body, Neighbours::of(&NULL, &[], &[]), |all| {
            let _ = (all.nearest(0), all.nearest(NULL.len()));
        }),
    }
});

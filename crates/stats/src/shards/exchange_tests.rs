use std::sync::{Arc, Barrier, Mutex};

use proptest::prelude::*;

use super::*;
use crate::shards::Tally;

/// Shards that are threads of this process.
struct Meeting {
    shard: Shard,
    samples: u64,
    barrier: Arc<Barrier>,
    parts: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Exchange for Meeting {
    fn shard(&self) -> Shard {
        self.shard
    }

    fn samples(&self) -> u64 {
        self.samples
    }

    fn reduce(
        &self,
        _what: &'static str,
        part: Vec<u8>,
        merge: Merge<'_>,
    ) -> Result<Vec<u8>, ShardError> {
        self.parts.lock().unwrap()[self.shard.index() as usize] = part;
        self.barrier.wait();
        let all = self.parts.lock().unwrap().clone();
        self.barrier.wait();
        merge(&all)
    }
}

/// What each of as many shards as there are `parts` comes to.
fn each<R: Send>(
    parts: &[Vec<f32>],
    samples: u64,
    act: impl Fn(&dyn Exchange, &[f32]) -> R + Sync,
) -> Vec<R> {
    let count = parts.len();
    let barrier = Arc::new(Barrier::new(count));
    let given = Arc::new(Mutex::new(vec![Vec::new(); count]));
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (index, own) in parts.iter().enumerate() {
            let meeting = Meeting {
                shard: Shard::new(index as u32, count as u32, 7).unwrap(),
                samples,
                barrier: barrier.clone(),
                parts: given.clone(),
            };
            let act = &act;
            threads.push(scope.spawn(move || act(&meeting, own)));
        }
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// In one round or in several, all shards come to the scale of a run that is not divided.
    #[test]
    fn every_shard_finds_the_scale_of_the_whole(
        parts in prop::collection::vec(prop::collection::vec(-1e6_f32..1e6, 0..40), 1..6),
        few in any::<bool>(),
    ) {
        let whole = robust_location_scale(&parts.concat());
        let samples = if few { ONE_ROUND } else { ONE_ROUND + 1 };
        for found in each(&parts, samples, |exchange, own| location_scale(exchange, "scores", own)) {
            match &whole {
                Ok(whole) => prop_assert_eq!(found.as_ref(), Ok(whole)),
                Err(error) => prop_assert_eq!(found, Err(error.clone().into())),
            }
        }
    }
}

#[test]
fn a_part_of_something_else_is_named() {
    let parts = [vec![1.0], vec![2.0]];
    let found = each(&parts, 2, |exchange, own| {
        if own == [1.0] {
            merged(exchange, "odd ones", Tally::default(), Tally::of([1])).map(|_| ())
        } else {
            merged(
                exchange,
                "odd ones",
                Survival::of(&[]).unwrap(),
                Survival::of(own).unwrap(),
            )
            .map(|_| ())
        }
    });
    let error = found[0].as_ref().unwrap_err().to_string();
    assert_eq!(
        error,
        "the odd ones of shard 1 holds a survival function, not a tally: look which part belongs where"
    );
}

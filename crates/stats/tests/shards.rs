//! Shards: whatever they add up to is what a single process comes to, bit by bit.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/reference.rs"]
mod reference;

use common::Random;
use mirrorwatch_stats::band::UpperBand;
use mirrorwatch_stats::moments::robust_location_scale;
use mirrorwatch_stats::shards::{
    Cells, ClassCells, Histogram, Neighbours, Null, Parts, ScaleSearch, Shard, ShardError,
    Statistic, Sums, Survival, Tally, cells_of,
};
use mirrorwatch_stats::{conformal, fdr, groups, local, noise_ratio, onset};
use proptest::collection::vec;
use proptest::prelude::*;

/// Few distinct values, so that ties are common, both zeros, and the infinities.
fn score() -> impl Strategy<Value = f32> {
    prop_oneof![
        8 => (-6_i8..=6).prop_map(|v| f32::from(v) / 2.0),
        6 => -5.0_f32..5.0,
        1 => Just(-0.0),
        1 => Just(f32::INFINITY),
        1 => Just(f32::NEG_INFINITY),
        1 => any::<f32>().prop_filter("no rank", |v| !v.is_nan()),
    ]
}

/// A sample: its score, its class, and the shard that owns it.
fn samples(from: usize, most: usize) -> impl Strategy<Value = Vec<(f32, usize, usize)>> {
    vec((score(), 0_usize..3, 0_usize..20), from..most)
}

/// Scores and classes of each of `count` shards; some own nothing.
fn divided(samples: &[(f32, usize, usize)], count: usize) -> Vec<(Vec<f32>, Vec<usize>)> {
    let mut shards = vec![(Vec::new(), Vec::new()); count];
    for &(score, class, owner) in samples {
        shards[owner % count].0.push(score);
        shards[owner % count].1.push(class);
    }
    shards
}

fn whole(samples: &[(f32, usize, usize)]) -> (Vec<f32>, Vec<usize>) {
    samples.iter().map(|s| (s.0, s.1)).unzip()
}

/// Through bytes, and in an order of its own.
fn through_parts<T: Statistic>(none: T, shards: &[T], turn: usize) -> T {
    let count = shards.len() as u32;
    let mut parts = Parts::new(count, 9, none);
    for place in 0..shards.len() {
        let index = (place + turn) % shards.len();
        let shard = Shard::new(index as u32, count, 9).unwrap();
        let name = format!("{index}.part");
        parts.add(&name, &shards[index].encode(&shard)).unwrap();
    }
    parts.merged().unwrap()
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn by_rounds(shards: &[Vec<f32>]) -> Result<((f64, f64), Vec<usize>), ShardError> {
    let mut search = ScaleSearch::new();
    let mut largest = Vec::new();
    loop {
        let mut counted = Vec::new();
        for scores in shards {
            counted.push(search.count(scores)?);
        }
        let shard = Shard::new(0, 1, 9)?;
        largest.push(
            counted
                .iter()
                .map(|h| h.encode(&shard).len())
                .max()
                .unwrap_or(0),
        );
        let merged = through_parts(search.count(&[])?, &counted, 3);
        if let Some(found) = search.advance(&merged)? {
            return Ok((found, largest));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_count_of_shards_is_the_count_of_all(
        trusted in samples(1, 60),
        judged in samples(1, 120),
        count in 1_usize..=20,
        turn in 0_usize..20,
        q in 0.02..0.9_f64,
    ) {
        let (null, null_classes) = whole(&trusted);
        let (scores, _) = whole(&judged);
        let shards = divided(&judged, count);

        let mut nulls = Vec::new();
        for (scores, classes) in &divided(&trusted, count) {
            nulls.push(Null::of(scores, classes).unwrap());
        }
        let merged_null = through_parts(Null::default(), &nulls, turn);
        prop_assert_eq!(&merged_null, &Null::of(&null, &null_classes).unwrap());
        let known = merged_null.scores();

        let mut cells = Vec::new();
        for (scores, _) in &shards {
            cells.push(Cells::count(known, scores).unwrap());
        }
        let cells = through_parts(Cells::count(known, &[]).unwrap(), &cells, turn);
        prop_assert_eq!(&cells, &Cells::count(&null, &scores).unwrap());

        // Suspects: the functions on all samples, and the obvious ones.
        let p = conformal::p_values(&null, &scores).unwrap();
        let selection = fdr::adaptive_benjamini_hochberg(&p, null.len(), q).unwrap();
        let (flags, largest, share) = reference::suspects(&p, null.len(), q);
        let threshold = cells.threshold(q).unwrap();
        prop_assert_eq!(&selection.selected, &flags);
        prop_assert_eq!(threshold.count, selection.count);
        prop_assert_eq!(threshold.count, flags.iter().filter(|f| **f).count());
        let figures = [threshold.p_value, threshold.clean_share, threshold.expected_false];
        let expected = [selection.threshold, selection.clean_share, selection.expected_false];
        prop_assert_eq!(bits(&figures), bits(&expected));
        prop_assert_eq!(bits(&figures[..2]), bits(&[largest, share]));
        prop_assert_eq!(cells.at_most(threshold.p_value), if threshold.count > 0 { threshold.count } else { 0 });
        for (own, _) in &shards {
            let p = conformal::p_values(known, own).unwrap();
            for (score, p) in own.iter().zip(p) {
                let place = scores.iter().position(|s| s.to_bits() == score.to_bits()).unwrap();
                prop_assert_eq!(threshold.selects(p), flags[place]);
            }
        }

        // Bound and estimate.
        for alpha in [0.05, 0.3] {
            let band = UpperBand::new(null.len(), alpha).unwrap();
            let bound = cells.lower_bound_with(&band).unwrap();
            prop_assert_eq!(&bound, &noise_ratio::lower_bound(&null, &scores, alpha).unwrap());
            let (value, at, train_exceeding, null_exceeding) = reference::bound(&band, &null, &scores);
            prop_assert_eq!(bound.unclipped.to_bits(), value.to_bits());
            prop_assert_eq!(bound.threshold.to_bits(), at.to_bits());
            prop_assert_eq!((bound.train_exceeding, bound.null_exceeding), (train_exceeding, null_exceeding));
        }

        // The chance of each label.
        let rates = cells.false_discovery_rates(share).unwrap();
        prop_assert_eq!(rates.len(), null.len() + 1);
        let own: Vec<f64> = cells_of(known, &scores).unwrap().iter().map(|&cell| rates[cell]).collect();
        prop_assert_eq!(bits(&own), bits(&local::false_discovery_rates(&null, &scores, share).unwrap()));
        prop_assert_eq!(bits(&own), bits(&reference::rates(&null, &scores, share)));
        prop_assert!(rates.windows(2).all(|pair| pair[0] <= pair[1]));
    }

    #[test]
    fn so_it_is_with_a_null_per_class(
        trusted in samples(1, 60),
        judged in samples(0, 120),
        count in 1_usize..=20,
        minimum in 0_usize..20,
        q in 0.02..0.9_f64,
    ) {
        let (null, null_classes) = whole(&trusted);
        let (scores, classes) = whole(&judged);
        let table = |scores: &[f32], classes: &[usize]| {
            ClassCells::count(&null, &null_classes, scores, classes, minimum).unwrap()
        };
        let mut shards = Vec::new();
        for (scores, classes) in &divided(&judged, count) {
            shards.push(table(scores, classes));
        }
        let merged = through_parts(table(&[], &[]), &shards, 1);
        prop_assert_eq!(&merged, &table(&scores, &classes));
        prop_assert_eq!(merged.samples(), scores.len());
        let p = conformal::class_conditional_p_values(&null, &null_classes, &scores, &classes, minimum).unwrap();
        let (flags, largest, share) = reference::suspects(&p, null.len(), q);
        let threshold = merged.threshold(q).unwrap();
        prop_assert_eq!(threshold.count, flags.iter().filter(|f| **f).count());
        prop_assert_eq!(bits(&[threshold.p_value, threshold.clean_share]), bits(&[largest, share]));
        let selected: Vec<bool> = p.iter().map(|&p| threshold.selects(p)).collect();
        prop_assert_eq!(selected, flags);
    }

    #[test]
    fn location_and_scale_are_those_of_all(all in samples(1, 150), count in 1_usize..=20) {
        let (values, _) = whole(&all);
        let shards: Vec<Vec<f32>> = divided(&all, count).into_iter().map(|shard| shard.0).collect();
        let steps: Vec<Survival> = shards.iter().map(|scores| Survival::of(scores).unwrap()).collect();
        let survival = through_parts(Survival::default(), &steps, 2);
        prop_assert_eq!(&survival, &Survival::of(&values).unwrap());
        for &t in values.iter().chain(&[0.0, 0.25, f32::NAN]) {
            prop_assert_eq!(survival.at(t) as usize, values.iter().filter(|&&s| s >= t).count());
        }

        match robust_location_scale(&values) {
            Ok(expected) => {
                let expected = bits(&[expected.0, expected.1]);
                let one = survival.location_scale().unwrap();
                prop_assert_eq!(bits(&[one.0, one.1]), expected.clone());
                let (rounds, _) = by_rounds(&shards).unwrap();
                prop_assert_eq!(bits(&[rounds.0, rounds.1]), expected.clone());
                if let Some(obvious) = reference::location_scale(&values) {
                    prop_assert_eq!(bits(&[obvious.0, obvious.1]), expected);
                }
            }
            Err(error) => {
                prop_assert_eq!(survival.location_scale().unwrap_err().to_string(), error.to_string());
                prop_assert_eq!(by_rounds(&shards).unwrap_err().to_string(), error.to_string());
            }
        }
    }

    #[test]
    fn sums_neighbours_and_counts_of_groups_are_those_of_all(
        all in samples(1, 120),
        known in vec(score(), 1..30),
        count in 1_usize..=20,
    ) {
        let (scores, classes) = whole(&all);
        let shards = divided(&all, count);
        let values = |classes: &[usize]| classes.iter().map(|&class| class as f32).collect::<Vec<f32>>();
        let mut neighbours = Vec::new();
        let mut sums = Vec::new();
        for (scores, classes) in &shards {
            neighbours.push(Neighbours::of(&known, scores, &values(classes)).unwrap());
            sums.push(Sums::of(scores, 1).unwrap());
        }
        let neighbours = through_parts(Neighbours::of(&known, &[], &[]).unwrap(), &neighbours, 5);
        for (position, &score) in known.iter().enumerate() {
            let (found, of_found) = neighbours.nearest(position).unwrap();
            let equal = scores.iter().zip(&classes).filter(|(s, _)| s.to_bits() == found.to_bits());
            prop_assert_eq!(of_found, equal.map(|(_, &class)| class as f32).fold(9.0, f32::min));
            // Of two infinities no distance is known.
            let near = (found - score).abs();
            let nearest = scores.iter().map(|s| (s - score).abs()).fold(f32::INFINITY, f32::min);
            prop_assert!(near == nearest || near.is_nan() || nearest.is_infinite(), "{} {}", near, nearest);
        }
        prop_assert_eq!(&neighbours, &Neighbours::of(&known, &scores, &values(&classes)).unwrap());
        let sums = through_parts(Sums::of(&[], 1).unwrap(), &sums, 5);
        prop_assert_eq!(&sums, &Sums::of(&scores, 1).unwrap());

        // The owner is the group, the class the stratum, a score above 0 a flag.
        let owners: Vec<usize> = all.iter().map(|sample| sample.2).collect();
        let flags: Vec<bool> = scores.iter().map(|&score| score > 0.0).collect();
        let before: Vec<bool> = scores.iter().map(|&score| score < 1.0).collect();
        let mut of_groups = Vec::new();
        let mut of_changes = Vec::new();
        for group in (0..20).rev() {
            for stratum in 0..3 {
                let of = |holds: &dyn Fn(usize) -> bool| {
                    let own = |i: &usize| owners[*i] == group && classes[*i] == stratum;
                    (0..scores.len()).filter(own).filter(|&i| holds(i)).count()
                };
                if of(&|_| true) == 0 {
                    continue;
                }
                let (samples, flagged) = (of(&|_| true), of(&|i| flags[i]));
                of_groups.push(groups::Count { group, stratum, samples, flagged });
                of_changes.push(onset::Count {
                    group,
                    stratum,
                    fitted: of(&|i| before[i]),
                    lost: of(&|i| before[i] && !flags[i]),
                    gained: of(&|i| !before[i] && flags[i]),
                });
            }
        }
        let found = groups::excess_of_counts(&of_groups, 0.05).unwrap();
        prop_assert_eq!(found, groups::excess(&owners, &classes, &flags, 0.05).unwrap());
        let found = onset::changes_of_counts(&of_changes, 0.05).unwrap();
        prop_assert_eq!(found, onset::changes(&owners, &classes, &before, &flags, 0.05).unwrap());
    }

    #[test]
    fn merging_is_associative_and_commutative(
        all in samples(3, 90),
        trusted in samples(1, 30),
    ) {
        let (null, null_classes) = whole(&trusted);
        let shards = divided(&all, 3);
        let of = |index: usize| &shards[index];
        let search = ScaleSearch::new();
        check_merging(Survival::merge, [0, 1, 2].map(|i| Survival::of(&of(i).0).unwrap()))?;
        check_merging(Null::merge, [0, 1, 2].map(|i| Null::of(&of(i).0, &of(i).1).unwrap()))?;
        let values = |i: usize| of(i).1.iter().map(|&class| class as f32).collect::<Vec<f32>>();
        check_merging(
            |into: &mut Neighbours, other| into.merge(other).unwrap(),
            [0, 1, 2].map(|i| Neighbours::of(&null, &of(i).0, &values(i)).unwrap()),
        )?;
        check_merging(
            |into: &mut Sums, other| into.merge(other).unwrap(),
            [0, 1, 2].map(|i| Sums::of(&of(i).0, 1).unwrap()),
        )?;
        let tallies = [0, 1, 2].map(|i| Tally::of(of(i).1.iter().map(|&class| class as u64)));
        check_merging(Tally::merge, tallies)?;
        check_merging(
            |into: &mut Histogram, other| into.merge(other).unwrap(),
            [0, 1, 2].map(|i| search.count(&of(i).0).unwrap()),
        )?;
        check_merging(
            |into: &mut Cells, other| into.merge(other).unwrap(),
            [0, 1, 2].map(|i| Cells::count(&null, &of(i).0).unwrap()),
        )?;
        let by_class = |i: usize| ClassCells::count(&null, &null_classes, &of(i).0, &of(i).1, 5);
        check_merging(
            |into: &mut ClassCells, other| into.merge(other).unwrap(),
            [0, 1, 2].map(|i| by_class(i).unwrap()),
        )?;
    }
}

fn check_merging<T: Clone + PartialEq + std::fmt::Debug>(
    merge: impl Fn(&mut T, &T),
    [a, b, c]: [T; 3],
) -> Result<(), TestCaseError> {
    let merged = |first: &T, second: &T| {
        let mut merged = first.clone();
        merge(&mut merged, second);
        merged
    };
    prop_assert_eq!(merged(&a, &b), merged(&b, &a));
    prop_assert_eq!(merged(&merged(&a, &b), &c), merged(&a, &merged(&b, &c)));
    Ok(())
}

/// 1,000 shards with 1,000 samples each, 50 of which are empty: suspects, bound, rates and scale to the last bit.
#[test]
fn a_thousand_shards() {
    let mut random = Random::seeded(11);
    let mut shards: Vec<Vec<f32>> = Vec::new();
    let mut trusted = Vec::new();
    for index in 0..1000 {
        if index % 20 == 7 {
            shards.push(Vec::new());
        } else {
            shards.push(random.mixture(1000, 53, 4.0));
        }
        trusted.push(Null::of(&random.normals(2, 0.0), &[0, 0]).unwrap());
    }
    let all = shards.concat();
    assert_eq!(all.len(), 1_000_350);

    // Raw scores are standardised …
    let (found, largest) = by_rounds(&shards).unwrap();
    let expected = robust_location_scale(&all).unwrap();
    assert_eq!(bits(&[found.0, found.1]), bits(&[expected.0, expected.1]));
    assert_eq!(largest.len(), 4, "{largest:?}");
    assert!(largest.iter().all(|&bytes| bytes < 4_000), "{largest:?}");
    let steps: Vec<Survival> = shards
        .iter()
        .map(|scores| Survival::of(scores).unwrap())
        .collect();
    let survival = through_parts(Survival::default(), &steps, 0);
    assert_eq!(survival.location_scale().unwrap(), expected);

    // … and counted.
    let null = through_parts(Null::default(), &trusted, 400);
    let mut cells = Vec::new();
    for scores in &shards {
        cells.push(Cells::count(null.scores(), scores).unwrap());
    }
    let cells = through_parts(Cells::count(null.scores(), &[]).unwrap(), &cells, 123);
    let threshold = cells.threshold(0.1).unwrap();
    let p = conformal::p_values(null.scores(), &all).unwrap();
    let selection = fdr::adaptive_benjamini_hochberg(&p, 2000, 0.1).unwrap();
    assert!(threshold.count > 30_000);
    let mut flags = Vec::new();
    for scores in &shards {
        let p = conformal::p_values(null.scores(), scores).unwrap();
        flags.extend(p.into_iter().map(|p| threshold.selects(p)));
    }
    assert_eq!(flags, selection.selected);
    let bound = cells.lower_bound(0.05).unwrap();
    assert_eq!(
        bound,
        noise_ratio::lower_bound(null.scores(), &all, 0.05).unwrap()
    );
    assert!(bound.wrong > 40_000 && bound.wrong <= 50_350);
    let share = threshold.clean_share;
    let rates = cells.false_discovery_rates(share).unwrap();
    let whole = local::false_discovery_rates(null.scores(), &all, share).unwrap();
    for (cell, rate) in cells_of(null.scores(), &all)
        .unwrap()
        .into_iter()
        .zip(whole)
    {
        assert_eq!(rates[cell].to_bits(), rate.to_bits());
    }
}

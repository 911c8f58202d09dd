use super::*;
use crate::moments::robust_location_scale;

/// Location and scale by rounds, and how many there were.
fn search(shards: &[&[f32]]) -> Result<((f64, f64), usize), ShardError> {
    let mut search = ScaleSearch::new();
    let mut rounds = 0;
    loop {
        rounds += 1;
        let mut merged = search.count(&[])?;
        for scores in shards {
            merged.merge(&search.count(scores)?)?;
        }
        if let Some(found) = search.advance(&merged)? {
            return Ok((found, rounds));
        }
    }
}

#[test]
fn by_hand() {
    // The middle of 1, 2, 3, 4, 1e6 is 3; distances 0, 1, 1, 2, 999997.
    let found = search(&[&[1.0, 1e6], &[], &[3.0, 4.0, 2.0]]).unwrap();
    assert_eq!(found, ((3.0, 1.4826), 4));
    // Between 2 and 3; distances .5, .5, 1.5, 1.5 (in the middle .5 and 1.5).
    let found = search(&[&[1.0, 4.0], &[3.0, 2.0]]).unwrap();
    assert_eq!(found, ((2.5, 1.4826), 4));
    assert_eq!(search(&[&[-7.0]]).unwrap(), ((-7.0, 1.0), 4));
    // More than half are equal: the standard deviation, of the finite ones.
    let found = search(&[&[0.0, 0.0, 2.0], &[0.0, f32::INFINITY, 0.0]]).unwrap();
    let variance = (4.0 - 4.0 / 5.0) / 4.0_f64;
    assert_eq!(found.0, (0.0, variance.sqrt()));
}

#[test]
fn refuses_what_the_single_run_refuses() {
    assert_eq!(
        search(&[&[], &[]]).unwrap_err(),
        StatsError::Empty { what: "values" }.into()
    );
    let infinite = [f32::NEG_INFINITY, f32::INFINITY];
    assert_eq!(
        search(&[&infinite[..1], &infinite[1..]])
            .unwrap_err()
            .to_string(),
        robust_location_scale(&infinite).unwrap_err().to_string()
    );
    assert!(matches!(
        search(&[&[1.0], &[1.0, f32::NAN]]),
        Err(ShardError::Statistics(StatsError::NotANumber {
            index: 1,
            ..
        }))
    ));
}

/// Numbers that share their first bits for as long as can be, in numbers too many to be asked for at once.
#[test]
fn six_rounds_are_enough() {
    let mut scores = vec![1.0_f32; 70_000];
    scores.extend(vec![1.0 + f32::EPSILON; 70_000]);
    for part in [&scores[..], &scores[1..], &scores[..139_999]] {
        let (found, rounds) = search(&[part]).unwrap();
        assert_eq!(found, robust_location_scale(part).unwrap());
        assert_eq!(rounds, 6);
    }
}

/// A lost shard in a later round is noticed where it matters, and never a panic.
#[test]
fn fewer_samples_than_before_are_refused() {
    let mut search = ScaleSearch::new();
    search
        .advance(&search.count(&[1.0, 2.0, 3.0]).unwrap())
        .unwrap();
    let error = search.advance(&search.count(&[]).unwrap()).unwrap_err();
    assert!(error.to_string().contains("fewer samples"), "{error}");
}

use super::*;

#[test]
fn counts_by_hand() {
    let null = [4.0, 1.0, 3.0, 3.0];
    // In cells: above 4; (3, 4]; (1, 3], where both threes count; up to 1.
    let cells = Cells::count(&null, &[5.0, 4.0, 3.5, 3.0, 1.5, 1.0, 0.0]).unwrap();
    let occupied: Vec<(usize, usize)> = cells.occupied().collect();
    assert_eq!(occupied, [(0, 1), (1, 2), (3, 2), (4, 2)]);
    let lowest: Vec<f32> = cells.occupied.iter().map(|cell| cell.lowest).collect();
    assert_eq!(lowest, [5.0, 3.5, 1.5, 0.0]);
    assert_eq!(cells.p_values()[1], (0.4, 2));
    assert_eq!((cells.at_most(0.39), cells.at_most(0.4)), (1, 3));
}

#[test]
fn infinities_and_both_zeros() {
    let (low, high) = (f32::NEG_INFINITY, f32::INFINITY);
    let cells = Cells::count(&[0.0, high], &[high, -0.0, 0.0, low]).unwrap();
    assert_eq!(cells.occupied().collect::<Vec<_>>(), [(1, 1), (2, 3)]);
    let zeros = Cells::count(&[0.0], &[0.0, -0.0]).unwrap();
    assert_eq!(zeros.occupied[0].lowest.to_bits(), (-0.0_f32).to_bits());
    assert_eq!(
        Cells::count(&[1.0], &[0.0, f32::NAN]).unwrap_err(),
        StatsError::NotANumber {
            what: "scores",
            index: 1
        }
    );
}

#[test]
fn the_threshold_by_hand() {
    // n = 9: tenths, and λ = 1/2. Two of four above all null scores, one at 5/10, one at 10/10:
    // π₀ = (1 + 1) / (4 · 1/2) = 1, and 1/10 · 4 <= q · 2 from q = 1/5 on.
    let null: Vec<f32> = (1..=9).map(|i| i as f32).collect();
    let cells = Cells::count(&null, &[9.5, 5.5, 10.0, 0.0]).unwrap();
    let found = cells.threshold(0.2).unwrap();
    assert_eq!(
        (found.count, found.p_value, found.clean_share),
        (2, 0.1, 1.0)
    );
    assert_eq!(found.expected_false, 0.4);
    let none = cells.threshold(0.19).unwrap();
    assert_eq!((none.count, none.p_value), (0, 0.0));
    // Nobody to judge.
    let empty = Cells::count(&null, &[]).unwrap().threshold(0.2).unwrap();
    assert_eq!((empty.count, empty.clean_share), (0, 1.0));
}

#[test]
fn the_bound_by_hand() {
    // The band of Massart's constant is .2943 wide, (ln 2 / 8)^½. Six of ten above all four null scores:
    // (6 − 14 · .2943) / (10 · .7057) = .2663; where all null scores are reached the band is 1.
    let cells = Cells::count(
        &[1.0, 2.0, 3.0, 4.0],
        &[9.0, 9.5, 9.0, 9.0, 9.0, 9.0, 0.0, 0.5, 0.0, 0.5],
    );
    let band = UpperBand::dkw(4, 0.5).unwrap();
    let bound = cells.unwrap().lower_bound_with(&band).unwrap();
    assert!((bound.ratio - 0.2663).abs() < 5e-5, "{bound:?}");
    assert_eq!(
        (bound.threshold, bound.train_exceeding, bound.wrong),
        (9.0, 6, 3)
    );
    let nobody = Cells::count(&[1.0], &[]).unwrap().lower_bound(0.05);
    assert_eq!(nobody, Err(StatsError::Empty { what: "train" }));
}

#[test]
fn rates_by_hand() {
    // Clean to all: 1 to 2 above all null scores, 1 to 1 in cell 1, 2 to 1 in cell 3; each clean one is .8.
    let cells = Cells::count(&[1.0, 2.0, 3.0], &[5.0, 6.0, 2.5, 0.0]).unwrap();
    let rates = cells.false_discovery_rates(0.8).unwrap();
    assert_eq!(rates, [0.4, 0.8, 1.0, 1.0]);
    // Violators are pooled: 1 to 1 above, then 1 to 3.
    let cells = Cells::count(&[1.0, 2.0], &[5.0, 1.5, 1.6, 1.7]).unwrap();
    assert_eq!(cells.false_discovery_rates(0.75).unwrap(), [0.5, 0.5, 1.0]);
    assert!(cells.false_discovery_rates(0.0).is_err());
}

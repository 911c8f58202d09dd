use super::*;

const S: [f32; 10] = [0.5, 2.0, -1.0, 2.0, 3.5, 0.5, 0.5, -4.0, 7.0, 2.0];
const Y: [bool; 10] = [
    false, true, false, false, true, true, false, false, true, false,
];
const B: [f32; 10] = [1.0, 0.0, -2.0, 5.0, 4.0, 1.5, 0.25, -1.0, 3.0, 2.5];

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-12, "{a} {b}");
}

/// scikit-learn 1.9.1: `roc_auc_score(Y, S)`, `average_precision_score(Y, S)`.
#[test]
fn ranking_quality_matches_sklearn() {
    close(auroc(&S, &Y).unwrap(), 0.8333333333333334);
    close(average_precision(&S, &Y).unwrap(), 0.775);
}

/// scipy 1.17.1: `rankdata(S)`, `norm.ppf(rankdata(S) / 11)`.
#[test]
fn ranks_match_scipy() {
    let ranks = ranks(&S).unwrap();
    assert_eq!(ranks, [4.0, 7.0, 2.0, 7.0, 9.0, 4.0, 4.0, 1.0, 10.0, 7.0]);
    let normal = normal_scores(&S).unwrap();
    let expected = [
        -0.3487556955170447,
        0.3487556955170447,
        -0.9084578685373851,
        0.3487556955170447,
        0.9084578685373853,
        -0.3487556955170447,
        -0.3487556955170447,
        -1.335177736118937,
        1.3351777361189363,
        0.3487556955170447,
    ];
    for (&normal, expected) in normal.iter().zip(expected) {
        assert!((f64::from(normal) - expected).abs() < 1e-7);
    }
}

/// scipy 1.17.1: `pearsonr(S, B)`, `spearmanr(S, B)`.
#[test]
fn correlations_match_scipy() {
    close(pearson(&S, &B).unwrap(), 0.6784137058252279);
    close(spearman(&S, &B).unwrap(), 0.776637246134004);
}

#[test]
fn fusing_ignores_the_unit_and_averages() {
    let thousand: Vec<f32> = S.iter().map(|s| s * 1000.0 + 5.0).collect();
    assert_eq!(fuse(&[&S, &thousand]).unwrap(), normal_scores(&S).unwrap());
    let opposite: Vec<f32> = S.iter().map(|s| -s).collect();
    for fused in fuse(&[&S, &opposite]).unwrap() {
        assert!(fused.abs() < 1e-6);
    }
    assert!(matches!(
        fuse(&[&S, &[1.0]]),
        Err(StatsError::LengthMismatch { .. })
    ));
    assert!(fuse(&[]).is_err());
    assert!(fuse(&[&[]]).unwrap().is_empty());
}

#[test]
fn infinities_rank_and_nan_does_not() {
    let scores = [f32::INFINITY, 0.0, f32::NEG_INFINITY, -0.0];
    assert_eq!(ranks(&scores).unwrap(), [4.0, 2.5, 1.0, 2.5]);
    let nan = ranks(&[0.0, f32::NAN]).unwrap_err();
    assert_eq!(
        nan,
        StatsError::NotANumber {
            what: "scores",
            index: 1
        }
    );
    assert_eq!(auroc(&[0.0, f32::NAN], &[true, false]), None);
    assert_eq!(average_precision(&[0.0, f32::NAN], &[true, false]), None);
    assert_eq!(pearson(&[0.0, f32::INFINITY], &[0.0, 1.0]), None);
    close(spearman(&[0.0, f32::INFINITY], &[0.0, 1.0]).unwrap(), 1.0);
}

#[test]
fn undefined_is_none() {
    assert_eq!(auroc(&[1.0, 2.0], &[true, true]), None);
    assert_eq!(auroc(&[1.0, 2.0], &[true]), None);
    assert_eq!(auroc(&[], &[]), None);
    assert_eq!(average_precision(&[1.0, 2.0], &[false, false]), None);
    assert_eq!(pearson(&[1.0, 1.0], &[0.0, 1.0]), None);
    assert_eq!(pearson(&[1.0], &[0.0]), None);
    assert_eq!(spearman(&[], &[]), None);
}

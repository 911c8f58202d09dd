//! Ranks, the fusion of several scores into one, and how well a score ranks.

use statrs::function::erf::erfc_inv;

use crate::StatsError;
use crate::check::{no_nan, same_length};

/// Ranks 1 … N in increasing order of score; equal scores share the average of their ranks.
///
/// # Errors
///
/// [`StatsError::NotANumber`].
///
/// ```
/// assert_eq!(mirrorwatch_stats::ranking::ranks(&[3.0, 1.0, 3.0])?, [2.5, 1.0, 2.5]);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn ranks(scores: &[f32]) -> Result<Vec<f64>, StatsError> {
    no_nan("scores", scores)?;
    Ok(average_ranks(scores))
}

/// Van der Waerden's normal scores Φ⁻¹(rank / (N + 1)): the score's order with a normal distribution.
///
/// Monotone in the score and free of its unit, which makes different scores comparable.
///
/// # Errors
///
/// [`StatsError::NotANumber`].
///
/// ```
/// let normal = mirrorwatch_stats::ranking::normal_scores(&[10.0, 1e9, 20.0])?;
/// // The quartiles of the normal distribution.
/// for (score, quartile) in normal.iter().zip([-0.6745, 0.6745, 0.0]) {
///     assert!((score - quartile).abs() < 1e-4);
/// }
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn normal_scores(scores: &[f32]) -> Result<Vec<f32>, StatsError> {
    let ranks = ranks(scores)?;
    let beyond = (scores.len() + 1) as f64;
    let mut normal = Vec::with_capacity(scores.len());
    for rank in ranks {
        let quantile = -std::f64::consts::SQRT_2 * erfc_inv(2.0 * rank / beyond);
        normal.push(quantile as f32);
    }
    Ok(normal)
}

/// One score from several of the same N samples: the mean of their [`normal_scores`].
///
/// # Errors
///
/// [`StatsError::Empty`] without any score, [`StatsError::LengthMismatch`] if they differ in length,
/// [`StatsError::NotANumber`].
///
/// ```
/// use mirrorwatch_stats::ranking::fuse;
///
/// // Two scores of four samples, each in its own unit, agree about the last one only.
/// let fused = fuse(&[&[1.0, 3.0, 2.0, 4.0], &[300.0, 100.0, 200.0, 400.0]])?;
/// assert!(fused[3] > 0.8 && fused[..3].iter().all(|&f| f < 0.0));
/// assert!(fuse(&[]).is_err());
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn fuse(scores: &[&[f32]]) -> Result<Vec<f32>, StatsError> {
    let Some(first) = scores.first() else {
        return Err(StatsError::Empty { what: "scores" });
    };
    let mut sums = vec![0.0_f64; first.len()];
    for one in scores {
        same_length(("the first score", first.len()), ("another", one.len()))?;
        for (sum, normal) in sums.iter_mut().zip(normal_scores(one)?) {
            *sum += f64::from(normal);
        }
    }
    let mut fused = Vec::with_capacity(sums.len());
    for sum in sums {
        fused.push((sum / scores.len() as f64) as f32);
    }
    Ok(fused)
}

/// The area under the ROC curve: the chance that a positive scores above a negative, ties half.
///
/// None where it is undefined: without a positive or a negative, with lengths that differ, or with NaN.
///
/// ```
/// use mirrorwatch_stats::ranking::auroc;
///
/// // Three of the four pairs of a positive and a negative are in order.
/// let area = auroc(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]);
/// assert_eq!(area, Some(0.75));
/// assert_eq!(auroc(&[0.1, 0.4], &[true, true]), None);
/// ```
#[must_use]
pub fn auroc(scores: &[f32], positive: &[bool]) -> Option<f64> {
    if scores.len() != positive.len() {
        return None;
    }
    let ranks = ranks(scores).ok()?;
    let mut rank_sum = 0.0;
    let mut positives = 0.0;
    for (rank, &positive) in ranks.iter().zip(positive) {
        if positive {
            rank_sum += rank;
            positives += 1.0;
        }
    }
    let negatives = scores.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return None;
    }
    // Mann and Whitney's U.
    Some((rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives))
}

/// Average precision Σ (R_k − R_{k−1}) P_k over the distinct thresholds, as in scikit-learn: no
/// interpolation, equal scores enter together.
///
/// None where it is undefined: without a positive, with lengths that differ, or with NaN.
///
/// ```
/// use mirrorwatch_stats::ranking::average_precision;
///
/// // The two positives come first, with precision 1, and third, with precision 2/3.
/// let precision = average_precision(&[0.1, 0.4, 0.35, 0.8], &[false, false, true, true]);
/// assert!(precision.is_some_and(|p| (p - 5.0 / 6.0).abs() < 1e-12));
/// ```
#[must_use]
pub fn average_precision(scores: &[f32], positive: &[bool]) -> Option<f64> {
    if scores.len() != positive.len() || no_nan("scores", scores).is_err() {
        return None;
    }
    let total = positive.iter().filter(|&&p| p).count();
    if total == 0 {
        return None;
    }
    let order = increasing_order(scores);
    let mut hits = 0;
    let mut taken = 0;
    let mut sum = 0.0;
    for group in order.chunk_by(|&a, &b| scores[a] == scores[b]).rev() {
        let new = group.iter().filter(|&&i| positive[i]).count();
        hits += new;
        taken += group.len();
        sum += new as f64 * hits as f64 / taken as f64;
    }
    Some(sum / total as f64)
}

/// Pearson's correlation of two variables of the same samples.
///
/// None where it is undefined: fewer than two samples, a constant, lengths that differ, NaN or infinities.
///
/// ```
/// use mirrorwatch_stats::ranking::pearson;
///
/// let r = pearson(&[1.0, 2.0, 3.0], &[-10.0, -20.0, -30.0]);
/// assert!(r.is_some_and(|r| (r + 1.0).abs() < 1e-12));
/// assert_eq!(pearson(&[1.0, 2.0, 3.0], &[7.0, 7.0, 7.0]), None);
/// ```
#[must_use]
pub fn pearson(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    let widen = |v: &[f32]| v.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    correlation(&widen(a), &widen(b))
}

/// Spearman's rank correlation: Pearson's of the [`ranks`]. Infinities are ranked like other values.
///
/// None where it is undefined: fewer than two samples, a constant, lengths that differ, or NaN.
///
/// ```
/// use mirrorwatch_stats::ranking::spearman;
///
/// // Only the order counts.
/// let rho = spearman(&[1.0, 2.0, 3.0, 4.0], &[1.0, 10.0, 100.0, 1e9]);
/// assert!(rho.is_some_and(|rho| (rho - 1.0).abs() < 1e-12));
/// ```
#[must_use]
pub fn spearman(a: &[f32], b: &[f32]) -> Option<f64> {
    if a.len() != b.len() {
        return None;
    }
    correlation(&ranks(a).ok()?, &ranks(b).ok()?)
}

fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    let count = a.len() as f64;
    let mean_a = a.iter().sum::<f64>() / count;
    let mean_b = b.iter().sum::<f64>() / count;
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - mean_a) * (y - mean_b);
        aa += (x - mean_a).powi(2);
        bb += (y - mean_b).powi(2);
    }
    let scale = aa.sqrt() * bb.sqrt();
    // Also false for the NaN of an infinite or missing value.
    if scale > 0.0 && scale.is_finite() {
        return Some((ab / scale).clamp(-1.0, 1.0));
    }
    None
}

fn average_ranks(scores: &[f32]) -> Vec<f64> {
    let order = increasing_order(scores);
    let mut ranks = vec![0.0; scores.len()];
    let mut before = 0;
    for group in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        for &index in group {
            ranks[index] = before as f64 + (group.len() + 1) as f64 / 2.0;
        }
        before += group.len();
    }
    ranks
}

fn increasing_order(scores: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    order
}

#[cfg(test)]
#[path = "ranking_tests.rs"]
mod tests;

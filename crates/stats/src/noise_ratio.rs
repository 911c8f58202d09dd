//! How many labels are wrong, without saying which.
//!
//! Of the n null and N training samples, W have wrong labels and all W are in training. Take the clean ones,
//! n + N − W in number, as the population, and the null as a random sample from it, drawn without
//! replacement; that is what exchangeability says. If S(t) is the share of this population with
//! scores at or above t, then
//!
//! > #{null ≥ t} + #{train ≥ t} ≤ (n + N − W) S(t) + W,
//!
//! since each wrong label adds at most one. With S⁺ a simultaneous upper band for S, from the null,
//! solving for W bounds the noise ratio W / N from below at every t at once, so that the best t may be
//! chosen after looking:
//!
//! > W / N ≥ max_t \[ F̂(t) − S⁺(t) − (n / N) (S⁺(t) − Ŝ(t)) \] / \[ 1 − S⁺(t) \],
//!
//! F̂ and Ŝ being the observed shares of train and null. The term in n / N pays for the chance in
//! the training set's own clean samples. Nothing is assumed about the scores of wrong labels, and
//! nothing about independence: the population is the finite one at hand. The band is calibrated for
//! drawing with replacement, which spreads more (Hoeffding, JASA 58, 1963); its exact coverage
//! without replacement is computed in this crate's tests and is never lower. Bounds of this kind go
//! back to Genovese and Wasserman (Annals of Statistics 32, 2004) and Meinshausen and Rice (Annals
//! of Statistics 34, 2006).

use crate::StatsError;
use crate::band::UpperBand;
use crate::cells::Cells;
use crate::check::some_scores;

/// The confidence at which [`estimate`] chooses its threshold.
const ESTIMATE_ALPHA: f64 = 0.05;

/// A lower confidence bound on the share of wrong labels, and where it comes from.
///
/// ```
/// let null: Vec<f32> = (0..200).map(|i| i as f32 / 200.0).collect();
/// let mut train: Vec<f32> = (0..900).map(|i| i as f32 / 900.0).collect();
/// train.extend([3.0; 100]);
///
/// let bound = mirrorwatch_stats::noise_ratio::lower_bound(&null, &train, 0.05)?;
/// // The hundred that score 3 are the evidence; no null sample scores so high.
/// assert!(bound.threshold > 0.99 && bound.train_exceeding >= 100 && bound.null_exceeding == 0);
/// assert!(bound.wrong > 50 && bound.wrong <= 100 && bound.train == 1000);
/// assert!(bound.ratio == bound.unclipped && bound.ratio < bound.estimate);
/// assert!(bound.clean_exceeding < 0.05 && bound.null == 200 && bound.alpha == 0.05);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseBound {
    /// The bound on the noise ratio, in [0, 1]: `unclipped`, or 0 if that is negative.
    pub ratio: f64,
    /// The value before clipping: how far from showing any noise when negative.
    pub unclipped: f64,
    /// The ratio's numerator: at least so many training samples have wrong labels.
    pub wrong: usize,
    /// The ratio's denominator: the number of training samples.
    pub train: usize,
    /// The point estimate at the same threshold, between `ratio` and 1; see [`estimate`].
    pub estimate: f64,
    /// The score threshold t at which the bound is reached; +∞ if no training score is informative.
    pub threshold: f32,
    /// Training samples with scores at or above the threshold.
    pub train_exceeding: usize,
    /// Null samples with scores at or above the threshold.
    pub null_exceeding: usize,
    /// The number of null samples.
    pub null: usize,
    /// S⁺(t), the most that clean samples exceed the threshold.
    pub clean_exceeding: f64,
    /// One minus the confidence.
    pub alpha: f64,
}

/// The lower bound on the noise ratio of `train` at confidence 1 − `alpha`.
///
/// `null`: n ≥ 1 scores of samples with verified labels, exchangeable with the clean ones of
/// `train`. `train`: N ≥ 1 scores in the same unit. The null samples should be left out of `train`;
/// if they are in, the bound stays valid and is a little lower. `alpha` in (0, 0.5]. Calibrates a
/// band each time; with nulls of one size, build it once and use [`lower_bound_with`].
///
/// # Errors
///
/// [`StatsError::Empty`], [`StatsError::NotANumber`], or [`StatsError::OutOfRange`] for `alpha`.
///
/// ```
/// use mirrorwatch_stats::noise_ratio::lower_bound;
///
/// let null: Vec<f32> = (0..200).map(|i| i as f32 / 200.0).collect();
/// // Five scores above all others could be chance, a quarter of all could not.
/// let mut few = null.clone();
/// few[195..].fill(3.0);
/// let mut many = null.clone();
/// many[150..].fill(3.0);
/// assert_eq!(lower_bound(&null, &few, 0.05)?.wrong, 0);
/// assert!(lower_bound(&null, &many, 0.05)?.ratio > 0.15);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn lower_bound(null: &[f32], train: &[f32], alpha: f64) -> Result<NoiseBound, StatsError> {
    lower_bound_with(&UpperBand::new(null.len(), alpha)?, null, train)
}

/// [`lower_bound`] with a band built before. O((n + N) log n).
///
/// # Errors
///
/// As [`lower_bound`], and [`StatsError::BandSize`] if the band is for another number of null samples.
///
/// ```
/// use mirrorwatch_stats::{band::UpperBand, noise_ratio::lower_bound_with};
///
/// let null: Vec<f32> = (0..100).map(|i| i as f32 / 100.0).collect();
/// let band = UpperBand::new(null.len(), 0.05)?;
/// for wrong in [200, 400] {
///     let clean = 1000 - wrong;
///     let mut train: Vec<f32> = (0..clean).map(|i| i as f32 / clean as f32).collect();
///     train.resize(1000, 2.0);
///     let bound = lower_bound_with(&band, &null, &train)?;
///     assert!(bound.wrong > wrong / 2 && bound.wrong <= wrong);
/// }
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn lower_bound_with(
    band: &UpperBand,
    null: &[f32],
    train: &[f32],
) -> Result<NoiseBound, StatsError> {
    some_scores("null", null)?;
    some_scores("train", train)?;
    bound_of(band, &Cells::count(null, train)?)
}

/// The bound of samples that were counted between the null scores.
///
/// Where the count of null samples is the same, the value only rises with that of training samples. So of all thresholds
/// within a cell the one to try is its lowest score, which all samples of this cell and of those above reach.
pub(crate) fn bound_of(band: &UpperBand, cells: &Cells) -> Result<NoiseBound, StatsError> {
    let (samples, null) = (cells.samples(), cells.null_samples);
    if samples == 0 {
        return Err(StatsError::Empty { what: "train" });
    }
    if band.n() != null {
        let band = band.n();
        return Err(StatsError::BandSize { band, null });
    }
    let both = samples as f64 + null as f64;

    // Above every score: nothing exceeds, and the bound is a little below 0.
    let mut best = (f64::NEG_INFINITY, f32::INFINITY, 0, 0);
    let mut consider = |threshold: f32, train_exceeding: usize, null_exceeding: usize| {
        let clean = band.at(null_exceeding);
        if clean < 1.0 {
            let excess = (train_exceeding + null_exceeding) as f64 - both * clean;
            let value = excess / (samples as f64 * (1.0 - clean));
            if value > best.0 {
                best = (value, threshold, train_exceeding, null_exceeding);
            }
        }
    };
    consider(f32::INFINITY, 0, 0);
    // From the lowest scores up, so that of equal values the lowest threshold stays.
    let mut exceeding = samples;
    for cell in cells.occupied.iter().rev() {
        consider(cell.lowest, exceeding, cell.cell);
        exceeding -= cell.samples;
    }

    let (unclipped, threshold, train_exceeding, null_exceeding) = best;
    let ratio = unclipped.clamp(0.0, 1.0);
    Ok(NoiseBound {
        ratio,
        unclipped,
        // The true number is whole, so it may be rounded up, once past the rounding of the arithmetic.
        wrong: (ratio * samples as f64 - 1e-9 * samples as f64)
            .ceil()
            .max(0.0) as usize,
        train: samples,
        estimate: plug_in(train_exceeding, samples, null_exceeding, null).max(ratio),
        threshold,
        train_exceeding,
        null_exceeding,
        null,
        clean_exceeding: band.at(null_exceeding),
        alpha: band.alpha(),
    })
}

/// A point estimate of the noise ratio of `train`, in [0, 1].
///
/// Storey's estimate 1 − π̂₀(λ) on the conformal p-values, with λ the p-value at which the 95 %
/// lower bound is reached: where the evidence is strongest, instead of a fixed 1/2. (Garg et al.,
/// *Mixture proportion estimation and PU learning*, NeurIPS 2021, choose their threshold by a
/// confidence bound too.) Never below that bound. What no method can see is missing from it: wrong
/// labels that score like clean ones.
///
/// Bias, and root mean squared error in brackets, N = 20,000 and 400 repetitions (the test
/// `bias_table` prints it, `estimate_has_little_bias` checks a part); clean scores are N(0, 1),
/// those of wrong labels N(μ, 1):
///
/// | n | μ | 0 | .01 | .05 | .1 | .2 | .4 |
/// | --- | --- | --- | --- | --- | --- | --- | --- |
/// | 300 | 4 | +.010 (.029) | +.010 (.031) | +.009 (.032) | +.009 (.032) | +.007 (.030) | +.007 (.025) |
/// | 300 | 2 | +.010 (.029) | +.008 (.035) | −.002 (.042) | −.002 (.046) | −.001 (.045) | −.010 (.040) |
/// | 300 | 1 | +.010 (.029) | +.005 (.034) | −.021 (.049) | −.041 (.070) | −.062 (.086) | −.119 (.130) |
/// | 1,000 | 4 | +.006 (.016) | +.005 (.016) | +.005 (.017) | +.005 (.017) | +.004 (.016) | +.004 (.014) |
/// | 1,000 | 2 | +.006 (.016) | +.001 (.018) | −.001 (.026) | −.001 (.028) | −.005 (.028) | −.015 (.027) |
/// | 1,000 | 1 | +.006 (.016) | −.002 (.018) | −.022 (.038) | −.035 (.051) | −.062 (.070) | −.123 (.127) |
///
/// # Errors
///
/// As [`lower_bound`].
///
/// ```
/// let null: Vec<f32> = (0..200).map(|i| i as f32 / 200.0).collect();
/// let mut train: Vec<f32> = (0..900).map(|i| i as f32 / 900.0).collect();
/// train.extend([3.0; 100]);
/// let share = mirrorwatch_stats::noise_ratio::estimate(&null, &train)?;
/// assert!((share - 0.1).abs() < 0.01);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn estimate(null: &[f32], train: &[f32]) -> Result<f64, StatsError> {
    Ok(lower_bound(null, train, ESTIMATE_ALPHA)?.estimate)
}

/// (F̂ − Ŝ) / (1 − Ŝ) with Ŝ = (m + 1) / (n + 1), the mean of the clean share just above the m-th
/// null score.
fn plug_in(train_exceeding: usize, train: usize, null_exceeding: usize, null: usize) -> f64 {
    if null_exceeding >= null {
        return 0.0;
    }
    let observed = train_exceeding as f64 / train as f64;
    let clean = (null_exceeding + 1) as f64 / (null + 1) as f64;
    ((observed - clean) / (1.0 - clean)).clamp(0.0, 1.0)
}

/// The part of `alpha` to spend on checkpoint `index` (0, 1, 2, …): 6 α / (π² (index + 1)²).
///
/// The parts add up to α over endlessly many checkpoints, so that with probability 1 − α *every*
/// bound computed at its part holds (Bonferroni), and the largest of them so far is a valid bound
/// too: the noise ratio belongs to the data and does not change from one checkpoint to the next.
/// Early ones, which see wrong labels best, get the most.
///
/// ```
/// use mirrorwatch_stats::noise_ratio::alpha_at;
///
/// let spent: f64 = (0..1000).map(|checkpoint| alpha_at(checkpoint, 0.05)).sum();
/// assert!(spent < 0.05 && spent > 0.0499);
/// assert!(alpha_at(0, 0.05) > 0.03);
/// ```
#[must_use]
pub fn alpha_at(index: usize, alpha: f64) -> f64 {
    let k = index as f64 + 1.0;
    alpha * 6.0 / (std::f64::consts::PI.powi(2) * k * k)
}

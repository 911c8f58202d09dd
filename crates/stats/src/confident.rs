//! How many labels of a set are wrong, as far as a model that has not seen them can tell without being
//! told: the probe's own label noise.
//!
//! Where a model is surest of itself it is hardly ever wrong about what it sees, so that the labels that
//! contradict it there are wrong themselves (the idea of confident learning: Northcutt, Jiang and Chuang,
//! JAIR 70, 2021). A wrong label does not care how sure the model is, a mistake of the model does: label
//! noise is the share of contradictions that is left however sure the model has to be.

use crate::StatsError;
use crate::check::{no_nan, same_length};

/// The shares of the samples, surest first, in which contradictions are counted.
const SURE: [usize; 3] = [2, 4, 8];
/// Fewer samples than this say too little.
const LEAST: usize = 40;
/// 1 − confidence of each share's bound.
const LEVEL: f64 = 0.05;

/// A lower bound on the share of wrong labels among samples of which a model that has not learnt from them
/// says with `confidence` what they are, `agrees` telling whether the label is that.
///
/// Of the surest half, quarter and eighth (where these have at least 40 samples) the smallest lower bound
/// (Clopper and Pearson, 95 % each) on the share of contradictions; 0 with fewer samples than that. A model
/// that is sure of the wrong things makes it too high: ask a well-taught one.
///
/// # Errors
///
/// [`StatsError::LengthMismatch`], or [`StatsError::NotANumber`] for a confidence.
///
/// ```
/// let confidence: Vec<f32> = (0..400).map(|i| i as f32).collect();
/// // The model errs where it is unsure; of the labels, one in ten is wrong everywhere.
/// let agrees: Vec<bool> = (0..400).map(|i| i > 60 && i % 10 != 0).collect();
/// let bound = mirrorwatch_stats::confident::wrong_labels(&confidence, &agrees)?;
/// assert!(bound > 0.03 && bound < 0.1);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn wrong_labels(confidence: &[f32], agrees: &[bool]) -> Result<f64, StatsError> {
    same_length(("confidence", confidence.len()), ("agrees", agrees.len()))?;
    no_nan("confidence", confidence)?;
    let mut order: Vec<usize> = (0..confidence.len()).collect();
    order.sort_by(|&a, &b| confidence[b].total_cmp(&confidence[a]));
    let mut smallest: Option<f64> = None;
    for part in SURE {
        let surest = &order[..order.len() / part];
        if surest.len() < LEAST {
            break;
        }
        let contradicted = surest.iter().filter(|&&i| !agrees[i]).count();
        let bound = crate::binomial::lower_bound(surest.len(), contradicted, LEVEL)?;
        smallest = Some(smallest.map_or(bound, |s| s.min(bound)));
    }
    Ok(smallest.unwrap_or(0.0))
}

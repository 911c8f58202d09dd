//! How likely it is that this one label is right: the local false-discovery rate.
//!
//! A list of suspects at q = 0.1 promises a tenth of false alarms on average over the list, but the first
//! of the list and the last are not alike. The local rate π₀ f₀(s) / f(s) (Efron, Tibshirani, Storey and
//! Tusher, JASA 96, 2001) is the share of clean samples *at* a score instead of above it. Both densities
//! are estimated by their Grenander estimator, in one: the isotonic regression of clean against all
//! counts (Strimmer, *A unified approach to false discovery rate estimation*, BMC Bioinformatics 9, 2008),
//! which needs no bandwidth and no family of distributions, only that a higher score never makes a
//! label more likely to be right.

use crate::StatsError;
use crate::cells::Cells;
use crate::check::within;
use crate::ruler::Ruler;

/// Scores that share one estimate: the null samples there, and the samples.
struct Block {
    null: usize,
    samples: usize,
    /// The cell of the lowest of the scores.
    last: usize,
}

/// The local false-discovery rate of each score: the estimated chance, from 0 to 1, that a sample with this
/// score is clean. Never smaller for a lower score; equal within stretches that the data cannot tell apart.
///
/// `null`: scores of samples known to be clean. `clean_share`: π₀, the share of clean samples among
/// `scores`, from [`crate::fdr::clean_share`] or 1. As for conformal p-values, one more null sample is
/// imagined above all scores, so that no label is ever certain to be wrong.
///
/// # Errors
///
/// [`StatsError::Empty`] without null scores, [`StatsError::NotANumber`], and [`StatsError::OutOfRange`] for a
/// share that is not above 0 and at most 1.
///
/// ```
/// let null = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 2.0];
/// let scores = [0.1, 0.3, 0.5, 2.5, 3.0, 3.5, 4.0];
/// let rates = mirrorwatch_stats::local::false_discovery_rates(&null, &scores, 0.5)?;
/// assert!(rates[6] < 0.1 && rates[0] > 0.9);
/// # Ok::<(), mirrorwatch_stats::StatsError>(())
/// ```
pub fn false_discovery_rates(
    null: &[f32],
    scores: &[f32],
    clean_share: f64,
) -> Result<Vec<f64>, StatsError> {
    let ruler = Ruler::new(null)?;
    let of_cells = rates_of(&ruler.count(scores)?, clean_share)?;
    let rates = scores.iter().map(|&score| of_cells[ruler.cell(score)]);
    Ok(rates.collect())
}

/// The rate of every cell from 0 to the size of the null.
///
/// Within a cell the regression on single scores is constant: its highest score has all of the null samples counted for
/// the cell, one at least, and lower ones have none, which pools them. So it may start from whole cells.
pub(crate) fn rates_of(cells: &Cells, clean_share: f64) -> Result<Vec<f64>, StatsError> {
    within(
        clean_share > 0.0 && clean_share <= 1.0,
        "the clean share",
        clean_share,
        "above 0 and at most 1",
    )?;
    let mut blocks: Vec<Block> = Vec::new();
    // One more null sample is imagined above all scores.
    let (mut above, mut imagined) = (0, 1);
    for (cell, samples) in cells.occupied() {
        // Null samples between two cells count for the lower one: that they are not above it is all that is
        // known of them.
        blocks.push(Block {
            null: cell - above + imagined,
            samples,
            last: cell,
        });
        pool(&mut blocks);
        (above, imagined) = (cell, 0);
    }

    let each = clean_share * cells.samples() as f64 / (cells.null_samples + 1) as f64;
    let mut rates = Vec::with_capacity(cells.null_samples + 1);
    for block in blocks {
        // Divided first: equal shares come out equal.
        let rate = (each * (block.null as f64 / block.samples as f64)).min(1.0);
        rates.resize(block.last + 1, rate);
    }
    rates.resize(cells.null_samples + 1, 1.0);
    Ok(rates)
}

/// Joins the last block with those before it until the rates do not fall (pool adjacent violators: Ayer,
/// Brunk, Ewing, Reid and Silverman, 1955).
fn pool(blocks: &mut Vec<Block>) {
    while let [.., higher, lower] = blocks.as_slice() {
        // Counts, not shares: these compare exactly.
        let times = |null: usize, samples: usize| null as u128 * samples as u128;
        if times(higher.null, lower.samples) <= times(lower.null, higher.samples) {
            return;
        }
        let joined = Block {
            null: higher.null + lower.null,
            samples: higher.samples + lower.samples,
            last: lower.last,
        };
        blocks.truncate(blocks.len() - 2);
        blocks.push(joined);
    }
}

#[cfg(test)]
#[path = "local_tests.rs"]
mod tests;

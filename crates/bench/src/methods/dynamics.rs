//! Methods that are read off scans: the product, its estimators, and what training itself sees.

use super::{Moment, Scored};
use crate::product;

/// The product's ranking: the evidence of its default estimator.
pub fn mirrorwatch(moment: &Moment<'_>) -> Vec<Scored> {
    vec![Scored::new("mirrorwatch", product::ranking(moment.product))]
}

/// Every estimator at this checkpoint alone.
pub fn estimators(moment: &Moment<'_>) -> Vec<Scored> {
    let mut scored = Vec::new();
    for estimate in &moment.scan.estimates {
        scored.push(Scored::new(
            estimate.estimator.to_string(),
            estimate.train.clone(),
        ));
    }
    scored
}

/// The running evidence of every estimator.
pub fn running_evidence(moment: &Moment<'_>) -> Vec<Scored> {
    let mut scored = Vec::new();
    for channel in &moment.all.channels {
        let name = format!("{} evidence", channel.estimator);
        scored.push(Scored::new(name, channel.train.clone()));
    }
    scored
}

/// The loss at this checkpoint.
pub fn loss(moment: &Moment<'_>) -> Vec<Scored> {
    vec![Scored::new("loss", moment.scan.train_losses.clone())]
}

/// The mean loss over the scanned checkpoints so far.
pub fn cumulative_loss(moment: &Moment<'_>) -> Vec<Scored> {
    vec![Scored::new(
        "cumulative-loss",
        moment.product.mean_loss.clone(),
    )]
}

/// The area under the margin (Pleiss et al., NeurIPS 2020) over the scanned checkpoints so far, negated.
pub fn aum(moment: &Moment<'_>) -> Vec<Scored> {
    let margins = &moment.product.mean_margin;
    vec![Scored::new("aum", margins.iter().map(|m| -m).collect())]
}

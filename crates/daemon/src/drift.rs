//! Drift: where a checkpoint's scores go, as far as those tell that it read.

/// What a sample's score at a checkpoint most likely is, by its evidence so far.
///
/// A line through the medians of groups of typical samples with like evidence. It follows the scale on which a
/// checkpoint speaks, which is another for each, and says nothing of single samples.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Drift {
    /// Evidence and score of each group, in order of evidence.
    groups: Vec<(f32, f32)>,
}

/// Typical samples in a group, at least.
const GROUP: usize = 20;
/// Groups, at most.
const GROUPS: usize = 50;

impl Drift {
    /// By samples `typical`, which have both evidence and a score.
    pub fn fitted(evidence: &[f32], typical: &[usize], score: impl Fn(usize) -> f32) -> Self {
        let mut order = typical.to_vec();
        order.sort_unstable_by(|&a, &b| evidence[a].total_cmp(&evidence[b]));
        let count = (order.len() / GROUP).clamp(1, GROUPS);
        let mut groups = Vec::with_capacity(count);
        for group in 0..count {
            let members = &order[group * order.len() / count..(group + 1) * order.len() / count];
            let before = median(members.iter().map(|&i| evidence[i]).collect());
            let now = median(members.iter().map(|&i| score(i)).collect());
            groups.extend(before.zip(now));
        }
        Self { groups }
    }

    /// The score that goes with this evidence. Beyond the groups, scores are as far from the last one as evidence is.
    pub fn at(&self, evidence: f32) -> f32 {
        let above = self
            .groups
            .partition_point(|(before, _)| *before < evidence);
        let left = above.checked_sub(1).and_then(|nth| self.groups.get(nth));
        match (left, self.groups.get(above)) {
            (Some((x0, y0)), Some((x1, y1))) => {
                let part = (evidence - x0) / (x1 - x0);
                y0 + part * (y1 - y0)
            }
            (Some((x, y)), None) | (None, Some((x, y))) => y + (evidence - x),
            (None, None) => evidence,
        }
    }
}

fn median(mut values: Vec<f32>) -> Option<f32> {
    let middle = values.len() / 2;
    values.sort_unstable_by(f32::total_cmp);
    values.get(middle).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unread_samples_go_the_way_of_those_like_them() {
        // Twice the evidence and one more, at this checkpoint.
        let evidence: Vec<f32> = (0..1000).map(|i| i as f32 / 100.0).collect();
        let score = |i: usize| 2.0 * evidence[i] + 1.0;
        let typical: Vec<usize> = (0..1000).step_by(3).collect();
        let drift = Drift::fitted(&evidence, &typical, score);
        for (sample, &before) in evidence.iter().enumerate().take(900).skip(100) {
            let off = (drift.at(before) - score(sample)).abs();
            assert!(off < 0.02, "{sample}: {off}");
        }
        // Beyond the first and the last group by the difference in evidence, in whatever scale.
        assert!(drift.at(0.0) < drift.at(0.99) && drift.at(9.99) > drift.at(9.0));
    }

    #[test]
    fn few_samples_make_one_group_and_none_no_drift() {
        let scores = [3.0, 4.0, 9.0];
        let drift = Drift::fitted(&[0.0, 1.0, 5.0], &[0, 1, 2], |i| scores[i]);
        assert_eq!(drift.groups, [(1.0, 4.0)]);
        assert_eq!((drift.at(1.0), drift.at(2.5)), (4.0, 5.5));
        assert_eq!(Drift::fitted(&[], &[], |_| 0.0).at(2.5), 2.5);
    }

    #[test]
    fn equal_evidence_is_no_trouble() {
        let typical: Vec<usize> = (0..100).collect();
        let drift = Drift::fitted(&[1.0; 100], &typical, |_| 2.0);
        assert_eq!(drift.at(1.0), 2.0);
        assert_eq!(drift.at(1.5), 2.5);
    }
}

//! Conjugate gradients for a matrix that is known only by its products.

/// Why the iterations ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// The residual became small.
    Converged,
    /// All iterations were used.
    Limit,
    /// The matrix is not positive along the next direction, or its product is not finite.
    Curvature,
}

/// An approximate solution x of A x = b.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Solution {
    pub x: Vec<f32>,
    /// Products with A that went into x.
    pub iterations: usize,
    /// ‖b − A x‖ / ‖b‖ as the iterations know it; 0 where b vanishes.
    pub residual: f64,
    pub stopped: Stopped,
}

/// When to stop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub iterations: usize,
    /// Residual ‖b − A x‖ / ‖b‖ that is small enough.
    pub residual: f64,
}

/// Solves A x = b for a symmetric A, `product` being u ↦ A u, starting at x = 0 (Hestenes and Stiefel, 1952). The
/// first product that is asked for is A b.
///
/// At a direction along which A is not positive it stops with what it has, and with b itself when that
/// is the first one: truncated Newton (Steihaug, "The Conjugate Gradient Method and Trust Regions in
/// Large Scale Optimization", 1983), without a trust region because the caller chooses the
/// length of the step anew. Each step before that adds to ⟨x, b⟩, so that x never points away from b.
pub(crate) fn solve<E>(
    b: &[f32],
    limits: Limits,
    mut product: impl FnMut(&[f32]) -> Result<Vec<f32>, E>,
) -> Result<Solution, E> {
    let mut x = vec![0.0f32; b.len()];
    let mut residual = b.to_vec();
    let mut direction = b.to_vec();
    let start = dot(b, b);
    let small = limits.residual * limits.residual * start;
    let mut squared = start;
    let mut iterations = 0;
    let stopped = loop {
        // Also where b vanishes.
        if squared <= small {
            break Stopped::Converged;
        }
        if iterations == limits.iterations {
            break Stopped::Limit;
        }
        let image = product(&direction)?;
        let curvature = dot(&direction, &image);
        let step = squared / curvature;
        if curvature <= 0.0 || !step.is_finite() || !dot(&image, &image).is_finite() {
            if iterations == 0 {
                x.copy_from_slice(b);
            }
            break Stopped::Curvature;
        }
        iterations += 1;
        add(&mut x, step, &direction);
        add(&mut residual, -step, &image);
        let next = dot(&residual, &residual);
        let keep = (next / squared) as f32;
        for (d, r) in direction.iter_mut().zip(&residual) {
            *d = r + keep * *d;
        }
        squared = next;
    };
    let residual = if start > 0.0 {
        // What it stopped with instead of a solution is b itself.
        (squared / start).sqrt()
    } else {
        0.0
    };
    Ok(Solution {
        x,
        iterations,
        residual,
        stopped,
    })
}

/// ⟨a, b⟩, summed in double precision.
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sum = 0.0;
    for (a, b) in a.iter().zip(b) {
        sum += f64::from(*a) * f64::from(*b);
    }
    sum
}

/// Adds `scale` times `b` to `a`.
pub(crate) fn add(a: &mut [f32], scale: f64, b: &[f32]) {
    for (a, b) in a.iter_mut().zip(b) {
        *a += (scale * f64::from(*b)) as f32;
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use proptest::prelude::*;

    const PATIENT: Limits = Limits {
        iterations: 50,
        residual: 1e-6,
    };

    fn solved(matrix: &[Vec<f32>], b: &[f32], limits: Limits) -> Solution {
        let product = |u: &[f32]| -> Result<Vec<f32>, Infallible> {
            Ok(matrix.iter().map(|row| dot(row, u) as f32).collect())
        };
        match solve(b, limits, product) {
            Ok(solution) => solution,
            Err(never) => match never {},
        }
    }

    #[test]
    fn a_system_solved_by_numpy() {
        // numpy 2.4.6: numpy.linalg.solve([[4, 1, 0], [1, 3, -1], [0, -1, 2]], [1, 2, 3])
        let matrix = [
            vec![4.0, 1.0, 0.0],
            vec![1.0, 3.0, -1.0],
            vec![0.0, -1.0, 2.0],
        ];
        let found = solved(&matrix, &[1.0, 2.0, 3.0], PATIENT);
        let expected = [-0.111_111, 1.444_444, 2.222_222];
        for (f, e) in found.x.iter().zip(expected) {
            assert!((f - e).abs() < 1e-5, "{found:?}");
        }
        assert_eq!(found.stopped, Stopped::Converged);
        assert!(found.iterations <= 4, "{found:?}");
    }

    #[test]
    fn negative_curvature_ends_it_with_what_there_is() {
        // Along b itself: b.
        let down = solved(&[vec![-1.0, 0.0], vec![0.0, -5.0]], &[1.0, 2.0], PATIENT);
        assert_eq!(
            (down.x, down.iterations, down.stopped),
            (vec![1.0, 2.0], 0, Stopped::Curvature)
        );
        // b A b = 2 > 0; the first step is b · 2/2, the second direction has negative curvature.
        let saddle = solved(&[vec![3.0, 0.0], vec![0.0, -1.0]], &[1.0, 1.0], PATIENT);
        assert_eq!(
            (saddle.x, saddle.iterations, saddle.stopped),
            (vec![1.0, 1.0], 1, Stopped::Curvature)
        );
        // A product that is not a number.
        let nan = solved(&[vec![f32::NAN]], &[3.0], PATIENT);
        assert_eq!((nan.x, nan.stopped), (vec![3.0], Stopped::Curvature));
        // No curvature at all.
        let flat = solved(&[vec![0.0]], &[3.0], PATIENT);
        assert_eq!((flat.x, flat.stopped), (vec![3.0], Stopped::Curvature));
    }

    #[test]
    fn nothing_asked_nothing_given_and_no_more_than_allowed() {
        let matrix = [vec![1.0, 0.0], vec![0.0, 100.0]];
        let none = solved(&matrix, &[0.0, 0.0], PATIENT);
        assert_eq!(
            (none.x, none.iterations, none.stopped),
            (vec![0.0, 0.0], 0, Stopped::Converged)
        );
        let one = Limits {
            iterations: 1,
            residual: 1e-6,
        };
        let cut = solved(&matrix, &[1.0, 1.0], one);
        assert_eq!((cut.iterations, cut.stopped), (1, Stopped::Limit));
        // ⟨b, b⟩ / ⟨b, A b⟩ = 2 / 101.
        assert!((cut.x[0] - 2.0 / 101.0).abs() < 1e-7, "{cut:?}");
    }

    proptest! {
        /// A = B Bᵀ + I has a solution, and it is found.
        #[test]
        fn a_positive_system_is_solved(
            rows in proptest::collection::vec(proptest::collection::vec(-1.0f32..1.0, 6), 6),
            b in proptest::collection::vec(-1.0f32..1.0, 6),
        ) {
            let mut matrix = vec![vec![0.0f32; 6]; 6];
            for i in 0..6 {
                for j in 0..6 {
                    matrix[i][j] = dot(&rows[i], &rows[j]) as f32 + f32::from(u8::from(i == j));
                }
            }
            let found = solved(&matrix, &b, PATIENT);
            prop_assert_ne!(found.stopped, Stopped::Curvature);
            for (row, b) in matrix.iter().zip(&b) {
                prop_assert!((dot(row, &found.x) - f64::from(*b)).abs() < 1e-4);
            }
        }

        /// Whatever A is, x has a part along b: a step along it never goes the wrong way.
        #[test]
        fn an_indefinite_system_never_turns_back(
            rows in proptest::collection::vec(proptest::collection::vec(-1.0f32..1.0, 6), 6),
            b in proptest::collection::vec(0.1f32..1.0, 6),
        ) {
            let mut matrix = rows.clone();
            for i in 0..6 {
                for j in 0..6 {
                    matrix[i][j] = rows[i][j] + rows[j][i];
                }
            }
            let few = Limits { iterations: 6, residual: 1e-3 };
            let found = solved(&matrix, &b, few);
            prop_assert!(found.x.iter().all(|x| x.is_finite()));
            prop_assert!(dot(&found.x, &b) > 0.0, "{:?}", found);
        }
    }
}

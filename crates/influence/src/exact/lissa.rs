//! Influence functions by stochastic recursion instead of conjugate gradients.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::index;

use super::Exact;
use crate::conjugate::{add, dot};
use crate::error::InfluenceError;
use crate::task::Task;

/// Products with which the largest curvature is looked for.
const POWER: usize = 10;
/// The scale, over the largest curvature that was seen: other minibatches may have more.
const MARGIN: f64 = 2.0;

/// How (G + λI) v = ∇L_P is solved by [`Exact::lissa`].
///
/// ```
/// use mirrorwatch_influence::exact::LissaOptions;
///
/// let options = LissaOptions { depth: 100, ..LissaOptions::default() };
/// assert_eq!((options.damping, options.scale, options.batch), (0.1, None, 64));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LissaOptions {
    /// λ, as [`InverseOptions::damping`](super::InverseOptions::damping).
    pub damping: f64,
    /// σ, by which G + λI is divided so that no eigenvalue is above 1; none for twice the largest that a few products
    /// show. Below half of the largest eigenvalue the recursion diverges, far above it is slow.
    pub scale: Option<f64>,
    /// Steps of the recursion, each a product with the curvature of one minibatch. A direction of curvature c is
    /// known to (1 − (c + λ) / σ)^depth.
    pub depth: usize,
    /// Samples in a minibatch.
    pub batch: usize,
    /// Recursions whose results are averaged.
    pub repeats: usize,
    /// Seed of the minibatches.
    pub seed: u64,
}

impl Default for LissaOptions {
    /// 0.1, a measured scale, 500 steps of 64 samples, two repeats.
    fn default() -> Self {
        Self {
            damping: 0.1,
            scale: None,
            depth: 500,
            batch: 64,
            repeats: 2,
            seed: 0,
        }
    }
}

/// What the recursion came to.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// use mirrorwatch_influence::exact::LissaOptions;
///
/// let options = LissaOptions { depth: 7, repeats: 3, ..LissaOptions::default() };
/// let found = exact.lissa(&[0, 1, 2, 3, 4], options)?;
/// assert_eq!((found.v.len(), found.steps), (4, 21));
/// assert!(found.scale > found.damping && found.damping > 0.0);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Recursed {
    /// v, in the layout of the gradients.
    pub v: Vec<f32>,
    /// λ itself.
    pub damping: f64,
    /// σ itself.
    pub scale: f64,
    /// Steps that went into v.
    pub steps: usize,
}

impl<T: Task> Exact<'_, T> {
    /// Solves (G + λI) v = ∇L_P as [`Exact::inverse_curvature`] does, by LiSSA: v is σ⁻¹ times the limit of
    /// h ← ∇L_P + h − (G_b + λI) h / σ, G_b being the Gauss-Newton matrix over a minibatch drawn anew at every step, and
    /// the mean over repeats (Agarwal, Bullins and Hazan, *Second-Order Stochastic Optimization for Machine Learning in
    /// Linear Time*, JMLR 18, 2017; as an influence function: Koh and Liang, ICML 2017).
    ///
    /// Its cost does not grow with the number of samples, but for one product that measures λ.
    ///
    /// # Errors
    ///
    /// No samples, one that cannot be read, a recursion that diverges, or cancellation.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// use mirrorwatch_influence::exact::{InverseOptions, LissaOptions, inner};
    ///
    /// let all = [0, 1, 2, 3, 4];
    /// let found = exact.lissa(&all, LissaOptions::default())?.v;
    /// let solved = exact.inverse_curvature(&all, InverseOptions::default())?.v;
    /// let cosine = inner(&found, &solved) / (inner(&found, &found) * inner(&solved, &solved)).sqrt();
    /// assert!(cosine > 0.99);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn lissa(
        &self,
        samples: &[usize],
        options: LissaOptions,
    ) -> Result<Recursed, InfluenceError> {
        if samples.is_empty() {
            return Err(InfluenceError::Data(
                "no training samples are given whose curvature counts; name at least one".into(),
            ));
        }
        let g = self.probe();
        let (damping, _) = self.damping(&self.curvature(samples), options.damping)?;
        let mut draw = Draw {
            rng: StdRng::seed_from_u64(options.seed),
            samples,
            batch: options.batch.clamp(1, samples.len()),
        };
        let scale = match options.scale {
            Some(scale) => scale,
            None => MARGIN * (self.largest(&mut draw)? + damping),
        };
        let repeats = options.repeats.max(1);
        let mut v = vec![0.0; g.len()];
        for _ in 0..repeats {
            let mut h = g.to_vec();
            for _ in 0..options.depth {
                let mut image = self.curvature(&draw.next()).product(&h)?;
                add(&mut image, damping, &h);
                add(&mut h, -1.0 / scale, &image);
                add(&mut h, 1.0, g);
            }
            if !dot(&h, &h).is_finite() {
                return Err(InfluenceError::Outputs(format!(
                    "the recursion diverges with a scale of {scale:.3e}; give a larger one"
                )));
            }
            add(&mut v, 1.0 / (scale * repeats as f64), &h);
        }
        Ok(Recursed {
            v,
            damping,
            scale,
            steps: repeats * options.depth,
        })
    }

    /// The largest curvature that is seen when power iterations start at the probe's gradient, each with the curvature
    /// of another minibatch.
    fn largest(&self, draw: &mut Draw<'_>) -> Result<f64, InfluenceError> {
        let mut direction = self.probe().to_vec();
        let mut largest = 0.0;
        for _ in 0..POWER {
            let length = dot(&direction, &direction).sqrt();
            let image = self.curvature(&draw.next()).product(&direction)?;
            let stretched = dot(&image, &image).sqrt();
            if stretched == 0.0 || !stretched.is_finite() {
                break;
            }
            largest = f64::max(largest, stretched / length);
            direction = image;
        }
        Ok(largest)
    }
}

/// Draws minibatches.
struct Draw<'a> {
    rng: StdRng,
    samples: &'a [usize],
    batch: usize,
}

impl Draw<'_> {
    /// Another minibatch, in which no sample is twice.
    fn next(&mut self) -> Vec<usize> {
        let places = index::sample(&mut self.rng, self.samples.len(), self.batch);
        places
            .into_iter()
            .map(|place| self.samples[place])
            .collect()
    }
}

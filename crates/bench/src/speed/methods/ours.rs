//! Our own methods: scans, and the exact ones.

use std::sync::atomic::AtomicBool;

use mirrorwatch_influence::exact::{Exact, InverseOptions, LissaOptions, inner};
use mirrorwatch_influence::{
    Estimator, Labels, Layers, Memory, Scan, ScanConfig, Set, SweepOptions, scan_next,
};

use super::super::data::Planted;
use super::super::nets::Net;
use super::Scores;

/// What our own methods work on.
pub struct Ours<'a> {
    /// The samples.
    pub task: &'a Planted,
    /// The checkpoint.
    pub model: &'a Net,
    /// All labels.
    pub labels: &'a Labels,
    /// The sidecar's defaults.
    pub config: &'a ScanConfig,
    /// What the scan of the checkpoint before has left.
    pub memory: &'a Memory,
}

impl Ours<'_> {
    /// What a scan of the checkpoint remembers.
    ///
    /// # Errors
    ///
    /// A scan that fails.
    pub fn remembered(&self) -> Result<Memory, String> {
        let mut memory = Memory::default();
        self.whole(&mut memory)?;
        Ok(memory)
    }

    /// A scan of the checkpoint, with what the one before remembers.
    ///
    /// # Errors
    ///
    /// As all methods: what cannot be computed.
    pub fn scan(&self, memory: &Memory) -> Result<Scores, String> {
        let mut memory = memory.clone();
        Ok(self.whole(&mut memory)?.estimates.swap_remove(0).train)
    }

    /// TracIn of the whole probe by finite differences: a step along its gradient, and what it changes. The product of
    /// gradients, to first order, in forward passes.
    pub fn differences(&self) -> Result<Scores, String> {
        let estimator = Estimator::parse::<Planted>("gradient:delta");
        let config = ScanConfig {
            estimators: vec![estimator.map_err(|error| error.to_string())?],
            ..self.config.clone()
        };
        let mut scan = self.whole_with(&config, &mut Memory::default())?;
        Ok(scan.estimates.swap_remove(0).train)
    }

    fn whole(&self, memory: &mut Memory) -> Result<Scan, String> {
        self.whole_with(self.config, memory)
    }

    fn whole_with(&self, config: &ScanConfig, memory: &mut Memory) -> Result<Scan, String> {
        let never = AtomicBool::new(false);
        let (task, model, labels) = (self.task, self.model, self.labels);
        scan_next(task, model, labels, config, memory, &|_| (), &never)
            .map_err(|error| error.to_string())
    }

    /// −⟨∇ℓ_i, ∇L_P⟩ of every training sample.
    pub fn tracin(&self, layers: Layers) -> Result<Scores, String> {
        self.each(layers, |exact| Ok(exact.probe().to_vec()))
    }

    /// −⟨∇ℓ_i, (G + λI)⁻¹ ∇L_P⟩, G over all training samples.
    pub fn inverse(&self, layers: Layers) -> Result<Scores, String> {
        let all: Vec<usize> = (0..self.labels.train.len()).collect();
        self.each(layers, |exact| {
            let solved = exact.inverse_curvature(&all, InverseOptions::default());
            Ok(solved.map_err(|error| error.to_string())?.v)
        })
    }

    /// The same with its own estimate of the product.
    pub fn lissa(&self, layers: Layers) -> Result<Scores, String> {
        let all: Vec<usize> = (0..self.labels.train.len()).collect();
        self.each(layers, |exact| {
            let found = exact.lissa(&all, LissaOptions::default());
            Ok(found.map_err(|error| error.to_string())?.v)
        })
    }

    /// −⟨∇ℓ_i, v⟩ of every training sample.
    fn each(
        &self,
        layers: Layers,
        v: impl FnOnce(&Exact<'_, Planted>) -> Result<Vec<f32>, String>,
    ) -> Result<Scores, String> {
        self.gradients(layers, v, |gradient, v| -inner(gradient, v))
    }

    /// ‖∇ℓ_i‖² of every training sample.
    pub fn own(&self) -> Result<Scores, String> {
        self.gradients(Layers::All, |_| Ok(Vec::new()), |g, _| inner(g, g))
    }

    fn gradients(
        &self,
        layers: Layers,
        v: impl FnOnce(&Exact<'_, Planted>) -> Result<Vec<f32>, String>,
        read: impl Fn(&[f32], &[f32]) -> f64,
    ) -> Result<Scores, String> {
        let options = SweepOptions {
            device: &self.config.device,
            batch_size: self.config.batch_size,
            progress: &|_| (),
            cancel: &AtomicBool::new(false),
        };
        let exact = Exact::new(self.task, self.model, self.labels, layers, &options)
            .map_err(|error| error.to_string())?;
        let v = v(&exact)?;
        let mut scores = Vec::with_capacity(self.labels.train.len());
        for (index, &label) in self.labels.train.iter().enumerate() {
            let gradient = exact.sample(Set::Training, index, label);
            let gradient = gradient.map_err(|error| error.to_string())?;
            scores.push(read(&gradient, &v) as f32);
        }
        Ok(scores)
    }
}

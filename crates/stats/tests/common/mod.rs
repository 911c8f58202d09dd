//! Seeded random numbers, so that a failure repeats.

#![allow(dead_code)]

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in (0, 1).
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53) + 2f64.powi(-54)
    }

    /// Normal, by Box and Muller.
    pub fn normal(&mut self, mean: f64) -> f32 {
        let radius = (-2.0 * self.uniform().ln()).sqrt();
        (mean + radius * (std::f64::consts::TAU * self.uniform()).cos()) as f32
    }

    pub fn normals(&mut self, count: usize, mean: f64) -> Vec<f32> {
        (0..count).map(|_| self.normal(mean)).collect()
    }

    /// `clean` scores of N(0, 1) and then `wrong` of N(`shift`, 1).
    pub fn mixture(&mut self, clean: usize, wrong: usize, shift: f64) -> Vec<f32> {
        let mut scores = self.normals(clean, 0.0);
        scores.extend(self.normals(wrong, shift));
        scores
    }
}

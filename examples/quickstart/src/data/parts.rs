//! The four parts of a data set and what must hold between them.

use mirrorwatch_idx::{self as idx, Data, Features};

use super::{DataError, EMBEDDED_TEST, FASHION_MNIST, Files};

/// What the four files hold.
pub(super) struct Parts {
    pub(super) train: Features,
    pub(super) train_labels: Vec<u32>,
    pub(super) test: Features,
    pub(super) test_labels: Vec<u32>,
}

impl Parts {
    /// Makes sure that the parts belong together; returns the number of classes.
    pub(super) fn check(&self, files: &Files) -> Result<usize, DataError> {
        let labels = &self.train_labels;
        idx::check_counts(&self.train, &files.train, labels, &files.train_labels)?;
        idx::check_counts(
            &self.test,
            &files.test,
            &self.test_labels,
            &files.test_labels,
        )?;
        if self.train.shape() != self.test.shape() {
            return Err(DataError::Shapes {
                train: files.train.clone(),
                train_shape: self.train.shape().to_vec(),
                test: files.test.clone(),
                test_shape: self.test.shape().to_vec(),
            });
        }
        let path = &files.train_labels;
        let largest = labels.iter().copied().max().unwrap_or(0);
        if labels.iter().all(|label| *label == largest) {
            return Err(DataError::OneClass { path: path.clone() });
        }
        let classes = largest as usize + 1;
        if classes > labels.len() {
            return Err(DataError::Sparse {
                path: path.clone(),
                labels: labels.len(),
                largest,
            });
        }
        // A class that is only ever tested cannot be learnt.
        idx::check_labels(&self.test_labels, class_count(classes), &files.test_labels)?;
        Ok(classes)
    }

    /// Recognises Fashion-MNIST by its first test image: MNIST and its other relatives have the same
    /// shape and the same number of classes.
    pub(super) fn is_fashion_mnist(&self, classes: usize) -> Result<bool, DataError> {
        if classes != FASHION_MNIST.len() || self.test.shape() != [28, 28] {
            return Ok(false);
        }
        let embedded = idx::features_from_bytes("embedded t10k-images", EMBEDDED_TEST)?;
        Ok(self.test.sample(0) == embedded.sample(0))
    }
}

/// The number of classes as labels count it; labels are 31 bits wide, so that nothing is cut.
pub(super) fn class_count(classes: usize) -> u32 {
    u32::try_from(classes).unwrap_or(u32::MAX)
}

/// The first `n` samples, of which there must be at least as many.
pub(super) fn first(features: &Features, n: usize) -> Result<Features, DataError> {
    let values = n * features.sample_len();
    let data = match features.data() {
        Data::U8(all) => Data::U8(all[..values].to_vec()),
        Data::F32(all) => Data::F32(all[..values].to_vec()),
    };
    Ok(Features::new(features.shape().to_vec(), data)?)
}

//! Inner products of the gradients of pairs of samples.

use burn::tensor::{Tensor, TensorData};

use super::Exact;
use crate::conjugate::dot;
use crate::error::InfluenceError;
use crate::task::{Set, Task};

/// Gradients that are held in memory at a time, in bytes.
const HELD: usize = 512 << 20;
/// Gradients that are multiplied with them at a time.
const CHUNK: usize = 32;

/// ⟨∇ℓ_i, ∇ℓ_j⟩ of rows i and columns j, and both sides' lengths.
///
/// ```
#[doc = include_str!("../example_impl.txt")]
#[doc = include_str!("../example_task.txt")]
/// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
/// let [wrong, right] = [(Set::Training, 2, 0), (Set::Training, 3, 1)];
/// let products = exact.pairs(&[wrong], &[wrong, right], &[exact.probe()])?;
/// assert_eq!((products.columns, products.values.len()), (2, 2));
/// // With itself, its squared length.
/// let length = products.row_lengths[0];
/// assert!((products.value(0, 0) - length * length).abs() < 1e-4 && length == products.column_lengths[0]);
/// assert!(products.along[0][0] < 0.0);
/// # Ok::<(), InfluenceError>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Products {
    /// Number of columns.
    pub columns: usize,
    /// Row by row.
    pub values: Vec<f32>,
    /// ⟨∇ℓ_i, d⟩ of each row and each of the directions that were asked for, row by row.
    pub along: Vec<Vec<f64>>,
    /// ‖∇ℓ_i‖ of each row.
    pub row_lengths: Vec<f64>,
    /// ‖∇ℓ_j‖ of each column.
    pub column_lengths: Vec<f64>,
}

impl Products {
    /// ⟨∇ℓ_i, ∇ℓ_j⟩.
    ///
    /// ```
    /// # use mirrorwatch_influence::exact::Products;
    /// let products = Products {
    ///     columns: 2,
    ///     values: vec![1.0, 2.0, 3.0, 4.0],
    ///     along: vec![Vec::new(); 2],
    ///     row_lengths: vec![2.0, 4.0],
    ///     column_lengths: vec![1.0, 2.0],
    /// };
    /// assert_eq!(products.value(1, 0), 3.0);
    /// ```
    pub fn value(&self, row: usize, column: usize) -> f64 {
        f64::from(self.values[row * self.columns + column])
    }

    /// The cosine of the two gradients, in [−1, 1]; 0 where one vanishes.
    ///
    /// ```
    /// # use mirrorwatch_influence::exact::Products;
    /// let products = Products {
    ///     columns: 1,
    ///     values: vec![3.0, 0.0],
    ///     along: vec![Vec::new(); 2],
    ///     row_lengths: vec![2.0, 0.0],
    ///     column_lengths: vec![2.0],
    /// };
    /// assert_eq!((products.cosine(0, 0), products.cosine(1, 0)), (0.75, 0.0));
    /// ```
    pub fn cosine(&self, row: usize, column: usize) -> f64 {
        let lengths = self.row_lengths[row] * self.column_lengths[column];
        if lengths > 0.0 {
            (self.value(row, column) / lengths).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }
}

impl<T: Task> Exact<'_, T> {
    /// Inner products of all `rows` with all `columns`, samples of a set under a label, and of the rows with some
    /// `directions` in the layout of the gradients.
    ///
    /// Rows are held in memory in blocks of 512 MiB; columns are differentiated anew for each block.
    ///
    /// # Errors
    ///
    /// A sample that cannot be read, or cancellation.
    ///
    /// ```
    #[doc = include_str!("../example_impl.txt")]
    #[doc = include_str!("../example_task.txt")]
    /// # let exact = exact::Exact::new(&task, &model, &labels, Layers::All, &options)?;
    /// let [wrong, right] = [(Set::Training, 2, 0), (Set::Training, 3, 1)];
    /// let products = exact.pairs(&[wrong], &[right], &[])?;
    /// assert!(products.cosine(0, 0) < -0.9);
    /// # Ok::<(), InfluenceError>(())
    /// ```
    pub fn pairs(
        &self,
        rows: &[(Set, usize, usize)],
        columns: &[(Set, usize, usize)],
        directions: &[&[f32]],
    ) -> Result<Products, InfluenceError> {
        let block = (HELD / (4 * self.parameters().max(1))).max(1);
        let mut products = Products {
            columns: columns.len(),
            values: vec![0.0; rows.len() * columns.len()],
            along: Vec::with_capacity(rows.len()),
            row_lengths: Vec::with_capacity(rows.len()),
            column_lengths: vec![0.0; columns.len()],
        };
        for (nth, rows) in rows.chunks(block).enumerate() {
            let (held, lengths) = self.matrix(rows, |gradient| {
                let along = directions.iter().map(|d| dot(gradient, d)).collect();
                products.along.push(along);
            })?;
            products.row_lengths.extend(lengths);
            let held = held.transpose();
            for (chunk_nth, chunk) in columns.chunks(CHUNK).enumerate() {
                let (other, lengths) = self.matrix(chunk, |_| ())?;
                let first = chunk_nth * CHUNK;
                products.column_lengths[first..first + chunk.len()].copy_from_slice(&lengths);
                // [chunk, rows]
                let values = other
                    .matmul(held.clone())
                    .into_data()
                    .try_to_vec::<f32>()
                    .map_err(|error| {
                        InfluenceError::Outputs(format!("cannot read inner products: {error:?}"))
                    })?;
                for (column, values) in values.chunks(rows.len()).enumerate() {
                    for (row, value) in values.iter().enumerate() {
                        let row = nth * block + row;
                        products.values[row * columns.len() + first + column] = *value;
                    }
                }
            }
        }
        Ok(products)
    }

    /// Gradients as the rows of a matrix, and their lengths; `see` is shown each.
    fn matrix(
        &self,
        samples: &[(Set, usize, usize)],
        mut see: impl FnMut(&[f32]),
    ) -> Result<(Tensor<2>, Vec<f64>), InfluenceError> {
        let mut values = Vec::with_capacity(samples.len() * self.parameters());
        let mut lengths = Vec::with_capacity(samples.len());
        for &(set, index, label) in samples {
            let gradient = self.sample(set, index, label)?;
            see(&gradient);
            lengths.push(dot(&gradient, &gradient).sqrt());
            values.extend(gradient);
        }
        let data = TensorData::new(values, [samples.len(), self.parameters()]);
        Ok((Tensor::from_data(data, self.forward.device), lengths))
    }
}

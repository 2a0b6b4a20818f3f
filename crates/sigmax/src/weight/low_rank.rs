//! W + s·B·A: a low-rank update (T30).

use crate::claim::Enclosure;
use crate::error::{Error, Expected, NotCovered};
use crate::kernel::Kernel;
use crate::rounding::{add_up, gamma, mul_up, scale_up};
use crate::verify::magnitude;
use crate::weight::{UNDERFLOW, Weight, wrong_length};

/// Most products of one update.
const MAX_PRODUCTS: usize = 1 << 34;

impl Weight {
    /// W + (α/r)·B·A, W as a matrix with its first axis as rows; B is rows × r and A is r × columns,
    /// both row-major.
    ///
    /// # Errors
    /// [`Error::NotCovered`] where lengths do not fit or a number is not finite,
    /// [`Error::TooLarge`] beyond 2³⁴ products.
    ///
    /// # Source
    /// T30; Hu et al. 2022.
    pub fn low_rank_update(
        kernel: &Kernel,
        a: &[f64],
        b: &[f64],
        rank: usize,
        alpha: f64,
    ) -> Result<Self, Error> {
        let mut values = kernel.values();
        let rows = kernel.shape()[0];
        let cols = values.len() / rows;
        if rank == 0 || a.len() != rank.saturating_mul(cols) {
            let expected = Expected::Matrix { rows: rank, cols };
            return Err(wrong_length("A", expected, a.len()));
        }
        if b.len() != rank.saturating_mul(rows) {
            let expected = Expected::Matrix { rows, cols: rank };
            return Err(wrong_length("B", expected, b.len()));
        }
        if rank.saturating_mul(values.len()) > MAX_PRODUCTS {
            return Err(Error::too_large(
                format!("the product of {rows}×{rank} and {rank}×{cols}"),
                "2^34 products are computed",
            ));
        }
        let scale = alpha / rank as f64;
        if ![a, b, &[scale]]
            .iter()
            .all(|l| l.iter().all(|v| v.is_finite()))
        {
            return Err(NotCovered::UpdateNotFinite.into());
        }
        let mut sizes: Vec<f64> = values.iter().map(|v| v.abs()).collect();
        for row in 0..rows {
            let (mut sum, mut size) = (vec![0.0; cols], vec![0.0; cols]);
            for k in 0..rank {
                let factor = b[row * rank + k];
                for (i, &entry) in a[k * cols..][..cols].iter().enumerate() {
                    sum[i] += factor * entry;
                    size[i] += (factor * entry).abs();
                }
            }
            for i in 0..cols {
                values[row * cols + i] += scale * sum[i];
                sizes[row * cols + i] += scale.abs() * size[i];
            }
        }
        // Per entry r products and sums, α/r, its product and the last sum: ≤ r + 4 roundings of
        // terms whose sizes add up to `sizes`, which has the same roundings itself.
        let underflow = values.len() as f64 * (rank as f64 + 2.0) * (1.0 + scale.abs()) * UNDERFLOW;
        let sizes = Kernel::new(kernel.shape(), sizes)?;
        let rounding = mul_up(2.0 * gamma(rank + 6), magnitude(&sizes));
        Ok(Self {
            kernel: Kernel::new(kernel.shape(), values)?,
            factor: Enclosure::ONE,
            error: add_up(scale_up(rounding, sizes.exponent()), underflow),
        })
    }
}

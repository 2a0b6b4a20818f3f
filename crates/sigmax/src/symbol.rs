//! [`Lattice`]: the values of a layer reduced to stride-1 convolutions on the infinite lattice, one per
//! group, as [`Layout`] says. Nothing here computes a norm.

pub(crate) mod autocorrelation;
pub(crate) mod fold;

use std::borrow::Cow;

use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::layout::{Layout, Polyphase};
use crate::linalg::{Mat, MatRef};
use crate::rounding;

/// Stride-1 kernels of shape `[rows, cols, k…]`, one per group, whose largest norm is S(K)/2^e.
pub(crate) struct Lattice<'a> {
    pub(crate) groups: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    /// Taps per axis after the polyphase split.
    pub(crate) k: Vec<usize>,
    /// Power of two that the kernel was divided by.
    pub(crate) exponent: i32,
    /// Whether rows are the input side (the weight of a transposed convolution).
    pub(crate) adjoint: bool,
    values: Cow<'a, [f64]>,
    polyphase: Option<Polyphase>,
    /// Number of values in the original kernel.
    original_len: usize,
}

impl<'a> Lattice<'a> {
    /// Checks the pair and reduces it.
    pub(crate) fn new(kernel: &'a Kernel, conv: &Conv) -> Result<Self, Error> {
        if !rounding::is_ieee() {
            return Err(Error::Arithmetic);
        }
        let layout = Layout::new(kernel.shape(), conv)?;
        let scaled = kernel.scaled();
        let values = match &layout.polyphase {
            None => Cow::Borrowed(scaled),
            Some(polyphase) => {
                let sources = polyphase.sources();
                let row = |row: &[f64]| -> Vec<f64> {
                    // One past the end stands for a zero.
                    let value = |&i: &usize| row.get(i).copied().unwrap_or(0.0);
                    sources.iter().map(value).collect()
                };
                scaled
                    .chunks_exact(polyphase.places().len())
                    .flat_map(row)
                    .collect()
            }
        };
        Ok(Self {
            groups: layout.groups,
            rows: layout.rows,
            cols: layout.cols,
            k: layout.k,
            exponent: kernel.exponent(),
            adjoint: layout.adjoint,
            values,
            polyphase: layout.polyphase,
            original_len: scaled.len(),
        })
    }

    /// Number of taps Πk.
    pub(crate) fn taps(&self) -> usize {
        self.k.iter().product()
    }

    /// The values of one group, row-major `[rows, cols, k…]`.
    pub(crate) fn group(&self, group: usize) -> &[f64] {
        let length = self.rows * self.cols * self.taps();
        &self.values[group * length..(group + 1) * length]
    }

    /// The matrix of a group, where there is one tap only.
    pub(crate) fn only_tap(&self, group: usize) -> Option<MatRef<'_, f64>> {
        let matrix = || MatRef::from_row_major_slice(self.group(group), self.rows, self.cols);
        (self.taps() == 1).then(matrix)
    }

    /// Adds `value` to the entry of `gradient` (original kernel layout) that the given entry of a
    /// group comes from; zero fill has none.
    pub(crate) fn scatter(&self, group: usize, entry: usize, value: f64, gradient: &mut [f64]) {
        let flat = group * self.rows * self.cols * self.taps() + entry;
        match &self.polyphase {
            None => gradient[flat] += value,
            Some(polyphase) => {
                let sources = polyphase.sources();
                let (row, at) = (flat / sources.len(), flat % sources.len());
                let mut rows = gradient.chunks_exact_mut(polyphase.places().len());
                let slot = rows.nth(row).and_then(|row| row.get_mut(sources[at]));
                if let Some(slot) = slot {
                    *slot += value;
                }
            }
        }
    }

    /// Number of values in the original kernel.
    pub(crate) fn original_len(&self) -> usize {
        self.original_len
    }

    /// The tap matrices of one group, on the side with fewer rows.
    pub(crate) fn tap_matrices(&self, group: usize) -> TapMatrices {
        let values = self.group(group);
        let taps = self.taps();
        let (rows, cols) = (self.rows, self.cols);
        let matrices = (0..taps)
            .map(|t| {
                if rows <= cols {
                    Mat::from_fn(rows, cols, |r, c| values[(r * cols + c) * taps + t])
                } else {
                    Mat::from_fn(cols, rows, |c, r| values[(r * cols + c) * taps + t])
                }
            })
            .collect();
        TapMatrices {
            k: self.k.iter().copied().filter(|&k| k > 1).collect(),
            matrices,
        }
    }
}

/// One group as a list of matrices K_t with no more rows than columns, taps in row-major order;
/// axes with a single tap are left out of `k`. Transposing every K_t changes no norm.
#[derive(Clone)]
pub(crate) struct TapMatrices {
    pub(crate) k: Vec<usize>,
    pub(crate) matrices: Vec<Mat<f64>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stride_sorts_the_taps_by_phase() {
        let kernel = Kernel::new(&[1, 1, 5], vec![0.5, 0.1, 0.2, 0.3, 0.4]).unwrap();
        let conv = Conv::new(1).with_stride(&[2]);
        let lattice = Lattice::new(&kernel, &conv).unwrap();
        assert_eq!((lattice.cols, lattice.k.as_slice()), (2, &[3][..]));
        assert_eq!(lattice.group(0), [0.5, 0.2, 0.4, 0.1, 0.3, 0.0]);
        let mut gradient = vec![0.0; 5];
        for entry in 0..6 {
            lattice.scatter(0, entry, entry as f64 + 1.0, &mut gradient);
        }
        assert_eq!(gradient, [1.0, 4.0, 2.0, 5.0, 3.0]);
    }
}

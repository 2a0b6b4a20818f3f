//! [`Lattice`]: a layer reduced to stride-1 convolutions on the infinite lattice, one per group.
//!
//! The reduction follows T3 to T6: dilation is dropped, a stride becomes more input channels
//! (polyphase), groups are separate blocks, a transposed convolution is read as the adjoint it is.
//! Nothing here computes a norm.

pub(crate) mod autocorrelation;

use std::borrow::Cow;

use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::linalg::Mat;

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
    /// Original flat index of every value, `usize::MAX` for zero fill; `None` for the identity.
    source: Option<Vec<usize>>,
    /// Number of values in the original kernel.
    original_len: usize,
}

/// Values in the polyphase kernel beyond which a layer is refused (32 GiB of f64).
const MAX_VALUES: usize = 1 << 32;

/// The stride that matters: s / gcd(s, d). Outputs of a layer with stride s and dilation d read
/// inputs of one residue modulo gcd(s, d) only, so that common factor is a plain subsampling (T3).
pub(crate) fn effective_stride(stride: usize, dilation: usize) -> usize {
    let (mut a, mut b) = (stride, dilation);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    stride / a
}

/// Whether every phase of a layer has one tap: its norm is that of a matrix (per group).
pub(crate) fn has_one_tap(kernel: &Kernel, conv: &Conv) -> bool {
    let axes = kernel
        .spatial()
        .iter()
        .zip(&conv.stride)
        .zip(&conv.dilation);
    axes.into_iter()
        .all(|((&k, &s), &d)| k <= effective_stride(s, d))
}

impl<'a> Lattice<'a> {
    /// Checks the pair and reduces it.
    pub(crate) fn new(kernel: &'a Kernel, conv: &Conv) -> Result<Self, Error> {
        conv.check(kernel)?;
        let shape = kernel.shape();
        let spatial = kernel.spatial();
        let rows = shape[0] / conv.groups;
        let steps: Vec<usize> = conv
            .stride
            .iter()
            .zip(&conv.dilation)
            .map(|(&s, &d)| effective_stride(s, d))
            .collect();
        // Phases r ≥ k hold no tap: they are input pixels that no output reads.
        let phases: Vec<usize> = steps.iter().zip(spatial).map(|(&s, &k)| s.min(k)).collect();
        let mut lattice = Self {
            groups: conv.groups,
            rows,
            cols: shape[1],
            k: spatial.to_vec(),
            exponent: kernel.exponent(),
            adjoint: conv.transposed,
            values: Cow::Borrowed(kernel.scaled()),
            source: None,
            original_len: kernel.scaled().len(),
        };
        if steps.iter().any(|&s| s > 1) {
            lattice.split_phases(&phases, &steps)?;
        }
        Ok(lattice)
    }

    /// Polyphase: `K̃[o, (i, r), q] = K[o, i, s·q + r]`, zero where s·q + r ≥ k.
    fn split_phases(&mut self, phases: &[usize], steps: &[usize]) -> Result<(), Error> {
        let old_k = std::mem::take(&mut self.k);
        let new_k: Vec<usize> = old_k
            .iter()
            .zip(steps)
            .map(|(&k, &s)| k.div_ceil(s))
            .collect();
        let channels = self.groups * self.rows;
        let phase_count: usize = phases.iter().product();
        let taps: usize = new_k.iter().product();
        let total = [channels, self.cols, phase_count, taps]
            .iter()
            .try_fold(1usize, |p, &n| p.checked_mul(n))
            .filter(|&n| n <= MAX_VALUES)
            .ok_or_else(|| Error::TooLarge("the polyphase kernel of this stride".into()))?;
        let old_taps: usize = old_k.iter().product();
        let mut source = Vec::with_capacity(total);
        for channel in 0..channels * self.cols {
            for phase in 0..phase_count {
                for tap in 0..taps {
                    let r = multi_index(phase, phases);
                    let q = multi_index(tap, &new_k);
                    let mut flat = 0;
                    let mut inside = true;
                    for axis in 0..old_k.len() {
                        let t = steps[axis] * q[axis] + r[axis];
                        inside &= t < old_k[axis];
                        flat = flat * old_k[axis] + t;
                    }
                    source.push(if inside {
                        channel * old_taps + flat
                    } else {
                        usize::MAX
                    });
                }
            }
        }
        let old = std::mem::take(&mut self.values);
        self.values = Cow::Owned(
            source
                .iter()
                .map(|&i| if i == usize::MAX { 0.0 } else { old[i] })
                .collect(),
        );
        self.source = Some(source);
        self.cols *= phase_count;
        self.k = new_k;
        Ok(())
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

    /// Adds `value` to the entry of `gradient` (original kernel layout) that the given entry of a
    /// group comes from; zero fill has none.
    pub(crate) fn scatter(&self, group: usize, entry: usize, value: f64, gradient: &mut [f64]) {
        let flat = group * self.rows * self.cols * self.taps() + entry;
        match &self.source {
            None => gradient[flat] += value,
            Some(source) => {
                if let Some(slot) = gradient.get_mut(source[flat]) {
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
pub(crate) struct TapMatrices {
    pub(crate) k: Vec<usize>,
    pub(crate) matrices: Vec<Mat<f64>>,
}

/// The index per axis of a flat row-major index; unused axes are 0.
pub(crate) fn multi_index(mut flat: usize, shape: &[usize]) -> [usize; 3] {
    let mut index = [0; 3];
    for axis in (0..shape.len()).rev() {
        index[axis] = flat % shape[axis];
        flat /= shape[axis];
    }
    index
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

    #[test]
    fn a_stride_larger_than_the_kernel_keeps_only_phases_with_taps() {
        let kernel = Kernel::new(&[2, 3, 2], vec![0.5; 12]).unwrap();
        let conv = Conv::new(1).with_stride(&[7]);
        let lattice = Lattice::new(&kernel, &conv).unwrap();
        assert_eq!((lattice.cols, lattice.k.as_slice()), (6, &[1][..]));
    }

    #[test]
    fn a_factor_common_to_stride_and_dilation_is_plain_subsampling() {
        assert_eq!(effective_stride(4, 2), 2);
        assert_eq!(effective_stride(2, 2), 1);
        assert_eq!(effective_stride(3, 2), 3);
        assert_eq!(effective_stride(1, 9), 1);
    }
}

//! [`Layout`]: a layer reduced to stride-1 convolutions on the infinite lattice, as index maps.
//!
//! The reduction follows T3 to T6: dilation is dropped, a stride becomes more input channels
//! (polyphase), groups are separate blocks, a transposed convolution is read as the adjoint it is.
//! Shapes and places alone: nothing here reads a value or computes a norm. Whoever works on the
//! lattice, in this crate or on tensors of another library, takes the places from here.

use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::{self, Kernel};

/// Values in the polyphase kernel beyond which a layer is refused (32 GiB of f64).
const MAX_VALUES: usize = 1 << 32;

/// The stride-1 kernels of a layer, one per group, and where their entries come from. The largest
/// of their norms is the layer's over all input sizes, up to its padding (T7).
///
/// # Shapes
/// The weight is `[groups·rows, c, k_1, …]`, a group of the lattice `[rows, cols, q_1, …]` with
/// cols = c·(phases) and q_a = ⌈k_a/s'_a⌉, s' = s/gcd(s, e) for stride s and dilation e. Both are
/// row-major, the groups one after the other, and a row of the one is made of the same row of the
/// other: [`Layout::polyphase`] maps one row.
///
/// # Source
/// T3 (stride, stride with dilation), T4 (dilation), T5 (groups), T6 (transposed).
///
/// # Example
/// ```
/// use sigmax::{Conv, layout::Layout};
/// // Five taps, every second output: the even taps, then the odd ones and a zero.
/// let conv = Conv::new(1).with_stride(&[2]);
/// let layout = Layout::new(&[1, 1, 5], &conv)?;
/// assert_eq!((layout.cols(), layout.k()), (2, &[3][..]));
/// assert_eq!(layout.polyphase().unwrap().sources(), [0, 2, 4, 1, 3, 5]);
/// // With dilation 2 the outputs read every second input: that is the layer of stride 1.
/// let layout = Layout::new(&[1, 1, 5], &conv.with_dilation(&[2]))?;
/// assert_eq!((layout.cols(), layout.k()), (1, &[5][..]));
/// assert_eq!(layout.polyphase(), None);
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    pub(crate) groups: usize,
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) k: Vec<usize>,
    pub(crate) adjoint: bool,
    pub(crate) polyphase: Option<Polyphase>,
}

/// The maps between a row of a weight and the same row of its polyphase form (T3):
/// `K̃[(i, r), q] = K[i, s'·q + r]`, zero where s'·q + r ≥ k.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polyphase {
    sources: Vec<usize>,
    places: Vec<usize>,
}

impl Layout {
    /// Reduces the layer whose weight has this shape.
    ///
    /// # Errors
    /// [`Error`] where the shape is not that of a weight, the geometry does not fit it, or the
    /// polyphase form would have more than 2³² values.
    pub fn new(shape: &[usize], conv: &Conv) -> Result<Self, Error> {
        kernel::length(shape)?;
        conv.check_shape(shape)?;
        let taps = &shape[2..];
        let steps: Vec<usize> = conv
            .stride
            .iter()
            .zip(&conv.dilation)
            .map(|(&s, &d)| effective_stride(s, d))
            .collect();
        // Phases r ≥ k hold no tap: they are input pixels that no output reads.
        let phases: Vec<usize> = steps.iter().zip(taps).map(|(&s, &k)| s.min(k)).collect();
        let k: Vec<usize> = taps
            .iter()
            .zip(&steps)
            .map(|(&k, &s)| k.div_ceil(s))
            .collect();
        [shape[0], shape[1]]
            .iter()
            .chain(&phases)
            .chain(&k)
            .try_fold(1usize, |p, &n| p.checked_mul(n))
            .filter(|&n| n <= MAX_VALUES)
            .ok_or_else(|| {
                Error::too_large("the polyphase kernel of this stride", "2^32 values")
            })?;
        let split = phases.iter().any(|&phases| phases > 1);
        Ok(Self {
            groups: conv.groups,
            rows: shape[0] / conv.groups,
            cols: shape[1] * phases.iter().product::<usize>(),
            polyphase: split.then(|| Polyphase::new(shape[1], taps, &steps, &phases, &k)),
            k,
            adjoint: conv.transposed,
        })
    }

    /// Number of groups, each an operator of its own (T5).
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Rows of one group: output channels, or input channels of a transposed convolution.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Columns of one group: channels of the other side times the phases.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Taps per axis after the polyphase split.
    #[must_use]
    pub fn k(&self) -> &[usize] {
        &self.k
    }

    /// Number of taps Πk.
    #[must_use]
    pub fn taps(&self) -> usize {
        self.k.iter().product()
    }

    /// Whether rows are the input side: the layer is the adjoint of what its kernels compute (T6).
    #[must_use]
    pub fn is_adjoint(&self) -> bool {
        self.adjoint
    }

    /// Where the entries of a row go; `None` where all of them stay where they are.
    #[must_use]
    pub fn polyphase(&self) -> Option<&Polyphase> {
        self.polyphase.as_ref()
    }
}

impl Polyphase {
    fn new(cols: usize, taps: &[usize], steps: &[usize], phases: &[usize], k: &[usize]) -> Self {
        let per_col: usize = taps.iter().product();
        let (phase_count, new_taps) = (phases.iter().product(), k.iter().product());
        let row = cols * per_col;
        let mut sources = Vec::with_capacity(cols * phase_count * new_taps);
        let mut places = vec![0; row];
        for col in 0..cols {
            for phase in 0..phase_count {
                let r = multi_index(phase, phases);
                for tap in 0..new_taps {
                    let q = multi_index(tap, k);
                    let mut flat = col;
                    let mut inside = true;
                    for axis in 0..taps.len() {
                        let t = steps[axis] * q[axis] + r[axis];
                        inside &= t < taps[axis];
                        flat = flat * taps[axis] + t;
                    }
                    if inside {
                        places[flat] = sources.len();
                    }
                    sources.push(if inside { flat } else { row });
                }
            }
        }
        Self { sources, places }
    }

    /// Per entry of a polyphase row `[cols, q…]`, the entry of the weight's row `[c, k…]` that it is;
    /// the length of that row, one past its end, for a zero.
    #[must_use]
    pub fn sources(&self) -> &[usize] {
        &self.sources
    }

    /// Per entry of the weight's row, its one place in the polyphase row.
    #[must_use]
    pub fn places(&self) -> &[usize] {
        &self.places
    }
}

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
    fn a_stride_larger_than_the_kernel_keeps_only_phases_with_taps() {
        let layout = Layout::new(&[2, 3, 2], &Conv::new(1).with_stride(&[7])).unwrap();
        assert_eq!((layout.cols, layout.k.as_slice()), (6, &[1][..]));
    }

    #[test]
    fn a_factor_common_to_stride_and_dilation_is_plain_subsampling() {
        assert_eq!(effective_stride(4, 2), 2);
        assert_eq!(effective_stride(2, 2), 1);
        assert_eq!(effective_stride(3, 2), 3);
        assert_eq!(effective_stride(1, 9), 1);
    }

    #[test]
    fn what_is_no_weight_or_does_not_fit_is_refused() {
        let refused = |shape: &[usize], conv: &Conv| Layout::new(shape, conv).unwrap_err();
        assert!(matches!(refused(&[3], &Conv::new(0)), Error::Shape { .. }));
        assert!(matches!(
            refused(&[3, 1, 3], &Conv::new(2)),
            Error::Geometry { .. }
        ));
        assert!(matches!(
            refused(&[3, 1, 3], &Conv::new(1).with_groups(2)),
            Error::Geometry { .. }
        ));
        let wide = Conv::new(1).with_stride(&[2]);
        assert!(matches!(
            refused(&[1 << 20, 1 << 20, 3], &wide),
            Error::TooLarge { .. }
        ));
    }
}

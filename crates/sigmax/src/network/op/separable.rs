//! [`Separable`]: a matrix along some axes of a tensor, a Kronecker product as a whole.

use crate::error::{Error, Misfit};
use crate::network::op::axis::AxisMatrix;
use crate::network::op::pool::Pool;
use crate::rounding::{add_up, mul_up};

/// A matrix along some axes: average pooling, means, linear interpolation.
///
/// As a matrix it is A_1 ⊗ … ⊗ A_r, and its norm is the product of theirs (T23).
#[derive(Clone, Debug, PartialEq)]
pub struct Separable {
    axes: Vec<Option<AxisMatrix>>,
    /// The windows, where this is average pooling with windows that lie inside of the image.
    pub(crate) windows: Option<Pool>,
}

impl Separable {
    /// One matrix, or none, per axis.
    #[must_use]
    pub fn new(axes: Vec<Option<AxisMatrix>>) -> Self {
        Self {
            axes,
            windows: None,
        }
    }

    /// Average pooling over an input of shape `[channels, n_1, …]`. Padding counts as zeros in the
    /// mean if `count_padding`, otherwise not at all.
    ///
    /// # Errors
    /// [`Error::Node`] where the windows do not fit, or with `count_padding` where the last window
    /// sticks out of the padded image, for which releases of ONNX differ.
    pub fn average_pool(input: &[usize], pool: &Pool, count_padding: bool) -> Result<Self, Error> {
        let wrong = |reason| Error::node("average pool", reason);
        let shape = pool.output(input).map_err(wrong)?;
        let mut axes = vec![None];
        let mut inside = true;
        for axis in 0..pool.kernel.len() {
            let (n, k) = (input[axis + 1], pool.kernel[axis]);
            let groups = pool.holds(axis, n).map_err(wrong)?;
            let full = groups.iter().all(|group| group.len() == k);
            inside &= full;
            let (before, after) = pool.padding[axis];
            let reach = (k - 1) * pool.dilation[axis] + 1;
            let sticks_out = (shape[axis + 1] - 1) * pool.stride[axis] + reach > n + before + after;
            if count_padding && sticks_out {
                return Err(wrong(Misfit::IncompleteWindow));
            }
            axes.push(Some(if count_padding && !full {
                AxisMatrix::windows(n, &groups, k)?
            } else {
                AxisMatrix::means(n, &groups)?
            }));
        }
        Ok(Self {
            axes,
            windows: inside.then(|| pool.clone()),
        })
    }

    /// The mean over some axes, which stay 1 long.
    ///
    /// # Errors
    /// [`Error::Node`] for an axis that the input does not have.
    pub fn mean(input: &[usize], over: &[usize]) -> Result<Self, Error> {
        Self::reduction(input, over, AxisMatrix::mean)
    }

    /// The sum over some axes, which stay 1 long.
    ///
    /// # Errors
    /// [`Error::Node`] for an axis that the input does not have.
    pub fn sum(input: &[usize], over: &[usize]) -> Result<Self, Error> {
        Self::reduction(input, over, AxisMatrix::sum)
    }

    fn reduction(
        input: &[usize],
        over: &[usize],
        matrix: fn(usize) -> Result<AxisMatrix, Error>,
    ) -> Result<Self, Error> {
        let mut axes = vec![None; input.len()];
        for &axis in over {
            let slot = axes.get_mut(axis).ok_or_else(|| {
                let input = input.to_vec();
                Error::node("reduction", Misfit::Axis { axis, input })
            })?;
            *slot = Some(matrix(input[axis])?);
        }
        Ok(Self::new(axes))
    }

    pub(crate) fn output(&self, input: &[usize]) -> Result<Vec<usize>, Misfit> {
        if input.len() != self.axes.len() {
            return Err(Misfit::SeparableAxes {
                axes: self.axes.len(),
                input: input.to_vec(),
            });
        }
        let mut shape = input.to_vec();
        for (n, matrix) in shape.iter_mut().zip(&self.axes) {
            let Some(matrix) = matrix else { continue };
            let (rows, cols) = matrix.size();
            if cols != *n {
                return Err(Misfit::SeparableAxis {
                    expected: cols,
                    got: *n,
                });
            }
            *n = rows;
        }
        Ok(shape)
    }

    /// Per axis, whether entries along it are mixed.
    pub(crate) fn mixed(&self) -> Vec<bool> {
        self.axes.iter().map(Option::is_some).collect()
    }

    /// With the magnitudes of all entries.
    pub(crate) fn magnitudes(&self) -> Self {
        Self {
            axes: self
                .axes
                .iter()
                .map(|axis| axis.as_ref().map(AxisMatrix::magnitudes))
                .collect(),
            windows: self.windows.clone(),
        }
    }

    fn product(&self, of: fn(&AxisMatrix) -> f64) -> f64 {
        let factors = self.axes.iter().flatten().map(of);
        factors.fold(1.0, |product, factor| match product {
            1.0 => factor,
            product => mul_up(product, factor),
        })
    }

    /// Π‖A_a‖₂ from above: the norm (T23).
    pub(crate) fn norm(&self) -> f64 {
        self.product(AxisMatrix::norm)
    }

    /// Π‖|A_a|‖₂ from above.
    pub(crate) fn magnitude(&self) -> f64 {
        self.product(AxisMatrix::magnitude)
    }

    /// What the errors of the entries add to a value, for an input of size 1: Σ_a ‖|E_a|‖₂·Π_{b≠a} ‖|A_b|‖₂
    /// from above (the errors are part of ‖|A_b|‖₂).
    pub(crate) fn error(&self) -> f64 {
        let matrices: Vec<&AxisMatrix> = self.axes.iter().flatten().collect();
        (0..matrices.len()).fold(0.0, |sum, a| {
            let product = (0..matrices.len()).fold(1.0, |product, b| {
                let factor = match a == b {
                    true => matrices[b].error(),
                    false => matrices[b].magnitude(),
                };
                mul_up(product, factor)
            });
            add_up(sum, product)
        })
    }

    /// By how much a product that underflows on one axis may grow on the next ones, from above.
    pub(crate) fn growth(&self) -> f64 {
        self.product(|matrix| matrix.magnitude().max(1.0))
    }

    /// Roundings on the way to one entry.
    pub(crate) fn terms(&self) -> usize {
        self.axes.iter().flatten().map(|m| m.terms() + 2).sum()
    }

    /// The same in the transpose.
    pub(crate) fn reverse_terms(&self) -> usize {
        self.axes.iter().flatten().map(|m| m.touched() + 2).sum()
    }

    /// More of them in a float32 execution; `None` where they are not bounded.
    pub(crate) fn single_terms(&self) -> Option<usize> {
        self.axes
            .iter()
            .flatten()
            .map(AxisMatrix::single_terms)
            .sum()
    }

    /// One sample.
    pub(crate) fn apply(&self, x: &[f64], shape: &[usize]) -> Vec<f64> {
        let mut shape = shape.to_vec();
        let mut x = x.to_vec();
        for (axis, matrix) in self.axes.iter().enumerate() {
            let Some(matrix) = matrix else { continue };
            let (outer, inner) = around(&shape, axis);
            shape[axis] = matrix.size().0;
            let mut out = vec![0.0; outer * shape[axis] * inner];
            matrix.apply(&x, outer, inner, &mut out);
            x = out;
        }
        x
    }

    /// The transpose, for an input of this shape.
    pub(crate) fn apply_transpose(&self, y: &[f64], input: &[usize]) -> Vec<f64> {
        let mut shape: Vec<usize> = (0..input.len())
            .map(|axis| self.axes[axis].as_ref().map_or(input[axis], |m| m.size().0))
            .collect();
        let mut y = y.to_vec();
        for (axis, matrix) in self.axes.iter().enumerate().rev() {
            let Some(matrix) = matrix else { continue };
            let (outer, inner) = around(&shape, axis);
            shape[axis] = matrix.size().1;
            let mut out = vec![0.0; outer * shape[axis] * inner];
            matrix.apply_transpose(&y, outer, inner, &mut out);
            y = out;
        }
        y
    }
}

fn around(shape: &[usize], axis: usize) -> (usize, usize) {
    let outer = shape[..axis].iter().product();
    (outer, shape[axis + 1..].iter().product())
}

//! [`Kernel`]: a validated weight tensor.

use std::fmt;
use std::sync::Arc;

use crate::error::{Error, WrongShape};
use crate::rounding;

/// The weight of a convolution or dense layer: finite f64 values of shape
/// `[channels, channels, k_1, …, k_m]`, m = 0 (dense) to 3.
///
/// The first two axes are `[c_out, c_in/groups]` for a convolution and `[c_in, c_out/groups]` for
/// a transposed convolution, as every framework stores them. Values are row-major (C order).
///
/// The values are kept divided by a power of two, so that the largest magnitude lies in [½, 1) and
/// squares neither overflow nor vanish. That division is exact except for entries more than 2¹⁰⁷³
/// times smaller than the largest, whose loss is below half an ulp of any bound.
///
/// A clone shares the values: one weight is in memory once, wherever it is used.
///
/// # Example
/// ```
/// use sigmax::Kernel;
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// assert_eq!(kernel.shape(), [1, 1, 3]);
/// assert!(Kernel::new(&[1, 1, 3], vec![1.0, f64::NAN, 1.0]).is_err());
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone)]
pub struct Kernel {
    shape: Vec<usize>,
    scaled: Arc<Vec<f64>>,
    exponent: i32,
    /// Whether no entry lost digits when a power of two was divided out.
    is_whole: bool,
}

impl Kernel {
    /// Most spatial axes.
    pub const MAX_AXES: usize = 3;

    /// Checks and takes a weight tensor.
    ///
    /// # Errors
    /// Rank below 2 or above 5, an axis of length 0, a length that does not match, NaN or ∞.
    pub fn new(shape: &[usize], mut values: Vec<f64>) -> Result<Self, Error> {
        let expected = length(shape)?;
        if expected != values.len() {
            return Err(Error::Length {
                shape: shape.to_vec(),
                expected,
                got: values.len(),
            });
        }
        if let Some(flat) = values.iter().position(|v| !v.is_finite()) {
            return Err(Error::NotFinite {
                index: unflatten(flat, shape),
                flat,
                value: values[flat],
            });
        }
        let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        let exponent = if largest > 0.0 {
            rounding::exponent(largest)
        } else {
            0
        };
        if exponent != 0 {
            for v in &mut values {
                *v = rounding::ldexp(*v, -exponent);
            }
        }
        Ok(Self {
            shape: shape.to_vec(),
            scaled: Arc::new(values),
            exponent,
            is_whole: exponent <= 0,
        })
    }

    /// The same for f32 values, which widen exactly.
    ///
    /// # Errors
    /// As [`Kernel::new`].
    pub fn from_f32(shape: &[usize], values: &[f32]) -> Result<Self, Error> {
        Self::new(shape, values.iter().map(|&v| f64::from(v)).collect())
    }

    /// `[channels, channels, k_1, …, k_m]`.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The spatial extents `k_1, …, k_m`; empty for a dense layer.
    #[must_use]
    pub fn spatial(&self) -> &[usize] {
        &self.shape[2..]
    }

    /// The values divided by 2^[`Kernel::exponent`].
    pub(crate) fn scaled(&self) -> &[f64] {
        &self.scaled
    }

    /// The power of two that was divided out.
    pub(crate) fn exponent(&self) -> i32 {
        self.exponent
    }

    /// The same kernel divided by 2^[`Kernel::exponent`].
    pub(crate) fn rescaled(&self) -> Self {
        Self {
            exponent: 0,
            ..self.clone()
        }
    }

    /// The values in their own scale, row-major: what [`Kernel::new`] was given.
    ///
    /// Entries more than 2¹⁰⁷³ times smaller than the largest may have lost digits.
    #[must_use]
    pub fn values(&self) -> Vec<f64> {
        let whole = |&v: &f64| rounding::ldexp(v, self.exponent);
        self.scaled.iter().map(whole).collect()
    }

    /// `values`·2^`exponent`, for values in any finite range.
    pub(crate) fn from_scaled(
        shape: &[usize],
        values: Vec<f64>,
        exponent: i32,
    ) -> Result<Self, Error> {
        let mut kernel = Self::new(shape, values)?;
        kernel.exponent = kernel.exponent.saturating_add(exponent);
        Ok(kernel)
    }

    /// An upper bound of the sum of what all entries lost when a power of two was divided out, in units of
    /// 2^[`Kernel::exponent`]. Norms do not see it beside the largest entry; single rows and columns may, where
    /// that entry is in another one.
    pub(crate) fn lost(&self) -> f64 {
        if self.is_whole {
            0.0
        } else {
            // Half of the least positive number each.
            self.scaled.len() as f64 * 1e-323
        }
    }

    /// Whether every entry is 0.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.scaled.iter().all(|&v| v.abs() <= 0.0)
    }
}

/// Without the values, of which there may be millions.
impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel")
            .field("shape", &self.shape)
            .field("exponent", &self.exponent)
            .finish_non_exhaustive()
    }
}

/// Equal by content; values that are shared are not looked at.
impl PartialEq for Kernel {
    fn eq(&self, other: &Self) -> bool {
        let same = self.shape == other.shape && self.exponent == other.exponent;
        same && (Arc::ptr_eq(&self.scaled, &other.scaled) || self.scaled == other.scaled)
    }
}

/// The number of entries of a weight of this shape.
pub(crate) fn length(shape: &[usize]) -> Result<usize, Error> {
    let wrong = |reason| {
        Err(Error::Shape {
            shape: shape.to_vec(),
            reason,
        })
    };
    if !(2..=2 + Kernel::MAX_AXES).contains(&shape.len()) {
        return wrong(WrongShape::Rank);
    }
    if shape.contains(&0) {
        return wrong(WrongShape::Empty);
    }
    match shape.iter().try_fold(1usize, |p, &n| p.checked_mul(n)) {
        Some(length) => Ok(length),
        None => wrong(WrongShape::TooLarge),
    }
}

/// The index per axis of a flat row-major index.
fn unflatten(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut index = vec![0; shape.len()];
    for (slot, &n) in index.iter_mut().zip(shape).rev() {
        *slot = flat % n;
        flat /= n;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_is_known_whatever_the_exponent_becomes() {
        let kernel = Kernel::new(&[1, 2], vec![2f64.powi(1000), f64::from_bits(1)]).unwrap();
        assert!(kernel.lost() > 0.0 && kernel.rescaled().lost() > 0.0);
        let values = vec![2f64.powi(1000), f64::from_bits(1)];
        let small = Kernel::from_scaled(&[1, 2], values, -1500).unwrap();
        assert!(small.exponent() < 0 && small.lost() > 0.0);
        let kernel = Kernel::new(&[1, 2], vec![0.75, f64::from_bits(1)]).unwrap();
        assert!(kernel.lost() <= 0.0 && kernel.rescaled().lost() <= 0.0);
    }

    #[test]
    fn refuses_what_is_not_a_kernel() {
        assert!(matches!(
            Kernel::new(&[3], vec![0.0; 3]),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(
            Kernel::new(&[1, 0], vec![]),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(
            Kernel::new(&[usize::MAX, 3], vec![]),
            Err(Error::Shape { .. })
        ));
        assert!(matches!(
            Kernel::new(&[1, 2], vec![1.0]),
            Err(Error::Length { .. })
        ));
        let mut values = vec![0.0; 12];
        values[7] = f64::INFINITY;
        let error = Kernel::new(&[2, 2, 3], values).expect_err("∞ is refused");
        assert_eq!(
            error.to_string(),
            "the kernel has inf at index [1, 0, 1] (flat index 7); every entry must be finite"
        );
    }

    #[test]
    fn values_come_back_as_they_were() {
        let values = vec![1e300, -0.3, 5e-320, 0.0];
        for values in [values, vec![-7e-310, 5e-324, 0.0, 1e-320]] {
            let kernel = Kernel::new(&[2, 2], values.clone()).expect("valid");
            let close = |a: &f64, b: &f64| (a - b).abs() <= 1e-250;
            assert!(
                kernel
                    .values()
                    .iter()
                    .zip(&values)
                    .all(|(a, b)| close(a, b))
            );
            assert_eq!(kernel.values()[0].to_bits(), values[0].to_bits());
        }
    }

    #[test]
    fn scaling_leaves_the_largest_entry_between_a_half_and_one() {
        for scale in [1e-320, 1e-300, 1.0, 1e300] {
            let kernel = Kernel::new(&[1, 2], vec![scale, -0.3 * scale]).expect("valid");
            assert!((0.5..1.0).contains(&kernel.scaled()[0]));
        }
    }
}

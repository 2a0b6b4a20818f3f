//! [`Normalisation`]: what LayerNorm, GroupNorm, InstanceNorm and RMSNorm compute before their factors
//! (T41).

use crate::error::Error;
use crate::rounding::{U, add_up, div_up, gamma, mul_down, mul_up, sqrt_down, sqrt_up, sub_down};

/// Between which ε has to be, so that what underflows is far below its rounding.
const LEAST: f64 = 1e-100;
const MOST: f64 = 1e100;

/// More than what underflows in one entry.
const TINY: f64 = 1e-300;

/// `(x − x̄)/√(σ² + ε)` along an axis, x̄ and σ² the mean and the variance of the n entries there, or
/// `x/√(mean of x² + ε)`.
///
/// # Formula
/// `z/√(‖z‖²/n + ε)`, z = x − x̄ or z = x. Lipschitz constant `1/√ε`; 0 for one entry, centred.
///
/// # Source
/// T41.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    axis: usize,
    centred: bool,
    epsilon: f64,
}

impl Normalisation {
    /// By mean and variance, `axis` counted with the batch left out.
    ///
    /// # Errors
    /// [`Error::Geometry`] unless 10⁻¹⁰⁰ ≤ ε ≤ 10¹⁰⁰.
    pub fn centred(axis: usize, epsilon: f64) -> Result<Self, Error> {
        Self::new(axis, true, epsilon)
    }

    /// By the root of the mean of squares.
    ///
    /// # Errors
    /// As [`Normalisation::centred`].
    pub fn root_mean_square(axis: usize, epsilon: f64) -> Result<Self, Error> {
        Self::new(axis, false, epsilon)
    }

    fn new(axis: usize, centred: bool, epsilon: f64) -> Result<Self, Error> {
        if !(LEAST..=MOST).contains(&epsilon) {
            return Err(Error::Geometry {
                field: "epsilon",
                expected: format!(
                    "a number from {LEAST:e} to {MOST:e}: without one, what is divided by is not kept \
                     from 0"
                ),
                got: format!("{epsilon:e}"),
            });
        }
        Ok(Self {
            axis,
            centred,
            epsilon,
        })
    }

    /// The axis, batch left out.
    #[must_use]
    pub fn axis(&self) -> usize {
        self.axis
    }

    /// A bound of the Lipschitz constant for `n` entries along the axis.
    pub(crate) fn norm(&self, n: usize) -> f64 {
        if self.centred && n == 1 {
            return 0.0;
        }
        div_up(1.0, sqrt_down(self.epsilon))
    }

    /// Writes z and returns √(‖z‖²/n + ε), both rounded.
    fn parts(&self, x: &[f64], z: &mut [f64]) -> f64 {
        let n = x.len() as f64;
        let mean = if self.centred {
            x.iter().sum::<f64>() / n
        } else {
            0.0
        };
        for (z, x) in z.iter_mut().zip(x) {
            *z = x - mean;
        }
        (z.iter().map(|z| z * z).sum::<f64>() / n + self.epsilon).sqrt()
    }

    /// One lane; a bound of the ℓ₂ norm of its error, ∞ where x is not finite or a square overflows.
    ///
    /// The mean is off by γ_n·Σ|x|/n and every difference by u of itself, so ẑ by `off`. Between z and ẑ
    /// the root is at least s = √(‖ẑ‖²/n + ε) − off/√n, as it is 1/√n-Lipschitz in z, and z ↦ y has the
    /// constant 1/s there (T41). From ẑ on every entry is n + 4 roundings of positive terms away.
    pub(crate) fn lane(&self, x: &[f64], out: &mut [f64]) -> f64 {
        let root = self.parts(x, out);
        if !root.is_finite() {
            out.fill(0.0);
            return f64::INFINITY;
        }
        let n = x.len();
        let rounded = gamma(n + 8);
        // ‖ẑ‖ ≤ √n·√(‖ẑ‖²/n + ε).
        let size = mul_up(mul_up(root, 1.0 + 2.0 * rounded), sqrt_up(n as f64));
        let off = if self.centred {
            let magnitudes = x.iter().map(|x| x.abs()).sum::<f64>();
            let sum = mul_up(magnitudes, 1.0 + 2.0 * rounded);
            let mean = div_up(mul_up(gamma(n + 1), sum), sqrt_down(n as f64));
            add_up(add_up(mean, mul_up(U, size)), mul_up(TINY, n as f64))
        } else {
            0.0
        };
        let nearest = sub_down(
            mul_down(root, 1.0 - 2.0 * rounded),
            div_up(off, sqrt_down(n as f64)),
        );
        let moved = div_up(off, nearest.max(sqrt_down(self.epsilon)));
        let mut length = 0.0;
        for out in out.iter_mut() {
            *out /= root;
            length += *out * *out;
        }
        // Squares that underflow count too.
        let length = add_up(mul_up(length, 1.0 + 2.0 * rounded), mul_up(TINY, n as f64));
        let length = sqrt_up(length);
        let divided = mul_up(2.0 * rounded, length);
        add_up(add_up(moved, divided), mul_up(TINY, n as f64))
    }

    /// The derivative at x, which is symmetric, applied to `v`: (P·v − y⟨y, v⟩/n)/s. Approximate.
    pub(crate) fn derivative(&self, x: &[f64], v: &[f64]) -> Vec<f64> {
        let n = x.len() as f64;
        let mut y = vec![0.0; x.len()];
        let root = self.parts(x, &mut y);
        y.iter_mut().for_each(|y| *y /= root);
        let inner = y.iter().zip(v).map(|(y, v)| y * v).sum::<f64>() / n;
        let mean = if self.centred {
            v.iter().sum::<f64>() / n
        } else {
            0.0
        };
        let entries = v.iter().zip(&y);
        entries
            .map(|(v, y)| (v - mean - y * inner) / root)
            .collect()
    }
}

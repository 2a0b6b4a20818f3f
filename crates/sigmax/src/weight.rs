//! [`Weight`]: a weight that is computed from factors, known to within a factor and an error (T30).

mod enclosed;
mod low_rank;
mod masked;
mod spectral;
mod weight_norm;

use crate::audit::{Audit, audit};
use crate::bound::options::Options;
use crate::claim::{Enclosure, Estimate};
use crate::conv::Conv;
use crate::error::{Error, Expected, NotCovered};
use crate::kernel::Kernel;
use crate::rounding::{U, gamma, sub_down};
use crate::rounding::{add_up, exponent, ldexp, mul_down, mul_up, sqrt_down, sqrt_up};

/// What products of numbers below 1 and their sums lose to underflow, per product: a few times
/// 2⁻¹⁰⁷⁴ < 5·10⁻³²⁴.
const UNDERFLOW: f64 = 1e-320;

/// The weight f·K + E of a layer: K is a [`Kernel`], |f| lies between two proved numbers, and E is a
/// kernel with S(E) at most a proved number (T30).
///
/// This is what weights come out as that a file holds as factors (spectral normalisation, weight
/// normalisation, pruning masks, low-rank updates). The exact weight is that of real arithmetic; what
/// a framework computes from the factors at run time is rounded beside.
///
/// # Example
/// ```
/// use sigmax::weight::{Updates, Weight};
/// use sigmax::{Conv, Kernel, Options};
/// let stored = Kernel::new(&[2, 2], vec![3.0, 0.0, 0.0, 4.0])?;
/// let weight = Weight::spectral_norm(&stored, &[0.0, 1.0], &[0.0, 1.0], Updates::None)?;
/// let audit = weight.audit(&Conv::new(0), &Options::default())?;
/// assert!(audit.upper().get() >= 1.0 && audit.upper().get() < 1.0 + 1e-6);
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Weight {
    kernel: Kernel,
    factor: Enclosure,
    /// S(E) ≤ `error`.
    error: f64,
}

/// What happens to u and v before σ is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Updates {
    /// Nothing: σ = uᵀMv, as PyTorch evaluates it.
    None,
    /// A power step at every evaluation, each from the last one's vectors: σ is not one number.
    Every,
}

impl Weight {
    /// A weight that is stored as it is.
    #[must_use]
    pub fn exact(kernel: Kernel) -> Self {
        Self {
            kernel,
            factor: Enclosure::ONE,
            error: 0.0,
        }
    }

    /// K of f·K + E. A bound of its norm is none of the weight's: see [`Weight::audit`].
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Nearly |f| of f·K + E.
    #[must_use]
    pub fn factor(&self) -> Estimate {
        Estimate::new(0.5 * self.factor.lower + 0.5 * self.factor.upper)
    }

    /// The factor as [`Affine::rounded`](crate::network::Affine::rounded) takes it: a number near |f|, and
    /// a number k of roundings such that |f| lies within relative γ_k of it. So a network computes the
    /// layer as K, and an affine map after it.
    ///
    /// `None` where E is not 0, or f is not known to 10⁻⁶.
    #[must_use]
    pub fn rounded_factor(&self) -> Option<(f64, usize)> {
        let Enclosure { lower, upper } = self.factor;
        let near = self.factor().get();
        let width = (upper - lower) / near;
        if self.error > 0.0 || !near.is_normal() || !(width <= 1e-6) {
            return None;
        }
        // Half the width and the two roundings of `near` are what |f| may be off by; γ_k > k·u.
        Some((near, (width / U) as usize + 4))
    }

    /// The audit of the layer with this weight, as [`audit`](crate::audit()) of one whose weight is a
    /// kernel.
    ///
    /// # Guarantee
    /// That of [`audit`](crate::audit()): the factor and the error are part of every end.
    ///
    /// # Errors
    /// [`Error`] where the weight and the geometry do not fit.
    ///
    /// # Source
    /// T30.
    pub fn audit(&self, conv: &Conv, options: &Options) -> Result<Audit, Error> {
        Ok(audit(&self.kernel, conv, options)?.within(self.factor, self.error))
    }
}

/// `values` divided by a power of two, and its exponent: the largest magnitude is in [½, 1), or all
/// are 0. Entries that become subnormal are off by at most 2⁻¹⁰⁷⁴.
fn scaled(what: &'static str, values: &[f64]) -> Result<(Vec<f64>, i32), Error> {
    if let Some(value) = values.iter().find(|v| !v.is_finite()) {
        let value = *value;
        return Err(NotCovered::NotFinite { what, value }.into());
    }
    let largest = values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest <= 0.0 {
        return Ok((values.to_vec(), 0));
    }
    let e = exponent(largest);
    Ok((values.iter().map(|&v| ldexp(v, -e)).collect(), e))
}

/// ‖x‖ between two ends, for entries below 1: a sum of n squares and a root have ≤ n + 2 roundings,
/// and squares that underflow are off by 2⁻¹⁰⁷⁴ each.
fn length(x: &[f64]) -> Enclosure {
    let sum: f64 = x.iter().map(|v| v * v).sum();
    let roundings = gamma(x.len() + 4);
    Enclosure {
        lower: sqrt_down(sub_down(mul_down(sum, 1.0 - 2.0 * roundings), 1e-300)),
        upper: sqrt_up(add_up(mul_up(sum, 1.0 + 2.0 * roundings), 1e-300)),
    }
}

fn wrong_length(what: &'static str, expected: Expected, got: usize) -> Error {
    let wrong = NotCovered::Entries {
        what,
        got,
        expected,
    };
    wrong.into()
}

//! Values. ⟨k⟩ is explained in `elementary.rs`.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::elementary::{Approximation, TINY, asinh, atan, erf_erfc, exp, exp_m1, ln_1p, sin_cos};
use crate::network::op::activation::Activation;
use crate::rounding::U;

/// Below, x·e^x and what is less are < 10⁻³⁰⁰.
pub(super) const NOTHING_BELOW: f64 = -700.0;
/// 2√(2/π), rounded.
pub(super) const GELU_SCALE: f64 = std::f64::consts::SQRT_2 * FRAC_2_SQRT_PI;
pub(super) const GELU_CUBIC: f64 = 0.044_715;

impl Activation {
    /// σ(x) and a bound of the error of that value, for finite x. The bound is ∞ where x is not
    /// finite or the value overflows; neither is ever NaN.
    pub(crate) fn value(&self, x: f64) -> Approximation {
        if !x.is_finite() {
            return (0.0, f64::INFINITY);
        }
        let (value, error) = self.finite_value(x);
        match value.is_finite() && error < f64::INFINITY {
            true => (value, error),
            false => (0.0, f64::INFINITY),
        }
    }

    fn finite_value(&self, x: f64) -> Approximation {
        match *self {
            Self::Relu => exact(x.max(0.0)),
            Self::Abs => exact(x.abs()),
            Self::Clip { low, high } => exact(x.max(low).min(high)),
            Self::SoftShrink { lambd } if x.abs() <= lambd => exact(0.0),
            Self::SoftShrink { lambd } => relative(x - lambd.copysign(x)),
            Self::LeakyRelu { .. } | Self::Elu { .. } | Self::Celu { .. } if x >= 0.0 => exact(x),
            Self::LeakyRelu { alpha } => relative(alpha * x),
            // ⟨9⟩; TINY is that of the exponential.
            Self::Elu { alpha } => scaled(alpha, exp_m1(x)),
            // |t·e^t/(e^t − 1)| ≤ 1 for t < 0: the quotient adds ⟨1⟩ to ⟨9⟩. Its underflow is in TINY.
            Self::Celu { alpha } => scaled(alpha, exp_m1(x / alpha)),
            Self::Selu { gamma, .. } if x >= 0.0 => relative(gamma * x),
            Self::Selu { alpha, gamma } => scaled(gamma * alpha, exp_m1(x)),
            Self::Sigmoid => relative(sigmoid(x)),
            Self::Tanh => relative(tanh(x)),
            // A relative error of t enters ln(1 + t) with a factor ≤ 1: ⟨4 + 8⟩, and the sum.
            Self::Softplus => relative(x.max(0.0) + ln_1p(exp(-x.abs()))),
            // ⟨2⟩.
            Self::Softsign => relative(x / (1.0 + x.abs())),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x, gelu_argument(x)),
            Self::GeluTanhNear { linear, cubic } => gelu_tanh(x, near_argument(x, linear, cubic)),
            // ⟨11⟩.
            Self::Silu if x >= NOTHING_BELOW => relative(x * sigmoid(x)),
            Self::Mish if x >= NOTHING_BELOW => relative(x * mish_gate(x)),
            Self::Silu | Self::Mish => (0.0, TINY),
            Self::HardSigmoid { alpha, beta } => hard_sigmoid(alpha * x, beta),
            Self::HardSwish => match x {
                _ if x <= -3.0 => exact(0.0),
                _ if x >= 3.0 => exact(x),
                // ⟨3⟩.
                _ => relative(x * (x + 3.0) / 6.0),
            },
            Self::Erf => {
                let ((erf, error), _) = erf_erfc(x.abs());
                (erf.copysign(x), error)
            }
            Self::Atan => relative(atan(x)),
            Self::Asinh => relative(asinh(x)),
            Self::Sin => sin_cos(x).0,
            Self::Cos => sin_cos(x).1,
        }
    }
}

pub(super) fn exact(value: f64) -> Approximation {
    (value, 0.0)
}

/// A value that is ⟨30⟩ or better, up to [`TINY`]: γ_30 < 32u, less what rounding the bound takes.
pub(super) fn relative(value: f64) -> Approximation {
    (value, value.abs() * (32.0 * U) + TINY)
}

/// `scale`·`value`, both together ⟨29⟩, where `value` may be off by a tenth of [`TINY`].
pub(super) fn scaled(scale: f64, value: f64) -> Approximation {
    let (value, error) = relative(scale * value);
    (value, error + scale.abs() * TINY)
}

/// 1/(1 + e^{−x}), ⟨10⟩, from e^{−|x|}, ⟨4⟩.
pub(super) fn sigmoid(x: f64) -> f64 {
    let e = exp(-x.abs());
    (if x >= 0.0 { 1.0 } else { e }) / (1.0 + e)
}

/// With q = e^{−2|x|} − 1, ⟨8⟩, it is −q/(2 + q). |q| ≤ 1 ≤ 2 + q, so the sum is ⟨9⟩: ⟨18⟩.
fn tanh(x: f64) -> f64 {
    let q = exp_m1(-2.0 * x.abs());
    (-q / (2.0 + q)).copysign(x)
}

/// tanh(ln(1 + e^x)) = n/(n + 2), n = e^x·(e^x + 2): ⟨22⟩.
pub(super) fn mish_gate(x: f64) -> f64 {
    let e = exp(-x.abs());
    if x <= 0.0 {
        let n = e * (e + 2.0);
        n / (n + 2.0)
    } else {
        // Both multiplied by e^{−2x}: ⟨5⟩ over ⟨10⟩.
        let above = 1.0 + 2.0 * e;
        above / (above + 2.0 * (e * e))
    }
}

/// x·Φ(x) with z = |x|/√2, ⟨2⟩.
///
/// *x ≥ 0*: x·(½ + ½·erf z). The error of z moves erf z by ≤ 2u·z·(2/√π)·e^{−z²} < u, that is ½·erf z
/// by u/2; the sum, ≤ 1, rounds by ≤ u/2, the product is ⟨1⟩.
///
/// *x < 0*: x·½·erfc z. As erfc z ≥ (2/√π)·e^{−z²}/(z + √(z² + 2)) and z·√(z² + 2) ≤ z² + 1, the error of
/// z moves erfc z by a relative 2u·z·(z + √(z² + 2)) ≤ (4z² + 2)u. For z² > 696 the product is less
/// than e^{−z²}/√(2π).
fn gelu(x: f64) -> Approximation {
    let z = x.abs() * FRAC_1_SQRT_2;
    let ((erf, error), (erfc, complement_error)) = erf_erfc(z);
    if x >= 0.0 {
        let value = x * (0.5 + 0.5 * erf);
        (
            value,
            x * (0.5 * error + 2.0 * U) + value * (2.0 * U) + TINY,
        )
    } else if z * z <= 696.0 {
        let half = 0.5 * x;
        let moved = erfc * ((4.0 * (z * z) + 4.0) * U);
        let value = half * erfc;
        let error = -half * (complement_error + moved) - value * (2.0 * U) + TINY;
        (value, error)
    } else {
        (0.0, TINY)
    }
}

/// 2√(2/π)·(x + 0.044715x³): x² and its factor ⟨3⟩, sum ⟨4⟩, product ⟨5⟩, [`GELU_SCALE`] ⟨3⟩ ⟨9⟩.
pub(super) fn gelu_argument(x: f64) -> f64 {
    GELU_SCALE * (x * (1.0 + GELU_CUBIC * (x * x)))
}

/// 2(αx + βx³) with the exact α and β: x² ⟨1⟩, its product ⟨2⟩, sum ⟨3⟩, product with x ⟨4⟩.
pub(super) fn near_argument(x: f64, linear: f64, cubic: f64) -> f64 {
    2.0 * (x * (linear + cubic * (x * x)))
}

/// x·s(y), s the sigmoid, y of the sign of x and ⟨9⟩: ⟨11⟩, and a relative 9u·|y|·(1 − s(y)) from y.
/// That is < 9u·e^{−1} for y > 0 and ≤ 9u·|y| for y < 0.
fn gelu_tanh(x: f64, y: f64) -> Approximation {
    if y < NOTHING_BELOW {
        return (0.0, TINY);
    }
    let value = x * sigmoid(y);
    let counter = if x >= 0.0 { 16.0 } else { 16.0 - 12.0 * y };
    (value, value.abs() * (counter * U) + TINY)
}

/// p + β cut to [0, 1], p = αx rounded. Cutting adds no error; where the sum is beyond its own error
/// outside [0, 1], the result is exact.
fn hard_sigmoid(p: f64, beta: f64) -> Approximation {
    let sum = p + beta;
    let value = sum.clamp(0.0, 1.0);
    if !sum.is_finite() {
        return (value, 1.0);
    }
    // Two roundings, ≤ u·|p| and ≤ u·|sum|; the rest covers the rounding of this bound.
    let error = (p.abs() + sum.abs()) * (1.01 * U) + TINY;
    match sum - error > 1.0 || sum + error < 0.0 {
        true => exact(value),
        false => (value, error.min(1.0)),
    }
}

//! Derivatives. ⟨k⟩ is explained in `elementary.rs`.

use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI};

use crate::elementary::{Approximation, TINY, erf_erfc, exp, sin_cos};
use crate::network::op::activation::Activation;
use crate::network::op::activation::curvature::is_one;
use crate::network::op::activation::value::{
    GELU_CUBIC, GELU_SCALE, NOTHING_BELOW, exact, gelu_argument, mish_gate, near_argument,
    relative, scaled, sigmoid,
};
use crate::rounding::U;

impl Activation {
    /// σ'(x) and a bound of the error of that value, for finite x. The bound is ∞ where x is not
    /// finite, and for every x if σ' jumps somewhere: the value is then one of the two at a kink.
    /// Neither is ever NaN.
    pub(crate) fn derivative(&self, x: f64) -> Approximation {
        if !x.is_finite() {
            return (0.0, f64::INFINITY);
        }
        let (value, error) = match self.straight() {
            Some(slope) => exact(slope),
            None => self.finite_derivative(x),
        };
        match value.is_finite() && error >= 0.0 {
            true => (value, error),
            false => (0.0, f64::INFINITY),
        }
    }

    fn finite_derivative(&self, x: f64) -> Approximation {
        let step = |on: bool| if on { 1.0 } else { 0.0 };
        match *self {
            Self::Relu => kinked(step(x > 0.0)),
            Self::Abs => kinked(1.0_f64.copysign(x)),
            Self::Clip { low, high } => kinked(step(low < x && x < high)),
            Self::SoftShrink { lambd } => kinked(step(x.abs() > lambd)),
            Self::LeakyRelu { .. } if x >= 0.0 => kinked(1.0),
            Self::LeakyRelu { alpha } => kinked(alpha),
            Self::Elu { alpha } if is_one(alpha) => relative(exp(x.min(0.0))),
            Self::Elu { .. } if x >= 0.0 => kinked(1.0),
            Self::Elu { alpha } => kinked(alpha * exp(x)),
            Self::Celu { .. } if x >= 0.0 => exact(1.0),
            // The rounding of the quotient moves e^{x/α} by a relative u·|x/α|. ⟨4⟩ besides.
            Self::Celu { alpha } => {
                let y = (x / alpha).min(0.0);
                let value = exp(y);
                (value, bound(value, 8.0 + 2.0 * y.max(NOTHING_BELOW).abs()))
            }
            Self::Selu { alpha, gamma } if is_one(alpha) => match x {
                _ if x >= 0.0 => exact(gamma),
                // ⟨5⟩; TINY is that of the exponential.
                _ => scaled(gamma, exp(x)),
            },
            Self::Selu { gamma, .. } if x >= 0.0 => kinked(gamma),
            Self::Selu { alpha, gamma } => kinked(gamma * alpha * exp(x)),
            // ⟨21⟩.
            Self::Sigmoid => relative(bell(x)),
            // 1 − tanh² is 4·s(2x)·s(−2x), s the sigmoid.
            Self::Tanh => relative(4.0 * bell(2.0 * x)),
            Self::Softplus => relative(sigmoid(x)),
            // ⟨4⟩; 0 where the square overflows.
            Self::Softsign => relative(1.0 / ((1.0 + x.abs()) * (1.0 + x.abs()))),
            Self::Gelu => gelu(x),
            Self::GeluTanh => {
                let inner = GELU_SCALE * (1.0 + 3.0 * GELU_CUBIC * (x * x));
                gelu_tanh(x, gelu_argument(x), inner)
            }
            Self::GeluTanhNear { linear, cubic } => {
                let inner = 2.0 * (linear + 3.0 * cubic * (x * x));
                gelu_tanh(x, near_argument(x, linear, cubic), inner)
            }
            Self::Silu | Self::Mish if x < NOTHING_BELOW => (0.0, TINY),
            // ⟨22⟩.
            Self::Silu => sum(relative(sigmoid(x)), relative(factor(x, bell(x)))),
            Self::Mish => {
                let grown = factor(x, mish_gate_derivative(x));
                sum(relative(mish_gate(x)), (grown, bound(grown, 44.0)))
            }
            Self::HardSigmoid { alpha, beta } => {
                let y = alpha * x + beta;
                kinked(alpha * step(0.0 < y && y < 1.0))
            }
            Self::HardSwish if x.abs() < 3.0 => kinked((2.0 * x + 3.0) / 6.0),
            Self::HardSwish => kinked(step(x > 0.0)),
            // The rounding of the square moves e^{−x²} by a relative x²·u. ⟨6⟩ besides.
            Self::Erf => {
                let square = x * x;
                let value = FRAC_2_SQRT_PI * exp(-square);
                (value, bound(value, 12.0 + 2.0 * square.min(700.0)))
            }
            // ⟨3⟩; 0 where the square overflows.
            Self::Atan => relative(1.0 / (1.0 + x * x)),
            // ⟨3⟩; beyond, 1/√(1 + x²) is 1/|x| but for a relative 10⁻²⁰⁰.
            Self::Asinh if x.abs() < 1e100 => relative(1.0 / (1.0 + x * x).sqrt()),
            Self::Asinh => relative(1.0 / x.abs()),
            Self::Sin => sin_cos(x).1,
            Self::Cos => {
                let (sin, error) = sin_cos(x).0;
                (-sin, error)
            }
        }
    }
}

fn kinked(value: f64) -> Approximation {
    (value, f64::INFINITY)
}

/// Of a value with a relative error below `counter`·u, up to [`TINY`].
fn bound(value: f64, counter: f64) -> f64 {
    value.abs() * (counter * U) + TINY
}

/// Of two values that are below 10³, with its own rounding.
fn sum((a, e): Approximation, (b, f): Approximation) -> Approximation {
    (a + b, e + f + (a + b).abs() * (2.0 * U))
}

/// x·y, where y = 0 stands for something far smaller than 1/x.
fn factor(x: f64, y: f64) -> f64 {
    if y > 0.0 { x * y } else { 0.0 }
}

/// s(x)·s(−x), s the sigmoid: ⟨21⟩.
fn bell(x: f64) -> f64 {
    sigmoid(x) * sigmoid(-x)
}

/// Φ(x) + x·φ(x) with z = |x|/√2, ⟨2⟩.
///
/// Φ is ½·erfc z, for x ≥ 0 its complement to 1; what the error of z adds is as for x·Φ(x), ≤ (4z² + 2)u
/// of erfc z. In φ(x) = e^{−z²}/√(2π) the square is ⟨5⟩ and moves the exponential by a relative 5u·z²;
/// that is ⟨4⟩, the constant ⟨3⟩, two products ⟨2⟩. Where z² > 696 both terms of a negative x, and x·φ(x)
/// of any, are < 10⁻³⁰⁰.
fn gelu(x: f64) -> Approximation {
    let z = x.abs() * FRAC_1_SQRT_2;
    let square = (z * z).min(700.0);
    let (_, (erfc, complement_error)) = erf_erfc(z);
    let below = 0.5 * erfc;
    let moved = erfc * ((4.0 * square + 4.0) * U);
    let distribution = if x >= 0.0 { 1.0 - below } else { below };
    let error = 0.5 * (complement_error + moved) + distribution * (2.0 * U);
    let density = 0.5 * FRAC_1_SQRT_2 * FRAC_2_SQRT_PI * exp(-z * z);
    let grown = factor(x, density);
    sum(
        (distribution, error),
        (grown, bound(grown, 12.0 + 6.0 * square)),
    )
}

/// s(y) + x·y'·s(y)·s(−y), s the sigmoid, y of the sign of x and ⟨9⟩, `inner` = y' > 0 and ⟨9⟩.
///
/// s(y) is ⟨10⟩, and moved by a relative 9u·|y|·(1 − s(y)) through y, which for y > 0 is < 3u. The product
/// s(y)·s(−y) has the logarithmic derivative 1 − 2s(y): it is ⟨21⟩ and moved by 9u·|y|, and with x·y', ⟨10⟩,
/// it is ⟨32⟩. As |x·y'| ≤ 3|y| (T26), nothing is left below −700, and only s(y) above 700.
fn gelu_tanh(x: f64, y: f64, inner: f64) -> Approximation {
    if y < NOTHING_BELOW {
        return (0.0, TINY);
    }
    let gate = sigmoid(y);
    let grown = factor(x * inner, bell(y));
    let size = y.abs().min(700.0);
    let counter = if x >= 0.0 { 16.0 } else { 16.0 + 12.0 * size };
    let gate = (gate, bound(gate, counter));
    sum(gate, (grown, bound(grown, 36.0 + 12.0 * size)))
}

/// 4e^x(1 + e^x)/(n + 2)², the derivative of n/(n + 2), n = e^x·(e^x + 2).
///
/// n + 2 is ⟨11⟩, its square ⟨23⟩, the numerator ⟨10⟩: ⟨34⟩.
fn mish_gate_derivative(x: f64) -> f64 {
    let e = exp(-x.abs());
    if x <= 0.0 {
        let m = e * (e + 2.0) + 2.0;
        4.0 * e * (1.0 + e) / (m * m)
    } else {
        // Both multiplied by e^{−4x}: ⟨15⟩ over ⟨21⟩, so ⟨37⟩. Where e² underflows, x·e^{−2x} does.
        let m = 1.0 + 2.0 * e + 2.0 * (e * e);
        4.0 * (e * e) * (1.0 + e) / (m * m)
    }
}

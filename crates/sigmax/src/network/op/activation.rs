//! Activation functions: their largest slopes (T26), ranges of σ'' (T31), and values and derivatives
//! with proved errors.

pub(crate) mod curvature;
mod derivative;
mod lanes;
pub(crate) mod softmax;
#[cfg(test)]
mod tests;
mod value;

use std::f64::consts::FRAC_2_SQRT_PI;

use crate::error::Error;
use crate::rounding::{add_up, mul_up};

/// An activation function, applied to every entry.
///
/// The parameters are those of the ONNX operators of the same names.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Activation {
    /// max(x, 0).
    Relu,
    /// x for x ≥ 0, else αx.
    LeakyRelu {
        /// Slope below 0.
        alpha: f64,
    },
    /// x for x ≥ 0, else α(e^x − 1).
    Elu {
        /// Minus the limit at −∞.
        alpha: f64,
    },
    /// x for x ≥ 0, else α(e^{x/α} − 1).
    Celu {
        /// Minus the limit at −∞; positive.
        alpha: f64,
    },
    /// γx for x ≥ 0, else γα(e^x − 1).
    Selu {
        /// The factor below 0.
        alpha: f64,
        /// The factor everywhere.
        gamma: f64,
    },
    /// 1/(1 + e^{−x}).
    Sigmoid,
    /// tanh x.
    Tanh,
    /// ln(1 + e^x).
    Softplus,
    /// x/(1 + |x|).
    Softsign,
    /// x·Φ(x), Φ the normal distribution function.
    Gelu,
    /// x/2·(1 + tanh(√(2/π)·(x + 0.044715x³))).
    GeluTanh,
    /// x/2·(1 + tanh(αx + βx³)), with α and β as they are where [`Activation::GeluTanh`] is written
    /// out: rounded.
    GeluTanhNear {
        /// α, within 2⁻¹⁰ of √(2/π), relatively.
        linear: f64,
        /// β, within 2⁻¹⁰ of 0.044715·√(2/π), relatively.
        cubic: f64,
    },
    /// x/(1 + e^{−x}), also called swish.
    Silu,
    /// x·tanh(ln(1 + e^x)).
    Mish,
    /// αx + β, cut to [0, 1].
    HardSigmoid {
        /// The slope.
        alpha: f64,
        /// The value at 0, before the cut.
        beta: f64,
    },
    /// x·(x/6 + ½ cut to [0, 1]).
    HardSwish,
    /// x cut to [low, high].
    Clip {
        /// The smallest value; −∞ for none.
        low: f64,
        /// The largest value; +∞ for none.
        high: f64,
    },
    /// x − λ for x > λ, x + λ for x < −λ, else 0: the soft threshold.
    SoftShrink {
        /// λ ≥ 0.
        lambd: f64,
    },
    /// |x|.
    Abs,
    /// erf x.
    Erf,
    /// arctan x.
    Atan,
    /// arsinh x = ln(x + √(x² + 1)).
    Asinh,
    /// sin x.
    Sin,
    /// cos x.
    Cos,
}

/// Slopes of T26, rounded up; `scripts/check_slopes.py` encloses the literals.
const GELU_SLOPE: f64 = 1.128_904_145_186;
const GELU_TANH_SLOPE: f64 = 1.128_993_068_659;
const SILU_SLOPE: f64 = 1.099_839_320_129;
const MISH_SLOPE: f64 = 1.088_498_161_252;

/// √(2/π) and 0.044715·√(2/π), within 4 units in the last place.
const GELU_LINEAR: f64 = 0.797_884_560_802_865_4;
const GELU_CUBIC: f64 = 0.035_677_408_136_300_125;
/// How far they may be off.
const NEAR: f64 = 1.0 / 1024.0;

/// A bound of |a/b − 1| where `b` is off by ≤ 4 units in the last place: both and the roundings of
/// the quotient and the difference are within 10 units.
fn off(a: f64, b: f64) -> f64 {
    (a / b - 1.0).abs() + 1e-14
}

impl Activation {
    /// The name of the ONNX operator, or the usual one.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Relu => "Relu",
            Self::LeakyRelu { .. } => "LeakyRelu",
            Self::Elu { .. } => "Elu",
            Self::Celu { .. } => "Celu",
            Self::Selu { .. } => "Selu",
            Self::Sigmoid => "Sigmoid",
            Self::Tanh => "Tanh",
            Self::Softplus => "Softplus",
            Self::Softsign => "Softsign",
            Self::Gelu => "Gelu",
            Self::GeluTanh | Self::GeluTanhNear { .. } => "Gelu (tanh)",
            Self::Silu => "Silu",
            Self::Mish => "Mish",
            Self::HardSigmoid { .. } => "HardSigmoid",
            Self::HardSwish => "HardSwish",
            Self::Clip { .. } => "Clip",
            Self::SoftShrink { .. } => "Shrink",
            Self::Abs => "Abs",
            Self::Erf => "Erf",
            Self::Atan => "Atan",
            Self::Asinh => "Asinh",
            Self::Sin => "Sin",
            Self::Cos => "Cos",
        }
    }

    /// Whether the parameters define a Lipschitz function.
    ///
    /// # Errors
    ///
    /// [`Error::Geometry`], naming the parameter: one is not finite, Celu's α is not positive, Clip's
    /// interval is empty or has no finite point, Shrink's λ is negative, or one of the tanh form of
    /// Gelu is not near.
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |field, expected: &str, got: f64| {
            Err(Error::Geometry {
                field,
                expected: format!("{expected} for {}", self.name()),
                got: got.to_string(),
            })
        };
        let finite = |field, value: f64| match value.is_finite() {
            true => Ok(()),
            false => wrong(field, "a finite number", value),
        };
        match *self {
            Self::LeakyRelu { alpha } | Self::Elu { alpha } => finite("alpha", alpha),
            Self::Celu { alpha } if !(alpha > 0.0 && alpha.is_finite()) => {
                wrong("alpha", "a positive number", alpha)
            }
            Self::Selu { alpha, gamma } => finite("alpha", alpha).and(finite("gamma", gamma)),
            Self::HardSigmoid { alpha, beta } => finite("alpha", alpha).and(finite("beta", beta)),
            Self::SoftShrink { lambd } if !(lambd >= 0.0 && lambd.is_finite()) => {
                wrong("lambd", "a number from 0 on", lambd)
            }
            Self::GeluTanhNear { linear, .. } if !(off(linear, GELU_LINEAR) <= NEAR) => {
                wrong("linear", "a number near √(2/π)", linear)
            }
            Self::GeluTanhNear { cubic, .. } if !(off(cubic, GELU_CUBIC) <= NEAR) => {
                wrong("cubic", "a number near 0.044715·√(2/π)", cubic)
            }
            Self::Clip { low, .. } if !(low < f64::INFINITY) => {
                wrong("low", "a number or -inf", low)
            }
            Self::Clip { low, high } if !(high >= low && high > f64::NEG_INFINITY) => {
                wrong("high", &format!("a number not below {low}"), high)
            }
            _ => Ok(()),
        }
    }

    /// An upper bound of sup |σ(x) − σ(y)|/|x − y| over the real line (T26).
    pub(crate) fn slope(&self) -> f64 {
        match *self {
            Self::LeakyRelu { alpha } | Self::Elu { alpha } => alpha.abs().max(1.0),
            Self::Selu { alpha, gamma } => match alpha.abs() {
                steeper if steeper > 1.0 => mul_up(steeper, gamma.abs()),
                _ => gamma.abs(),
            },
            Self::Sigmoid => 0.25,
            Self::Gelu => GELU_SLOPE,
            Self::GeluTanh => GELU_TANH_SLOPE,
            Self::GeluTanhNear { linear, cubic } => {
                let off = off(linear, GELU_LINEAR).max(off(cubic, GELU_CUBIC));
                add_up(GELU_TANH_SLOPE, 4.0 * off)
            }
            Self::Silu => SILU_SLOPE,
            Self::Mish => MISH_SLOPE,
            Self::HardSigmoid { alpha, .. } => alpha.abs(),
            Self::HardSwish => 1.5,
            Self::Clip { low, high } if !(low < high) => 0.0,
            // 2/√π, which the constant is next to.
            Self::Erf => add_up(FRAC_2_SQRT_PI, 0.0),
            Self::Relu
            | Self::Celu { .. }
            | Self::Tanh
            | Self::Softplus
            | Self::Softsign
            | Self::Clip { .. }
            | Self::SoftShrink { .. }
            | Self::Abs
            | Self::Atan
            | Self::Asinh
            | Self::Sin
            | Self::Cos => 1.0,
        }
    }

    /// Upper bounds of |σ'| for x < 0 and for x > 0 (T26, T43).
    pub(crate) fn slopes_beside_0(&self) -> [f64; 2] {
        let slope = self.slope();
        match *self {
            Self::Relu => [0.0, 1.0],
            Self::LeakyRelu { alpha } | Self::Elu { alpha } => [alpha.abs(), 1.0],
            Self::Selu { alpha, gamma } => [mul_up(gamma.abs(), alpha.abs()), gamma.abs()],
            Self::Clip { low, high } => [
                if low >= 0.0 { 0.0 } else { slope },
                if high <= 0.0 { 0.0 } else { slope },
            ],
            _ => [slope; 2],
        }
    }

    /// Whether 0 ≤ σ(x) − σ(y) ≤ x − y for all x ≥ y (T42).
    pub(crate) fn rises_by_at_most_1(&self) -> bool {
        let (least, largest) = self.slopes_on(f64::NEG_INFINITY, f64::INFINITY);
        least >= 0.0 && largest <= 1.0
    }

    /// How many roundings a float32 execution has where it is a few correctly rounded operations
    /// with no cancellation: its relative error is then at most γ of that number, up to underflow.
    ///
    /// `None` where it needs an exponential or can cancel (HardSigmoid, HardSwish), or a parameter
    /// is outside the normal range of float32.
    pub(crate) fn float32_roundings(&self) -> Option<u32> {
        match *self {
            Self::Relu | Self::Abs => Some(0),
            Self::LeakyRelu { alpha } => parameter_roundings(alpha).map(|k| k + 1),
            Self::Softsign => Some(2),
            Self::Clip { low, high } => {
                let bounds = parameter_roundings(low).zip(parameter_roundings(high));
                bounds.map(|(low, high)| low.max(high))
            }
            _ => None,
        }
    }
}

impl std::fmt::Display for Activation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a parameter is rounded when it is made a float32.
fn parameter_roundings(value: f64) -> Option<u32> {
    let exact = f64::from(value as f32).to_bits() == value.to_bits();
    let normal = f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX);
    if exact {
        Some(0)
    } else {
        normal.contains(&value.abs()).then_some(1)
    }
}

//! Ranges of σ'' and of σ' (T31).

#[cfg(test)]
mod tests;

use crate::network::op::activation::{Activation, GELU_CUBIC, GELU_LINEAR, off};
use crate::rounding::{add_up, div_up, mul_down, mul_up, sqrt_down, sub_down};

/// Curvatures of T31, rounded outwards; `scripts/check_slopes.py` encloses these literals and those
/// below. A single number is the upper end of a range that is symmetric.
const SIGMOID_CURVATURE: f64 = 0.096_225_044_866;
const TANH_CURVATURE: f64 = 0.769_800_358_920;
const ERF_CURVATURE: f64 = 0.967_882_898_077;
const ATAN_CURVATURE: f64 = 0.649_519_052_839;
const GELU_CURVATURE: (f64, f64) = (-0.107_981_933_027, 0.797_884_560_803);
const GELU_TANH_CURVATURE: (f64, f64) = (-0.107_913_515_891, 0.797_884_560_803);
const SILU_CURVATURE: (f64, f64) = (-0.036_914_373_201, 0.5);
const MISH_CURVATURE: (f64, f64) = (-0.059_033_356_955, 0.644_204_637_238);

/// The least slope of Mish, rounded down.
const MISH_LEAST_SLOPE: f64 = -0.112_526_122_390;

/// Where σ' is largest; of Gelu and Silu, it is least at the negative of that.
const GELU_TURN: (f64, f64) = (1.414, 1.415);
const GELU_TANH_TURN: (f64, f64) = (1.40, 1.44);
const SILU_TURN: (f64, f64) = (2.399, 2.400);
const MISH_TURN: (f64, f64) = (1.490, 1.491);
/// Where that of Mish is least.
const MISH_LEAST_AT: (f64, f64) = (-2.257, -2.256);

/// Why an activation has no range of σ''.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{activation} has no curvature bound, as {reason}: only first-order certificates")]
pub struct NoCurvature {
    /// [`Activation::name`].
    pub activation: &'static str,
    /// A clause, such as "its derivative jumps at 0".
    pub reason: &'static str,
}

/// Where a continuous σ' turns: it is monotone between these.
struct Turns {
    /// An interval with the only point at which σ' is least, if there is one.
    least: Option<(f64, f64)>,
    /// The same for the largest.
    largest: Option<(f64, f64)>,
}

impl Activation {
    /// An interval with all difference quotients (σ'(x) − σ'(y))/(x − y) over the real line, rounded
    /// outwards: the range of σ'', where that exists.
    ///
    /// Of x ↦ a·σ(bx) it is ab² times that of σ: a and b are layers of their own in a network.
    ///
    /// # Errors
    ///
    /// [`NoCurvature`]: σ' jumps somewhere, or the parameters are refused by [`Activation::check`].
    ///
    /// # Source
    ///
    /// T31.
    ///
    /// # Example
    ///
    /// ```
    /// use sigmax::network::Activation;
    ///
    /// assert_eq!(Activation::Softplus.curvature(), Ok((0.0, 0.25)));
    /// assert_eq!(
    ///     Activation::Relu.curvature().unwrap_err().to_string(),
    ///     "Relu has no curvature bound, as its derivative jumps at 0: only first-order certificates"
    /// );
    /// ```
    pub fn curvature(&self) -> Result<(f64, f64), NoCurvature> {
        let none = |reason| {
            Err(NoCurvature {
                activation: self.name(),
                reason,
            })
        };
        if self.check().is_err() {
            return none("its parameters are refused");
        }
        if self.straight().is_some() {
            return Ok((0.0, 0.0));
        }
        let (low, high) = match *self {
            Self::Elu { alpha } if is_one(alpha) => (0.0, 1.0),
            Self::Celu { alpha } => (0.0, div_up(1.0, alpha)),
            Self::Selu { alpha, gamma } if is_one(alpha) => (gamma.min(0.0), gamma.max(0.0)),
            Self::Sigmoid => (-SIGMOID_CURVATURE, SIGMOID_CURVATURE),
            Self::Tanh => (-TANH_CURVATURE, TANH_CURVATURE),
            Self::Softplus => (0.0, 0.25),
            Self::Softsign => (-2.0, 2.0),
            Self::Gelu => GELU_CURVATURE,
            Self::GeluTanh => GELU_TANH_CURVATURE,
            Self::GeluTanhNear { linear, cubic } => {
                let off = off(linear, GELU_LINEAR).max(off(cubic, GELU_CUBIC));
                let (low, high) = GELU_TANH_CURVATURE;
                let moved = mul_up(50.0, off);
                (sub_down(low, moved), add_up(high, moved))
            }
            Self::Silu => SILU_CURVATURE,
            Self::Mish => MISH_CURVATURE,
            Self::Erf => (-ERF_CURVATURE, ERF_CURVATURE),
            Self::Atan => (-ATAN_CURVATURE, ATAN_CURVATURE),
            // 2/(3√3).
            Self::Asinh => {
                let most = div_up(2.0, mul_down(3.0, sqrt_down(3.0)));
                (-most, most)
            }
            Self::Sin | Self::Cos => (-1.0, 1.0),
            Self::Relu
            | Self::LeakyRelu { .. }
            | Self::Elu { .. }
            | Self::Selu { .. }
            | Self::Abs => return none("its derivative jumps at 0"),
            Self::HardSwish => return none("its derivative jumps at -3 and 3"),
            Self::HardSigmoid { .. } | Self::Clip { .. } => {
                return none("its derivative jumps where it is cut");
            }
            Self::SoftShrink { .. } => return none("its derivative jumps at its threshold"),
        };
        match high < f64::INFINITY {
            true => Ok((low, high)),
            false => none("it is larger than any float"),
        }
    }

    /// An interval with σ'(x) for all x from `low` to `high`. Where one of these is infinite or
    /// [`Activation::curvature`] has no range, it has all difference quotients of σ.
    ///
    /// The largest σ' is at an end, unless the only point where σ' is largest may lie between; and so
    /// for the least.
    ///
    /// # Source
    ///
    /// T31.
    #[must_use]
    pub fn slopes_on(&self, low: f64, high: f64) -> (f64, f64) {
        if self.check().is_err() {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        let (least, largest) = self.slopes();
        let turns = match self.turns() {
            Some(turns) if low <= high => turns,
            _ => return (least, largest),
        };
        let ends = [self.derivative(low), self.derivative(high)];
        let between = |turn: Option<(f64, f64)>| turn.is_some_and(|(a, b)| low <= b && a <= high);
        let from = match between(turns.least) {
            true => least,
            false => ends.iter().fold(f64::INFINITY, |from, &(value, error)| {
                from.min(sub_down(value, error))
            }),
        };
        let to = match between(turns.largest) {
            true => largest,
            false => ends.iter().fold(f64::NEG_INFINITY, |to, &(value, error)| {
                to.max(add_up(value, error))
            }),
        };
        (from.max(least), to.min(largest))
    }

    /// The slope, where the parameters make σ a straight line.
    pub(super) fn straight(&self) -> Option<f64> {
        match *self {
            Self::LeakyRelu { alpha } if is_one(alpha) => Some(1.0),
            Self::Selu { gamma: 0.0, .. } | Self::HardSigmoid { alpha: 0.0, .. } => Some(0.0),
            Self::Clip { low, high } if !(low < high) => Some(0.0),
            Self::Clip {
                low: f64::NEG_INFINITY,
                high: f64::INFINITY,
            }
            | Self::SoftShrink { lambd: 0.0 } => Some(1.0),
            _ => None,
        }
    }

    /// An interval with all difference quotients of σ.
    fn slopes(&self) -> (f64, f64) {
        if let Some(slope) = self.straight() {
            return (slope, slope);
        }
        let largest = self.slope();
        match *self {
            Self::Relu
            | Self::Celu { .. }
            | Self::Sigmoid
            | Self::Tanh
            | Self::Softplus
            | Self::Softsign
            | Self::Clip { .. }
            | Self::SoftShrink { .. }
            | Self::Erf
            | Self::Atan
            | Self::Asinh => (0.0, largest),
            Self::LeakyRelu { alpha } => (alpha.min(1.0), alpha.max(1.0)),
            Self::HardSigmoid { alpha, .. } => (alpha.min(0.0), alpha.max(0.0)),
            Self::Elu { alpha } if alpha >= 0.0 => (0.0, largest),
            Self::Selu { alpha, gamma } if is_one(alpha) => (gamma.min(0.0), gamma.max(0.0)),
            // σ'(x) + σ'(−x) = 1.
            Self::Gelu | Self::GeluTanh | Self::GeluTanhNear { .. } | Self::Silu => {
                (sub_down(1.0, largest), largest)
            }
            Self::Mish => (MISH_LEAST_SLOPE, largest),
            Self::Elu { .. }
            | Self::Selu { .. }
            | Self::HardSwish
            | Self::Abs
            | Self::Sin
            | Self::Cos => (-largest, largest),
        }
    }

    /// `None` where σ' jumps, is constant, or turns again and again.
    fn turns(&self) -> Option<Turns> {
        let gate = |(a, b): (f64, f64)| Turns {
            least: Some((-b, -a)),
            largest: Some((a, b)),
        };
        match *self {
            Self::Elu { alpha } | Self::Selu { alpha, .. } if !is_one(alpha) => None,
            Self::Elu { .. } | Self::Celu { .. } | Self::Selu { .. } | Self::Softplus => {
                Some(Turns {
                    least: None,
                    largest: None,
                })
            }
            Self::Sigmoid | Self::Tanh | Self::Softsign | Self::Erf | Self::Atan | Self::Asinh => {
                Some(Turns {
                    least: None,
                    largest: Some((0.0, 0.0)),
                })
            }
            Self::Gelu => Some(gate(GELU_TURN)),
            Self::GeluTanh | Self::GeluTanhNear { .. } => Some(gate(GELU_TANH_TURN)),
            Self::Silu => Some(gate(SILU_TURN)),
            Self::Mish => Some(Turns {
                least: Some(MISH_LEAST_AT),
                largest: Some(MISH_TURN),
            }),
            Self::Relu
            | Self::LeakyRelu { .. }
            | Self::HardSigmoid { .. }
            | Self::HardSwish
            | Self::Clip { .. }
            | Self::SoftShrink { .. }
            | Self::Abs
            | Self::Sin
            | Self::Cos => None,
        }
    }
}

pub(super) fn is_one(parameter: f64) -> bool {
    parameter.to_bits() == 1.0_f64.to_bits()
}

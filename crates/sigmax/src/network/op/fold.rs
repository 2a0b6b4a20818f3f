//! [`Fold`]: of every window the root of the sum of squares, or the logarithm of the sum of exponentials
//! (T44).

use crate::network::op::activation::softmax::log_sum_exp;
use crate::network::op::pool::Pool;
use crate::rounding::{add_up, gamma, mul_up, sqrt_int_up};

/// More than what squares that underflow leave out of the root of a sum of one.
const TINY: f64 = 1e-160;

/// One number of every window over `[channels, n_1, …, n_m]`; padding is not part of it.
///
/// # Formula
/// `√(Σ x_i²)` or `ln Σ e^{x_i}`. The Lipschitz constant is √(most windows that hold one pixel), 1 where
/// they do not overlap.
///
/// # Source
/// T44.
#[derive(Clone, Debug, PartialEq)]
pub struct Fold {
    pool: Pool,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Norm,
    LogSumExp,
}

impl Fold {
    /// The root of the sum of squares.
    #[must_use]
    pub fn norm(pool: Pool) -> Self {
        let how = How::Norm;
        Self { pool, how }
    }

    /// The logarithm of the sum of exponentials.
    #[must_use]
    pub fn log_sum_exp(pool: Pool) -> Self {
        let how = How::LogSumExp;
        Self { pool, how }
    }

    /// A short name.
    pub(crate) fn name(&self) -> &'static str {
        match self.how {
            How::Norm => "norm of windows",
            How::LogSumExp => "log-sum-exp",
        }
    }

    /// The windows.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Of one window, and a bound of the error; ∞ where that is not finite.
    ///
    /// A sum of n squares has ≤ n roundings, relative, and the root halves that and rounds once.
    pub(crate) fn value(&self, x: &[f64]) -> (f64, f64) {
        match self.how {
            How::Norm => {
                let value = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                if !value.is_finite() {
                    return (0.0, f64::INFINITY);
                }
                let tiny = mul_up(TINY, sqrt_int_up(x.len()));
                (value, add_up(mul_up(2.0 * gamma(x.len() + 2), value), tiny))
            }
            How::LogSumExp => log_sum_exp(x),
        }
    }

    /// The gradient at a window with this value; 0 where there is none. Approximate.
    pub(crate) fn gradient(&self, x: f64, value: f64) -> f64 {
        match self.how {
            How::Norm if value > 0.0 => x / value,
            How::Norm => 0.0,
            How::LogSumExp => crate::elementary::exp((x - value).min(0.0)),
        }
    }
}

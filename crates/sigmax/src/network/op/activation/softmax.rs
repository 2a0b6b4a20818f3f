//! Softmax and its logarithm, with a bound of the error in ℓ₂.
//!
//! Let m be the largest entry, d_i = m − x_i ≥ 0, e_i = e^{−d_i}, s = Σe_i ≥ 1 and p_i = e_i/s. Each d_i
//! is rounded once, which changes e_i by a factor e^{±u·d_i}, and exp is ⟨4⟩. The sum, of positive
//! terms, is ⟨n − 1⟩ more. Its relative error from the terms is ≤ Σ p_i·(4 + d_i)u ≤ (4 + ln n)u,
//! because Σ p_i·d_i = (entropy of p) − ln s ≤ ln n. Entries with d_i > 700 count as 0: p_i < 10⁻³⁰⁰.
//!
//! All that is to first order in u; the factor [`REST`] is more than the rest as long as the
//! counters, n among them, are below 2⁴⁰.

use crate::elementary::{TINY, exp, ln};
use crate::rounding::{U, add_up, gamma, mul_up, sqrt_up};

/// For terms of second order and for the rounding of the bound itself, beside γ_n for its sum.
const REST: f64 = 1.01;

/// Writes softmax(x) to `out`; a bound of the ℓ₂ norm of its error, ∞ where x is not finite.
///
/// The quotient rounds once more: |Δp_i| ≤ p_i·(4 + d_i + 4 + ln n + n)u.
pub(crate) fn softmax(x: &[f64], out: &mut [f64]) -> f64 {
    let Some((largest, sum)) = shifted_sum(x) else {
        out.fill(0.0);
        return f64::INFINITY;
    };
    let common = counters(x.len()) + 4.0;
    let mut errors = Errors::default();
    for (x, out) in x.iter().zip(out) {
        let d = (largest - x).min(701.0);
        *out = exp(-d) / sum;
        errors.add(*out * (common + d) * U);
    }
    errors.norm(x.len())
}

/// Writes ln softmax(x) to `out`; a bound of the ℓ₂ norm of its error, ∞ where x is not finite or a
/// result overflows.
///
/// ln s has an absolute error ≤ (4 + ln n + n − 1)u from s, and ⟨9⟩ of ln s ≤ ln n. So
/// |Δy_i| ≤ (d_i + |y_i| + 4 + ln n + n + 9·ln n)u.
pub(crate) fn log_softmax(x: &[f64], out: &mut [f64]) -> f64 {
    let Some((largest, sum)) = shifted_sum(x) else {
        out.fill(0.0);
        return f64::INFINITY;
    };
    let log = ln(sum);
    let common = counters(x.len()) + 9.0 * log_up(x.len());
    let mut errors = Errors::default();
    let mut finite = true;
    for (x, out) in x.iter().zip(out) {
        let d = largest - x;
        *out = -d - log;
        errors.add(d * U + (out.abs() + common) * U);
        if !out.is_finite() {
            finite = false;
            *out = f64::MIN;
        }
    }
    if finite {
        errors.norm(x.len())
    } else {
        f64::INFINITY
    }
}

/// ln Σe^{x_i} and a bound of its error, ∞ where x is not finite or the result overflows.
///
/// m + ln s, with the error of ln s as above: |Δy| ≤ (|y| + 4 + ln n + n + 9·ln n)u.
pub(crate) fn log_sum_exp(x: &[f64]) -> (f64, f64) {
    let Some((largest, sum)) = shifted_sum(x) else {
        return (0.0, f64::INFINITY);
    };
    let value = largest + ln(sum);
    if !value.is_finite() {
        return (0.0, f64::INFINITY);
    }
    let common = counters(x.len()) + 9.0 * log_up(x.len());
    let mut errors = Errors::default();
    errors.add((value.abs() + common) * U);
    (value, errors.norm(x.len()))
}

/// The largest entry and the computed s; `None` unless all entries are finite.
fn shifted_sum(x: &[f64]) -> Option<(f64, f64)> {
    if !x.iter().all(|x| x.is_finite()) {
        return None;
    }
    let largest = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    // One term is 1, so that the sum is ≥ 1 whatever the order; 1 also for no entry at all.
    let sum: f64 = x.iter().map(|x| exp(x - largest)).sum();
    Some((largest, sum.max(1.0)))
}

/// An integer ≥ ln n.
fn log_up(n: usize) -> f64 {
    n.checked_ilog2().map_or(0.0, |log| f64::from(log) + 1.0)
}

/// 4 + ln n + n, from above.
fn counters(n: usize) -> f64 {
    4.0 + log_up(n) + n as f64
}

/// Bounds of the entries' errors. Their ℓ₂ norm is ≤ √(‖·‖_∞·‖·‖₁), which cannot
/// overflow before they do.
#[derive(Default)]
struct Errors {
    largest: f64,
    sum: f64,
}

impl Errors {
    fn add(&mut self, error: f64) {
        self.largest = self.largest.max(error);
        self.sum += error;
    }

    fn norm(&self, n: usize) -> f64 {
        let sum = mul_up(self.sum, add_up(1.0, gamma(n)));
        let norm = mul_up(sqrt_up(self.largest), sqrt_up(sum));
        // TINY twice: underflow in e_i and in s, n entries.
        add_up(mul_up(norm, REST), mul_up(2.0 * TINY, n as f64 + 1.0))
    }
}

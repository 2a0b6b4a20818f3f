//! Values and derivatives of all entries of a tensor, several side by side where that is faster.

use crate::elementary::{TINY, exps, ln_1ps};
use crate::network::op::activation::Activation;
use crate::rounding::{U, add_up, larger, mul_up, sqrt_up};

/// Entries side by side.
const LANES: usize = 8;

impl Activation {
    /// σ of every entry, and a bound of the ℓ₂ error of all of them.
    pub(crate) fn values(&self, x: &[f64], out: &mut [f64]) -> f64 {
        if let Self::Softplus = self
            && x.iter().all(|x| x.is_finite())
        {
            side_by_side(x, out, softplus);
            return relative(out);
        }
        let mut squares = 0.0;
        for (out, &x) in out.iter_mut().zip(x) {
            let (value, error) = self.value(x);
            *out = value;
            if error != 0.0 {
                squares = add_up(squares, add_up(mul_up(error, error), 1e-300));
            }
        }
        sqrt_up(squares)
    }

    /// σ' of every entry, and a bound of the error of each.
    pub(crate) fn derivatives(&self, x: &[f64], out: &mut [f64]) -> f64 {
        if let Self::Softplus = self
            && x.iter().all(|x| x.is_finite())
        {
            side_by_side(x, out, sigmoid);
            // ⟨32⟩ of at most 1.
            return 32.0 * U + TINY;
        }
        let mut largest = 0.0f64;
        for (out, &x) in out.iter_mut().zip(x) {
            let (slope, error) = self.derivative(x);
            *out = slope;
            largest = larger(largest, error);
        }
        largest
    }
}

/// The ℓ₂ error of values that are each ⟨30⟩ or better, up to [`TINY`]: γ_30 < 32u, less what the
/// roundings of their squares and the sum take.
fn relative(values: &[f64]) -> f64 {
    let squares = values.iter().fold(0.0, |sum, v| sum + v * v);
    // The sum has n + 1 roundings, relative.
    let size = sqrt_up(squares) * (1.0 + (values.len() + 2) as f64 * U);
    let tiny = mul_up(values.len() as f64, TINY + 1e-160);
    add_up(mul_up(size, 32.0 * U), tiny)
}

fn side_by_side(x: &[f64], out: &mut [f64], f: impl Fn([f64; LANES]) -> [f64; LANES]) {
    let (blocks, rest) = x.as_chunks::<LANES>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<LANES>();
    for (out, &x) in out_blocks.iter_mut().zip(blocks) {
        *out = f(x);
    }
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    out_rest.copy_from_slice(&f(last)[..rest.len()]);
}

/// As `Activation::value`.
fn softplus(x: [f64; LANES]) -> [f64; LANES] {
    let mut value = ln_1ps(exps(x.map(|x| -x.abs())));
    for i in 0..LANES {
        value[i] += x[i].max(0.0);
    }
    value
}

/// As `Activation::derivative` of softplus.
fn sigmoid(x: [f64; LANES]) -> [f64; LANES] {
    let e = exps(x.map(|x| -x.abs()));
    let mut slope = [0.0; LANES];
    for i in 0..LANES {
        slope[i] = (if x[i] >= 0.0 { 1.0 } else { e[i] }) / (1.0 + e[i]);
    }
    slope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn side_by_side_is_one_after_the_other() {
        let x: Vec<f64> = (0..2003)
            .map(|i| f64::from(i - 1000) * 0.77)
            .chain([1e300, -1e300, 1e-300, -1e-300, 0.0, -0.0])
            .collect();
        let (mut values, mut slopes) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        let softplus = Activation::Softplus;
        let error = softplus.values(&x, &mut values);
        let slope_error = softplus.derivatives(&x, &mut slopes);
        let mut squares = 0.0;
        for (i, &x) in x.iter().enumerate() {
            let (value, off) = softplus.value(x);
            assert_eq!(value.to_bits(), values[i].to_bits(), "{x}");
            squares += off * off;
            let (slope, off) = softplus.derivative(x);
            assert_eq!(slope.to_bits(), slopes[i].to_bits(), "{x}");
            assert!(off <= slope_error);
        }
        assert!(squares.sqrt() <= error * (1.0 + 1e-9));
        let mut none = [0.0];
        assert!(softplus.values(&[f64::NAN], &mut none).is_infinite());
    }
}

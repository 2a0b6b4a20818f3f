//! g·v/‖v‖: weight normalisation (T30).

use crate::claim::Enclosure;
use crate::error::{Error, Expected, NotCovered};
use crate::kernel::Kernel;
use crate::rounding::{
    add_up, div_down, div_up, exponent, gamma, ldexp, mul_up, scale_down, scale_up,
};
use crate::verify::magnitude;
use crate::weight::{Weight, length, scaled, wrong_length};

/// The smallest slice, 2⁻⁹⁰⁰ (rounded up), in the scale of the kernel.
const SMALLEST: f64 = 1.2e-271;
/// What an entry may be off in the scale of g beside its roundings: more than 2⁻¹⁷⁰.
const LOST: f64 = 1e-50;

impl Weight {
    /// g·v/‖v‖, the length being taken per slice along `axis`, or of all of v.
    ///
    /// # Errors
    /// [`Error::NotCovered`] where g has not one entry per slice, or a slice of v is 0.
    ///
    /// # Source
    /// T30; Salimans and Kingma 2016.
    pub fn weight_norm(v: &Kernel, g: &[f64], axis: Option<usize>) -> Result<Self, Error> {
        match (axis, g) {
            (Some(axis), _) => per_slice(v, g, axis),
            (None, &[g]) => whole(v, g),
            (None, _) => Err(wrong_length("g", Expected::Count(1), g.len())),
        }
    }
}

/// One factor: v is the kernel, exactly, and its scale cancels.
fn whole(v: &Kernel, g: f64) -> Result<Weight, Error> {
    let (g, e) = scaled("g", &[g])?;
    let g = g[0].abs();
    let length = length(v.scaled());
    if !(length.lower > 0.0) {
        return Err(zero());
    }
    Ok(Weight {
        kernel: v.rescaled(),
        factor: Enclosure {
            lower: scale_down(div_down(g, length.upper), e),
            upper: scale_up(
                if g > 0.0 {
                    div_up(g, length.lower)
                } else {
                    0.0
                },
                e,
            ),
        },
        error: 0.0,
    })
}

/// A factor per slice: the kernel is computed, and off by a few roundings per entry.
fn per_slice(v: &Kernel, g: &[f64], axis: usize) -> Result<Weight, Error> {
    let shape = v.shape();
    let Some(&slices) = shape.get(axis).filter(|&&n| n == g.len()) else {
        let expected = Expected::Slices {
            axis,
            shape: shape.to_vec(),
        };
        return Err(wrong_length("g", expected, g.len()));
    };
    let (g, e) = scaled("g", g)?;
    let inner: usize = shape[axis + 1..].iter().product();
    let slice = |i: usize| i / inner % slices;
    let mut largest = vec![0.0f64; slices];
    for (i, value) in v.scaled().iter().enumerate() {
        largest[slice(i)] = largest[slice(i)].max(value.abs());
    }
    if largest.iter().any(|&l| l <= 0.0) {
        return Err(zero());
    }
    if largest.iter().any(|&l| l < SMALLEST) {
        return Err(NotCovered::SmallSlice.into());
    }
    // Every slice in a scale of its own, so that its squares do not vanish.
    let exponents: Vec<i32> = largest.into_iter().map(exponent).collect();
    let mut values: Vec<f64> = v.scaled().to_vec();
    let mut squares = vec![0.0; slices];
    for (i, value) in values.iter_mut().enumerate() {
        *value = ldexp(*value, -exponents[slice(i)]);
        squares[slice(i)] += *value * *value;
    }
    let factors: Vec<f64> = g.iter().zip(&squares).map(|(g, s)| g / s.sqrt()).collect();
    for (i, value) in values.iter_mut().enumerate() {
        *value *= factors[slice(i)];
    }
    // A slice of n entries: n + 1 roundings of the sum of squares (one of them ≥ ¼, so what
    // underflows is far below one more), a root, a quotient, a product: |K̂ − K| ≤ γ_{n+5}·|K|, which
    // is below γ_{2n+16}·|K̂|. What an entry of v lost to the scale of the kernel, ≤ 2⁻¹⁰⁷⁴, is at most
    // 2⁻¹⁷⁴ in that of its slice: LOST covers that and underflow in the product.
    let entries = values.len();
    let kernel = Kernel::from_scaled(shape, values, e)?;
    let rounding = mul_up(gamma(2 * (entries / slices) + 16), magnitude(&kernel));
    let error = add_up(
        scale_up(rounding, kernel.exponent()),
        scale_up(entries as f64 * LOST, e),
    );
    Ok(Weight {
        kernel,
        factor: Enclosure::ONE,
        error,
    })
}

fn zero() -> Error {
    NotCovered::ZeroSlice.into()
}

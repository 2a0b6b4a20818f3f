//! Gram iteration on a frequency grid (Delattre et al. 2023, 2024), proved.

use rayon::prelude::*;

use crate::bound::four::layer_upper;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::linalg::{self, Mat, c64};
use crate::rounding::{
    self, add_up, cos_turns_down, div_up, exponent, gamma, larger, ldexp, mul_down, mul_up,
    scale_up, sqrt_up,
};
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency, half_grid};

/// Most Gram steps: the bound is then within a factor n^(2⁻¹⁶) of the norm at each frequency.
pub(crate) const MAX_STEPS: u32 = 15;

/// Bounds the norm of a layer from above by Gram iteration on an N × … × N grid of frequencies:
/// `S(K) ≤ max_θ ‖(F(θ)F(θ)*)^{2^{t−1}}‖_F^{1/2^t} / Π_a cos(π(k_a−1)/(2N))` with t = `steps`.
///
/// # Guarantee
/// Proved, rounding included. The factor for the grid (T15) is part of it.
///
/// # Cost
/// `steps` products of order-n complex matrices at N^m/2 frequencies. The branch and bound of
/// [`norm_bracket`](crate::bound::norm_bracket) is both faster and tighter; this is here to compare, and as the
/// proof of its differentiable sibling,
/// [`gram_iteration_gradient`](crate::estimate::gram_iteration_gradient).
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, `steps` is not in 1..=15, or N < k.
///
/// # Source
/// T15, T18.
///
/// # Example
/// ```
/// use sigmax::bound::gram_iteration;
/// use sigmax::{Conv, Kernel};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let upper = gram_iteration(&kernel, &Conv::new(1), 5, 64)?.get();
/// assert!((4.0..4.01).contains(&upper));
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn gram_iteration(
    kernel: &Kernel,
    conv: &Conv,
    steps: u32,
    grid: usize,
) -> Result<Upper, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    check_grid(&lattice, steps, grid)?;
    if kernel.is_zero() {
        return Ok(Upper::claim(0.0));
    }
    let mut largest = 0.0f64;
    for group in 0..lattice.groups {
        let of = Autocorrelation::new(&lattice.tap_matrices(group))?;
        let bounds: Vec<f64> = half_grid(grid, of.k.len())
            .par_iter()
            .map(|at| {
                rounding::assert_ieee();
                square_norm_upper(&of, at, steps)
            })
            .collect();
        largest = bounds.into_iter().fold(largest, larger);
    }
    let bound = mul_up(sqrt_up(largest), grid_factor(&lattice.k, grid));
    Ok(layer_upper(bound, &lattice, conv))
}

/// Refuses what T15 and T18 do not cover.
pub(crate) fn check_grid(lattice: &Lattice<'_>, steps: u32, grid: usize) -> Result<(), Error> {
    let refuse = |field, expected: String, got: String| {
        Err(Error::Geometry {
            field,
            expected,
            got,
        })
    };
    if !(1..=MAX_STEPS).contains(&steps) {
        return refuse("steps", format!("1 to {MAX_STEPS}"), steps.to_string());
    }
    let k = lattice.k.iter().copied().max().unwrap_or(1);
    if grid < k || grid > 1 << 12 {
        return refuse(
            "grid",
            format!("{k} (the kernel extent) to 4096"),
            grid.to_string(),
        );
    }
    let axes = lattice.k.iter().filter(|&&k| k > 1).count() as u32;
    if grid.pow(axes) > 1 << 24 {
        return Err(Error::too_large(
            format!("a grid of {grid} frequencies on {axes} axes"),
            "2^24 in all",
        ));
    }
    Ok(())
}

/// 1/Π_a cos(π(k_a−1)/(2N)) from above (T15).
pub(crate) fn grid_factor(k: &[usize], grid: usize) -> f64 {
    let mut product = 1.0;
    for &k in k.iter().filter(|&&k| k > 1) {
        let cos = cos_turns_down(k as i64 - 1, 4 * grid as u64);
        product = mul_down(product, cos);
    }
    if product >= 1.0 {
        1.0
    } else if product > 0.0 {
        div_up(1.0, product)
    } else {
        f64::INFINITY
    }
}

/// An upper bound of ‖G(θ)‖₂.
///
/// With Ĥ_{j+1} = fl(Ĥ_j²) and ‖Ĥ_{j+1} − Ĥ_j²‖ ≤ E_j = γ·‖Ĥ_j‖_F², every Ĥ_j Hermitian:
/// ‖Ĥ_j‖² = ‖Ĥ_j²‖ ≤ ‖Ĥ_{j+1}‖ + E_j, from the last step, where ‖Ĥ‖ ≤ ‖Ĥ‖_F, back to the first.
fn square_norm_upper(of: &Autocorrelation, at: &Frequency, steps: u32) -> f64 {
    let mut h = of.gram(at).to_complex();
    let mut scales = Vec::new();
    let mut errors = Vec::new();
    for step in 0..steps {
        let size = frobenius_up(&h);
        // Division by a power of two keeps the entries of size one; it is exact up to underflow,
        // which the last term covers.
        let e = if size > 0.0 { exponent(size) } else { 0 };
        for j in 0..of.n {
            for i in 0..of.n {
                let x = h[(i, j)];
                h[(i, j)] = c64::new(ldexp(x.re, -e), ldexp(x.im, -e));
            }
        }
        scales.push(e);
        if step + 1 < steps {
            let size = frobenius_up(&h);
            errors.push(add_up(
                mul_up(mul_up(2.0, gamma(4 * of.n + 16)), mul_up(size, size)),
                1e-200,
            ));
            h = linalg::hermitian_square(&h);
        }
    }
    let mut upper = add_up(frobenius_up(&h), 1e-200);
    for j in (0..scales.len()).rev() {
        if let Some(&error) = errors.get(j) {
            upper = sqrt_up(add_up(upper, error));
        }
        upper = scale_up(upper, scales[j]);
    }
    add_up(upper, of.error)
}

fn frobenius_up(h: &Mat<c64>) -> f64 {
    let n = h.nrows();
    let mut sum = 0.0;
    for j in 0..n {
        for i in 0..n {
            let x = h[(i, j)];
            sum += x.re * x.re + x.im * x.im;
        }
    }
    sqrt_up(mul_up(sum, add_up(1.0, gamma(2 * n * n + 4))))
}

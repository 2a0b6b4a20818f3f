//! Gram iteration as a smooth function of the kernel, with its gradient.

use crate::bound::gram::{check_grid, grid_factor};
use crate::claim::Estimate;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::krylov;
use crate::layout::multi_index;
use crate::linalg::{self, Mat, c64};
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Frequency, half_grid};

/// A number and its derivative with respect to every kernel entry; nothing is proved.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EstimateDifferential {
    /// The value.
    pub value: Estimate,
    /// ∂/∂K, row-major, of the kernel's shape.
    pub gradient: Vec<f64>,
}

/// The value of Gram iteration, `‖P‖₂·max_θ tr(G(θ)^p)^{1/(2p)} / Π_a cos(π(k_a−1)/(2N))` with
/// p = 2^`steps`, and its gradient.
///
/// In exact arithmetic the value is an upper bound of the layer's norm, at every number of steps;
/// in floating point it is an estimate, and [`gram_iteration`](crate::bound::gram_iteration) is its proof.
/// Differentiable wherever one frequency attains the maximum.
///
/// # Errors
/// As [`gram_iteration`](crate::bound::gram_iteration).
///
/// # Source
/// T15, T18; ∂/∂F = value·G^{p−1}F / tr(G^p).
pub fn gram_iteration_gradient(
    kernel: &Kernel,
    conv: &Conv,
    steps: u32,
    grid: usize,
) -> Result<EstimateDifferential, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    check_grid(&lattice, steps, grid)?;
    let mut gradient = vec![0.0; lattice.original_len()];
    let mut best: Option<(f64, usize, Frequency)> = None;
    let frequencies = half_grid(grid, lattice.k.len());
    if !kernel.is_zero() {
        for group in 0..lattice.groups {
            for &at in &frequencies {
                let value = Powers::of(&symbol(&lattice, group, &at), steps).value;
                if best.is_none_or(|(largest, ..)| value > largest) {
                    best = Some((value, group, at));
                }
            }
        }
    }
    let Some((value, group, at)) = best else {
        return Ok(EstimateDifferential {
            value: Estimate::new(0.0),
            gradient,
        });
    };
    let factor = grid_factor(&lattice.k, grid) * conv.padding_factor();
    let f = symbol(&lattice, group, &at);
    let slope = Powers::of(&f, steps).slope(&f);
    let taps = lattice.taps();
    for tap in 0..taps {
        let (cos, sin) = phase(tap, &lattice.k, &at);
        for row in 0..lattice.rows {
            for col in 0..lattice.cols {
                let m = slope[(row, col)];
                let entry = (row * lattice.cols + col) * taps + tap;
                let value = factor * (m.re * cos + m.im * sin);
                lattice.scatter(group, entry, value, &mut gradient);
            }
        }
    }
    let value = crate::rounding::ldexp(value * factor, lattice.exponent);
    Ok(EstimateDifferential {
        value: Estimate::new(value),
        gradient,
    })
}

/// cos⟨t,θ⟩ and sin⟨t,θ⟩ of one tap.
fn phase(tap: usize, k: &[usize], at: &Frequency) -> (f64, f64) {
    let t = multi_index(tap, k);
    let numerator = (0..k.len()).map(|a| t[a] as i64 * at.numerator[a]).sum();
    let (sin, cos) = crate::rounding::sin_cos_turns(numerator, at.denominator[0]);
    (cos, sin)
}

/// F(θ) of one group.
fn symbol(lattice: &Lattice<'_>, group: usize, at: &Frequency) -> Mat<c64> {
    let values = lattice.group(group);
    let taps = lattice.taps();
    let phases: Vec<(f64, f64)> = (0..taps).map(|tap| phase(tap, &lattice.k, at)).collect();
    Mat::from_fn(lattice.rows, lattice.cols, |row, col| {
        let start = (row * lattice.cols + col) * taps;
        let (mut re, mut im) = (0.0, 0.0);
        for (value, (cos, sin)) in values[start..start + taps].iter().zip(&phases) {
            re += value * cos;
            im += value * sin;
        }
        c64::new(re, im)
    })
}

/// The Gram matrix H = FF*/‖FF*‖_F and its repeated squares, each scaled to Frobenius norm 1.
struct Powers {
    /// H, H², H⁴, … (scaled), `steps` of them.
    squares: Vec<Mat<c64>>,
    /// tr(G^p)^{1/(2p)}.
    value: f64,
}

impl Powers {
    fn of(f: &Mat<c64>, steps: u32) -> Self {
        let mut g = Mat::zeros(f.nrows(), f.nrows());
        let conjugate = Mat::from_fn(f.ncols(), f.nrows(), |i, j| f[(j, i)].conj());
        linalg::complex_product(g.as_mut(), f.as_ref(), conjugate.as_ref());
        let mut squares = Vec::new();
        // ‖G^{2^j}‖_F^{1/2^{j+1}} step by step: each scaling s_j enters with exponent 1/2^{j+1}.
        let mut value = 1.0;
        let mut root = 0.5;
        for step in 0..steps {
            let size = frobenius(&g);
            if !(size > 0.0) {
                value = 0.0;
                break;
            }
            let g_scaled = Mat::from_fn(g.nrows(), g.ncols(), |i, j| g[(i, j)] / size);
            value *= krylov::power(size, root);
            root *= 0.5;
            if step + 1 < steps {
                g = linalg::hermitian_square(&g_scaled);
            }
            squares.push(g_scaled);
        }
        Self { squares, value }
    }

    /// value·G^{p−1}F/tr(G^p), independent of the scaling of the factors: G^{p−1} is proportional to
    /// H_0·H_1·…·H_{t−1} with H_j proportional to G^{2^j}, and tr(G^p) = tr(G^{p−1}·FF*).
    fn slope(&self, f: &Mat<c64>) -> Mat<c64> {
        let mut product = f.clone();
        if self.value <= 0.0 {
            return Mat::zeros(f.nrows(), f.ncols());
        }
        for square in &self.squares {
            let mut next = Mat::zeros(f.nrows(), f.ncols());
            linalg::complex_product(next.as_mut(), square.as_ref(), product.as_ref());
            product = next;
        }
        let mut trace = 0.0;
        for j in 0..f.ncols() {
            for i in 0..f.nrows() {
                let (x, y) = (product[(i, j)], f[(i, j)]);
                trace += x.re * y.re + x.im * y.im;
            }
        }
        let scale = self.value / trace;
        Mat::from_fn(f.nrows(), f.ncols(), |i, j| {
            c64::new(product[(i, j)].re * scale, product[(i, j)].im * scale)
        })
    }
}

fn frobenius(h: &Mat<c64>) -> f64 {
    let mut sum = 0.0;
    for j in 0..h.ncols() {
        for i in 0..h.nrows() {
            let x = h[(i, j)];
            sum += x.re * x.re + x.im * x.im;
        }
    }
    sum.sqrt()
}

//! Power iteration and Lanczos: fast, usually close, always from below, never a bound.

use crate::claim::Estimate;
use crate::conv::Conv;
use crate::error::Error;
use crate::estimate::operator::Operator;
use crate::kernel::Kernel;
use crate::krylov;
use crate::linalg::{self, Mat, MatRef};
use crate::reshape::{self, Reshape};
use crate::rounding;
use crate::symbol::Lattice;

/// Estimates the four bounds by power iteration with `steps` steps from a fixed start, as the paper
/// computes them: an estimate from below of each, so not a bound of anything.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Source
/// Singla & Feizi, ICLR 2021, section 3; [`four_bounds`](crate::bound::four_bounds) proves the same numbers.
pub fn four_by_power_iteration(
    kernel: &Kernel,
    conv: &Conv,
    steps: usize,
) -> Result<Vec<(Reshape, Estimate)>, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    let factor = (lattice.taps() as f64).sqrt() * conv.padding_factor();
    let estimate = |r: Reshape| {
        let split = r.split(&lattice.k);
        let norm = (0..lattice.groups)
            .map(|g| power_iteration(reshape::matrix(&lattice, g, &split).as_ref(), steps))
            .fold(0.0, f64::max);
        Estimate::new(rounding::ldexp(norm * factor, lattice.exponent))
    };
    Ok(Reshape::all(lattice.k.len())
        .into_iter()
        .map(|r| {
            let named = if lattice.adjoint { r.complement() } else { r };
            (named, estimate(r))
        })
        .collect())
}

fn power_iteration(a: MatRef<'_, f64>, steps: usize) -> f64 {
    let mut v = krylov::quasi_random(a.ncols(), 5);
    let mut u = vec![0.0; a.nrows()];
    let mut norm = 0.0;
    for _ in 0..steps {
        krylov::normalise(&mut v);
        linalg::product(linalg::column_mut(&mut u), a, linalg::column(&v));
        norm = krylov::dot(&u, &u).sqrt();
        linalg::product(
            linalg::column_mut(&mut v),
            a.transpose(),
            linalg::column(&u),
        );
    }
    norm
}

/// Estimates the layer's norm at its input size by power iteration on the layer and its transpose.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit or the input size is missing.
pub fn norm_by_power_iteration(
    kernel: &Kernel,
    conv: &Conv,
    steps: usize,
) -> Result<Estimate, Error> {
    let unit = kernel.rescaled();
    let layer = Operator::new(&unit, conv)?;
    let mut v = krylov::quasi_random(layer.input_len(), 5);
    let mut norm = 0.0;
    for _ in 0..steps {
        krylov::normalise(&mut v);
        let u = layer.apply(&v);
        norm = krylov::dot(&u, &u).sqrt();
        v = layer.apply_transpose(&u);
    }
    Ok(Estimate::new(rounding::ldexp(norm, kernel.exponent())))
}

/// Estimates the layer's norm at its input size by Lanczos on (layerᵀ·layer), at most `steps` steps:
/// closer than as many power steps.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit or the input size is missing.
pub fn norm_by_lanczos(kernel: &Kernel, conv: &Conv, steps: usize) -> Result<Estimate, Error> {
    let unit = kernel.rescaled();
    let layer = Operator::new(&unit, conv)?;
    let start = krylov::quasi_random(layer.input_len(), 5);
    let ritz = krylov::lanczos(&start, steps, 1e-14, |x, y| {
        y.copy_from_slice(&layer.apply_transpose(&layer.apply(x)));
    });
    Ok(Estimate::new(rounding::ldexp(
        ritz.value.max(0.0).sqrt(),
        kernel.exponent(),
    )))
}

/// What the frameworks' `spectral_norm` converges to: the norm of the weight reshaped to
/// `c_out × rest` (for a transposed convolution `c_out/groups × rest`), without √(Πk), stride or groups.
///
/// For a stride-1 convolution with one group it is never above the layer's norm over all input
/// sizes, and up to √(Πk) below it.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Source
/// T10; Miyato et al., ICLR 2018, as implemented by `torch.nn.utils.spectral_norm`.
pub fn reshape_norm(kernel: &Kernel, conv: &Conv) -> Result<Estimate, Error> {
    conv.check(kernel)?;
    let (first, second) = (kernel.shape()[0], kernel.shape()[1]);
    let taps: usize = kernel.spatial().iter().product();
    let values = kernel.scaled();
    let permuted;
    let matrix = if conv.transposed {
        permuted = Mat::from_fn(second, first * taps, |o, rest| {
            let (i, tap) = (rest / taps, rest % taps);
            values[(i * second + o) * taps + tap]
        });
        permuted.as_ref()
    } else {
        MatRef::from_row_major_slice(values, first, second * taps)
    };
    let short = if matrix.nrows() <= matrix.ncols() {
        matrix
    } else {
        matrix.transpose()
    };
    let start = krylov::quasi_random(short.nrows(), 13);
    let mut middle = vec![0.0; short.ncols()];
    // Tens of products with a small Gram matrix cost less than with its factors.
    let gram = (short.nrows() <= 128).then(|| linalg::gram(short));
    let ritz = krylov::lanczos(&start, 120, 1e-12, |x, y| match &gram {
        Some(gram) => linalg::product(linalg::column_mut(y), gram.as_ref(), linalg::column(x)),
        None => {
            linalg::product(
                linalg::column_mut(&mut middle),
                short.transpose(),
                linalg::column(x),
            );
            linalg::product(linalg::column_mut(y), short, linalg::column(&middle));
        }
    });
    Ok(Estimate::new(rounding::ldexp(
        ritz.value.max(0.0).sqrt(),
        kernel.exponent(),
    )))
}

//! ‖F(θ)‖ on a grid of frequencies: what a bracket searched, to look at.

use rayon::prelude::*;

use crate::claim::Estimate;
use crate::conv::Conv;
use crate::error::Error;
use crate::estimate::ascent::top;
use crate::kernel::Kernel;
use crate::layout::multi_index;
use crate::rounding;
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Autocorrelation, half_grid};

/// Most frequencies of a grid.
const MAX_POINTS: usize = 1 << 20;

/// Estimates ‖F(θ)‖₂ at the frequencies θ = 2πj/N, N = `grid`, over the full torus: N^m values for m
/// spatial axes, row-major in j, the largest over the groups.
///
/// F is the symbol of the polyphase kernel, so θ counts per output pixel where there is a stride; a
/// transposed convolution is read as its adjoint, dilation is dropped (T3 to T6), and the padding
/// mode is left out. The supremum of ‖F(θ)‖ over all θ is the norm of the layer with zero padding. A
/// dense layer has one value.
///
/// # Cost
/// ½N^m Gram matrices and about twenty products with each; 0.1 s for N = 32 and 64×64×3×3.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, the grid is empty or has more than 2²⁰ points.
///
/// # Example
/// ```
/// use sigmax::estimate::spectrum;
/// use sigmax::{Conv, Kernel};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let values = spectrum(&kernel, &Conv::new(1), 4)?; // |2cos θ − 2| at 0, π/2, π, 3π/2
/// for (value, exact) in values.iter().zip([0.0, 2.0, 4.0, 2.0]) {
///     assert!((value.get() - exact).abs() < 1e-7);
/// }
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn spectrum(kernel: &Kernel, conv: &Conv, grid: usize) -> Result<Vec<Estimate>, Error> {
    const STEPS: usize = 40;
    const TOLERANCE: f64 = 1e-5;
    let lattice = Lattice::new(kernel, conv)?;
    let full = vec![grid; lattice.k.len()];
    let points = full
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .filter(|points| (1..=MAX_POINTS).contains(points))
        .ok_or_else(|| {
            Error::too_large(
                format!("a grid of {grid} frequencies per axis; at least 1"),
                "2^20 in all",
            )
        })?;
    // Along an axis with one tap nothing changes: such axes have no frequency.
    let varying: Vec<usize> = (0..lattice.k.len()).filter(|&a| lattice.k[a] > 1).collect();
    let shape = vec![grid; varying.len()];
    let place = |index: [usize; 3]| (0..varying.len()).fold(0, |flat, a| flat * grid + index[a]);
    let mut squares = vec![0.0f64; shape.iter().product()];
    for group in 0..lattice.groups {
        let gram = Autocorrelation::new(&lattice.tap_matrices(group))?;
        let half = half_grid(grid, varying.len());
        let found: Vec<f64> = half
            .par_iter()
            .map(|&at| top(&gram, at, None, STEPS, TOLERANCE).value)
            .collect();
        for (at, value) in half.iter().zip(found) {
            let index = at.numerator.map(|j| j.unsigned_abs() as usize);
            let mirrored = index.map(|j| (grid - j) % grid);
            for slot in [place(index), place(mirrored)] {
                squares[slot] = squares[slot].max(value);
            }
        }
    }
    Ok((0..points)
        .map(|flat| {
            let index = multi_index(flat, &full);
            let mut reduced = [0; 3];
            for (a, &axis) in varying.iter().enumerate() {
                reduced[a] = index[axis];
            }
            let norm = squares[place(reduced)].max(0.0).sqrt();
            Estimate::new(rounding::ldexp(norm, lattice.exponent))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, audit};

    #[test]
    fn the_grid_is_row_major_and_symmetric() {
        // F(θ) = 1 + 2e^{iα} + 5e^{iβ}, first axis α, second axis β.
        let kernel = Kernel::new(&[1, 1, 2, 2], vec![1.0, 5.0, 2.0, 0.0]).unwrap();
        let values = spectrum(&kernel, &Conv::new(2), 2).unwrap();
        let exact = [8.0, 2.0, 4.0, 6.0];
        for (value, exact) in values.iter().zip(exact) {
            assert!((value.get() - exact).abs() < 1e-9, "{values:?}");
        }
    }

    #[test]
    fn axes_with_one_tap_are_constant_and_groups_are_a_maximum() {
        let values = vec![1.0, 1.0, 3.0, -3.0];
        let kernel = Kernel::new(&[2, 1, 1, 2], values).unwrap();
        let conv = Conv::new(2).with_groups(2);
        let values = spectrum(&kernel, &conv, 2).unwrap();
        let got: Vec<f64> = values.iter().map(|v| v.get().round()).collect();
        assert_eq!(got, [2.0, 6.0, 2.0, 6.0]);
    }

    #[test]
    fn no_value_is_far_above_the_norm_and_a_fine_grid_comes_close() {
        let values = crate::krylov::quasi_random(6 * 5 * 9, 11);
        let kernel = Kernel::new(&[6, 5, 3, 3], values).unwrap();
        let conv = Conv::new(2).with_stride(&[2, 1]);
        let norm = audit(&kernel, &conv, &Options::default()).unwrap().norm();
        let values = spectrum(&kernel, &conv, 24).unwrap();
        assert_eq!(values.len(), 24 * 24);
        let largest = values.iter().map(|v| v.get()).fold(0.0, f64::max);
        assert!(largest <= norm.bracket.upper().get() * (1.0 + 1e-12));
        assert!(largest >= 0.98 * norm.bracket.lower().get());
    }

    #[test]
    fn dense_layers_have_one_value_and_zero_is_zero() {
        let kernel = Kernel::new(&[2, 2], vec![3.0, 0.0, 0.0, 4.0]).unwrap();
        let values = spectrum(&kernel, &Conv::new(0), 9).unwrap();
        // Ritz values are found to a relative width of TOLERANCE/1000 = 1e-8; half of that for the root.
        assert!(values.len() == 1 && (values[0].get() - 4.0).abs() <= 4.0 * 0.5e-8);
        let kernel = Kernel::new(&[2, 2, 3], vec![0.0; 12]).unwrap();
        let values = spectrum(&kernel, &Conv::new(1), 3).unwrap();
        assert!(values.iter().all(|v| v.get() <= 0.0));
    }

    #[test]
    fn an_empty_or_huge_grid_is_refused() {
        let kernel = Kernel::new(&[1, 1, 3, 3], vec![1.0; 9]).unwrap();
        for grid in [0, 1025, usize::MAX] {
            assert!(spectrum(&kernel, &Conv::new(2), grid).is_err());
        }
    }
}

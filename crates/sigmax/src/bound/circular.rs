//! The exact norm of a layer with circular padding at a given input size (T1), between two proved
//! ends: branch and bound over the finite grid of frequencies.

use crate::bound::four::ReshapeNorms;
use crate::bound::norm::{NormBracket, Quantity, lower_claim};
use crate::bound::options::Options;
use crate::bound::search::{self, grid::Grid};
use crate::claim::{Bracket, Upper};
use crate::conv::{Conv, PaddingMode};
use crate::error::{Error, NotCovered};
use crate::kernel::Kernel;
use crate::layout::effective_stride;
use crate::rounding::scale_up;
use crate::symbol::Lattice;

/// Brackets the norm of a layer with circular padding at its input size.
///
/// The layer's singular values are those of the symbol at the frequencies 2πj/n (T1), so the norm
/// is a maximum over a finite grid, at most S(K).
///
/// # Guarantee
/// Both ends are proved; upper ≤ (1 + tolerance)·lower unless the budget runs out.
///
/// # Assumes
/// The output is as large as the periodic operator's: stride divides the input size and
/// the padding adds up to dilation·(k − 1) (less any remainder the stride drops). Other paddings
/// are refused: [`norm_bracket`](crate::bound::norm_bracket) bounds them.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, the padding is not circular, the input size is
/// missing, or the layer is not periodic.
///
/// # Source
/// T1 with T3 to T5; the step from a centre to its cell is T14 with a bound M ≥ S in place of S.
pub fn circular_norm(
    kernel: &Kernel,
    conv: &Conv,
    options: &Options,
) -> Result<NormBracket, Error> {
    options.check()?;
    let lattice = Lattice::new(kernel, conv)?;
    if !is_periodic(kernel, conv) {
        return Err(NotCovered::CircularNorm.into());
    }
    let four = ReshapeNorms::compute(&lattice);
    circular_bracket(&lattice, conv, &four, options)
}

/// The same where the layer is periodic, otherwise `None`.
pub(crate) fn circular_norm_if_periodic(
    kernel: &Kernel,
    conv: &Conv,
    options: &Options,
) -> Result<Option<NormBracket>, Error> {
    if is_periodic(kernel, conv) {
        circular_norm(kernel, conv, options).map(Some)
    } else {
        Ok(None)
    }
}

/// Whether the layer is exactly the periodic operator at its input size.
pub(crate) fn is_periodic(kernel: &Kernel, conv: &Conv) -> bool {
    let Some(size) = &conv.input_size else {
        return false;
    };
    conv.padding_mode == PaddingMode::Circular
        && (0..conv.axes()).all(|axis| {
            let (n, s) = (size[axis], conv.stride[axis]);
            n % s == 0 && conv.output_size(axis, n, kernel.spatial()[axis]) == Some(n / s)
        })
}

/// The same for a lattice kernel whose reshapes have been bounded.
pub(crate) fn circular_bracket(
    lattice: &Lattice<'_>,
    conv: &Conv,
    four: &ReshapeNorms,
    options: &Options,
) -> Result<NormBracket, Error> {
    let size = grid_size(lattice, conv);
    Grid::check(&size)?;
    let outcome = search::maximum(lattice, four, size, options);
    let upper = Upper::claim(scale_up(outcome.upper, lattice.exponent));
    Ok(NormBracket {
        bracket: Bracket::claim(lower_claim(outcome.lower, lattice), upper),
        quantity: Quantity::Circular,
        stop: outcome.stop,
        tests: outcome.tests,
    })
}

/// Frequencies of the periodic operator: points per axis with more than one tap.
///
/// With stride s and dilation d on n pixels the polyphase kernel sees d'·2πj/(n/s), where
/// d' = d/gcd(s, d) (T3, T4): a grid of (n/s)/gcd(n/s, d') points.
fn grid_size(lattice: &Lattice<'_>, conv: &Conv) -> [i64; 3] {
    let mut size = [1; 3];
    let mut axes = 0;
    for (axis, n) in conv.input_size.iter().flatten().enumerate() {
        if lattice.k[axis] > 1 {
            let (s, d) = (conv.stride[axis], conv.dilation[axis]);
            let d = d / (s / effective_stride(s, d));
            // effective_stride(n, d) is n / gcd(n, d).
            size[axes] = effective_stride(n / s, d) as i64;
            axes += 1;
        }
    }
    size
}

//! The norm of a layer at a known input size, between two proved ends.

use std::time::Instant;

use crate::banded::{Effort, Top};
use crate::bound::options::Options;
use crate::claim::{Bracket, Lower, Upper};
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::rounding::{self, scale_down, scale_up};
use crate::sparse::Sparse;

/// Brackets the norm of a layer at one input size, its padding exactly as the layer does it.
///
/// At small sizes it may lie well below the norm over all sizes that
/// [`norm_bracket`](crate::bound::norm_bracket) encloses: edges read fewer taps.
///
/// # Guarantee
/// Both ends are proved, rounding included, for inputs of this size and no others. The upper end is
/// within the tolerance of the norm (as a rule within 10⁻⁶), unless the budget runs out. The lower end
/// is that of an approximate singular vector: where many singular values crowd below the largest it may
/// be further away than the tolerance.
///
/// # Shapes
/// `size` is the spatial size of the input, one value per axis; `conv.input_size` is not used.
///
/// # Cost
/// n·b² for n values of an image (of the input, or of the output where that is cheaper) and a
/// half-bandwidth b, about ((k − 1)·width + k)·channels: one factorisation as a rule, about twenty
/// where many singular values are nearly equal. `options.budget.tests` counts them.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, the tolerance is not positive, or the matrix at this
/// size takes more than about 10¹³ operations or 8 GiB.
///
/// # Source
/// T32.
///
/// # Example
/// ```
/// use sigmax::bound::norm_at_size;
/// use sigmax::{Conv, Kernel, Options};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let conv = Conv::new(1).with_padding(&[(1, 1)]);
/// let norm = norm_at_size(&kernel, &conv, &[3], &Options::default())?;
/// assert!(norm.contains(2.0 + 2f64.sqrt())); // 4 over all sizes
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn norm_at_size(
    kernel: &Kernel,
    conv: &Conv,
    size: &[usize],
    options: &Options,
) -> Result<Bracket, Error> {
    options.check()?;
    if !rounding::is_ieee() {
        return Err(Error::Arithmetic);
    }
    let started = Instant::now();
    let matrix = Sparse::of_layer(kernel, &conv.clone().with_input_size(size))?;
    let effort = Effort {
        width: options.tolerance.min(1e-2),
        may_go_on: |tests| options.budget.check(tests, started).is_ok(),
    };
    let proved = Top::new(&matrix)?.prove_with(&vec![1.0; matrix.rows()], &effort);
    let lower = scale_down(matrix.norm_lower(&proved.vector), matrix.exponent());
    let upper = scale_up(proved.root, proved.exponent);
    Ok(Bracket::claim(Lower::claim(lower), Upper::claim(upper)))
}

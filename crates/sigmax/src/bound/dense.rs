//! The dense oracle: the explicit matrix of the layer and its SVD, with the SVD's error derived.

use crate::claim::{Bracket, Lower, Upper};
use crate::conv::Conv;
use crate::error::Error;
use crate::estimate::operator::Operator;
use crate::kernel::Kernel;
use crate::linalg::{self, Mat, MatRef};
use crate::rounding::{self, add_up, gamma, mul_up, scale_down, scale_up, sqrt_up, sub_down};
use crate::verify::{self, CheapNorms};

/// Entries of the explicit matrix beyond which the oracle declines.
const MAX_ENTRIES: usize = 1 << 25;

/// The norm of a layer at its input size, from the explicit matrix and its SVD. **Slow**, obvious,
/// and independent of every other method: what the others are tested against.
///
/// # Guarantee
/// Both ends are proved. With `A ≈ U diag(σ) Vᵀ` and residual R = A − U diag(σ) Vᵀ:
/// `‖A‖₂ ≤ ‖U‖₂‖V‖₂σ₁ + ‖R‖_F`, where `‖U‖₂² ≤ 1 + ‖UᵀU − I‖_F`; and `‖A‖₂ ≥ ‖Av‖/‖v‖`.
/// Nothing is assumed of the SVD itself: residual and orthogonality are computed and bounded.
///
/// # Cost
/// Cubic in (channels × pixels).
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, the input size is missing, or the matrix has
/// more than 2²⁵ entries.
///
/// # Example
/// ```
/// use sigmax::bound::dense_norm;
/// use sigmax::{Conv, Kernel};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let conv = Conv::new(1).with_padding(&[(1, 1)]).with_input_size(&[3]);
/// let norm = dense_norm(&kernel, &conv)?;
/// assert!(norm.contains(2.0 + 2f64.sqrt()));
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn dense_norm(kernel: &Kernel, conv: &Conv) -> Result<Bracket, Error> {
    if !rounding::is_ieee() {
        return Err(Error::Arithmetic);
    }
    let unit = kernel.rescaled();
    let operator = Operator::new(&unit, conv)?;
    let (rows, cols) = (operator.output_len(), operator.input_len());
    if rows.checked_mul(cols).is_none_or(|n| n > MAX_ENTRIES) {
        return Err(Error::too_large(
            format!("the explicit matrix of this layer is {rows}×{cols}"),
            "2^25 entries are written out",
        ));
    }
    if kernel.is_zero() {
        return Ok(Bracket::claim(Lower::claim(0.0), Upper::claim(0.0)));
    }
    let entries = operator.matrix();
    let matrix = MatRef::from_row_major_slice(&entries, rows, cols);
    // Where padding shows a pixel to several taps, an entry is a sum of at most Πk values below 1.
    let taps: usize = kernel.spatial().iter().product();
    let error = mul_up(gamma(taps), taps as f64);
    let slack = mul_up(error, sqrt_up(mul_up(rows as f64, cols as f64)));
    let (lower, upper) = enclose(matrix, slack);
    Ok(Bracket::claim(
        Lower::claim(scale_down(lower, kernel.exponent())),
        Upper::claim(scale_up(upper, kernel.exponent())),
    ))
}

/// Encloses ‖A + E‖₂ for any ‖E‖₂ ≤ `slack`.
fn enclose(a: MatRef<'_, f64>, slack: f64) -> (f64, f64) {
    let cheap = CheapNorms::of(a);
    let frobenius = sqrt_up(cheap.frobenius_squared);
    let Some((u, s, v)) = linalg::svd(a) else {
        return (0.0, add_up(frobenius, slack));
    };
    let rank = s.len();
    let top: Vec<f64> = v.col(0).iter().copied().collect();
    let lower = sub_down(verify::matrix_norm_lower(a, &top), slack).max(0.0);
    let sigma = s.iter().fold(0.0f64, |m, x| m.max(x.abs()));
    let weighted = Mat::from_fn(u.nrows(), rank, |i, j| u[(i, j)] * s[j]);
    let mut residual = a.to_owned();
    let mut product = Mat::zeros(a.nrows(), a.ncols());
    linalg::product(product.as_mut(), weighted.as_ref(), v.transpose());
    for j in 0..a.ncols() {
        for i in 0..a.nrows() {
            residual[(i, j)] -= product[(i, j)];
        }
    }
    // |fl(R) − R| ≤ γ_{r+3}·(|U|diag(σ)|V|ᵀ + |A|) entrywise.
    let size = |m: &Mat<f64>| sqrt_up(CheapNorms::of(m.as_ref()).frobenius_squared);
    let spread = add_up(mul_up(mul_up(size(&u), size(&v)), sigma), frobenius);
    let rest = add_up(size(&residual), mul_up(gamma(rank + 3), spread));
    let vectors = mul_up(almost_orthogonal(&u), almost_orthogonal(&v));
    let upper = add_up(add_up(mul_up(vectors, sigma), rest), slack);
    (lower, upper)
}

/// An upper bound of ‖Q‖₂ for a matrix with nearly orthonormal columns.
fn almost_orthogonal(q: &Mat<f64>) -> f64 {
    let mut defect = linalg::gram(q.transpose());
    for i in 0..defect.nrows() {
        defect[(i, i)] -= 1.0;
    }
    let size = CheapNorms::of(q.as_ref()).frobenius_squared;
    let rounding = mul_up(gamma(q.nrows() + 2), add_up(size, q.ncols() as f64));
    let defect = sqrt_up(CheapNorms::of(defect.as_ref()).frobenius_squared);
    sqrt_up(add_up(1.0, add_up(defect, rounding)))
}

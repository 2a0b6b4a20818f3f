//! W/σ, σ = uᵀMv: spectral normalisation as it is stored (T30).

use std::ops::Range;

use crate::claim::Enclosure;
use crate::error::{Error, Expected, NotCovered};
use crate::kernel::Kernel;
use crate::linalg::MatRef;
use crate::rounding::{add_up, div_down, div_up, gamma, mul_down, mul_up, scale_down, scale_up};
use crate::rounding::{ldexp, sub_down};
use crate::verify::matrix_norm;
use crate::weight::{UNDERFLOW, Updates, Weight, length, scaled, wrong_length};

/// Readings of a kernel as a matrix whose σ differ by less are one.
const SAME: f64 = 1e-9;
/// A reading explains u and v where u is parallel to Mv or v to Mᵀu, as the last power step left it,
/// up to this sine, and neither is far from it; it is out where this does not nearly hold.
const EXPLAINS: f64 = 0.1;
const OUT: f64 = 0.2;
const FAR: f64 = 0.7;
/// Lengths below are too near to the constants (10⁻¹² to 10⁻⁶) that implementations add.
const SHORT: f64 = 1e-3;

impl Weight {
    /// W/(uᵀMv), M being W as a matrix with `u.len()` rows: one axis against all others.
    ///
    /// Where the lengths fit several axes, it is the one with which u is parallel to Mv, or v to Mᵀu,
    /// as every power step leaves them, if that is so of one axis alone.
    ///
    /// # Guarantee
    /// With [`Updates::None`], f encloses 1/|uᵀMv|. With [`Updates::Every`] it encloses 1/σ for every
    /// number of power steps from u and v, whose normalisation may add up to 10⁻¹² to lengths.
    ///
    /// # Errors
    /// [`Error::NotCovered`] where the lengths fit no axis, or several and the vectors do not tell
    /// which; where uᵀMv is not bounded away from 0.
    ///
    /// # Source
    /// T30; Miyato et al. 2018.
    pub fn spectral_norm(
        kernel: &Kernel,
        u: &[f64],
        v: &[f64],
        updates: Updates,
    ) -> Result<Self, Error> {
        let axes = match updates {
            Updates::None => kernel.shape().len(),
            Updates::Every => 1, // the implementations know no other axis
        };
        Self::spectral(kernel, 0..axes, u, v, updates)
    }

    /// [`Weight::spectral_norm`] without updates, where the axis that M has as rows is known.
    ///
    /// # Errors
    /// [`Error::NotCovered`] where the lengths do not fit this axis or uᵀMv is not bounded away from 0.
    ///
    /// # Source
    /// T30; Miyato et al. 2018.
    pub fn spectral_norm_along(
        kernel: &Kernel,
        axis: usize,
        u: &[f64],
        v: &[f64],
    ) -> Result<Self, Error> {
        let axes = axis..axis.saturating_add(1).min(kernel.shape().len());
        Self::spectral(kernel, axes, u, v, Updates::None)
    }

    fn spectral(
        kernel: &Kernel,
        axes: Range<usize>,
        u: &[f64],
        v: &[f64],
        updates: Updates,
    ) -> Result<Self, Error> {
        let (u, e_u) = scaled("u", u)?;
        let (v, e_v) = scaled("v", v)?;
        let readings: Vec<Reading> = axes
            .map(|axis| Matrix::of(kernel, axis))
            .filter(|m| m.rows == u.len() && m.cols == v.len())
            .map(|m| Reading::of(m, &u, &v))
            .collect();
        if readings.is_empty() {
            let unfit = NotCovered::NoAxis {
                u: u.len(),
                v: v.len(),
                shape: kernel.shape().to_vec(),
            };
            return Err(unfit.into());
        }
        let mut sigma = choose(&readings)?;
        // The exponent of the kernel cancels.
        let mut exponent = -(e_u + e_v);
        if updates == Updates::Every {
            sigma = every_step(&readings[0].matrix, sigma, &u, &v, kernel.exponent())?;
            exponent = 0;
        }
        if !(sigma.lower > 0.0) {
            return Err(NotCovered::ZeroSigma.into());
        }
        let factor = Enclosure {
            lower: scale_down(div_down(1.0, sigma.upper), exponent),
            upper: scale_up(div_up(1.0, sigma.lower), exponent),
        };
        Ok(Self {
            kernel: kernel.rescaled(),
            factor,
            error: 0.0,
        })
    }

    /// W/‖Mv‖ with v = Mᵀu/‖Mᵀu‖, M being W with its first axis as rows: one power step from u, as
    /// BigGAN evaluates it without keeping its result.
    ///
    /// # Errors
    /// [`Error::NotCovered`] where u has not the length of the first axis, or ‖Mᵀu‖/‖u‖ or ‖Mv‖ is not
    /// proved to be above 10⁻³.
    ///
    /// # Source
    /// T30; Brock et al. 2019.
    pub fn power_step(kernel: &Kernel, u: &[f64]) -> Result<Self, Error> {
        let matrix = Matrix::of(kernel, 0);
        if matrix.rows != u.len() {
            let expected = Expected::Rows(matrix.rows);
            return Err(wrong_length("u", expected, u.len()));
        }
        let (u, e_u) = scaled("u", u)?;
        let y = matrix.transposed_times(&u);
        let z = matrix.times(&y.value);
        // ‖My − ẑ‖ ≤ ‖M‖·‖y − ŷ‖ + ‖Mŷ − ẑ‖.
        let entries: Vec<f64> = matrix.entries().map(|(_, _, m)| m).collect();
        let size = length(&entries).upper;
        let error = add_up(mul_up(size, y.error), z.error);
        let (y_length, z_length) = (length(&y.value), length(&z.value));
        let lower = sub_down(z_length.lower, error);
        let y_lower = sub_down(y_length.lower, y.error);
        // ‖Mᵀu‖ for u as it is stored; whoever normalises it first has a vector not longer than 1.
        let stored = scale_down(y_lower, kernel.exponent().saturating_add(e_u));
        if !(lower > 0.0 && stored > SHORT) {
            return Err(short("Mᵀu"));
        }
        let sigma = Enclosure {
            lower: div_down(lower, add_up(y_length.upper, y.error)),
            upper: div_up(add_up(z_length.upper, error), y_lower),
        };
        if !(scale_down(sigma.lower, kernel.exponent()) > SHORT) {
            return Err(short("Mv"));
        }
        Ok(Self {
            kernel: kernel.rescaled(),
            factor: Enclosure {
                lower: div_down(1.0, sigma.upper),
                upper: div_up(1.0, sigma.lower),
            },
            error: 0.0,
        })
    }
}

fn short(vector: &'static str) -> Error {
    let least = SHORT;
    NotCovered::Short { vector, least }.into()
}

/// A kernel, in its own scale, as a matrix of one axis against the others in order.
struct Matrix<'a> {
    values: &'a [f64],
    rows: usize,
    cols: usize,
    /// Entries between two steps along the axis.
    inner: usize,
}

/// A computed vector and a bound of the length of its error.
struct Product {
    value: Vec<f64>,
    error: f64,
}

impl<'a> Matrix<'a> {
    fn of(kernel: &'a Kernel, axis: usize) -> Self {
        let shape = kernel.shape();
        let values = kernel.scaled();
        Self {
            values,
            rows: shape[axis],
            cols: values.len() / shape[axis],
            inner: shape[axis + 1..].iter().product(),
        }
    }

    /// (row, column, entry), in the order of the kernel.
    fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        let (rows, inner) = (self.rows, self.inner);
        self.values.iter().enumerate().map(move |(i, &m)| {
            let (outer, along, rest) = (i / (inner * rows), i / inner % rows, i % inner);
            (along, outer * inner + rest, m)
        })
    }

    fn times(&self, v: &[f64]) -> Product {
        let (mut value, mut size) = (vec![0.0; self.rows], vec![0.0; self.rows]);
        for (row, col, m) in self.entries() {
            value[row] += m * v[col];
            size[row] += (m * v[col]).abs();
        }
        self.product(value, &size, self.cols)
    }

    fn transposed_times(&self, u: &[f64]) -> Product {
        let (mut value, mut size) = (vec![0.0; self.cols], vec![0.0; self.cols]);
        for (row, col, m) in self.entries() {
            value[col] += m * u[row];
            size[col] += (m * u[row]).abs();
        }
        self.product(value, &size, self.rows)
    }

    /// Sums of `terms` products are off by γ times the sums of their sizes, and by what underflows.
    fn product(&self, value: Vec<f64>, size: &[f64], terms: usize) -> Product {
        let rounding = mul_up(2.0 * gamma(terms + 2), largest_length(size));
        let underflow = self.values.len() as f64 * UNDERFLOW;
        Product {
            value,
            error: add_up(rounding, underflow),
        }
    }
}

/// ‖x‖ from above, for entries of any size.
fn largest_length(x: &[f64]) -> f64 {
    let largest = x.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    if largest <= 0.0 {
        return 0.0;
    }
    let e = crate::rounding::exponent(largest);
    let scaled: Vec<f64> = x.iter().map(|&v| ldexp(v, -e)).collect();
    scale_up(length(&scaled).upper, e)
}

/// uᵀMv with one axis as rows.
struct Reading<'a> {
    matrix: Matrix<'a>,
    sigma: Enclosure,
    /// The sines of the angles between u and Mv, and between v and Mᵀu, the smaller one first
    /// (approximate).
    sines: [f64; 2],
}

impl<'a> Reading<'a> {
    fn of(matrix: Matrix<'a>, u: &[f64], v: &[f64]) -> Self {
        let (mut rows, mut sizes) = (vec![0.0; u.len()], vec![0.0; u.len()]);
        for (row, col, m) in matrix.entries() {
            rows[row] += m * v[col];
            sizes[row] += (m * v[col]).abs();
        }
        let product: f64 = u.iter().zip(&rows).map(|(u, r)| u * r).sum();
        let size: f64 = u.iter().zip(&sizes).map(|(u, s)| u.abs() * s).sum();
        // Every term of the double sum has at most cols + rows + 1 roundings, one more in the last
        // sum; u, M and v lost up to 2⁻¹⁰⁷⁴ per entry to their scales.
        let rounding = mul_up(2.0 * gamma(matrix.cols + matrix.rows + 4), size);
        let error = add_up(rounding, matrix.values.len() as f64 * UNDERFLOW);
        let dot = product.abs();
        let sine = |a: &[f64], b: &[f64]| {
            let cosine = dot / (length(a).upper * length(b).upper);
            (1.0 - cosine * cosine).max(0.0).sqrt()
        };
        let back = matrix.transposed_times(u).value;
        Self {
            sines: {
                let [a, b] = [sine(u, &rows), sine(v, &back)];
                [a.min(b), a.max(b)]
            },
            matrix,
            sigma: Enclosure::around(dot, error),
        }
    }
}

/// σ, where all readings agree on it or one alone explains the vectors.
fn choose(readings: &[Reading<'_>]) -> Result<Enclosure, Error> {
    let hull = readings
        .iter()
        .fold(readings[0].sigma, |hull, other| Enclosure {
            lower: hull.lower.min(other.sigma.lower),
            upper: hull.upper.max(other.sigma.upper),
        });
    // One of several axes of length 1 makes the same matrix as another.
    let one = readings.iter().all(|r| r.sigma == readings[0].sigma);
    if one || hull.upper <= hull.lower * (1.0 + SAME) {
        return Ok(hull);
    }
    let explains = |r: &&Reading<'_>| r.sines[0] <= EXPLAINS && r.sines[1] <= FAR;
    let is_in = |r: &&Reading<'_>| r.sines[0] <= OUT && r.sines[1] <= FAR;
    match readings.iter().find(explains) {
        Some(one) if readings.iter().filter(is_in).count() == 1 => Ok(one.sigma),
        _ => Err(NotCovered::SeveralAxes.into()),
    }
}

/// σ after any number of power steps from u and v, where each normalises by length + 10⁻¹².
///
/// With û = u/‖u‖ and v̂ alike, v₁ ∥ Mᵀu and u₁ ∥ Mv₁: σ₁ = ‖Mv₁‖ ≥ ûᵀMv₁ = ‖Mᵀû‖ ≥ |ûᵀMv̂|, the
/// same argument gives σ_{k+1} ≥ σ_k, and no σ_k exceeds ‖M‖. The constant in the normalisation
/// shortens u_k and v_k by 10⁻¹²/length each, and changes no direction.
fn every_step(
    matrix: &Matrix<'_>,
    sigma: Enclosure,
    u: &[f64],
    v: &[f64],
    exponent: i32,
) -> Result<Enclosure, Error> {
    let lengths = mul_up(length(u).upper, length(v).upper);
    let lower = mul_down(div_down(sigma.lower, lengths), 1.0 - 1e-8);
    if !(scale_down(lower, exponent) > SHORT) {
        return Err(short("Mv"));
    }
    // Only for axis 0: rows are contiguous.
    let rows = MatRef::from_row_major_slice(matrix.values, matrix.rows, matrix.cols);
    Ok(Enclosure {
        lower,
        upper: matrix_norm(rows).upper,
    })
}

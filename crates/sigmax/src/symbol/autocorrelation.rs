//! The Gram matrix of the symbol at any frequency, from the autocorrelation of the kernel (T19).

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::error::Error;
use crate::layout::multi_index;
use crate::linalg::{self, Mat, MatRef, c64};
use crate::rounding::{self, TRIG_ERROR, add_up, gamma, mul_up, sqrt_up};
use crate::symbol::TapMatrices;
use crate::verify::CheapNorms;

/// Denominator of frequencies that are not tied to a grid.
pub(crate) const TURN: u64 = 1 << 40;

/// A frequency θ = 2π·`numerator`/`denominator` per axis: an exact fraction of a turn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Frequency {
    pub(crate) numerator: [i64; 3],
    pub(crate) denominator: [u64; 3],
}

/// The cosines and the sines of all ⟨s,θ⟩.
pub(crate) type Phases = (Vec<f64>, Vec<f64>);

/// Bound of the absolute error of each entry of [`Phases`].
///
/// e^{i⟨s,θ⟩} is a product of at most three factors e^{i s_a θ_a}, each off by √2·TRIG_ERROR, and of two
/// complex products, each with an error ≤ 2γ₂: 3√2·TRIG_ERROR + 4γ₂ < 5·TRIG_ERROR to first order.
const PHASE_ERROR: f64 = 8.0 * TRIG_ERROR;

/// `G(θ) = F(θ)F(θ)* = C_0 + Σ_s (C_s e^{i⟨s,θ⟩} + C_sᵀ e^{−i⟨s,θ⟩})` with
/// `C_s = Σ_t K_{t+s} K_tᵀ`, over one s of every pair ±s.
///
/// Kept as the lower triangles, packed by rows, of `C_s + C_sᵀ` (cosine part) and `C_s − C_sᵀ` (sine part),
/// one column per shift, so that many frequencies are two matrix products.
pub(crate) struct Autocorrelation {
    /// Order of G.
    pub(crate) n: usize,
    /// Taps per axis (axes with one tap left out).
    pub(crate) k: Vec<usize>,
    shifts: Vec<[i64; 3]>,
    /// 2‖C_s‖₂ from above, per shift.
    variation: Vec<f64>,
    cosine: Mat<f64>,
    sine: Mat<f64>,
    /// ‖G(θ) − Ĝ(θ)‖₂ ≤ `error` for every θ.
    pub(crate) error: f64,
    /// ‖ |G(θ)| ‖₂ ≤ `magnitude` for every θ (entrywise absolute values).
    pub(crate) magnitude: f64,
}

/// What the autocorrelation of a kernel takes.
pub(crate) struct Cost {
    /// Bytes, with temporary copies.
    pub(crate) bytes: f64,
    /// Operations to set it up.
    pub(crate) operations: f64,
    /// Operations to evaluate it at one frequency.
    pub(crate) evaluation: f64,
}

impl Cost {
    pub(crate) fn of(group: &TapMatrices) -> Self {
        let n = group.matrices[0].nrows() as f64;
        let inner = group.matrices[0].ncols() as f64;
        let taps = group.matrices.len() as f64;
        let shifts = group.k.iter().map(|&k| (2 * k - 1) as f64).product::<f64>() / 2.0;
        Self {
            bytes: shifts * n * n * 32.0,
            // Small products cost more than their operations.
            operations: taps * taps * n * n * inner * (1.0 + 64.0 / n),
            evaluation: shifts * (2.0 * n * n + SCALAR * 8.0),
        }
    }

    /// Whether [`Autocorrelation::new`] sets it up: within 8 GiB and 10¹³ operations.
    pub(crate) fn is_affordable(&self) -> bool {
        const MAX_BYTES: f64 = (1u64 << 33) as f64;
        const MAX_OPERATIONS: f64 = (1u64 << 43) as f64;
        self.bytes <= MAX_BYTES && self.operations <= MAX_OPERATIONS
    }
}

/// A scalar operation takes as long as this many of a product of matrices.
const SCALAR: f64 = 8.0;

impl Autocorrelation {
    /// # Errors
    /// [`Error::TooLarge`] beyond 8 GiB or 10¹³ operations.
    pub(crate) fn new(group: &TapMatrices) -> Result<Self, Error> {
        let cost = Cost::of(group);
        if !cost.is_affordable() {
            return Err(Error::too_large(
                format!(
                    "the autocorrelation of {} taps with {} × {} channels: {:.1e} bytes, {:.1e} \
                 operations",
                    group.matrices.len(),
                    group.matrices[0].nrows(),
                    group.matrices[0].ncols(),
                    cost.bytes,
                    cost.operations,
                ),
                "8 GiB and 10^13",
            ));
        }
        let n = group.matrices[0].nrows();
        let inner = group.matrices[0].ncols();
        let taps = group.matrices.len();
        let shifts = half_shifts(&group.k);
        let packed = n * (n + 1) / 2;
        let columns: Vec<Column> = shifts
            .par_iter()
            .map(|shift| {
                rounding::assert_ieee();
                Column::new(&correlate(group, *shift), *shift == [0; 3])
            })
            .collect();
        let mut cosine = Mat::zeros(packed, shifts.len());
        let mut sine = Mat::zeros(packed, shifts.len());
        for (j, column) in columns.iter().enumerate() {
            cosine.col_as_slice_mut(j).copy_from_slice(&column.cosine);
            sine.col_as_slice_mut(j).copy_from_slice(&column.sine);
        }
        let mut absolute = Mat::<f64>::zeros(n, inner);
        for m in &group.matrices {
            for j in 0..inner {
                for i in 0..n {
                    absolute[(i, j)] += m[(i, j)].abs();
                }
            }
        }
        // Entrywise, Σ_s |C_s| ≤ B Bᵀ with B = Σ_t |K_t| (rounded: `taps` additions), and
        // ‖B Bᵀ‖₂ ≤ ‖B‖₁‖B‖_∞.
        let magnitude = mul_up(
            CheapNorms::of(absolute.as_ref()).smaller(),
            add_up(1.0, gamma(2 * taps + 4)),
        );
        // An entry is a sum over ≤ taps·inner products (C_s), one addition (C_s ± C_sᵀ), one product
        // with a cosine or sine of absolute error PHASE_ERROR, and a sum over the shifts; the real and
        // the imaginary part each: factor 2.
        let roundings = gamma(taps * inner + shifts.len() + 8);
        let factor = mul_up(2.0, add_up(roundings, mul_up(2.0, PHASE_ERROR)));
        // ‖C_s − Ĉ_s‖₂ ≤ γ·‖ΣBBᵀ‖, as in `magnitude`.
        let rounding = add_up(mul_up(gamma(taps * inner + 2), magnitude), 1e-250);
        let variation = columns
            .iter()
            .map(|column| mul_up(2.0, add_up(column.norm, rounding)))
            .collect();
        Ok(Self {
            n,
            k: group.k.clone(),
            shifts,
            variation,
            cosine,
            sine,
            error: add_up(mul_up(factor, magnitude), 1e-250),
            magnitude,
        })
    }

    /// Operations of one evaluation and one factorisation.
    pub(crate) fn operations_per_test(&self) -> f64 {
        let (n, shifts) = (self.n as f64, self.shifts.len() as f64);
        let small = SCALAR * (8.0 * shifts + 16.0 * n * n);
        2.0 * n * n * shifts + 4.0 / 3.0 * n * n * n + small
    }

    /// cos⟨s,θ⟩ and sin⟨s,θ⟩ for every shift, each with an absolute error ≤ [`PHASE_ERROR`].
    pub(crate) fn phases(&self, at: &Frequency) -> Phases {
        let tables: Vec<Vec<(f64, f64)>> = self
            .k
            .iter()
            .enumerate()
            .map(|(axis, &k)| {
                let denominator = at.denominator[axis];
                (0..k as i128)
                    .map(|s| {
                        let turns = (s * i128::from(at.numerator[axis]))
                            .rem_euclid(i128::from(denominator));
                        let (sin, cos) = rounding::sin_cos_turns(turns as i64, denominator);
                        (cos, sin)
                    })
                    .collect()
            })
            .collect();
        self.shifts
            .iter()
            .map(|shift| {
                let (mut re, mut im) = (1.0, 0.0);
                for (table, s) in tables.iter().zip(shift) {
                    let (cos, sin) = table[s.unsigned_abs() as usize];
                    let sin = if *s < 0 { -sin } else { sin };
                    (re, im) = (re * cos - im * sin, re * sin + im * cos);
                }
                (re, im)
            })
            .unzip()
    }

    /// Lower triangles, packed by rows, of −Re Ĝ and −Im Ĝ at several frequencies, one row of `rows` each; rows that
    /// are left are 0.
    pub(crate) fn negated_grams(&self, at: &[Frequency], rows: usize) -> (Mat<f64>, Mat<f64>) {
        let count = self.shifts.len();
        let mut cosines = Mat::zeros(rows, count);
        let mut sines = Mat::zeros(rows, count);
        for (j, frequency) in at.iter().enumerate() {
            let (c, s) = self.phases(frequency);
            for i in 0..count {
                cosines[(j, i)] = -c[i];
                sines[(j, i)] = -s[i];
            }
        }
        let mut re = Mat::zeros(rows, self.cosine.nrows());
        let mut im = Mat::zeros(rows, self.cosine.nrows());
        linalg::product(re.as_mut(), cosines.as_ref(), self.cosine.transpose());
        linalg::product(im.as_mut(), sines.as_ref(), self.sine.transpose());
        (re, im)
    }

    /// Ĝ(θ).
    pub(crate) fn gram(&self, at: &Frequency) -> HermitianGram {
        let (cosines, sines) = self.phases(at);
        let packed = self.cosine.nrows();
        let mut gram = HermitianGram {
            n: self.n,
            re: vec![0.0; packed],
            im: vec![0.0; packed],
        };
        for (into, part, phases) in [
            (&mut gram.re, &self.cosine, &cosines),
            (&mut gram.im, &self.sine, &sines),
        ] {
            linalg::product(
                linalg::column_mut(into),
                part.as_ref(),
                linalg::column(phases),
            );
        }
        gram
    }

    /// Coefficients (a_s, b_s) of `v*Ĝ(θ)v = Σ_s a_s cos⟨s,θ⟩ + b_s sin⟨s,θ⟩` for v = x + iy.
    pub(crate) fn quadratic_form(&self, v: &[f64]) -> QuadraticForm {
        let n = self.n;
        let (x, y) = v.split_at(n);
        let mut re = vec![0.0; self.cosine.nrows()];
        let mut im = vec![0.0; self.cosine.nrows()];
        let mut p = 0;
        for i in 0..n {
            for j in 0..i {
                re[p + j] = 2.0 * (x[i] * x[j] + y[i] * y[j]);
                im[p + j] = -2.0 * (x[i] * y[j] - y[i] * x[j]);
            }
            re[p + i] = x[i] * x[i] + y[i] * y[i];
            p += i + 1;
        }
        let mut cosine = vec![0.0; self.shifts.len()];
        let mut sine = vec![0.0; self.shifts.len()];
        linalg::product(
            linalg::column_mut(&mut cosine),
            self.cosine.transpose(),
            linalg::column(&re),
        );
        linalg::product(
            linalg::column_mut(&mut sine),
            self.sine.transpose(),
            linalg::column(&im),
        );
        QuadraticForm { cosine, sine }
    }

    /// An upper bound of ‖G(θ) − G(c)‖₂ over all θ with |⟨s, θ − c⟩| ≤ 2π·`turns`(s) for every
    /// shift s (T20): Σ_s 2‖C_s‖·min(2, |⟨s, θ − c⟩|).
    pub(crate) fn drift(&self, turns: impl Fn(&[i64; 3]) -> f64) -> f64 {
        let mut sum = 0.0;
        for (shift, &variation) in self.shifts.iter().zip(&self.variation) {
            let angle = mul_up(turns(shift), rounding::TAU_UP);
            sum = add_up(sum, mul_up(variation, angle.min(2.0)));
        }
        sum
    }

    /// The shifts s, one of every pair ±s, 0 first.
    pub(crate) fn shifts(&self) -> &[[i64; 3]] {
        &self.shifts
    }
}

/// The frequencies 2πj/N of the full tensor grid, one of every pair ±θ, for `axes` axes.
pub(crate) fn half_grid(size: usize, axes: usize) -> Vec<Frequency> {
    let shape = vec![size; axes];
    let total: usize = shape.iter().product();
    (0..total)
        .map(|flat| multi_index(flat, &shape).map(|j| j as i64))
        .filter(|index| {
            let mirrored: [i64; 3] = std::array::from_fn(|a| {
                if a < axes {
                    (size as i64 - index[a]) % size as i64
                } else {
                    0
                }
            });
            *index <= mirrored
        })
        .map(|numerator| Frequency {
            numerator,
            denominator: [size as u64; 3],
        })
        .collect()
}

/// A Hermitian matrix: real and imaginary part of its lower triangle, packed by rows.
pub(crate) struct HermitianGram {
    n: usize,
    re: Vec<f64>,
    im: Vec<f64>,
}

impl HermitianGram {
    /// As one complex matrix, Hermitian exactly.
    pub(crate) fn to_complex(&self) -> Mat<c64> {
        let mut full = Mat::zeros(self.n, self.n);
        let mut p = 0;
        for i in 0..self.n {
            for j in 0..i {
                let entry = c64::new(self.re[p + j], self.im[p + j]);
                (full[(i, j)], full[(j, i)]) = (entry, entry.conj());
            }
            full[(i, i)] = c64::new(self.re[p + i], 0.0);
            p += i + 1;
        }
        full
    }

    /// w = Ĝ v with vectors stored as (real part, imaginary part).
    pub(crate) fn apply(&self, v: &[f64], w: &mut [f64]) {
        Arch::new().dispatch(Apply { gram: self, v, w });
    }
}

/// w = Ĝ v. An entry below the diagonal counts in its row and, conjugate, in its column: both in one pass.
struct Apply<'a> {
    gram: &'a HermitianGram,
    v: &'a [f64],
    w: &'a mut [f64],
}

impl WithSimd for Apply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let n = self.gram.n;
        self.w.fill(0.0);
        let (u, z) = self.w.split_at_mut(n);
        let (x, y) = self.v.split_at(n);
        let zero = simd.splat_f64s(0.0);
        let mut p = 0;
        for i in 0..n {
            let (own_x, own_y) = (x[i], y[i]);
            let (all_x, all_y) = (simd.splat_f64s(own_x), simd.splat_f64s(own_y));
            let (re, re_rest) = S::as_simd_f64s(&self.gram.re[p..p + i]);
            let (im, im_rest) = S::as_simd_f64s(&self.gram.im[p..p + i]);
            let ((x, x_rest), (y, y_rest)) = (S::as_simd_f64s(&x[..i]), S::as_simd_f64s(&y[..i]));
            let (mut sum_u, mut sum_z) = (zero, zero);
            let (lanes_u, rest_u) = S::as_mut_simd_f64s(&mut u[..i]);
            let (lanes_z, rest_z) = S::as_mut_simd_f64s(&mut z[..i]);
            let into = lanes_u.iter_mut().zip(lanes_z);
            for ((((re, im), x), y), (u, z)) in re.iter().zip(im).zip(x).zip(y).zip(into) {
                sum_u = simd.mul_add_e_f64s(*re, *x, sum_u);
                sum_z = simd.mul_add_e_f64s(*re, *y, sum_z);
                sum_u = simd.negate_mul_add_e_f64s(*im, *y, sum_u);
                sum_z = simd.mul_add_e_f64s(*im, *x, sum_z);
                let (a, b) = (
                    simd.mul_add_e_f64s(*re, all_x, *u),
                    simd.mul_add_e_f64s(*re, all_y, *z),
                );
                *u = simd.mul_add_e_f64s(*im, all_y, a);
                *z = simd.negate_mul_add_e_f64s(*im, all_x, b);
            }
            let (mut own_u, mut own_z) = (simd.reduce_sum_f64s(sum_u), simd.reduce_sum_f64s(sum_z));
            let into = rest_u.iter_mut().zip(rest_z);
            let rest = re_rest
                .iter()
                .zip(im_rest)
                .zip(x_rest)
                .zip(y_rest)
                .zip(into);
            for ((((re, im), x), y), (u, z)) in rest {
                own_u += re * x - im * y;
                own_z += re * y + im * x;
                *u += re * own_x + im * own_y;
                *z += re * own_y - im * own_x;
            }
            let diagonal = self.gram.re[p + i];
            u[i] += own_u + diagonal * own_x;
            z[i] += own_z + diagonal * own_y;
            p += i + 1;
        }
    }
}

/// `p(θ) = Σ_s cosine_s·cos⟨s,θ⟩ + sine_s·sin⟨s,θ⟩`.
pub(crate) struct QuadraticForm {
    pub(crate) cosine: Vec<f64>,
    pub(crate) sine: Vec<f64>,
}

/// C_s = Σ_t K_{t+s} K_tᵀ.
fn correlate(group: &TapMatrices, shift: [i64; 3]) -> Mat<f64> {
    // Below this order a product costs less than the call: the taps are multiplied side by side.
    const SMALL: usize = 16;
    let n = group.matrices[0].nrows();
    let mut c = Mat::zeros(n, n);
    let mut side_by_side = (Vec::new(), Vec::new());
    for (tap, lower) in group.matrices.iter().enumerate() {
        let t = multi_index(tap, &group.k);
        let mut other = 0;
        let mut inside = true;
        for (a, &k) in group.k.iter().enumerate() {
            let place = t[a] as i64 + shift[a];
            inside &= (0..k as i64).contains(&place);
            other = other * k + place.max(0) as usize;
        }
        if inside {
            let upper = &group.matrices[other];
            if n < SMALL {
                for col in 0..lower.ncols() {
                    side_by_side.0.extend_from_slice(upper.col_as_slice(col));
                    side_by_side.1.extend_from_slice(lower.col_as_slice(col));
                }
            } else {
                linalg::add_product(c.as_mut(), upper.as_ref(), lower.transpose());
            }
        }
    }
    if n < SMALL {
        let cols = side_by_side.0.len() / n;
        let upper = MatRef::from_column_major_slice(&side_by_side.0, n, cols);
        let lower = MatRef::from_column_major_slice(&side_by_side.1, n, cols);
        linalg::product(c.as_mut(), upper, lower.transpose());
    }
    c
}

/// What one shift s contributes to G.
struct Column {
    /// Packed lower triangle of C + Cᵀ (of C for the zero shift).
    cosine: Vec<f64>,
    /// Packed lower triangle of C − Cᵀ (0 for the zero shift).
    sine: Vec<f64>,
    /// ‖C‖₂ from above.
    norm: f64,
}

impl Column {
    fn new(c: &Mat<f64>, zero_shift: bool) -> Self {
        let n = c.nrows();
        let mut cosine = Vec::with_capacity(n * (n + 1) / 2);
        let mut sine = Vec::with_capacity(n * (n + 1) / 2);
        for i in 0..n {
            for j in 0..=i {
                if zero_shift {
                    cosine.push(c[(i, j)]);
                    sine.push(0.0);
                } else {
                    cosine.push(c[(i, j)] + c[(j, i)]);
                    sine.push(c[(i, j)] - c[(j, i)]);
                }
            }
        }
        Self {
            cosine,
            sine,
            norm: sqrt_up(CheapNorms::of(c.as_ref()).smaller()),
        }
    }
}

/// One shift of every pair ±s in Π[−(k−1), k−1], 0 first.
fn half_shifts(k: &[usize]) -> Vec<[i64; 3]> {
    let extents: Vec<usize> = k.iter().map(|&k| 2 * k - 1).collect();
    let total: usize = extents.iter().product();
    // The middle of the row-major enumeration is 0, and reversing the order negates the shift.
    (total / 2..total)
        .map(|flat| {
            let index = multi_index(flat, &extents);
            let mut shift = [0; 3];
            for (a, &k) in k.iter().enumerate() {
                shift[a] = index[a] as i64 - (k as i64 - 1);
            }
            shift
        })
        .collect()
}

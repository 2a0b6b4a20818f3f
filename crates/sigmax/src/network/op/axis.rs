//! [`AxisMatrix`]: a matrix that acts along one axis of a tensor.

use crate::error::{Error, Misfit};
use crate::linalg::Mat;
use crate::named::named;
use crate::rounding::{U, add_up, div_up, gamma, larger, mul_up, sqrt_up, sub_down};
use crate::verify;

mod filter;

pub use filter::Filter;

/// Order up to which the norm of a matrix is proved by a Cholesky factorisation.
const DENSE: usize = 512;
/// Longest axis of a linear interpolation: errors of positions stay far below their distances.
const MAX_LINEAR: usize = 1 << 22;
/// Most entries.
const MAX_ENTRIES: usize = 1 << 26;

/// A sparse matrix along one axis; entries are known to within `slack`.
#[derive(Clone, Debug, PartialEq)]
pub struct AxisMatrix {
    cols: usize,
    rows: Vec<Vec<(usize, f64)>>,
    /// Bound of the absolute error of every entry, those left out next to the others included.
    slack: f64,
    /// Roundings that a float32 execution may have beyond one per term; `None` where they are not bounded.
    single_terms: Option<usize>,
}

/// How an axis is resized by linear interpolation: where output pixel i lies in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Interpolation {
    /// At (i + ½)/scale − ½.
    HalfPixel,
    /// The same, at 0 where the output has one pixel.
    PytorchHalfPixel,
    /// At i·(n − 1)/(m − 1).
    AlignCorners,
    /// At i/scale.
    Asymmetric,
}

impl Interpolation {
    /// The name of ONNX.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HalfPixel => "half_pixel",
            Self::PytorchHalfPixel => "pytorch_half_pixel",
            Self::AlignCorners => "align_corners",
            Self::Asymmetric => "asymmetric",
        }
    }
}

impl Interpolation {
    /// Where output pixel `i` lies in the input.
    fn position(self, i: usize, n: usize, m: usize, scale: f64) -> f64 {
        let i = i as f64;
        match self {
            Self::PytorchHalfPixel | Self::AlignCorners if m == 1 => 0.0,
            Self::HalfPixel | Self::PytorchHalfPixel => (i + 0.5) / scale - 0.5,
            Self::AlignCorners => i * (n - 1) as f64 / (m - 1) as f64,
            Self::Asymmetric => i / scale,
        }
    }
}

named!(
    Interpolation,
    "interpolation",
    [HalfPixel, PytorchHalfPixel, AlignCorners, Asymmetric]
);

impl AxisMatrix {
    /// Rows of (column, weight), for an axis of `cols` entries; weights known exactly.
    ///
    /// # Errors
    /// [`Error::Node`] for a column beyond the axis, no row, a weight that is not finite, or too
    /// many entries.
    pub fn new(cols: usize, rows: Vec<Vec<(usize, f64)>>) -> Result<Self, Error> {
        let entries = rows.iter().map(Vec::len).sum::<usize>();
        let wrong = rows
            .iter()
            .flatten()
            .any(|&(col, weight)| col >= cols || !weight.is_finite());
        if wrong || rows.is_empty() || entries > MAX_ENTRIES {
            return Err(Error::node("axis matrix", Misfit::AxisMatrix { cols }));
        }
        Ok(Self {
            cols,
            rows,
            slack: 0.0,
            single_terms: Some(0),
        })
    }

    /// The mean over groups of entries; of a group without entries 0.
    ///
    /// # Errors
    /// [`Error::Node`] for an entry beyond the axis, no group, or too many entries.
    pub fn means(cols: usize, groups: &[Vec<usize>]) -> Result<Self, Error> {
        Self::quotients(cols, groups, Vec::len)
    }

    /// The sum over groups of entries, divided by `k`.
    pub(crate) fn windows(cols: usize, groups: &[Vec<usize>], k: usize) -> Result<Self, Error> {
        Self::quotients(cols, groups, |_| k)
    }

    fn quotients(
        cols: usize,
        groups: &[Vec<usize>],
        divisor: impl Fn(&Vec<usize>) -> usize,
    ) -> Result<Self, Error> {
        let row = |group: &Vec<usize>| {
            let weight = 1.0 / divisor(group) as f64;
            group.iter().map(|&i| (i, weight)).collect()
        };
        let mut matrix = Self::new(cols, groups.iter().map(row).collect())?;
        // A quotient of at most 1 is rounded, unless it is a power of two.
        if groups.iter().any(|group| !divisor(group).is_power_of_two()) {
            matrix.slack = U;
        }
        Ok(matrix)
    }

    /// The mean over the whole axis.
    ///
    /// # Errors
    /// [`Error::Node`] for an empty or huge axis.
    pub fn mean(n: usize) -> Result<Self, Error> {
        Self::means(n, &[(0..n.min(MAX_ENTRIES + 1)).collect()])
    }

    /// The sum over the whole axis.
    ///
    /// # Errors
    /// [`Error::Node`] for an empty or huge axis.
    pub fn sum(n: usize) -> Result<Self, Error> {
        Self::new(
            n,
            vec![(0..n.min(MAX_ENTRIES + 1)).map(|i| (i, 1.0)).collect()],
        )
    }

    /// Linear interpolation from `n` to `m` entries; `scale` is m/n unless it was stated otherwise.
    ///
    /// # Errors
    /// [`Error::Node`] for empty or huge axes, or a scale that is not positive.
    pub fn linear(n: usize, m: usize, scale: f64, how: Interpolation) -> Result<Self, Error> {
        let wrong = Misfit::Interpolation {
            from: n,
            to: m,
            scale,
        };
        let off = Self::position_error(n, m, scale)
            .ok_or_else(|| Error::node("linear interpolation", wrong))?;
        let row = |i: usize| {
            let at = how.position(i, n, m, scale).clamp(0.0, (n - 1) as f64);
            let low = at.floor();
            let part = at - low;
            let first = low as usize;
            if first + 1 < n {
                vec![(first, 1.0 - part), (first + 1, part)]
            } else {
                vec![(first, 1.0)]
            }
        };
        let mut matrix = Self::new(n, (0..m).map(row).collect())?;
        // The weights are piecewise linear in the position, of slope 1 in each of the entries.
        matrix.slack = off;
        // In float32 too the position decides: five roundings of at most n + m, in up to three
        // entries a row and a few a column, relative to an entry of at least a quarter.
        matrix.single_terms = Some(32 * (n + m));
        Ok(matrix)
    }

    /// Interpolation from `n` to `m` entries with a filter; `scale` is m/n unless it was stated otherwise.
    ///
    /// # Errors
    /// [`Error::Node`] for what [`AxisMatrix::linear`] refuses, a coefficient of a cubic beyond ±2, too many
    /// entries, or weights whose sum may be 0.
    pub fn filtered(
        n: usize,
        m: usize,
        scale: f64,
        how: Interpolation,
        filter: Filter,
    ) -> Result<Self, Error> {
        let wrong = || {
            Error::node(
                "interpolation",
                Misfit::Interpolation {
                    from: n,
                    to: m,
                    scale,
                },
            )
        };
        let off = Self::position_error(n, m, scale);
        let off = off.filter(|_| filter.is_covered()).ok_or_else(wrong)?;
        let s = if filter.antialias {
            scale.min(1.0)
        } else {
            1.0
        };
        let radius = filter.reach() / s;
        // One or two more on either side than W reaches, of which those stay that may have a weight.
        let each = 2.0 * radius + 6.0;
        if each * m as f64 > MAX_ENTRIES as f64 {
            return Err(wrong());
        }
        // Arguments within two entries of where W ends, of three roundings and that of the scale.
        let argument = add_up(mul_up(s, off), mul_up(gamma(4), filter.reach() + 2.0));
        let error = filter.error(argument);
        let last = n as i64 - 1;
        let normalised = filter.antialias || filter.exclude_outside;
        let (mut rows, mut slack) = (Vec::with_capacity(m), error);
        for i in 0..m {
            let at = how.position(i, n, m, scale);
            let (first, end) = (
                (at - radius).floor() as i64 - 1,
                (at + radius).ceil() as i64 + 1,
            );
            let mut row: Vec<(usize, f64)> = Vec::new();
            for j in first..=end {
                let t = s * (j as f64 - at);
                let counts = !filter.exclude_outside || (0..=last).contains(&j);
                if counts && t.abs() < add_up(filter.reach(), argument) {
                    row.push((j.clamp(0, last) as usize, filter.weight(t)));
                }
            }
            if normalised {
                let sum: f64 = row.iter().map(|entry| entry.1).sum();
                let sizes = row
                    .iter()
                    .fold(0.0, |sum, entry| add_up(sum, entry.1.abs()));
                let terms = row.len() as f64;
                // The true sum is at least `least`, and no true quotient is larger than `most`.
                let errors = add_up(mul_up(terms, error), mul_up(gamma(row.len()), sizes));
                let least = sub_down(sum, errors);
                if !(least > 0.0) {
                    return Err(wrong());
                }
                let largest = row
                    .iter()
                    .fold(error, |most, entry| most.max(add_up(entry.1.abs(), error)));
                let most = div_up(largest, least);
                let quotients = div_up(add_up(error, mul_up(most, errors)), least);
                slack = slack.max(add_up(quotients, mul_up(gamma(2), most)));
                for (_, weight) in &mut row {
                    *weight /= sum;
                }
            }
            rows.push(row);
        }
        let mut matrix = Self::new(n, rows)?;
        matrix.slack = slack;
        matrix.single_terms = None;
        Ok(matrix)
    }

    /// By how much a position may be off: three roundings of at most n + m + 1/scale; `None` for empty or huge
    /// axes, and a scale that is not positive.
    fn position_error(n: usize, m: usize, scale: f64) -> Option<f64> {
        let fits = n > 0 && m > 0 && n.max(m) <= MAX_LINEAR && scale > 0.0;
        fits.then(|| mul_up(gamma(5), add_up((n + m) as f64, 1.0 / scale)))
    }

    /// Entries along the axis before and after.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.rows.len(), self.cols)
    }

    /// Roundings of a float32 execution beyond one per term.
    pub(crate) fn single_terms(&self) -> Option<usize> {
        self.single_terms
    }

    /// Most entries in a row.
    pub(crate) fn terms(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// With the magnitudes of all entries.
    pub(crate) fn magnitudes(&self) -> Self {
        let magnitude = |row: &Vec<(usize, f64)>| row.iter().map(|&(i, v)| (i, v.abs())).collect();
        Self {
            rows: self.rows.iter().map(magnitude).collect(),
            ..self.clone()
        }
    }

    /// √(largest row sum · largest column sum) of the absolute values, errors included: ‖|A|‖₂ from
    /// above.
    pub(crate) fn magnitude(&self) -> f64 {
        let mut columns = vec![0.0; self.cols];
        let mut row = 0.0f64;
        for entries in &self.rows {
            let mut sum = 0.0;
            for &(col, weight) in entries {
                sum = add_up(sum, weight.abs());
                columns[col] = add_up(columns[col], weight.abs());
            }
            row = row.max(sum);
        }
        let column = columns.into_iter().fold(0.0, larger);
        let touched = self.touched();
        // Every row may have one entry more beside those it has, and so may every column two.
        let row = add_up(row, mul_up(self.slack, (self.terms() + 1) as f64));
        let column = add_up(column, mul_up(self.slack, (touched + 2) as f64));
        sqrt_up(mul_up(row, column))
    }

    /// ‖A‖₂ from above.
    pub(crate) fn norm(&self) -> f64 {
        let cheap = self.magnitude();
        let (rows, cols) = self.size();
        if rows.min(cols) == 1 || rows.max(cols) > DENSE {
            return cheap;
        }
        let mut dense = Mat::zeros(rows, cols);
        for (i, entries) in self.rows.iter().enumerate() {
            for &(col, weight) in entries {
                dense[(i, col)] += weight;
            }
        }
        // Entries that fall on one place are added: the sums' errors are relative to ‖|A|‖₂.
        let sums = mul_up(gamma(self.terms()), cheap);
        let error = add_up(self.error(), sums);
        add_up(verify::matrix_norm(dense.as_ref()).upper, error).min(cheap)
    }

    /// Most entries in a column; a row may have several there.
    pub(crate) fn touched(&self) -> usize {
        let mut touched = vec![0usize; self.cols];
        for &(col, _) in self.rows.iter().flatten() {
            touched[col] += 1;
        }
        touched.into_iter().max().unwrap_or(0)
    }

    /// ‖|E|‖₂ from above, E the error of the entries: every row may have one entry more beside those
    /// it has, and so may every column two.
    pub(crate) fn error(&self) -> f64 {
        let spread = mul_up((self.terms() + 1) as f64, (self.touched() + 2) as f64);
        mul_up(self.slack, sqrt_up(spread))
    }

    /// `out = (I ⊗ A ⊗ I)·x` with `outer` blocks before and `inner` entries after the axis.
    pub(crate) fn apply(&self, x: &[f64], outer: usize, inner: usize, out: &mut [f64]) {
        let (rows, cols) = self.size();
        out.fill(0.0);
        for block in 0..outer {
            for (i, entries) in self.rows.iter().enumerate() {
                let to = &mut out[(block * rows + i) * inner..][..inner];
                for &(col, weight) in entries {
                    let from = &x[(block * cols + col) * inner..][..inner];
                    for (to, from) in to.iter_mut().zip(from) {
                        *to += weight * from;
                    }
                }
            }
        }
    }

    /// The transpose of [`AxisMatrix::apply`].
    pub(crate) fn apply_transpose(&self, y: &[f64], outer: usize, inner: usize, out: &mut [f64]) {
        let (rows, cols) = self.size();
        out.fill(0.0);
        for block in 0..outer {
            for (i, entries) in self.rows.iter().enumerate() {
                let from = &y[(block * rows + i) * inner..][..inner];
                for &(col, weight) in entries {
                    let to = &mut out[(block * cols + col) * inner..][..inner];
                    for (to, from) in to.iter_mut().zip(from) {
                        *to += weight * from;
                    }
                }
            }
        }
    }
}

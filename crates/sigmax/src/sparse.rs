//! [`Sparse`]: a linear map with few entries a row, and what is not exact about them.

use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::krylov;
use crate::layout::multi_index;
use crate::reads::Reads;
use crate::rounding::{
    self, add_up, div_down, gamma, larger, ldexp, mul_down, mul_up, scale_up, sqrt_down, sqrt_up,
    sub_down,
};

#[cfg(test)]
mod tests;

/// Most entries of a matrix: with their columns they fill 6 GiB.
const MAX_ENTRIES: usize = 1 << 29;

/// What an entry may lose where it, or a product that it is a term of, is no normal number: 2⁻¹⁰⁷³.
const UNDERFLOW: f64 = 1e-323;

/// How the entries of a vector lie: row-major `[groups, channels of a group, sizes…]`.
///
/// It suggests an order in which a Gram matrix has a narrow band; nothing else depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) groups: usize,
    pub(crate) channels: usize,
    pub(crate) size: [usize; 3],
}

impl Image {
    /// A vector of `n` entries in their order.
    pub(crate) fn line(n: usize) -> Self {
        Self {
            groups: 1,
            channels: 1,
            size: [n, 1, 1],
        }
    }

    /// A tensor of this shape: channels first, if it has up to four axes.
    pub(crate) fn of_shape(shape: &[usize]) -> Self {
        match *shape {
            [channels, ref size @ ..] if (1..=3).contains(&size.len()) => {
                let along = |axis: usize| size.get(axis).copied().unwrap_or(1);
                Self {
                    groups: 1,
                    channels,
                    size: [along(0), along(1), along(2)],
                }
            }
            _ => Self::line(shape.iter().product()),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.groups * self.channels * self.size.iter().product::<usize>()
    }
}

/// A matrix by rows: B = 2^exponent·(B̂ + E), where B̂ is stored with its largest entry in [½, 1)
/// and row i of E has a length of at most `slack[i]`.
#[derive(Clone, Debug)]
pub(crate) struct Sparse {
    rows: Image,
    cols: Image,
    starts: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
    slack: Vec<f64>,
    exponent: i32,
}

impl Sparse {
    /// The layer at `conv.input_size`, padding modes included: rows are its outputs, columns its
    /// inputs, both `[channels, n_1, …]` row-major.
    ///
    /// An entry is a weight, or the sum of those taps that the padding shows the same pixel.
    pub(crate) fn of_layer(kernel: &Kernel, conv: &Conv) -> Result<Self, Error> {
        conv.check(kernel)?;
        let reads = Reads::new(kernel.spatial(), conv)?;
        let (rows, cols) = (kernel.shape()[0], kernel.shape()[1]);
        let image = |channels, size| Image {
            groups: conv.groups,
            channels,
            size,
        };
        let side = (
            image(rows / conv.groups, reads.row_size),
            image(cols, reads.col_size),
        );
        // Products of what `Reads` has bounded by 2²⁶ per axis: f64 does not overflow.
        let size = |n: &[usize]| n.iter().map(|&n| n as f64).product::<f64>();
        let lengths = [
            rows as f64 * size(&reads.row_size),
            (conv.groups * cols) as f64 * size(&reads.col_size),
        ];
        let entries = lengths[0] * (cols * reads.taps()) as f64;
        if entries > MAX_ENTRIES as f64 || lengths.iter().any(|&n| n > f64::from(u32::MAX)) {
            return Err(Error::too_large(
                format!(
                    "the matrix of this layer at its input size has up to {entries:.1e} entries"
                ),
                "2^29 entries, and 2^32 rows or columns",
            ));
        }
        let convolution = Self::of_reads(kernel, &reads, side);
        Ok(if conv.transposed {
            convolution.transpose()
        } else {
            convolution
        })
    }

    fn of_reads(kernel: &Kernel, reads: &Reads, (rows, cols): (Image, Image)) -> Self {
        let (values, taps) = (kernel.scaled(), reads.taps());
        let (row_pixels, col_pixels) = (reads.row_pixels(), reads.col_pixels());
        // Division by 2^exponent is exact but where it makes an entry subnormal, or 0.
        let lost = kernel.exponent() > 0 && values.iter().any(|v| v.abs() < f64::MIN_POSITIVE);
        // Per pixel of a row: its taps in the order of the pixels they read.
        let order: Vec<Vec<(usize, usize)>> = (0..row_pixels)
            .map(|pixel| {
                let o = multi_index(pixel, &reads.row_size);
                let mut read: Vec<(usize, usize)> = (0..taps)
                    .filter_map(|t| Some((reads.pixel(o, multi_index(t, &reads.k))?, t)))
                    .collect();
                read.sort_unstable();
                read
            })
            .collect();
        let mut matrix = Self::empty(rows, cols);
        for row in 0..rows.groups * rows.channels {
            let first = row / rows.channels * cols.channels;
            for read in &order {
                let mut slack = 0.0;
                for col in 0..cols.channels {
                    let weights = &values[(row * cols.channels + col) * taps..][..taps];
                    for same in read.chunk_by(|a, b| a.0 == b.0) {
                        let terms = same.iter().map(|&(_, t)| weights[t]);
                        let place = (first + col) * col_pixels + same[0].0;
                        matrix.columns.push(place as u32);
                        matrix.values.push(terms.clone().sum());
                        if same.len() > 1 {
                            let size: f64 = terms.map(f64::abs).sum();
                            let error = mul_up(2.0 * gamma(same.len() + 2), size);
                            slack = add_up(slack, error);
                        }
                        if lost {
                            slack = add_up(slack, same.len() as f64 * UNDERFLOW);
                        }
                    }
                }
                matrix.end_row(slack);
            }
        }
        matrix.normalised(kernel.exponent())
    }

    /// A matrix of the given entries (column, value), each exact; a row names a column once. Of a row
    /// with an entry that is not finite nothing is known.
    pub(crate) fn from_rows(
        rows: Image,
        cols: Image,
        entries: impl IntoIterator<Item = Vec<(usize, f64)>>,
    ) -> Self {
        let mut matrix = Self::empty(rows, cols);
        // The largest entry is brought to [½, 1) first: down by 2¹⁰²⁴ at most, which may lose digits.
        let entries: Vec<Vec<(usize, f64)>> = entries.into_iter().collect();
        let largest = entries
            .iter()
            .flatten()
            .filter(|entry| entry.1.is_finite())
            .fold(0.0f64, |m, entry| m.max(entry.1.abs()));
        let exponent = if largest > 0.0 {
            rounding::exponent(largest)
        } else {
            0
        };
        for mut row in entries {
            row.sort_unstable_by_key(|entry| entry.0);
            assert!(
                row.windows(2).all(|pair| pair[0].0 < pair[1].0),
                "a row names a column once"
            );
            let mut slack = 0.0;
            for (column, value) in row {
                assert!(column < cols.len(), "a column of the matrix");
                if !value.is_finite() {
                    slack = f64::INFINITY;
                    continue;
                }
                let scaled = ldexp(value, -exponent);
                if exponent > 0 && value.abs() > 0.0 && scaled.abs() < f64::MIN_POSITIVE {
                    slack = add_up(slack, UNDERFLOW);
                }
                matrix.columns.push(column as u32);
                matrix.values.push(scaled);
            }
            matrix.end_row(slack);
        }
        assert_eq!(matrix.starts.len(), rows.len() + 1, "every row is given");
        matrix.exponent = exponent;
        matrix
    }

    fn empty(rows: Image, cols: Image) -> Self {
        let most = u32::MAX as usize;
        assert!(
            rows.len() <= most && cols.len() <= most,
            "places have 32 bits"
        );
        Self {
            rows,
            cols,
            starts: vec![0],
            columns: Vec::new(),
            values: Vec::new(),
            slack: Vec::new(),
            exponent: 0,
        }
    }

    fn end_row(&mut self, slack: f64) {
        self.starts.push(self.values.len());
        self.slack.push(slack);
    }

    /// Entries as they are, of which 2^`exponent` was divided out, divided by one power of two more.
    fn normalised(mut self, exponent: i32) -> Self {
        let largest = self.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        self.exponent = exponent;
        if !(largest > 0.0 && largest.is_finite()) {
            return self;
        }
        let step = rounding::exponent(largest);
        if step == 0 {
            return self;
        }
        if (-1000..=1000).contains(&step) {
            let factor = ldexp(1.0, -step);
            self.values.iter_mut().for_each(|v| *v *= factor);
        } else {
            self.values.iter_mut().for_each(|v| *v = ldexp(*v, -step));
        }
        for (row, slack) in self.slack.iter_mut().enumerate() {
            *slack = scale_up(*slack, -step);
            if step > 0 {
                let entries = self.starts[row + 1] - self.starts[row];
                *slack = add_up(*slack, entries as f64 * UNDERFLOW);
            }
        }
        self.exponent = exponent.saturating_add(step);
        self
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Number of columns.
    pub(crate) fn cols(&self) -> usize {
        self.cols.len()
    }

    /// How the columns lie.
    pub(crate) fn col_image(&self) -> Image {
        self.cols
    }

    /// Number of entries, zeros among them.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// The power of two that was divided out.
    pub(crate) fn exponent(&self) -> i32 {
        self.exponent
    }

    /// Columns of a row, ascending.
    pub(crate) fn columns(&self, row: usize) -> &[u32] {
        &self.columns[self.starts[row]..self.starts[row + 1]]
    }

    /// Values of a row, divided by 2^exponent.
    pub(crate) fn values(&self, row: usize) -> &[f64] {
        &self.values[self.starts[row]..self.starts[row + 1]]
    }

    /// Whether every entry that is stored is 0.
    pub(crate) fn is_zero(&self) -> bool {
        self.values.iter().all(|v| v.abs() <= 0.0)
    }

    /// An upper bound of ‖E‖₂: the root of the sum of the squares of the rows.
    pub(crate) fn slack(&self) -> f64 {
        let squares = self.slack.iter().fold(0.0, |sum, &s| {
            if s > 0.0 {
                add_up(sum, mul_up(s, s))
            } else {
                sum + s
            }
        });
        sqrt_up(squares)
    }

    /// B̂x, approximately.
    pub(crate) fn apply(&self, x: &[f64]) -> Vec<f64> {
        (0..self.rows())
            .map(|row| {
                let entries = self.columns(row).iter().zip(self.values(row));
                entries.map(|(&c, v)| v * x[c as usize]).sum()
            })
            .collect()
    }

    /// B̂ᵀy, approximately.
    pub(crate) fn apply_transposed(&self, y: &[f64]) -> Vec<f64> {
        let mut x = vec![0.0; self.cols()];
        for (row, &factor) in y.iter().enumerate() {
            for (&c, v) in self.columns(row).iter().zip(self.values(row)) {
                x[c as usize] += v * factor;
            }
        }
        x
    }

    /// Bᵀ.
    pub(crate) fn transpose(&self) -> Self {
        let mut starts = vec![0; self.cols() + 1];
        for &c in &self.columns {
            starts[c as usize + 1] += 1;
        }
        for c in 0..self.cols() {
            starts[c + 1] += starts[c];
        }
        let mut next = starts.clone();
        let mut columns = vec![0; self.len()];
        let mut values = vec![0.0; self.len()];
        for row in 0..self.rows() {
            for (&c, &v) in self.columns(row).iter().zip(self.values(row)) {
                let at = &mut next[c as usize];
                (columns[*at], values[*at]) = (row as u32, v);
                *at += 1;
            }
        }
        Self {
            rows: self.cols,
            cols: self.rows,
            // No column of E is longer than E.
            slack: vec![self.slack(); starts.len() - 1],
            starts,
            columns,
            values,
            exponent: self.exponent,
        }
    }

    /// diag(√κ)·B for finite κ ≥ 0.
    pub(crate) fn weighted(&self, kappa: &[f64]) -> Self {
        let parts = kappa.iter().map(|&kappa| match kappa {
            k if !(k > 0.0) => (0.0, 0),
            k => {
                // κ = f·4^e with f in [¼, 1), exactly.
                let e = (rounding::exponent(k) + 1).div_euclid(2);
                (ldexp(k, -2 * e).sqrt(), e)
            }
        });
        self.times(&parts.collect::<Vec<_>>())
    }

    /// diag(f·2^e)·B for f of size about one, or 0, with one rounding: two with that of the product.
    ///
    /// Entries of the result are below 1, and no step before comes out smaller than the result: nothing
    /// overflows, and what underflows loses 2⁻¹⁰⁷³ at most. A factor that is no normal number is split:
    /// rows are brought to size one, multiplied, and then brought to their place.
    fn times(&self, factors: &[(f64, i32)]) -> Self {
        assert_eq!(factors.len(), self.rows(), "one factor a row");
        let own = |row: usize| {
            let largest = self.values(row).iter().fold(0.0f64, |m, v| m.max(v.abs()));
            (largest > 0.0).then(|| rounding::exponent(largest))
        };
        let rows: Vec<Option<i32>> = (0..self.rows())
            .map(|row| own(row).filter(|_| factors[row].0.abs() > 0.0))
            .collect();
        let top = rows
            .iter()
            .zip(factors)
            .filter_map(|(own, factor)| Some((*own)? + factor.1))
            .max()
            .unwrap_or(0);
        let mut scaled = Self {
            rows: self.rows,
            cols: self.cols,
            starts: self.starts.clone(),
            columns: self.columns.clone(),
            values: Vec::with_capacity(self.len()),
            slack: Vec::with_capacity(self.rows()),
            exponent: 0,
        };
        for (row, &(f, e)) in factors.iter().enumerate() {
            let values = self.values(row);
            let before = self.slack[row];
            if !(f.abs() > 0.0) {
                scaled
                    .values
                    .resize(scaled.values.len() + values.len(), 0.0);
                scaled.slack.push(0.0);
                continue;
            }
            let mut slack = if before > 0.0 {
                mul_up(add_up(f.abs(), 1e-15), scale_up(before, e - top))
            } else {
                0.0
            };
            if let Some(own) = rows[row] {
                let mut sum = 0.0;
                // Where the factor itself is a normal number, one product does it.
                let whole = (-1000..=1000)
                    .contains(&(e - top))
                    .then(|| ldexp(f, e - top));
                for &v in values {
                    let value = match whole {
                        Some(factor) => factor * v,
                        None => ldexp(f * ldexp(v, -own), e + own - top),
                    };
                    sum += value.abs();
                    scaled.values.push(value);
                }
                let entries = values.len();
                let error = mul_up(2.0 * gamma(2), mul_up(sum, add_up(1.0, gamma(entries))));
                slack = add_up(slack, add_up(error, entries as f64 * UNDERFLOW));
            } else {
                scaled.values.extend(values);
            }
            scaled.slack.push(slack);
        }
        scaled.normalised(self.exponent.saturating_add(top))
    }

    /// Most entries of a row, and of a column.
    pub(crate) fn most_entries(&self) -> (usize, usize) {
        let mut columns = vec![0; self.cols()];
        for &c in &self.columns {
            columns[c as usize] += 1;
        }
        let rows = (0..self.rows()).map(|row| self.columns(row).len());
        (
            rows.max().unwrap_or(0),
            columns.into_iter().max().unwrap_or(0),
        )
    }

    /// An upper bound of ‖ |B̂| ‖₂²: ‖B̂‖_F², or the largest sum of a row of |B̂|ᵀ|B̂|.
    pub(crate) fn cheap_square(&self) -> f64 {
        let mut squares = 0.0;
        let mut sums = vec![0.0; self.cols()];
        for row in 0..self.rows() {
            let values = self.values(row);
            let size: f64 = values.iter().map(|v| v.abs()).sum();
            squares += values.iter().map(|v| v * v).sum::<f64>();
            for (&c, v) in self.columns(row).iter().zip(values) {
                sums[c as usize] += v.abs() * size;
            }
        }
        let largest = sums.into_iter().fold(0.0, larger);
        // Sums of non-negative terms with fewer roundings than that each; squares may underflow.
        let up = |sum: f64| add_up(mul_up(sum, add_up(1.0, gamma(self.len() + 8))), 1e-290);
        let (squares, largest) = (up(squares), up(largest));
        if squares <= largest { squares } else { largest }
    }

    /// A proved lower bound of ‖B‖₂/2^exponent from any vector v: ‖Bv‖/‖v‖ (T13 without a frequency).
    pub(crate) fn norm_lower(&self, v: &[f64]) -> f64 {
        let image = self.apply(v);
        let (row, _) = self.most_entries();
        // ‖fl(B̂v) − B̂v‖ ≤ γ·‖|B̂|‖₂·‖v‖, and both squared lengths are sums of squares.
        let error = mul_up(gamma(row + 2), sqrt_up(self.cheap_square()));
        // Products that underflow, beside ‖v‖ > 10⁻¹²⁵.
        let error = add_up(error, 1e-180);
        let roundings = gamma(self.rows() + self.cols() + 8);
        let numerator = mul_down(krylov::dot(&image, &image), 1.0 - 2.0 * roundings);
        let denominator = mul_up(krylov::dot(v, v), 1.0 + 2.0 * roundings);
        if !(denominator > 1e-250 && denominator.is_finite() && numerator < f64::MAX) {
            return 0.0;
        }
        let quotient = sqrt_down(div_down(numerator, denominator));
        sub_down(quotient, add_up(error, self.slack())).max(0.0)
    }
}

//! λ_max(BᵀDB) of a sparse matrix B with a diagonal D ≥ 0, from above: a banded Gram matrix and its
//! Cholesky factorisation (T32).

use std::collections::HashMap;

use crate::error::Error;
use crate::krylov;
use crate::linalg::{self, Cholesky, Mat, MatMut};
use crate::rounding::{self, add_up, gamma, mul_up, sqrt_up, sub_down};
use crate::sparse::{Image, Sparse};
use crate::verify;

#[cfg(test)]
mod tests;

/// Relative distance at which a proof is first tried above the approximate eigenvalue.
const MARGIN: f64 = 2.5e-7;

/// Most products of the Gram matrix with a vector for a proposal.
const PRODUCTS: usize = 100;

/// Operations of one step that cannot be interrupted, and bytes: those of a search.
const MAX_WORK: f64 = (1u64 << 43) as f64;
const MAX_BYTES: f64 = (8u64 << 30) as f64;

/// Proofs of λ_max(Bᵀdiag(κ)B) for one matrix B and any number of κ: what does not depend on κ is done
/// once.
pub(crate) struct Top<'a> {
    of: &'a Sparse,
    plan: Plan,
    /// Operations of a factorisation.
    cost: f64,
    /// The eigenvector found last, on the side of the plan: where the next proposal begins.
    warm: Option<Vec<f64>>,
}

/// How far to go, and when to stop short of it.
pub(crate) struct Effort<F> {
    /// Relative width of the eigenvalue at which a bisection ends.
    pub(crate) width: f64,
    /// Whether one more factorisation may follow so many.
    pub(crate) may_go_on: F,
}

/// What was proved of λ_max(Bᵀdiag(κ)B).
pub(crate) struct Proved {
    /// Its root is at most this times 2^`exponent`; ∞ where nothing is proved.
    pub(crate) root: f64,
    pub(crate) exponent: i32,
    /// An approximate eigenvector, on the side of the columns.
    pub(crate) vector: Vec<f64>,
}

#[cfg(test)]
impl Proved {
    /// It is at most this.
    fn upper(&self) -> f64 {
        rounding::scale_up(
            mul_up(self.root, self.root),
            self.exponent.saturating_mul(2),
        )
    }
}

/// Which Gram matrix is factorised.
enum Plan {
    /// BᵀDB.
    Columns(Band),
    /// D½BBᵀD½.
    Rows(Band),
    /// That of the smaller side, without a band: B is hardly sparse.
    Dense,
}

/// A banded Gram matrix AᵀA of a matrix A: where its entries are.
struct Band {
    /// Column of A to place in the order in which the band is narrow.
    place: Vec<u32>,
    shape: Panels,
    /// Rows of A with the same columns, which are multiplied at once.
    alike: Vec<Alike>,
    /// Most entries of a column of A: terms of an entry of AᵀA.
    terms: usize,
    half_width: usize,
}

/// Rows that have entries in the same columns.
struct Alike {
    rows: Vec<u32>,
    /// Places of the columns, ascending, and which entry of a row each is.
    places: Vec<(u32, u32)>,
}

impl<'a> Top<'a> {
    /// Chooses the side and the order of the unknowns by what they cost.
    pub(crate) fn new(of: &'a Sparse) -> Result<Self, Error> {
        let transposed = of.transpose();
        let (columns, rows) = (Order::new(of), Order::new(&transposed));
        let (small, large) = (of.rows().min(of.cols()), of.rows().max(of.cols()));
        let (small, large) = (small as f64, large as f64);
        let dense = (
            small * small * (large + small),
            8.0 * (small * large + 3.0 * small * small),
        );
        let banded = columns.cost().min(rows.cost());
        let plan = if dense.0 < banded && dense.0 <= MAX_WORK && dense.1 <= MAX_BYTES {
            Plan::Dense
        } else if columns.cost() <= rows.cost() {
            columns.check(of)?;
            Plan::Columns(Band::new(of, columns))
        } else {
            rows.check(of)?;
            Plan::Rows(Band::new(&transposed, rows))
        };
        let cost = match plan {
            Plan::Dense => dense.0,
            Plan::Columns(_) | Plan::Rows(_) => banded,
        };
        Ok(Self {
            of,
            plan,
            cost,
            warm: None,
        })
    }

    /// About how many operations a proof takes.
    pub(crate) fn cost(&self) -> f64 {
        self.cost
    }

    /// A proved m ≥ λ_max(Bᵀdiag(κ)B), within 1 + 5·10⁻⁷ of it, for κ ≥ 0, one per row; ∞ where a κ is
    /// negative or not finite.
    pub(crate) fn prove(&mut self, kappa: &[f64]) -> Proved {
        self.prove_with(
            kappa,
            &Effort {
                width: MARGIN,
                may_go_on: |_| true,
            },
        )
    }

    /// The same with limits; the cheap norms bound what is left unproved.
    pub(crate) fn prove_with(
        &mut self,
        kappa: &[f64],
        effort: &Effort<impl Fn(u64) -> bool>,
    ) -> Proved {
        rounding::assert_ieee();
        assert_eq!(kappa.len(), self.of.rows(), "one weight a row");
        if !kappa.iter().all(|&k| k >= 0.0 && k.is_finite()) {
            return Proved {
                root: f64::INFINITY,
                exponent: 0,
                vector: vec![0.0; self.of.cols()],
            };
        }
        let weighted = self.of.weighted(kappa);
        let (square, vector) = if weighted.is_zero() {
            (0.0, vec![0.0; self.of.cols()])
        } else {
            self.square(&weighted, effort)
        };
        let root = if square > 0.0 {
            sqrt_up(square)
        } else {
            square
        };
        let slack = weighted.slack();
        let root = if slack > 0.0 {
            add_up(root, slack)
        } else {
            root + slack
        };
        let exponent = weighted.exponent();
        Proved {
            root: if root >= 0.0 { root } else { f64::INFINITY },
            exponent,
            vector,
        }
    }

    /// ‖Ĉ‖₂² from above for the entries of C as they are stored, and a vector that nearly attains it.
    fn square(&mut self, of: &Sparse, effort: &Effort<impl Fn(u64) -> bool>) -> (f64, Vec<f64>) {
        let cheap = of.cheap_square();
        let (square, vector) = match &self.plan {
            Plan::Columns(band) => {
                let found = band.square(of, cheap, self.warm.as_deref(), effort);
                let vector = found.1.clone();
                self.warm = Some(found.1);
                (found.0, vector)
            }
            Plan::Rows(band) => {
                let found = band.square(&of.transpose(), cheap, self.warm.as_deref(), effort);
                let vector = of.apply_transposed(&found.1);
                self.warm = Some(found.1);
                (found.0, vector)
            }
            Plan::Dense if (effort.may_go_on)(0) => dense_square(of),
            Plan::Dense => (cheap, vec![0.0; of.cols()]),
        };
        // A NaN of the cheap bound is none of a proof.
        (if cheap < square { cheap } else { square }, vector)
    }
}

/// By [`verify::matrix_norm`] of the rows that are not 0.
fn dense_square(of: &Sparse) -> (f64, Vec<f64>) {
    let rows: Vec<usize> = (0..of.rows())
        .filter(|&row| of.values(row).iter().any(|v| v.abs() > 0.0))
        .collect();
    let mut matrix = Mat::zeros(of.cols(), rows.len());
    for (at, &row) in rows.iter().enumerate() {
        let column = matrix.col_as_slice_mut(at);
        for (&c, &v) in of.columns(row).iter().zip(of.values(row)) {
            column[c as usize] = v;
        }
    }
    let norm = verify::matrix_norm(matrix.as_ref());
    let vector = if norm.vector.len() == of.cols() && of.cols() <= rows.len() {
        norm.vector
    } else {
        let mut image = vec![0.0; of.cols()];
        linalg::product(
            linalg::column_mut(&mut image),
            matrix.as_ref(),
            linalg::column(&norm.vector),
        );
        image
    };
    (mul_up(norm.upper, norm.upper), vector)
}

/// An order of the columns of a matrix A, and what the Gram matrix AᵀA costs in it.
struct Order {
    place: Vec<u32>,
    half_width: usize,
    shape: Panels,
    form: f64,
}

impl Order {
    /// The one with the narrowest band of a few.
    fn new(of: &Sparse) -> Self {
        let mut best: Option<(usize, Vec<u32>)> = None;
        for place in orders(of.col_image()) {
            let width = half_width(of, &place);
            if best.as_ref().is_none_or(|best| width < best.0) {
                best = Some((width, place));
            }
        }
        let (half_width, place) = best.unwrap_or_default();
        let squares = (0..of.rows()).map(|row| (of.columns(row).len() as f64).powi(2));
        Self {
            shape: Panels::new(place.len(), half_width),
            half_width,
            place,
            form: squares.sum(),
        }
    }

    /// Multiplications of one Gram matrix, its products with vectors and one factorisation.
    fn cost(&self) -> f64 {
        let (n, height) = (self.place.len() as f64, self.shape.height as f64);
        self.form + n * height * (height + 2.0 * PRODUCTS as f64)
    }

    /// Refuses what is too much before anything is allocated.
    fn check(&self, of: &Sparse) -> Result<(), Error> {
        let bytes = 16.0 * self.shape.len() + 36.0 * of.len() as f64;
        if self.cost() <= MAX_WORK && bytes <= MAX_BYTES {
            return Ok(());
        }
        Err(Error::too_large(
            format!(
                "the Gram matrix of this {}×{} matrix has order {} and a half-bandwidth of {}, which \
                 takes {:.1e} operations and {:.1} GiB",
                of.rows(),
                of.cols(),
                self.place.len(),
                self.half_width,
                self.cost(),
                bytes / f64::from(1 << 30),
            ),
            "10^13 operations and 8 GiB",
        ))
    }
}

/// Orders in which a convolution's Gram matrix may have a narrow band, as the place of every entry: the
/// longest axis outermost, with the channels of a pixel together or apart, and with the two ends of that
/// axis side by side where it may be periodic.
fn orders(image: Image) -> Vec<Vec<u32>> {
    let [a, b, c] = image.size;
    let lengths = [image.groups, image.channels, a, b, c];
    let mut long = [2, 3, 4];
    long.sort_by_key(|&axis| std::cmp::Reverse(lengths[axis]));
    let [p, q, r] = long;
    let mut orders: Vec<Vec<u32>> = Vec::new();
    for axes in [[0, p, q, r, 1], [0, 1, p, q, r], [p, q, r, 0, 1]] {
        for folded in [false, true] {
            let mut steps = [0; 5];
            let mut step = 1;
            for &axis in axes.iter().rev() {
                steps[axis] = step;
                step *= lengths[axis];
            }
            let mut place = Vec::with_capacity(image.len());
            let mut index = [0; 5];
            for _ in 0..image.len() {
                let mut at = 0;
                for axis in 0..5 {
                    let (x, n) = (index[axis], lengths[axis]);
                    let digit = match (folded && axis == p, x < n.div_ceil(2)) {
                        (false, _) => x,
                        (true, true) => 2 * x,
                        (true, false) => 2 * (n - 1 - x) + 1,
                    };
                    at += digit * steps[axis];
                }
                place.push(at as u32);
                for axis in (0..5).rev() {
                    index[axis] += 1;
                    if index[axis] < lengths[axis] {
                        break;
                    }
                    index[axis] = 0;
                }
            }
            if !orders.contains(&place) {
                orders.push(place);
            }
        }
    }
    orders
}

/// Largest distance of two places in a row.
fn half_width(of: &Sparse, place: &[u32]) -> usize {
    (0..of.rows())
        .map(|row| {
            let ends = of.columns(row).iter().fold((u32::MAX, 0), |ends, &c| {
                let at = place[c as usize];
                (at.min(ends.0), at.max(ends.1))
            });
            ends.1.saturating_sub(ends.0) as usize
        })
        .max()
        .unwrap_or(0)
}

impl Band {
    fn new(of: &Sparse, order: Order) -> Self {
        let mut found: HashMap<&[u32], usize> = HashMap::new();
        let mut alike: Vec<Alike> = Vec::new();
        for row in 0..of.rows() {
            let columns = of.columns(row);
            if columns.is_empty() {
                continue;
            }
            let at = *found.entry(columns).or_insert(alike.len());
            if at == alike.len() {
                let mut places: Vec<(u32, u32)> = columns
                    .iter()
                    .zip(0..)
                    .map(|(&c, entry)| (order.place[c as usize], entry))
                    .collect();
                places.sort_unstable();
                alike.push(Alike {
                    rows: Vec::new(),
                    places,
                });
            }
            alike[at].rows.push(row as u32);
        }
        Self {
            terms: of.most_entries().1,
            place: order.place,
            shape: order.shape,
            half_width: order.half_width,
            alike,
        }
    }

    fn order(&self) -> usize {
        self.place.len()
    }

    /// λ_max(AᵀA) from above, at most `cheap`, and an approximate eigenvector, for a matrix A with the
    /// entries that this was made for.
    fn square(
        &self,
        a: &Sparse,
        cheap: f64,
        warm: Option<&[f64]>,
        effort: &Effort<impl Fn(u64) -> bool>,
    ) -> (f64, Vec<f64>) {
        let gram = self.gram(a);
        let (guess, vector) = self.propose(&gram, warm, effort.width);
        // |Ĝ − G| ≤ γ·|A|ᵀ|A| entrywise; what underflows is in the shift.
        let error = mul_up(gamma(self.terms + 2), cheap);
        let proof = Proof {
            gram: &gram,
            shape: &self.shape,
            inner: self.half_width + 1,
            error,
        };
        let upper = proof.at_most(guess, cheap, effort);
        let natural = self.place.iter().map(|&at| vector[at as usize]).collect();
        (upper, natural)
    }

    /// The lower half of the band of AᵀA.
    fn gram(&self, a: &Sparse) -> Vec<f64> {
        let mut gram = self.shape.zeros();
        for group in &self.alike {
            let (entries, rows) = (group.places.len(), group.rows.len());
            let mut block = Mat::zeros(entries, rows);
            for (at, &row) in group.rows.iter().enumerate() {
                let values = a.values(row as usize);
                let column = block.col_as_slice_mut(at);
                for (x, &(_, entry)) in column.iter_mut().zip(&group.places) {
                    *x = values[entry as usize];
                }
            }
            let products = linalg::gram(block.as_ref());
            for (j, &(column, _)) in group.places.iter().enumerate() {
                let of_column = self.shape.column_mut(&mut gram, column as usize);
                let products = &products.col_as_slice(j)[j..];
                for (&(row, _), product) in group.places[j..].iter().zip(products) {
                    of_column[(row - column) as usize] += product;
                }
            }
        }
        gram
    }

    /// An approximate largest eigenvalue and its vector, in the order of the band.
    fn propose(&self, gram: &[f64], warm: Option<&[f64]>, width: f64) -> (f64, Vec<f64>) {
        let n = self.order();
        let mut start = krylov::quasi_random(n, 7);
        if let Some(warm) = warm {
            // With something of every direction, should the eigenvector have turned.
            krylov::normalise(&mut start);
            for (&at, x) in self.place.iter().zip(warm) {
                start[at as usize] = x + 0.1 * start[at as usize];
            }
        }
        let tolerance = (1e-2 * width).clamp(1e-13, 1e-8);
        let ritz = krylov::lanczos(&start, PRODUCTS, tolerance, |x, y| {
            self.shape.product(gram, x, y);
        });
        // No eigenvalue is the largest that is below an entry of the diagonal.
        let diagonal = (0..n).map(|i| self.shape.column(gram, i)[0]);
        (diagonal.fold(ritz.value, f64::max), ritz.vector)
    }
}

/// "λ_max(G) ≤ t" for a banded Ĝ with ‖G − Ĝ‖₂ ≤ `error`.
struct Proof<'a> {
    gram: &'a [f64],
    shape: &'a Panels,
    inner: usize,
    error: f64,
}

impl Proof<'_> {
    fn shift(&self, t: f64) -> f64 {
        verify::banded_shift(self.shape.order, self.inner, t, self.error)
    }

    /// Whether λ_max(G) ≤ t is proved (T17 with `inner`).
    fn holds(&self, t: f64, factor: &mut [f64]) -> bool {
        let diagonal = sub_down(t, self.shift(t));
        if !(diagonal > 0.0 && diagonal.is_finite()) {
            return false;
        }
        for (x, g) in factor.iter_mut().zip(self.gram) {
            *x = -g;
        }
        for i in 0..self.shape.order {
            self.shape.column_mut(factor, i)[0] += diagonal;
        }
        self.shape.completes(factor)
    }

    /// The smallest t found with a proof: just above `guess`; if that is none, it widens and then
    /// bisects, so that it is tight whatever `guess` is worth. At most `cheap`, which needs no proof.
    fn at_most(&self, guess: f64, cheap: f64, effort: &Effort<impl Fn(u64) -> bool>) -> f64 {
        let room = 2.0 * self.shift(cheap.min(2.0 * guess));
        let mut factor = self.shape.zeros();
        let mut tests = 0;
        let mut holds = |t: f64| {
            tests += 1;
            (effort.may_go_on)(tests - 1).then(|| self.holds(t, &mut factor))
        };
        let (mut low, mut high) = (guess, cheap);
        let mut step = MARGIN.min(effort.width);
        loop {
            let t = add_up(mul_up(guess, 1.0 + step), room);
            if !(t < high) {
                break;
            }
            match holds(t) {
                None => return high,
                Some(true) => {
                    high = t;
                    break;
                }
                Some(false) => low = t,
            }
            step *= 4.0;
        }
        while high - low > effort.width * high + 2.0 * room {
            let middle = low + 0.5 * (high - low);
            match holds(middle) {
                None => break,
                Some(true) => high = middle,
                Some(false) => low = middle,
            }
        }
        high
    }
}

/// The lower half of a symmetric banded matrix, by panels: `width` columns, dense, with the rows from
/// their first down to the end of the band, column-major. What is outside of the band is 0, and the last
/// panel is filled up with columns of the identity.
struct Panels {
    order: usize,
    width: usize,
    height: usize,
}

impl Panels {
    fn new(order: usize, half_width: usize) -> Self {
        let width = if half_width < 192 { 32 } else { 64 };
        let full = order.next_multiple_of(width);
        let height = (width + half_width.next_multiple_of(width)).min(full);
        Self {
            order,
            width,
            height,
        }
    }

    fn panels(&self) -> usize {
        self.order.div_ceil(self.width)
    }

    /// Number of values.
    fn len(&self) -> f64 {
        (self.panels() * self.width) as f64 * self.height as f64
    }

    fn zeros(&self) -> Vec<f64> {
        vec![0.0; self.panels() * self.width * self.height]
    }

    /// Column j from the diagonal down.
    fn column<'a>(&self, values: &'a [f64], j: usize) -> &'a [f64] {
        &values[j * self.height + j % self.width..(j + 1) * self.height]
    }

    fn column_mut<'a>(&self, values: &'a mut [f64], j: usize) -> &'a mut [f64] {
        &mut values[j * self.height + j % self.width..(j + 1) * self.height]
    }

    /// y = Ax.
    fn product(&self, values: &[f64], x: &[f64], y: &mut [f64]) {
        y.fill(0.0);
        for j in 0..self.order {
            let column = self.column(values, j);
            let below = (column.len() - 1).min(self.order - j - 1);
            let column = &column[..=below];
            y[j] += column[0] * x[j] + krylov::dot(&column[1..], &x[j + 1..=j + below]);
            krylov::axpy(x[j], &column[1..], &mut y[j + 1..=j + below]);
        }
    }

    /// Whether the Cholesky factorisation runs to completion with positive, finite pivots. Overwrites
    /// the values by the factor.
    fn completes(&self, values: &mut [f64]) -> bool {
        let (width, height, panels) = (self.width, self.height, self.panels());
        for j in self.order..panels * width {
            self.column_mut(values, j)[0] = 1.0;
        }
        let mut workspace = Cholesky::new::<f64>(width);
        for p in 0..panels {
            let rows = height.min((panels - p) * width);
            let (panel, rest) = values[p * width * height..].split_at_mut(width * height);
            let panel = MatMut::from_column_major_slice_with_stride_mut(panel, rows, width, height);
            let (mut diagonal, mut below) = panel.split_at_row_mut(width);
            if !workspace.completes(diagonal.as_mut()) {
                return false;
            }
            if rows == width {
                continue;
            }
            linalg::divide_by_factor(below.as_mut(), diagonal.as_ref());
            let below = below.as_ref();
            for (q, later) in rest.chunks_exact_mut(width * height).enumerate() {
                let first = q * width;
                if first + width >= rows {
                    break;
                }
                let lower = below.subrows(first, rows - width - first);
                let later = MatMut::from_column_major_slice_with_stride_mut(
                    later,
                    lower.nrows(),
                    width,
                    height,
                );
                linalg::subtract_outer(later, lower, lower.subrows(0, width));
            }
        }
        true
    }
}

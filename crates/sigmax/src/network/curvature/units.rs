//! [`Units`]: activations that read affine functions of the input, and what lies behind them is affine
//! (T34).

use rayon::prelude::*;

use crate::linalg::Mat;
use crate::network::curvature::kappa::{Factor, kappa};
use crate::network::eval::gradient::{Inexactly, Path, Seed};
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::rounding::{add_up, exponent, ldexp, mul_up, scale_up, sqrt_up};
use crate::verify::{CheapNorms, matrix_norm};

/// Most entries of the Jacobian of the units.
const MAX_ENTRIES: usize = 1 << 26;
/// Most products of all proofs.
const MAX_WORK: f64 = (1u64 << 42) as f64;
/// Columns that are computed together.
const BLOCK: usize = 64;

/// The units of a network with one layer of activations.
pub(crate) struct Units {
    inputs: usize,
    /// Per unit, the range of σ''.
    ranges: Vec<(f64, f64)>,
    /// Per class, ∂z/∂h for every unit.
    factors: Vec<Inexactly>,
    /// The Jacobian of what the units read, in units of 2^exponent: columns of (unit, entry).
    columns: Vec<Vec<(u32, f64)>>,
    exponent: i32,
    /// Its ℓ₂ error, in the same units.
    error: f64,
}

impl Units {
    /// The units, where their Jacobian and the proofs of all pairs are affordable; `factors` are those
    /// of all units together, per class.
    pub(crate) fn new(network: &Network, path: &Path<'_>, factors: Vec<Inexactly>) -> Option<Self> {
        let activations: Vec<NodeId> = path.activations().collect();
        let read: Vec<NodeId> = activations
            .iter()
            .map(|id| network.node(*id).inputs[0])
            .collect();
        let inputs = network.input().len();
        let units: usize = activations.iter().map(|id| network.node(*id).len()).sum();
        if units.checked_mul(inputs)? > MAX_ENTRIES {
            return None;
        }
        let side = units.min(inputs) as f64;
        let work = side * side * units.max(inputs) as f64 / 2.0 + side * side * side / 3.0;
        let pairs = (factors.len() * factors.len()) as f64;
        if work * pairs > MAX_WORK {
            return None;
        }
        let mut ranges = Vec::with_capacity(units);
        for id in &activations {
            let Op::Activation(activation) = &network.node(*id).op else {
                return None;
            };
            let range = activation.curvature().ok()?;
            ranges.extend(std::iter::repeat_n(range, network.node(*id).len()));
        }
        let blocks: Vec<usize> = (0..inputs).step_by(BLOCK).collect();
        let found: Vec<(Vec<(u32, f64)>, f64)> = blocks
            .into_par_iter()
            .flat_map_iter(|start| {
                let block = path.columns(start..(start + BLOCK).min(inputs), &read);
                let count = block.first().map_or(0, Vec::len);
                (0..count)
                    .map(move |column| gathered(&block, column))
                    .collect::<Vec<_>>()
            })
            .collect();
        let largest = found.iter().flat_map(|(column, _)| column);
        let largest = largest.fold(0.0f64, |m, &(_, v)| if v.abs() <= m { m } else { v.abs() });
        if !largest.is_finite() {
            return None;
        }
        let exponent = if largest > 0.0 { exponent(largest) } else { 0 };
        // Columns are orthogonal directions of the input: ‖E‖₂² ≤ Σ‖E e_j‖².
        let mut squares = 0.0;
        let mut columns = Vec::with_capacity(inputs);
        for (mut column, error) in found {
            let error = scale_up(error, -exponent);
            squares = add_up(squares, add_up(mul_up(error, error), 1e-300));
            for (_, value) in &mut column {
                // Exact, or smaller than 2⁻¹⁰⁷⁴.
                *value = ldexp(*value, -exponent);
            }
            columns.push(column);
        }
        let tiny = units as f64 * inputs as f64 * 1e-320;
        Some(Self {
            inputs,
            ranges,
            factors,
            columns,
            exponent,
            error: add_up(sqrt_up(squares), tiny),
        })
    }

    /// An upper bound of λ_max(−∇²f) over all x, f = z_plus − z_minus (or z_plus alone): f plus half
    /// of it times ‖x‖² is convex. With `sign` −1, of −f.
    pub(crate) fn concavity(&self, plus: usize, minus: Option<usize>, sign: f64) -> f64 {
        let plus = &self.factors[plus];
        let minus = minus.map(|minus| &self.factors[minus]);
        let errors = add_up(plus.error, minus.map_or(0.0, |minus| minus.error));
        let kappas: Vec<f64> = self
            .ranges
            .iter()
            .enumerate()
            .map(|(i, &range)| {
                let minus = minus.map_or(0.0, |minus| minus.values[i]);
                let factor = Factor::difference(sign * plus.values[i], sign * minus, errors);
                kappa(factor, range)
            })
            .collect();
        self.weighted_square(&kappas)
    }

    /// λ_max(BᵀKB) from above, B the Jacobian and K the diagonal of `kappas` ≥ 0.
    fn weighted_square(&self, kappas: &[f64]) -> f64 {
        let largest = kappas
            .iter()
            .fold(0.0f64, |m, &k| if k <= m { m } else { k });
        if !largest.is_finite() {
            return f64::INFINITY;
        }
        if largest <= 0.0 || self.columns.iter().all(Vec::is_empty) && self.error <= 0.0 {
            return 0.0;
        }
        let scale = exponent(largest);
        // Roots from above make K, and so the eigenvalue, larger.
        let roots: Vec<f64> = kappas
            .iter()
            .map(|&k| {
                if k > 0.0 {
                    sqrt_up(scale_up(k, -scale))
                } else {
                    0.0
                }
            })
            .collect();
        let mut place = vec![u32::MAX; roots.len()];
        let mut rows = 0;
        for (place, &root) in place.iter_mut().zip(&roots) {
            if root > 0.0 {
                *place = rows;
                rows += 1;
            }
        }
        let mut weighted = Mat::<f64>::zeros(rows as usize, self.inputs);
        for (j, column) in self.columns.iter().enumerate() {
            for &(unit, value) in column {
                let row = place[unit as usize];
                if row != u32::MAX {
                    weighted[(row as usize, j)] = roots[unit as usize] * value;
                }
            }
        }
        let norm = matrix_norm(weighted.as_ref()).upper;
        // One rounding in each entry, or 2⁻¹⁰⁷⁴; roots are at most 1 and a bit.
        let size = sqrt_up(CheapNorms::of(weighted.as_ref()).smaller());
        let rounding = add_up(
            mul_up(2.3e-16, size),
            roots.len() as f64 * self.inputs as f64 * 1e-320,
        );
        let norm = add_up(norm, add_up(rounding, mul_up(1.000_001, self.error)));
        let square = mul_up(norm, norm);
        scale_up(square, scale.saturating_add(2 * self.exponent))
    }
}

/// The entries of a column at all activations, which are not 0, and the ℓ₂ error of all of them.
fn gathered(block: &[Vec<Inexactly>], column: usize) -> (Vec<(u32, f64)>, f64) {
    let (mut entries, mut first, mut squares) = (Vec::new(), 0, 0.0);
    for node in block {
        let found = &node[column];
        for (i, &value) in found.values.iter().enumerate() {
            if value != 0.0 {
                entries.push(((first + i) as u32, value));
            }
        }
        first += found.values.len();
        squares = add_up(squares, add_up(mul_up(found.error, found.error), 1e-300));
    }
    (entries, sqrt_up(squares))
}

/// The derivative of every logit by all units together.
pub(crate) fn factors(path: &Path<'_>, classes: usize) -> Vec<Inexactly> {
    let activations: Vec<NodeId> = path.activations().collect();
    let seeds: Vec<Seed> = (0..classes)
        .map(|plus| Seed {
            sample: 0,
            plus,
            minus: None,
        })
        .collect();
    let found = path.cotangents(&[], &seeds, &activations);
    (0..classes)
        .map(|class| {
            let (mut values, mut squares) = (Vec::new(), 0.0);
            for node in &found {
                values.extend(&node[class].values);
                let error = node[class].error;
                squares = add_up(squares, add_up(mul_up(error, error), 1e-300));
            }
            Inexactly {
                values,
                error: sqrt_up(squares),
            }
        })
        .collect()
}

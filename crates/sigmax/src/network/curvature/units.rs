//! [`Units`]: activations that read affine functions of the input, and what lies behind them is affine
//! (T34).

use rayon::prelude::*;

use crate::banded::Top;
use crate::error::Error;
use crate::network::curvature::kappa::{Factor, kappa};
use crate::network::eval::gradient::{Inexactly, Path, Seed};
use crate::network::graph::{Network, Node, NodeId};
use crate::network::op::Op;
use crate::rounding::{add_up, larger, mul_up, scale_up, sqrt_up};
use crate::sparse::{Image, Sparse};

/// Most entries of the Jacobian of the units, and most products to compute it.
const MAX_ENTRIES: usize = 1 << 26;
const MAX_PRODUCTS: f64 = (1u64 << 41) as f64;
/// Most products of all proofs.
const MAX_WORK: f64 = (1u64 << 42) as f64;
/// Columns that are computed together.
const BLOCK: usize = 64;

/// The units of a network with one layer of activations.
pub(crate) struct Units {
    /// Per unit, the range of σ''.
    ranges: Vec<(f64, f64)>,
    /// Per class, ∂z/∂h for every unit.
    factors: Vec<Inexactly>,
    /// The Jacobian of what the units read, one a row.
    matrix: Sparse,
    /// Its ℓ₂ error, beside that of the matrix.
    error: f64,
}

/// Proofs, one after the other: each begins where the last one ended.
pub(crate) struct Prover<'u> {
    units: &'u Units,
    top: Top<'u>,
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
        let products: usize = network.nodes().iter().map(Node::products).sum();
        if inputs as f64 * products as f64 > MAX_PRODUCTS {
            return None;
        }
        let mut ranges = Vec::new();
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
        if found.iter().map(|(column, _)| column.len()).sum::<usize>() > MAX_ENTRIES {
            return None;
        }
        // Columns are the images of orthogonal directions: ‖E‖₂² ≤ Σ‖E·e_j‖².
        let mut squares = 0.0;
        let mut rows: Vec<Vec<(usize, f64)>> = ranges.iter().map(|_| Vec::new()).collect();
        for (j, (column, error)) in found.into_iter().enumerate() {
            squares = add_up(squares, add_up(mul_up(error, error), 1e-300));
            for (unit, value) in column {
                rows[unit as usize].push((j, value));
            }
        }
        let image = Image::of_shape(&network.input().shape);
        let matrix = Sparse::from_rows(Image::line(ranges.len()), image, rows);
        let pairs = (factors.len() * factors.len()) as f64;
        let affordable = Top::new(&matrix).is_ok_and(|top| top.cost() * pairs <= MAX_WORK);
        affordable.then_some(Self {
            ranges,
            factors,
            matrix,
            error: sqrt_up(squares),
        })
    }

    /// Ready for proofs.
    pub(crate) fn prover(&self) -> Result<Prover<'_>, Error> {
        Ok(Prover {
            units: self,
            top: Top::new(&self.matrix)?,
        })
    }

    /// κ of every unit, f = z_plus − z_minus (or z_plus alone) times `sign`.
    fn kappas(&self, plus: usize, minus: Option<usize>, sign: f64) -> Vec<f64> {
        let plus = &self.factors[plus];
        let minus = minus.map(|minus| &self.factors[minus]);
        let errors = add_up(plus.error, minus.map_or(0.0, |minus| minus.error));
        self.ranges
            .iter()
            .enumerate()
            .map(|(i, &range)| {
                let minus = minus.map_or(0.0, |minus| minus.values[i]);
                let factor = Factor::difference(sign * plus.values[i], sign * minus, errors);
                kappa(factor, range)
            })
            .collect()
    }
}

impl Prover<'_> {
    /// An upper bound of λ_max(−∇²f) over all x, f = z_plus − z_minus (or z_plus alone) times `sign`: f
    /// plus half of it times ‖x‖² is convex.
    pub(crate) fn concavity(&mut self, plus: usize, minus: Option<usize>, sign: f64) -> f64 {
        let kappas = self.units.kappas(plus, minus, sign);
        let largest = kappas.iter().copied().fold(0.0, larger);
        let proved = self.top.prove(&kappas);
        // ‖√K·(W − Ŵ)‖ ≤ max √κ·‖W − Ŵ‖.
        let norm = scale_up(proved.root, proved.exponent);
        let norm = match largest > 0.0 {
            true => add_up(norm, mul_up(sqrt_up(largest), self.units.error)),
            false => norm,
        };
        mul_up(norm, norm)
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

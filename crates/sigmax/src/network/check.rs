//! Confirms bounds that somebody states, by other means than those that found them.
//!
//! Norms are confirmed on a plain grid of frequencies (T15) by floating-point Cholesky
//! factorisations (T17): no search, no ascent, no branch and bound. Everything else is computed anew
//! from the stated constants of earlier nodes.

use rayon::prelude::*;

use crate::bound::gram::grid_factor;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::linalg::{Cholesky, Mat, c64};
use crate::network::bounds::{Lipschitz, NodeBound, Rule};
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::network::rule::block::as_one;
use crate::network::rule::chain::own_by_rule;
use crate::network::rule::slack::CERTIFICATE_SLACK;
use crate::network::rule::through_by_rule;
use crate::rounding::{self, div_down, mul_down, scale_down, sub_down};
use crate::symbol::Lattice;
use crate::symbol::autocorrelation::{Autocorrelation, half_grid, unpack};
use crate::verify;

/// Most frequencies of a grid.
const MAX_GRID: usize = 1 << 24;

/// What somebody states about a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StatedBound {
    /// Lipschitz constant of the node alone.
    pub own: f64,
    /// Lipschitz constant from the input to the node.
    pub through: f64,
    /// Where a group of nodes that ends here and is taken together starts.
    pub together_from: Option<NodeId>,
}

/// Confirms bounds stated for every node of a network, and returns them as proved ones.
///
/// # Guarantee
/// What is returned is proved, whatever was stated.
///
/// # Errors
/// [`Error::Node`] for the first node about which something is not confirmed: it may be wrong, or
/// too tight for the grid (bounds of a [`Certifier`](crate::network::Certifier) are not).
///
/// # Source
/// T15, T17, T21 to T26.
pub fn confirm_bounds(network: &Network, stated: &[StatedBound]) -> Result<Lipschitz, Error> {
    let refuse = |index: usize, reason: String| Error::Node {
        node: network.nodes[index].name.clone(),
        reason,
    };
    if stated.len() != network.nodes.len() {
        return Err(refuse(
            0,
            format!(
                "bounds are stated for {} nodes; the network has {}",
                stated.len(),
                network.nodes.len()
            ),
        ));
    }
    let confirm = |index: usize, holds: bool, what: &str, value: f64| {
        if holds {
            return Ok(());
        }
        let reason = format!("{what} is stated as {value}, which is not confirmed");
        Err(refuse(index, reason))
    };
    let mut nodes: Vec<NodeBound> = Vec::new();
    for (i, node) in network.nodes.iter().enumerate() {
        let holds = own_holds(network, i, stated[i].own)?;
        confirm(i, holds, "its own constant", stated[i].own)?;
        let own = Upper::claim(stated[i].own);
        let through = Upper::claim(stated[i].through);
        let (holds, rule) = match stated[i].together_from {
            None => {
                let (least, rule) = through_by_rule(network, node, own, &nodes);
                (through >= least, rule)
            }
            Some(start) => (
                together_holds(network, start, i, &nodes, stated[i].through)?,
                Rule::Fused(start),
            ),
        };
        let what = "the constant from the input to it";
        confirm(i, holds, what, stated[i].through)?;
        nodes.push(NodeBound { own, through, rule });
    }
    Ok(Lipschitz::of(network, nodes))
}

/// Whether the constant of a node alone is at most `bound`.
fn own_holds(network: &Network, index: usize, bound: f64) -> Result<bool, Error> {
    match &network.nodes[index].op {
        Op::Conv { kernel, conv, .. } => norm_holds(kernel, conv, bound),
        Op::Dense { kernel, .. } => norm_holds(kernel, &Conv::new(0), bound),
        _ => Ok(own_by_rule(network, index)?.get() <= bound),
    }
}

/// Whether the nodes from `start` to `index` together have a constant that gives `through`.
fn together_holds(
    network: &Network,
    start: NodeId,
    index: usize,
    nodes: &[NodeBound],
    through: f64,
) -> Result<bool, Error> {
    let Some(map) = as_one(network, start, NodeId(index)) else {
        return Ok(false);
    };
    let before = nodes[network.nodes[start.0].inputs[0].0].through.get();
    if before <= 0.0 {
        return Ok(true);
    }
    let bound = sub_down(div_down(through, before), map.error_bound());
    norm_holds(map.kernel(), map.conv(), bound)
}

/// Whether the layer's norm is at most `bound`: every frequency of a grid, with its factor.
fn norm_holds(kernel: &Kernel, conv: &Conv, bound: f64) -> Result<bool, Error> {
    let lattice = Lattice::new(kernel, conv)?;
    if kernel.is_zero() {
        return Ok(bound >= 0.0);
    }
    let axes = lattice.k.iter().filter(|&&k| k > 1).count();
    let extent = lattice.k.iter().copied().max().unwrap_or(1);
    // cos(x)^m ≥ 1 − mx²/2 with x = π(k − 1)/(2N): half of the slack is for the grid.
    let fine = std::f64::consts::PI / 2.0 * ((axes as f64) / CERTIFICATE_SLACK).sqrt();
    let grid = (fine * (extent - 1) as f64).ceil() as usize + 1;
    if grid.checked_pow(axes as u32).is_none_or(|n| n > MAX_GRID) {
        return Err(Error::TooLarge(format!(
            "a grid of {grid} frequencies on {axes} axes; at most 2^24 in all"
        )));
    }
    let layer = div_down(bound, conv.padding_factor());
    let scaled = scale_down(layer, -lattice.exponent);
    let target = div_down(scaled, grid_factor(&lattice.k, grid));
    let square = mul_down(target, target);
    for group in 0..lattice.groups {
        let of = Autocorrelation::new(&lattice.tap_matrices(group))?;
        let holds = half_grid(grid, of.k.len()).par_chunks(64).all(|at| {
            rounding::assert_ieee();
            let (re, im) = of.negated_grams(at);
            let mut cholesky = Cholesky::new::<c64>(of.n);
            let mut gram = Mat::zeros(of.n, of.n);
            (0..at.len()).all(|j| {
                unpack(re.col_as_slice(j), im.col_as_slice(j), &mut gram);
                verify::hermitian_at_most(gram.as_mut(), of.error, square, &mut cholesky)
            })
        });
        if !holds {
            return Ok(false);
        }
    }
    Ok(true)
}

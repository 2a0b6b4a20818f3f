//! Confirms bounds that somebody states, by other means than those that found them.
//!
//! Norms are confirmed on a cover of the frequencies that is closed at the stated number (T16) by
//! floating-point Cholesky factorisations (T17): no search, no ascent, nothing that was found before
//! but the number. Everything else is computed anew from the stated constants of earlier nodes.

mod cover;

use std::time::Instant;

use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::{Error, Misfit};
use crate::network::bounds::{Lipschitz, NodeBound, Rule};
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::network::rule::block::as_one;
use crate::network::rule::chain::own_by_rule;
use crate::network::rule::through_by_rule;
use crate::rounding::{div_down, sub_down};

use cover::norm_holds;

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
/// too tight to be confirmed (bounds of a [`Certifier`](crate::network::Certifier) are not).
///
/// # Source
/// T16, T17, T20 to T26, T43.
pub fn confirm_bounds(network: &Network, stated: &[StatedBound]) -> Result<Lipschitz, Error> {
    confirm_bounds_until(network, stated, None)
}

/// The same until a point in time, if there is one.
///
/// # Errors
/// As [`confirm_bounds`]; [`Error::OutOfTime`].
pub fn confirm_bounds_until(
    network: &Network,
    stated: &[StatedBound],
    deadline: Option<Instant>,
) -> Result<Lipschitz, Error> {
    network.check_exact()?;
    let refuse = |index: usize, reason| Error::node(&network.nodes[index].name, reason);
    if stated.len() != network.nodes.len() {
        let (stated, nodes) = (stated.len(), network.nodes.len());
        return Err(refuse(0, Misfit::StatedNodes { stated, nodes }));
    }
    let confirm = |index: usize, holds: bool, what: &'static str, value: f64| {
        if holds {
            return Ok(());
        }
        Err(refuse(index, Misfit::NotConfirmed { what, value }))
    };
    let mut nodes: Vec<NodeBound> = Vec::new();
    for (i, node) in network.nodes.iter().enumerate() {
        let holds = own_holds(network, i, stated[i].own, deadline)?;
        confirm(i, holds, "its own constant", stated[i].own)?;
        let own = Upper::claim(stated[i].own);
        let through = Upper::claim(stated[i].through);
        let (holds, rule) = match stated[i].together_from {
            None => {
                let (least, rule) = through_by_rule(network, node, own, &nodes);
                (through >= least, rule)
            }
            Some(start) => (
                together_holds(network, start, i, &nodes, stated[i].through, deadline)?,
                Rule::Fused(start),
            ),
        };
        let what = "the constant from the input to it";
        let holds = holds && stated[i].through >= 0.0;
        confirm(i, holds, what, stated[i].through)?;
        nodes.push(NodeBound { own, through, rule });
    }
    Ok(Lipschitz::of(network, nodes))
}

/// Whether the constant of a node alone is at most `bound`.
fn own_holds(
    network: &Network,
    index: usize,
    bound: f64,
    deadline: Option<Instant>,
) -> Result<bool, Error> {
    match &network.nodes[index].op {
        Op::Conv { kernel, conv, .. } => norm_holds(kernel, conv, bound, deadline),
        Op::Dense { kernel, .. } => norm_holds(kernel, &Conv::new(0), bound, deadline),
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
    deadline: Option<Instant>,
) -> Result<bool, Error> {
    let Some(map) = as_one(network, start, NodeId(index)) else {
        return Ok(false);
    };
    let before = nodes[network.nodes[start.0].inputs[0].0].through.get();
    if before <= 0.0 {
        return Ok(true);
    }
    if through.is_infinite() {
        return Ok(through > 0.0);
    }
    let bound = sub_down(div_down(through, before), map.error_bound());
    norm_holds(map.kernel(), map.conv(), bound, deadline)
}

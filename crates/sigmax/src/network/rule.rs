//! From the constants of earlier nodes to that of a node: one file per way in which layers follow one
//! another.

pub(crate) mod block;
pub(crate) mod chain;
pub(crate) mod lattice_map;
pub(crate) mod residual;
pub(crate) mod scaling;
pub(crate) mod shared;
pub(crate) mod slack;
pub(crate) mod sum;

use crate::claim::Upper;
use crate::network::bounds::{NodeBound, Rule};
use crate::network::graph::{Network, Node};
use crate::network::op::Op;
use crate::network::rule::shared::by_shared_entries;
use crate::network::rule::sum::{side_by_side, sorted_pair};

/// The constant from the input to a node whose earlier nodes are done, from that of the node alone.
pub(crate) fn through_by_rule(
    network: &Network,
    node: &Node,
    own: Upper,
    nodes: &[NodeBound],
) -> (Upper, Rule) {
    let found = one_by_one(network, node, own, nodes);
    match by_shared_entries(network, node, nodes) {
        Some(shared) if shared < found.0 => (shared, Rule::Shared),
        _ => found,
    }
}

/// The same from the constants of what it reads.
fn one_by_one(network: &Network, node: &Node, own: Upper, nodes: &[NodeBound]) -> (Upper, Rule) {
    let rule = match &node.op {
        Op::Input => return (own, Rule::Input),
        Op::Add => {
            let through = node.inputs.iter().map(|id| nodes[id.0].through);
            return (through.fold(Upper::claim(0.0), Upper::plus), Rule::Sum);
        }
        Op::Concat { .. } => {
            return match sorted_pair(network, &node.inputs) {
                Some(pair) => (side_by_side(network, pair, nodes).0, Rule::Sorted),
                None => side_by_side(network, &node.inputs, nodes),
            };
        }
        Op::Max | Op::Min => return side_by_side(network, &node.inputs, nodes),
        Op::Conv { .. } | Op::Dense { .. } => Rule::Norm,
        Op::Affine(_) => Rule::Diagonal,
        Op::Pick(_) => Rule::Copies,
        Op::Separable(_) => Rule::Kronecker,
        Op::MaxPool(_) | Op::Fold(_) => Rule::Windows,
        Op::Softmax { .. } | Op::LogSoftmax { .. } => Rule::Softmax,
        Op::Normalisation(_) => Rule::Spread,
        Op::Sort { .. } => Rule::Sorted,
        Op::Activation(_) | Op::PRelu(_) => Rule::Slope,
    };
    (own.times(nodes[node.inputs[0].0].through), rule)
}

//! The constant of a node alone, by which a chain multiplies (T21 to T26).

use crate::bound::norm::norm_bracket;
use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::network::graph::Network;
use crate::network::op::Op;
use crate::network::rule::lattice_map::LatticeMap;
use crate::network::rule::slack::Slack;
use crate::rounding::sqrt_int_up;

/// The constant of a node alone.
pub(crate) fn own(
    network: &Network,
    index: usize,
    options: &Options,
    slack: Slack,
) -> Result<Upper, Error> {
    let node = &network.nodes[index];
    match &node.op {
        Op::Conv { .. } => match LatticeMap::of_node(network, node) {
            Some(map) => map.norm(options, slack),
            None => Ok(Upper::claim(f64::INFINITY)),
        },
        // Along the last axis, whatever the others are: block diagonal.
        Op::Dense { kernel, .. } => {
            let norm = norm_bracket(kernel, &Conv::new(0), options)?;
            let bound = norm.bracket.upper().plus(Upper::claim(node.inexact));
            Ok(slack.enlarge(bound, kernel, &Conv::new(0)))
        }
        _ => own_by_rule(network, index),
    }
}

/// The constant of a node alone that is neither convolution nor dense layer (for these: +∞).
pub(crate) fn own_by_rule(network: &Network, index: usize) -> Result<Upper, Error> {
    let node = &network.nodes[index];
    Ok(Upper::claim(match &node.op {
        Op::Conv { .. } | Op::Dense { .. } => f64::INFINITY,
        Op::Affine(affine) => affine.norm(),
        Op::Pick(pick) => pick.norm(),
        Op::Separable(separable) => separable.norm(),
        Op::Fold(fold) => {
            let input = &network.nodes[node.inputs[0].0].shape;
            let norm = fold.pool().max_norm(input);
            norm.map_err(|reason| Error::node(&node.name, reason))?
        }
        Op::MaxPool(pool) => {
            let input = &network.nodes[node.inputs[0].0].shape;
            pool.max_norm(input)
                .map_err(|reason| Error::node(&node.name, reason))?
        }
        Op::Activation(activation) => activation.slope(),
        Op::PRelu(slopes) => slopes.largest().max(1.0),
        Op::Softmax { axis } if node.shape[*axis] > 1 => 0.5,
        Op::LogSoftmax { axis } if node.shape[*axis] > 1 => sqrt_int_up(node.shape[*axis]),
        Op::Softmax { .. } | Op::LogSoftmax { .. } => 0.0,
        Op::Normalisation(normalisation) => normalisation.norm(node.shape[normalisation.axis()]),
        Op::Add => sqrt_int_up(node.inputs.len()),
        Op::Input | Op::Sort { .. } | Op::Max | Op::Min | Op::Concat { .. } => 1.0,
    }))
}

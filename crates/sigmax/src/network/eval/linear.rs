//! Linear nodes, applied to a direction or transposed.

use crate::network::eval::apply::Map;
use crate::network::eval::forward::Forward;
use crate::network::graph::NodeId;
use crate::network::op::Op;

/// Whether a node is affine in its inputs.
pub(crate) fn is_affine(op: &Op) -> bool {
    matches!(
        op,
        Op::Conv { .. }
            | Op::Dense { .. }
            | Op::Affine(_)
            | Op::Pick(_)
            | Op::Separable(_)
            | Op::Add
            | Op::Concat { .. }
    )
}

/// The linear part of an affine node; false, and nothing done, for any other.
pub(crate) fn apply(forward: &Forward, index: usize, inputs: &[&[f64]], out: &mut [f64]) -> bool {
    let node = &forward.network().nodes()[index];
    match (&node.op, forward.map(index)) {
        (_, Map::Conv(map, _)) => map.apply(inputs[0], out),
        (_, Map::Dense(map, _)) => map.apply(inputs[0], out),
        (_, Map::Affine(scale, _)) => times(inputs[0], scale, out),
        (Op::Pick(pick), _) => pick.apply(inputs[0], out, true),
        (Op::Separable(separable), _) => {
            let shape = &forward.network().node(node.inputs[0]).shape;
            out.copy_from_slice(&separable.apply(inputs[0], shape));
        }
        (Op::Add, _) => {
            out.fill(0.0);
            inputs.iter().for_each(|part| add(out, part));
        }
        (Op::Concat { axis }, _) => forward.concatenate(index, *axis, inputs, out),
        _ => return false,
    }
    true
}

/// What input `place` of an affine node receives from `y` at its output; false, and nothing done, for
/// any other node.
pub(crate) fn apply_transpose(
    forward: &Forward,
    index: usize,
    place: usize,
    y: &[f64],
    out: &mut [f64],
) -> bool {
    let network = forward.network();
    let node = &network.nodes()[index];
    let shape = |id: NodeId| &network.node(id).shape;
    match (&node.op, forward.map(index)) {
        (_, Map::Conv(map, _)) => map.apply_transpose(y, out),
        (_, Map::Dense(map, _)) => map.apply_transpose(y, out),
        (_, Map::Affine(scale, _)) => times(y, scale, out),
        (Op::Pick(pick), _) => {
            out.fill(0.0);
            pick.apply_transpose(y, out);
        }
        (Op::Separable(separable), _) => {
            out.copy_from_slice(&separable.apply_transpose(y, shape(node.inputs[place])));
        }
        (Op::Add, _) => out.copy_from_slice(y),
        (Op::Concat { axis }, _) => {
            let inner: usize = node.shape[axis + 1..].iter().product();
            let width = |id: NodeId| shape(id)[*axis] * inner;
            let before: usize = node.inputs[..place].iter().map(|&id| width(id)).sum();
            let (all, own) = (node.shape[*axis] * inner, width(node.inputs[place]));
            for (to, from) in out.chunks_mut(own).zip(y.chunks(all)) {
                to.copy_from_slice(&from[before..before + own]);
            }
        }
        _ => return false,
    }
    true
}

fn times(x: &[f64], factors: &[f64], out: &mut [f64]) {
    let pairs = x.iter().zip(factors);
    out.iter_mut().zip(pairs).for_each(|(o, (x, s))| *o = x * s);
}

/// Adds entry by entry.
pub(crate) fn add(to: &mut [f64], from: &[f64]) {
    to.iter_mut().zip(from).for_each(|(to, from)| *to += from);
}

//! Reductions over axes that are not the batch.

use sigmax::network::{Activation, Fold, NodeId, Op, Pool, Separable};

use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, MIXES, refuse};

/// `ReduceMean`, `ReduceSum`, `ReduceMax`, `ReduceMin`, `ReduceL2` and `ReduceLogSumExp`.
pub(super) fn reduce(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let Ok(stated) = lowering.context.list(node, "axes", 1) else {
        return refuse("its axes are not known");
    };
    let mut over = Vec::new();
    match stated {
        Some(axes) if !axes.is_empty() => {
            for axis in axes {
                over.push(lowering.axis(axis, id)?);
            }
        }
        // Nothing is reduced, but each entry is the norm of itself.
        _ if node.int("noop_with_empty_axes", 0)? != 0 => {
            return match node.op.as_str() {
                "ReduceL2" => lowering.add(name, Op::Activation(Activation::Abs), &[id]),
                _ => Ok(id),
            };
        }
        _ if lowering.hidden == 0 => over.extend(0..shape.len()),
        _ => return refuse(MIXES),
    }
    over.sort_unstable();
    over.dedup();
    for &axis in &over {
        lowering.room(&[shape[axis], 4])?;
    }
    let id = match node.op.as_str() {
        "ReduceMean" => {
            lowering.add(name, Op::Separable(Separable::mean(&shape, &over)?), &[id])?
        }
        "ReduceSum" => lowering.add(name, Op::Separable(Separable::sum(&shape, &over)?), &[id])?,
        "ReduceMax" => folded(lowering, name, id, &over, Op::MaxPool)?,
        "ReduceL2" => folded(lowering, name, id, &over, |pool| Op::Fold(Fold::norm(pool)))?,
        "ReduceLogSumExp" => folded(lowering, name, id, &over, |pool| {
            Op::Fold(Fold::log_sum_exp(pool))
        })?,
        _ => {
            let id = lowering.scaled(name, id, -1.0)?;
            let id = folded(lowering, name, id, &over, Op::MaxPool)?;
            lowering.scaled(name, id, -1.0)?
        }
    };
    if node.int("keepdims", 1)? != 0 {
        return Ok(id);
    }
    lowering.reshaped(name, id, &without(&shape, &over))
}

/// A shape without some of its axes.
pub(super) fn without(shape: &[usize], over: &[usize]) -> Vec<usize> {
    let left = (0..shape.len()).filter(|axis| !over.contains(axis));
    left.map(|axis| shape[axis]).collect()
}

/// One number over some axes, which stay 1 long: of a window of an image with one channel.
pub(super) fn folded(
    lowering: &mut Lowering<'_>,
    name: &str,
    id: NodeId,
    over: &[usize],
    op: fn(Pool) -> Op,
) -> Result<NodeId, Halt> {
    let mut shape = lowering.shape(id);
    let image = [&[1], &shape[..]].concat();
    let id = lowering.reshaped(name, id, &image)?;
    let mut kernel = vec![1; shape.len()];
    for &axis in over {
        kernel[axis] = shape[axis];
        shape[axis] = 1;
    }
    for &n in &image {
        lowering.room(&[n])?;
    }
    let id = lowering.add(name, op(Pool::new(&kernel)), &[id])?;
    lowering.reshaped(name, id, &shape)
}

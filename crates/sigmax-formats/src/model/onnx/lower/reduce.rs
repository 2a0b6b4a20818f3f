//! Reductions over axes that are not the batch.

use sigmax::network::{NodeId, Op, Pool, Separable};

use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, MIXES, refuse};

/// `ReduceMean`, `ReduceSum`, `ReduceMax` and `ReduceMin`.
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
        _ if node.int("noop_with_empty_axes", 0)? != 0 => return Ok(id),
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
        "ReduceMax" => largest(lowering, name, id, &over)?,
        _ => {
            let id = lowering.scaled(name, id, -1.0)?;
            let id = largest(lowering, name, id, &over)?;
            lowering.scaled(name, id, -1.0)?
        }
    };
    if node.int("keepdims", 1)? != 0 {
        return Ok(id);
    }
    let left = (0..shape.len()).filter(|axis| !over.contains(axis));
    let left: Vec<usize> = left.map(|axis| shape[axis]).collect();
    lowering.reshaped(name, id, &left)
}

/// The largest entry over some axes, which stay 1 long: one window of a max-pool with one channel.
fn largest(
    lowering: &mut Lowering<'_>,
    name: &str,
    id: NodeId,
    over: &[usize],
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
    let id = lowering.add(name, Op::MaxPool(Pool::new(&kernel)), &[id])?;
    lowering.reshaped(name, id, &shape)
}

//! Values that stay as they are, under another shape or with axes in another order.

use sigmax::network::NodeId;

use crate::bytes::element::Element;

use super::super::arguments;
use super::super::facts::Constant;
use super::super::integers::Open;
use super::super::parsed::Node;
use super::super::size::Size;
use super::lowering::{Halt, Lowering, MIXES, refuse};

/// Identity, Dropout at inference, and Cast to a type that is not narrower than float32.
pub(super) fn same(lowering: &mut Lowering<'_>, node: &Node, _name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    match node.op.as_str() {
        "Cast" => match node.int("to", 0)? {
            1 | 11 => Ok(id),
            10 | 16 => refuse("it rounds to 16 bits: the result jumps"),
            _ => refuse("it rounds to integers, or to another type: the result jumps"),
        },
        "Dropout" if node.inputs.get(2).copied().flatten().is_some() => {
            refuse("an input states whether it trains; export the model for inference")
        }
        _ => Ok(id),
    }
}

/// CastLike, where the type of its second input is float32 or float64.
pub(super) fn cast_like(
    lowering: &mut Lowering<'_>,
    node: &Node,
    _name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let wide = match lowering.context.varying(node, 1) {
        // Every value of the network is of the type of an input, or of one that it is cast to, which has
        // at least 32 bits.
        Some(like) => {
            lowering.value(like)?;
            let inputs = &lowering.context.parsed.inputs;
            inputs
                .iter()
                .all(|input| matches!(input.element, 1 | 6 | 7 | 11))
        }
        None => match lowering.context.input(node, 1).map(|fact| &fact.constant) {
            Some(Constant::Float(tensor, _)) => {
                matches!(tensor.element(), Element::F32 | Element::F64)
            }
            _ => false,
        },
    };
    match wide {
        true => Ok(id),
        false => refuse("it may round to another type: the result would jump"),
    }
}

/// Flatten: two axes, of which the first has to stay the batch.
pub(super) fn flatten(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let rank = lowering.rank(id);
    let at = node.int("axis", 1)?;
    let from_end = at.checked_add(rank as i64).unwrap_or(-1);
    let at = usize::try_from(if at < 0 { from_end } else { at });
    let Some(at) = at.ok().filter(|&at| at <= rank) else {
        return refuse(format!("its axis is beyond an input of {rank} axes"));
    };
    if lowering.hidden == 0 {
        let (outer, inner) = shape.split_at(at);
        let sizes = [outer.iter().product(), inner.iter().product()];
        return lowering.reshaped(name, id, &sizes);
    }
    let outer = match at {
        0 => lowering.batch,
        at => Size::Known(shape[..at - 1].iter().product()),
    };
    if outer != Size::Known(1) {
        return refuse(MIXES);
    }
    lowering.reshaped(name, id, &[shape.iter().product()])
}

/// Reshape: the first axis has to stay the batch.
pub(super) fn reshape(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let what = "the shape that it asks for";
    let Some(target) = lowering.context.integers(node, 1) else {
        return refuse(lowering.unknown(node, 1, what));
    };
    let keep = node.int("allowzero", 0)? == 0;
    let entries: usize = shape.iter().product();
    if lowering.hidden == 0 {
        let Some(target) = target.known() else {
            return refuse(lowering.unknown(node, 1, what));
        };
        return match sizes(&target, &shape, keep) {
            Some(sizes) => lowering.reshaped(name, id, &sizes),
            None => refuse(format!("it asks for {target:?} of a value of {shape:?}")),
        };
    }
    let Some((&batch, rest)) = target.entries.split_first() else {
        return refuse(MIXES);
    };
    let mut sizes = Vec::new();
    let mut open = None;
    for (axis, &n) in rest.iter().enumerate() {
        sizes.push(match n {
            Ok(-1) if open.is_none() && batch != Ok(-1) => {
                open = Some(axis);
                1
            }
            Ok(0) if keep && axis < shape.len() => shape[axis],
            Ok(n) => match usize::try_from(n) {
                Ok(n) if n > 0 => n,
                _ => return refuse(format!("it asks for {n} entries on axis {}", axis + 1)),
            },
            Err(_) => return refuse(lowering.unknown(node, 1, what)),
        });
    }
    let known = sizes.iter().try_fold(1usize, |p, &n| p.checked_mul(n));
    if let Some(open) = open {
        let stays = match batch {
            Ok(0) => keep,
            Ok(n) => lowering
                .batch
                .known()
                .is_some_and(|batch| usize::try_from(n) == Ok(batch)),
            Err(Open::Batch(input)) => lowering.batch == Size::Batch(input),
            Err(_) => false,
        };
        match known {
            Some(known) if stays && entries.is_multiple_of(known) => sizes[open] = entries / known,
            _ => return refuse(MIXES),
        }
    } else if known != Some(entries)
        || (batch == Ok(0) && !keep)
        || batch.is_ok_and(|batch| batch < -1)
    {
        // As many entries per sample leave the first axis as long as the batch, whatever stands
        // there: nothing else runs.
        return refuse(MIXES);
    }
    lowering.reshaped(name, id, &sizes)
}

/// The shape that a Reshape asks for, of a value of this shape; 0 is the length of the same axis if
/// `keep`.
fn sizes(target: &[i64], shape: &[usize], keep: bool) -> Option<Vec<usize>> {
    let entries: usize = shape.iter().product();
    let mut open = None;
    let mut sizes = Vec::with_capacity(target.len());
    for (axis, &n) in target.iter().enumerate() {
        sizes.push(match n {
            -1 if open.is_none() => {
                open = Some(axis);
                1
            }
            0 if keep => *shape.get(axis)?,
            n => usize::try_from(n).ok().filter(|&n| n > 0)?,
        });
    }
    let known = sizes.iter().try_fold(1usize, |p, &n| p.checked_mul(n))?;
    if let Some(open) = open {
        sizes[open] = entries / known;
    }
    let all = sizes.iter().try_fold(1usize, |p, &n| p.checked_mul(n));
    (all == Some(entries)).then_some(sizes)
}

/// Squeeze.
pub(super) fn squeeze(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let gone = match lowering.context.list(node, "axes", 1) {
        Err(_) => return refuse("its axes are not known"),
        // Nothing goes, says the reference of ONNX; all axes of length 1, says onnxruntime.
        Ok(Some(axes)) if axes.is_empty() => {
            return refuse("its list of axes is empty, which runtimes read differently");
        }
        Ok(Some(axes)) => {
            let axes = axes.into_iter().map(|axis| lowering.axis(axis, id));
            axes.collect::<Result<Vec<_>, _>>()?
        }
        Ok(None)
            if lowering.hidden == 1 && lowering.batch.known().is_none_or(|batch| batch == 1) =>
        {
            return refuse(
                "without axes it removes the batch axis where that is 1 long; state its axes",
            );
        }
        Ok(None) => (0..shape.len()).filter(|&axis| shape[axis] == 1).collect(),
    };
    if let Some(&axis) = gone.iter().find(|&&axis| shape[axis] != 1) {
        return refuse(format!(
            "axis {} is {} long; expected 1",
            axis + 1,
            shape[axis]
        ));
    }
    let left = (0..shape.len()).filter(|axis| !gone.contains(axis));
    let left: Vec<usize> = left.map(|axis| shape[axis]).collect();
    lowering.reshaped(name, id, &left)
}

/// Unsqueeze.
pub(super) fn unsqueeze(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let Ok(Some(axes)) = lowering.context.list(node, "axes", 1) else {
        return refuse("its axes are not known");
    };
    let rank = lowering.rank(id) + axes.len();
    let mut new = Vec::new();
    for &axis in &axes {
        match arguments::axis(axis, rank) {
            Some(axis) if axis < lowering.hidden => return refuse("it moves the batch axis"),
            Some(axis) if !new.contains(&axis) => new.push(axis),
            _ => return refuse(format!("axes = {axes:?} for an output of {rank} axes")),
        }
    }
    let mut old = shape.iter().copied();
    let sizes = (lowering.hidden..rank).map(|axis| {
        if new.contains(&axis) {
            Some(1)
        } else {
            old.next()
        }
    });
    match sizes.collect::<Option<Vec<usize>>>() {
        Some(sizes) => lowering.reshaped(name, id, &sizes),
        None => refuse(format!("axes = {axes:?} for an output of {rank} axes")),
    }
}

/// Transpose: the batch has to stay first.
pub(super) fn transpose(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let rank = lowering.rank(id);
    let Some(axes) = arguments::permutation(node, rank) else {
        return refuse(format!("its perm is no permutation of {rank} axes"));
    };
    if lowering.hidden == 0 {
        return lowering.transposed(name, id, &axes);
    }
    let [0, rest @ ..] = &axes[..] else {
        return refuse(format!("perm = {axes:?} moves the batch axis"));
    };
    let rest: Vec<usize> = rest.iter().map(|axis| axis - 1).collect();
    lowering.transposed(name, id, &rest)
}

//! Entries left out, repeated, added or put side by side.

use sigmax::PaddingMode;
use sigmax::network::{NodeId, Op, Pick};

use super::super::arguments;
use super::super::integers::{Integers, slice as entries};
use super::super::parsed::Node;
use super::super::size::{self, Size};
use super::lowering::{Halt, Lowering, MIXES, refuse};

/// `Slice`.
pub(super) fn slice(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let hidden = lowering.hidden;
    let Some(cuts) = arguments::cuts(&lowering.context, node, lowering.rank(id)) else {
        return refuse("its starts, ends, axes or steps are not known");
    };
    let mut along = vec![None; shape.len()];
    for (axis, start, end, step) in cuts {
        let whole = arguments::is_whole(start, end, step);
        let n = match axis {
            0 if hidden == 1 && whole => continue,
            0 if hidden == 1 => match lowering.batch.known() {
                Some(n) => n,
                None => return refuse(MIXES),
            },
            axis => shape[axis - hidden],
        };
        let Some((first, count, step)) = entries(n, start, end, step) else {
            return refuse("its step is 0");
        };
        if (first, count, step) == (0, n, 1) {
            continue;
        }
        if axis < hidden {
            return refuse(MIXES);
        }
        lowering.room(&[count])?;
        let index = |i: usize| usize::try_from(first + i as i64 * step).unwrap_or(usize::MAX);
        along[axis - hidden] = Some((0..count).map(index).collect());
    }
    lowering.picked(name, id, along)
}

/// `Split`.
pub(super) fn split(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<Vec<NodeId>, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let axis = lowering.axis(node.int("axis", 0)?, id)?;
    let (n, count) = (shape[axis], node.outputs.len().max(1));
    let parts: Vec<usize> = match lowering.context.list(node, "split", 1) {
        Err(_) => return refuse("the lengths of its parts are not known"),
        Ok(Some(parts)) => {
            let parts = parts.iter().map(|&n| usize::try_from(n).ok());
            parts.collect::<Option<_>>().unwrap_or_default()
        }
        Ok(None) => {
            // Newer releases let the last part be shorter.
            let each = n.div_ceil(count);
            let part = |i: usize| n.saturating_sub(i * each).min(each);
            if lowering.context.parsed.opset < 18 && !n.is_multiple_of(count) {
                return refuse(format!("{n} entries do not make {count} equal parts"));
            }
            (0..count).map(part).collect()
        }
    };
    let total = parts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
    if parts.len() != count || total != Some(n) || parts.contains(&0) {
        return refuse(format!(
            "{n} entries do not make {count} parts of lengths {parts:?}"
        ));
    }
    let mut results = Vec::new();
    let mut start = 0;
    for part in parts {
        lowering.room(&[part])?;
        let mut along = vec![None; shape.len()];
        along[axis] = Some((start..start + part).collect());
        results.push(lowering.picked(name, id, along)?);
        start += part;
    }
    Ok(results)
}

/// `Concat` of values that depend on the data.
pub(super) fn concat(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let mut ids = Vec::new();
    for (place, input) in node.inputs.iter().enumerate() {
        if input.is_some() && lowering.context.varying(node, place).is_none() {
            return refuse("a constant beside values that depend on the input is not covered");
        }
        ids.push(lowering.data(node, place)?);
    }
    let Some(&first) = ids.first() else {
        return refuse("it has no inputs");
    };
    let axis = lowering.axis(node.int("axis", 1)?, first)?;
    match ids[..] {
        [only] => Ok(only),
        _ => lowering.add(name, Op::Concat { axis }, &ids),
    }
}

/// `Gather` with constant indices.
pub(super) fn gather(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    if lowering.context.varying(node, 0).is_none() {
        return refuse("its indices depend on the input: the result jumps");
    }
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let axis = lowering.axis(node.int("axis", 0)?, id)?;
    let Some((indices, dims)) = lowering.context.indices(node, 1) else {
        return refuse(lowering.unknown(node, 1, "its indices"));
    };
    let Some(list) = wrapped(&indices, shape[axis]) else {
        return refuse(format!(
            "an index beyond the {} entries of its axis",
            shape[axis]
        ));
    };
    let mut along = vec![None; shape.len()];
    along[axis] = Some(list);
    let id = lowering.picked(name, id, along)?;
    let result = [&shape[..axis], &dims, &shape[axis + 1..]].concat();
    lowering.reshaped(name, id, &result)
}

/// Indices counted from the end if negative.
fn wrapped(indices: &[i64], n: usize) -> Option<Vec<usize>> {
    let count = i64::try_from(n).ok()?;
    let wrap = |&i: &i64| {
        let i = if i < 0 { i.checked_add(count)? } else { i };
        usize::try_from(i).ok().filter(|&i| i < n)
    };
    indices.iter().map(wrap).collect()
}

/// `Expand`.
pub(super) fn expand(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let target = lowering.context.integers(node, 1).and_then(Integers::sizes);
    let Some(target) = target else {
        return refuse(lowering.unknown(node, 1, "the shape that it asks for"));
    };
    let Some(missing) = lowering.rank(id).checked_sub(target.len()) else {
        return refuse("it moves the batch axis");
    };
    let full = [&vec![Size::Known(1); missing][..], &target].concat();
    let (front, full) = full.split_at(lowering.hidden);
    if front
        .iter()
        .any(|&n| n != Size::Known(1) && n != lowering.batch)
    {
        return refuse(MIXES);
    }
    let Some(asked) = size::lengths(full) else {
        return refuse(lowering.unknown(node, 1, "the shape that it asks for"));
    };
    let sizes = shape.iter().zip(&asked);
    let sizes: Vec<usize> = sizes.map(|(&n, &to)| if n == 1 { to } else { n }).collect();
    if sizes.iter().zip(&asked).any(|(&n, &to)| to != 1 && to != n) {
        return refuse(format!("shapes {shape:?} and {asked:?} do not go together"));
    }
    lowering.repeated(name, id, &sizes)
}

/// `Tile`.
pub(super) fn tile(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let Some(numbers) = lowering.context.numbers(node, 1) else {
        return refuse(lowering.unknown(node, 1, "how often it repeats its input"));
    };
    let numbers = numbers.iter().map(|&n| usize::try_from(n).ok());
    let Some(numbers) = numbers.collect::<Option<Vec<_>>>() else {
        return refuse("it asks for a negative size");
    };
    let rank = lowering.rank(id);
    if numbers.len() != rank {
        return refuse(format!("{} repeats for {rank} axes", numbers.len()));
    }
    let (front, repeats) = numbers.split_at(lowering.hidden);
    if front.iter().any(|&n| n != 1) {
        return refuse(MIXES);
    }
    let mut along = vec![None; shape.len()];
    for (axis, (&n, &times)) in shape.iter().zip(repeats).enumerate() {
        if times != 1 {
            lowering.room(&[n, times])?;
            along[axis] = Some((0..times).flat_map(|_| 0..n).collect());
        }
    }
    lowering.picked(name, id, along)
}

/// `Pad` that is not part of a convolution.
pub(super) fn pad(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let mode = match node.text("mode", "constant")? {
        "constant" => PaddingMode::Zeros,
        "reflect" => PaddingMode::Reflect,
        "edge" => PaddingMode::Replicate,
        "wrap" => PaddingMode::Circular,
        other => return refuse(format!("its mode {other:?} is not known")),
    };
    let amounts = arguments::pad_amounts(&lowering.context, node, lowering.rank(id));
    let Some(amounts) = amounts else {
        return refuse("its amounts are not known");
    };
    let (front, amounts) = amounts.split_at(lowering.hidden.min(amounts.len()));
    if front.iter().any(|&amount| amount != (0, 0)) {
        return refuse("it pads the batch axis");
    }
    let cuts = amounts.iter().any(|&(before, after)| before.min(after) < 0);
    if cuts && mode != PaddingMode::Zeros {
        return refuse("it both copies pixels and cuts some off, or may");
    }
    let fill = match node.attribute("value") {
        Some(_) => f64::from(node.float("value", 0.0)?),
        None => match lowering.constant(node, 2)? {
            None => 0.0,
            Some(array) => match array.single() {
                Some(value) => value,
                None => return refuse("the constant that it adds is not one number"),
            },
        },
    };
    let lengths = shape.iter().zip(amounts).map(|(&n, &(before, after))| {
        let longer = n.checked_add_signed(before)?;
        longer.checked_add_signed(after)
    });
    let Some(lengths) = lengths.collect::<Option<Vec<_>>>() else {
        return refuse("it cuts off more than there is");
    };
    lowering.room(&shape)?;
    lowering.room(&lengths)?;
    let pick = Pick::pad(&shape, amounts, mode, fill)?;
    lowering.add(name, Op::Pick(pick), &[id])
}

/// `TopK` of all entries along an axis: these in the order of size.
pub(super) fn sorted(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let axis = lowering.axis(node.int("axis", -1)?, id)?;
    let n = lowering.shape(id)[axis];
    let k = match (
        node.attribute("k"),
        lowering.context.numbers(node, 1).as_deref(),
    ) {
        (Some(_), _) => node.int("k", 0)?,
        (None, Some(&[k])) => k,
        _ => return refuse(lowering.unknown(node, 1, "how many entries it gives")),
    };
    if usize::try_from(k) != Ok(n) {
        return refuse(format!(
            "it gives the {k} largest or smallest of {n} entries: only all of them, sorted, are covered"
        ));
    }
    if node.int("sorted", 1)? != 1 {
        return refuse("sorted = 0: the order of its entries is not defined");
    }
    let descending = node.int("largest", 1)? != 0;
    lowering.add(name, Op::Sort { axis, descending }, &[id])
}

//! Shapes of outputs from shapes of inputs. What is not understood is unknown, never guessed.

use super::arguments::{axis, cuts, is_whole, pad_amounts, permutation};
use super::facts::Context;
use super::integers::{Open, slice};
use super::parsed::Node;
use super::size::{self, Dims, Size, product};
use super::{broadcast, contraction, limits, resize, spatial};

/// The shapes of the outputs of a node of ONNX's own domain, as far as they are known.
pub(super) fn infer(context: &Context<'_>, node: &Node) -> Vec<Option<Dims>> {
    let data = || context.input(node, 0)?.dims.clone();
    let first = match node.op.as_str() {
        "Split" => return split(context, node).unwrap_or_default(),
        "Conv" => spatial::conv(context, node),
        "ConvTranspose" => spatial::conv_transpose(context, node),
        "MaxPool" | "AveragePool" | "LpPool" => {
            let dims = spatial::pool(context, node);
            return vec![dims.clone(), dims];
        }
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => data().map(|mut dims| {
            dims.iter_mut().skip(2).for_each(|n| *n = Size::Known(1));
            dims
        }),
        "TopK" => {
            let dims = top(context, node);
            return vec![dims.clone(), dims];
        }
        "Pad" => pad(context, node),
        "Resize" | "Upsample" => resize::infer(context, node),
        "Gemm" => broadcast::gemm(context, node),
        "MatMul" => broadcast::matmul(context, node),
        "Einsum" => contraction::infer(context, node),
        "Concat" => concat(context, node),
        "Flatten" => flatten(context, node),
        "Reshape" => reshape(context, node),
        "Transpose" => data().and_then(|dims| {
            let axes = permutation(node, dims.len())?;
            axes.iter().map(|&axis| dims.get(axis).copied()).collect()
        }),
        "Squeeze" => squeeze(context, node),
        "Unsqueeze" => unsqueeze(context, node),
        "Slice" => sliced(context, node),
        "Gather" => gather(context, node),
        "Shape" => ranks(context, node),
        "Size" => Some(Vec::new()),
        "ConstantOfShape" => of_integers(context, node, 0),
        "Expand" => of_integers(context, node, 1).and_then(|to| broadcast::pair(&data()?, &to)),
        "DepthToSpace" | "SpaceToDepth" => resize::blocks(context, node),
        "Tile" => tile(context, node),
        op if op.starts_with("Reduce") => reduce(context, node),
        op if broadcast::ELEMENTWISE.contains(&op) => broadcast::all(context, node),
        op if broadcast::UNARY.contains(&op) => data(),
        _ => None,
    };
    vec![first]
}

fn sliced(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let mut dims = context.input(node, 0)?.dims.clone()?;
    let Some(cuts) = cuts(context, node, dims.len()) else {
        return Some(vec![Size::Unknown; dims.len()]);
    };
    for (axis, start, end, step) in cuts {
        dims[axis] = match dims[axis] {
            batch @ Size::Batch(_) if is_whole(start, end, step) => batch,
            size => size.and_then(|n| Some(slice(n, start, end, step)?.1)),
        };
    }
    Some(dims)
}

fn pad(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let mut dims = context.input(node, 0)?.dims.clone()?;
    match pad_amounts(context, node, dims.len()) {
        Some(pads) => {
            for (n, (before, after)) in dims.iter_mut().zip(pads) {
                if (before, after) != (0, 0) {
                    *n = n.and_then(|n| n.checked_add_signed(before)?.checked_add_signed(after));
                }
            }
        }
        None => dims.fill(Size::Unknown),
    }
    Some(dims)
}

fn concat(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let mut result = context.input(node, 0)?.dims.clone()?;
    let along = axis(node.int("axis", 1).ok()?, result.len())?;
    for place in 1..node.inputs.len() {
        let dims = context.input(node, place)?.dims.as_ref()?;
        if dims.len() != result.len() {
            return None;
        }
        for (i, (n, &other)) in result.iter_mut().zip(dims).enumerate() {
            *n = if i == along {
                n.and_then(|n| n.checked_add(other.known()?))
            } else {
                // All inputs agree off the axis, so what one of them knows holds for all.
                n.or(other)
            };
        }
    }
    Some(result)
}

fn flatten(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let at = node.int("axis", 1).ok()?;
    let rank = i64::try_from(dims.len()).ok()?;
    let at = usize::try_from(if at < 0 { at.checked_add(rank)? } else { at }).ok()?;
    let (before, after) = (dims.get(..at)?, dims.get(at..)?);
    Some(vec![product(before), product(after)])
}

fn reshape(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let data = context.input(node, 0)?.dims.as_ref();
    let Some(target) = context.integers(node, 1) else {
        // The length of the target is the rank of the output.
        let [Size::Known(rank)] = context.input(node, 1)?.dims.as_ref()?[..] else {
            return None;
        };
        return (rank <= limits::RANK).then(|| vec![Size::Unknown; rank]);
    };
    let keep = node.int("allowzero", 0).ok()? == 0;
    let mut result = Vec::with_capacity(target.entries.len());
    let mut open = None;
    for (i, &entry) in target.entries.iter().enumerate() {
        result.push(match entry {
            Ok(-1) if open.is_none() => {
                open = Some(i);
                Size::Unknown
            }
            Ok(0) if keep => {
                let kept = data.and_then(|data| data.get(i).copied());
                kept.unwrap_or(Size::Unknown)
            }
            Ok(n) => Size::Known(usize::try_from(n).ok()?),
            // A batch is at least 1 long: neither kept nor left open.
            Err(Open::Batch(input)) => Size::Batch(input),
            // It may be −1, and then another one that is stated as −1 is not valid.
            Err(_) => Size::Unknown,
        });
    }
    if let Some(open) = open {
        let mut rest = result.clone();
        rest.remove(open);
        let mut all = data.cloned();
        // An unknown axis that is kept (0) cancels.
        if let Some(all) = &mut all {
            let copied = |i: &usize| *i != open && target.entries[*i] == Ok(0) && keep;
            for i in (0..target.entries.len().min(all.len()))
                .rev()
                .filter(copied)
            {
                all.remove(i);
                rest.remove(if i > open { i - 1 } else { i });
            }
        }
        if let Some(mut all) = all {
            cancel(&mut all, &mut rest);
            result[open] = match (product(&all), product(&rest)) {
                (Size::Known(all), Size::Known(rest)) if rest > 0 && all.is_multiple_of(rest) => {
                    Size::Known(all / rest)
                }
                _ => ratio(&all, &rest),
            };
        }
    }
    Some(result)
}

/// Takes a batch that is a factor of both away.
fn cancel(all: &mut Dims, rest: &mut Dims) {
    let batch = |size: &Size| matches!(size, Size::Batch(_));
    if let Some(i) = rest.iter().position(batch)
        && let Some(j) = all.iter().position(|size| *size == rest[i])
    {
        rest.remove(i);
        all.remove(j);
    }
}

/// The batch, where the other factors of both products cancel.
fn ratio(all: &[Size], rest: &[Size]) -> Size {
    let [batch] = all
        .iter()
        .filter(|size| size.known().is_none())
        .collect::<Vec<_>>()[..]
    else {
        return Size::Unknown;
    };
    let known: Dims = all
        .iter()
        .copied()
        .filter(|size| size.known().is_some())
        .collect();
    match (product(&known), product(rest)) {
        (Size::Known(all), Size::Known(rest)) if all == rest && rest > 0 => *batch,
        _ => Size::Unknown,
    }
}

fn squeeze(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let gone: Vec<usize> = match context.list(node, "axes", 1).ok()? {
        // Runtimes read it differently.
        Some(axes) if axes.is_empty() => return None,
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, dims.len()))
            .collect::<Option<_>>()?,
        None => {
            let sizes = size::lengths(dims)?;
            (0..sizes.len()).filter(|&i| sizes[i] == 1).collect()
        }
    };
    let kept = (0..dims.len()).filter(|i| !gone.contains(i));
    Some(kept.map(|i| dims[i]).collect())
}

fn unsqueeze(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let axes = context.list(node, "axes", 1).ok()??;
    let rank = dims.len() + axes.len();
    let new: Vec<usize> = axes.iter().map(|&a| axis(a, rank)).collect::<Option<_>>()?;
    let mut old = dims.iter().copied();
    let result: Vec<_> = (0..rank)
        .map(|i| {
            if new.contains(&i) {
                Some(Size::Known(1))
            } else {
                old.next()
            }
        })
        .collect::<Option<_>>()?;
    // Axes that are named twice leave some of the old ones over.
    old.next().is_none().then_some(result)
}

fn gather(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let indices = context.input(node, 1)?.dims.as_ref()?;
    let along = axis(node.int("axis", 0).ok()?, dims.len())?;
    Some([&dims[..along], indices, &dims[along + 1..]].concat())
}

fn split(context: &Context<'_>, node: &Node) -> Option<Vec<Option<Dims>>> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let along = axis(node.int("axis", 0).ok()?, dims.len())?;
    let outputs = node.outputs.len();
    let parts: Vec<Size> = match context.list(node, "split", 1) {
        Ok(Some(parts)) if parts.len() == outputs => parts
            .iter()
            .map(|&n| usize::try_from(n).ok().into())
            .collect(),
        // Equal parts, where they come out even.
        Ok(None) => {
            let even = |n: usize| n.is_multiple_of(outputs).then(|| n / outputs);
            vec![dims[along].and_then(even); outputs]
        }
        _ => vec![Size::Unknown; outputs],
    };
    let piece = |n: Size| {
        let mut dims = dims.clone();
        dims[along] = n;
        Some(dims)
    };
    Some(parts.into_iter().map(piece).collect())
}

fn top(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let mut dims = context.input(node, 0)?.dims.clone()?;
    let along = axis(node.int("axis", -1).ok()?, dims.len())?;
    dims[along] = match context.numbers(node, 1).as_deref() {
        Some(&[k]) => usize::try_from(k).ok().into(),
        _ => Size::Unknown,
    };
    Some(dims)
}

fn reduce(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let axes = match context.list(node, "axes", 1).ok()? {
        Some(axes) if !axes.is_empty() => axes
            .iter()
            .map(|&a| axis(a, dims.len()))
            .collect::<Option<Vec<_>>>()?,
        _ if node.int("noop_with_empty_axes", 0).ok()? != 0 => Vec::new(),
        _ => (0..dims.len()).collect(),
    };
    let keep = node.int("keepdims", 1).ok()? != 0;
    let mut result = Vec::new();
    for (i, &n) in dims.iter().enumerate() {
        match (axes.contains(&i), keep) {
            (false, _) => result.push(n),
            (true, true) => result.push(Size::Known(1)),
            (true, false) => {}
        }
    }
    Some(result)
}

/// The shape that the integers of input `place` state.
fn of_integers(context: &Context<'_>, node: &Node, place: usize) -> Option<Dims> {
    context.integers(node, place)?.sizes()
}

/// The list of the lengths that a Shape node picks.
fn ranks(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let rank = context.input(node, 0)?.dims.as_ref()?.len();
    let (start, end) = (node.int("start", 0).ok()?, node.int("end", i64::MAX).ok()?);
    Some(vec![Size::Known(slice(rank, start, end, 1)?.1)])
}

fn tile(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let Some(repeats) = context.numbers(node, 1) else {
        return Some(vec![Size::Unknown; dims.len()]);
    };
    if repeats.len() != dims.len() {
        return None;
    }
    let tiled = dims.iter().zip(repeats).map(|(&size, times)| match times {
        1 => size,
        times => size.and_then(|n| n.checked_mul(usize::try_from(times).ok()?)),
    });
    Some(tiled.collect())
}

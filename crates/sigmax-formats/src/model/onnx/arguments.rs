//! What nodes are told by attributes and constant inputs: axes, cuts, padding, weights.

use super::facts::{Constant, Context};
use super::limits;
use super::parsed::Node;
use super::size;

/// An axis, counted from the end if negative.
pub(super) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let rank_i = i64::try_from(rank).ok()?;
    let axis = if axis < 0 {
        axis.checked_add(rank_i)?
    } else {
        axis
    };
    usize::try_from(axis).ok().filter(|&axis| axis < rank)
}

/// The permutation of a Transpose node.
pub(super) fn permutation(node: &Node, rank: usize) -> Option<Vec<usize>> {
    let Some(axes) = node.ints("perm").ok()? else {
        return Some((0..rank).rev().collect());
    };
    let axes: Vec<usize> = axes
        .iter()
        .map(|&a| usize::try_from(a).ok())
        .collect::<Option<_>>()?;
    let mut sorted = axes.clone();
    sorted.sort_unstable();
    sorted.into_iter().eq(0..rank).then_some(axes)
}

/// The cuts of a Slice node: axis, start, end, step.
pub(super) fn cuts(
    context: &Context<'_>,
    node: &Node,
    rank: usize,
) -> Option<Vec<(usize, i64, i64, i64)>> {
    let starts = context.list(node, "starts", 1).ok()??;
    let ends = context.list(node, "ends", 2).ok()??;
    let axes = context.list(node, "axes", 3).ok()?;
    let axes = axes.unwrap_or_else(|| (0..).take(starts.len()).collect());
    let steps = context.list(node, "steps", 4).ok()?;
    let steps = steps.unwrap_or_else(|| vec![1; starts.len()]);
    if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
        return None;
    }
    let mut cuts = Vec::with_capacity(starts.len());
    for (i, &along) in axes.iter().enumerate() {
        cuts.push((axis(along, rank)?, starts[i], ends[i], steps[i]));
    }
    Some(cuts)
}

/// Whether a slice takes everything however long the axis is. Exporters write the largest int32 or
/// int64 for the end; no axis is that long.
pub(super) fn is_whole(start: i64, end: i64, step: i64) -> bool {
    start == 0 && step == 1 && end >= i64::from(i32::MAX)
}

/// Pixels that a Pad node adds before and after each of `rank` axes; negative ones are cut off.
pub(super) fn pad_amounts(
    context: &Context<'_>,
    node: &Node,
    rank: usize,
) -> Option<Vec<(isize, isize)>> {
    let pads = context.list(node, "pads", 1).ok()??;
    let axes = context.list(node, "axes", 3).ok()?;
    let axes = axes.unwrap_or_else(|| (0..).take(rank).collect());
    if pads.len() != 2 * axes.len() {
        return None;
    }
    let limit = isize::try_from(limits::EXTENT).ok()?;
    let amount = |i: usize| {
        isize::try_from(pads[i])
            .ok()
            .filter(|amount| (-limit..=limit).contains(amount))
    };
    let mut amounts = vec![(0, 0); rank];
    for (i, &along) in axes.iter().enumerate() {
        amounts[axis(along, rank)?] = (amount(i)?, amount(axes.len() + i)?);
    }
    Some(amounts)
}

/// The shape of the constant weight in input 1, if it is one.
pub(super) fn weight(context: &Context<'_>, node: &Node) -> Option<Vec<usize>> {
    match &context.input(node, 1)?.constant {
        Constant::Float(tensor, _) => Some(tensor.shape().to_vec()),
        _ => size::lengths(context.input(node, 1)?.dims.as_ref()?),
    }
}

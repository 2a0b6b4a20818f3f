//! A Pad node in front of a convolution: part of its padding where it copies pixels (T7).

use sigmax::{Conv, PaddingMode};

use super::arguments::pad_amounts;
use super::facts::Context;
use super::order::{Producer, label};
use super::parsed::Node;
use super::size::Dims;

/// What is in front of a convolution.
#[derive(Debug)]
pub(super) enum Front {
    /// Nothing that changes norms.
    Plain,
    /// A Pad node that is part of the layer.
    Folded(Folded),
    /// A Pad node that changes norms and is not part of the layer: a note that says so.
    Beside(String),
}

/// The padding that a Pad node gives.
#[derive(Debug)]
pub(super) struct Folded {
    pub(super) padding: Vec<(usize, usize)>,
    pub(super) mode: PaddingMode,
    pub(super) note: String,
    /// Shape of the Pad node's input.
    pub(super) dims: Option<Dims>,
}

/// Looks at the node that makes the input of a convolution with geometry `conv`.
pub(super) fn front(context: &Context<'_>, node: &Node, conv: &Conv) -> Front {
    let Some(value) = node.inputs.first().copied().flatten() else {
        return Front::Plain;
    };
    let Producer::Node(index) = context.links.producers[value] else {
        return Front::Plain;
    };
    let pad = &context.parsed.nodes[index];
    if pad.op != "Pad" || !pad.domain.is_empty() || context.is_function(pad) {
        return Front::Plain;
    }
    let name = label(context.parsed, index);
    let mode = match pad.text("mode", "constant") {
        // A constant border is a zero border and a bias (T2, T8).
        Ok("constant") => return Front::Plain,
        Ok("reflect") => PaddingMode::Reflect,
        Ok("edge") => PaddingMode::Replicate,
        Ok("wrap") => PaddingMode::Circular,
        Ok(_) | Err(_) => {
            return Front::Beside(format!(
                "the Pad node {name:?} in front of it has a mode that is not known; its factor is \
                 not part of this layer"
            ));
        }
    };
    match fold(context, pad, conv, mode) {
        Ok(padding) if !context.links.used_elsewhere[value] => {
            let dims = context.input(pad, 0).and_then(|fact| fact.dims.clone());
            match within(&padding, mode, dims.as_ref()) {
                Ok(assumed) => Front::Folded(Folded {
                    note: format!(
                        "its padding is that of the Pad node {name:?} in front of it{assumed}"
                    ),
                    padding,
                    mode,
                    dims,
                }),
                Err(reason) => Front::Beside(beside(&name, mode, reason)),
            }
        }
        Ok(_) => Front::Beside(beside(&name, mode, "other nodes use it too")),
        Err(reason) => Front::Beside(beside(&name, mode, reason)),
    }
}

fn beside(name: &str, mode: PaddingMode, reason: &str) -> String {
    format!(
        "the Pad node {name:?} ({}) in front of it copies pixels and is not part of this layer \
         ({reason}); its own norm is above 1",
        mode.name()
    )
}

/// The padding per spatial axis.
fn fold(
    context: &Context<'_>,
    pad: &Node,
    conv: &Conv,
    mode: PaddingMode,
) -> Result<Vec<(usize, usize)>, &'static str> {
    let axes = conv.axes();
    if context
        .input(pad, 0)
        .is_some_and(|fact| fact.replaceable.is_some())
    {
        return Err("it may be replaced");
    }
    let amounts = pad_amounts(context, pad, axes + 2).ok_or("its amounts are not known")?;
    if amounts[..2].iter().any(|&amount| amount != (0, 0)) {
        return Err("it pads the batch or the channels");
    }
    if conv.padding.iter().any(|&padding| padding != (0, 0)) {
        return Err("the convolution has zero padding too");
    }
    let spatial = amounts[2..].iter().map(|&(before, after)| {
        Some((usize::try_from(before).ok()?, usize::try_from(after).ok()?))
    });
    let padding: Vec<_> = spatial.collect::<Option<_>>().ok_or("it cuts pixels off")?;
    // Repeated reflection or wrapping would copy a pixel more often than T7 counts.
    if mode == PaddingMode::Zeros {
        return Err("it copies nothing");
    }
    Ok(padding)
}

/// Whether a mode allows the padding: what the answer assumes, as text.
fn within(
    padding: &[(usize, usize)],
    mode: PaddingMode,
    dims: Option<&Dims>,
) -> Result<&'static str, &'static str> {
    let mut assumed = "";
    for (axis, &(before, after)) in padding.iter().enumerate() {
        let n = dims.and_then(|dims| dims.get(axis + 2)?.known());
        let (least, text) = match mode {
            PaddingMode::Reflect => (
                before.max(after) + 1,
                ", assuming an input longer than the padding, as reflection needs",
            ),
            PaddingMode::Circular => (
                before.max(after),
                ", assuming an input at least as long as the padding, as wrapping needs",
            ),
            PaddingMode::Zeros | PaddingMode::Replicate => continue,
        };
        match n {
            Some(n) if n < least => return Err("its input is shorter than its padding"),
            Some(_) => {}
            None if least > 1 || mode == PaddingMode::Circular => assumed = text,
            None => {}
        }
    }
    Ok(assumed)
}

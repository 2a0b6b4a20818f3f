//! Conv and ConvTranspose.

use sigmax::Conv;

use crate::model::layer::LayerKind;

use super::draft::{Draft, NoLayer};
use super::facts::Context;
use super::limits;
use super::padded::{Front, front};
use super::parsed::Node;
use super::size::{Dims, Size};
use super::spatial::Transposed;
use super::window::{AutoPad, Window};

/// Said where the amount of zero padding is not known.
pub(super) const ANY_PADDING: &str = "the amount of zero padding depends on the input size, which is not \
                           known; the bounds hold for any amount";

/// Said where the stated output is longer than what the input gives.
pub(super) const LONGER: &str = "the stated output is longer than the input gives and is filled up \
                                 with zeros, which changes no norm; the input size is left out";

/// The layer of a Conv node.
pub(super) fn conv(context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
    let (mut draft, window) = common(context, node, false)?;
    let shape = draft.weight.shape().to_vec();
    let axes = window.kernel.len();
    let input = context.input(node, 0).and_then(|fact| fact.dims.clone());
    let channels = shape[1].checked_mul(draft.conv.groups);
    check_input(input.as_ref(), axes, channels)?;
    let mut size = known_size(input.as_ref());
    let mut unknown = false;
    for axis in 0..axes {
        let n = input.as_ref().and_then(|dims| dims[axis + 2].known());
        match window.padding(axis, n) {
            Some(padding) => draft.conv.padding[axis] = padding,
            None => unknown = true,
        }
        if let Some(n) = n.filter(|&n| n <= limits::EXTENT)
            && window.output(axis, n, false).is_none()
        {
            return Err(NoLayer::Fail(too_small(axis, n, &window)));
        }
    }
    if unknown {
        draft.notes.push(ANY_PADDING.to_owned());
    }
    match front(context, node, &draft.conv) {
        Front::Plain => {}
        Front::Beside(note) => draft.notes.push(note),
        Front::Folded(pad) => {
            draft.conv.padding = pad.padding;
            draft.conv.padding_mode = pad.mode;
            draft.notes.push(pad.note);
            size = known_size(pad.dims.as_ref());
        }
    }
    draft.conv.input_size = size;
    Ok(draft)
}

/// The layer of a ConvTranspose node.
pub(super) fn conv_transpose(context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
    let (mut draft, window) = common(context, node, true)?;
    let channels = draft.weight.shape()[0];
    let axes = window.kernel.len();
    let input = context.input(node, 0).and_then(|fact| fact.dims.clone());
    check_input(input.as_ref(), axes, Some(channels))?;
    let mut geometry = Transposed::new(node, &window)?;
    let (mut unknown, mut longer, mut size) = (false, false, known_size(input.as_ref()));
    for axis in 0..axes {
        let n = input.as_ref().and_then(|dims| dims[axis + 2].known());
        let extra = geometry.output_padding[axis];
        if extra >= window.stride[axis].max(window.dilation[axis]) {
            return Err(NoLayer::Refuse(format!(
                "output_padding = {:?} reaches the stride or the dilation; its output beyond that \
                 is constant, which no framework means",
                geometry.output_padding
            )));
        }
        let padding = match geometry.padding(&window, axis, n) {
            Ok(Some(padding)) if padding.0.max(padding.1) <= limits::EXTENT => padding,
            Ok(_) => {
                unknown = true;
                continue;
            }
            Err(fill) if geometry.ends_with_zeros(&window, axis, fill) => {
                geometry.output_padding[axis] += fill;
                (0, 0)
            }
            Err(_) => {
                longer = true;
                continue;
            }
        };
        draft.conv.padding[axis] = padding;
        if let Some(n) = n.filter(|&n| n <= limits::EXTENT)
            && window
                .transposed_output(axis, n, padding, geometry.output_padding[axis])
                .is_none()
        {
            return Err(NoLayer::Fail(too_small(axis, n, &window)));
        }
    }
    if unknown {
        draft.notes.push(
            "how much of the output is cut off depends on the input size, which is not known; the \
             bounds hold for any amount"
                .to_owned(),
        );
    }
    if longer {
        size = None;
        draft.notes.push(LONGER.to_owned());
    }
    draft.conv.output_padding = geometry.output_padding;
    draft.conv.input_size = size;
    Ok(draft)
}

/// The weight and the attributes that both have.
fn common(
    context: &Context<'_>,
    node: &Node,
    transposed: bool,
) -> Result<(Draft, Window), NoLayer> {
    let mut notes = Vec::new();
    let weight = context.weight(node, 1, 0, &mut notes)?;
    let shape = weight.shape();
    let axes = match shape.len() {
        rank @ 3..=5 => rank - 2,
        rank @ 6.. => {
            return Err(NoLayer::Refuse(format!(
                "its weight has {} spatial axes; 1 to 3 are covered",
                rank - 2
            )));
        }
        rank => {
            return Err(NoLayer::Fail(format!(
                "its weight {:?} has {rank} axes; expected 3 to 5",
                weight.name
            )));
        }
    };
    if let Some(kernel) = node.ints("kernel_shape")? {
        let same = kernel.len() == axes
            && kernel
                .iter()
                .zip(&shape[2..])
                .all(|(&k, &n)| usize::try_from(k) == Ok(n));
        if !same {
            return Err(NoLayer::Fail(format!(
                "kernel_shape = {kernel:?}; the weight {:?} has shape {shape:?}",
                weight.name
            )));
        }
    }
    let groups = node.int("group", 1)?;
    let groups = usize::try_from(groups)
        .ok()
        .filter(|&groups| groups > 0 && shape[0].is_multiple_of(groups))
        .ok_or_else(|| {
            NoLayer::Fail(format!(
                "group = {groups}; expected a divisor of the {} channels on the weight's first axis",
                shape[0]
            ))
        })?;
    if let Some(pads) = node.ints("pads")?
        && pads.len() == 2 * axes
        && pads.iter().any(|&p| p < 0)
        && matches!(node.text("auto_pad", "NOTSET"), Ok("NOTSET"))
    {
        return Err(NoLayer::Refuse(format!(
            "pads = {pads:?} has negative padding"
        )));
    }
    let window = Window::new(node, &shape[2..])?;
    let conv = Conv {
        stride: window.stride.clone(),
        dilation: window.dilation.clone(),
        groups,
        transposed,
        ..Conv::new(axes)
    };
    let op = if transposed {
        LayerKind::ConvTranspose
    } else {
        LayerKind::Conv
    };
    let draft = Draft {
        op,
        conv,
        scale: 1.0,
        notes,
        weight,
    };
    Ok((draft, window))
}

fn check_input(dims: Option<&Dims>, axes: usize, channels: Option<usize>) -> Result<(), NoLayer> {
    let Some(dims) = dims else { return Ok(()) };
    if dims.len() != axes + 2 {
        return Err(NoLayer::Fail(format!(
            "its input has {} axes; its weight needs {}",
            dims.len(),
            axes + 2
        )));
    }
    match (dims[1], channels) {
        (Size::Known(got), Some(expected)) if got != expected => Err(NoLayer::Fail(format!(
            "its input has {got} channels; its weight and group need {expected}"
        ))),
        (_, None) => Err(NoLayer::Fail(
            "the number of its channels overflows".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// The spatial size, if all of it is known and no axis is longer than what is covered.
fn known_size(dims: Option<&Dims>) -> Option<Vec<usize>> {
    let inside = |n: &Size| n.known().filter(|n| (1..=limits::EXTENT).contains(n));
    dims?.iter().skip(2).map(inside).collect()
}

fn too_small(axis: usize, n: usize, window: &Window) -> String {
    let padding = match window.auto_pad {
        AutoPad::Explicit => format!("padding {:?}", window.pads[axis]),
        other => format!("auto_pad {other:?}"),
    };
    format!(
        "its input has {n} pixels on spatial axis {axis}, which give no output (kernel {}, \
         dilation {}, {padding})",
        window.kernel[axis], window.dilation[axis]
    )
}

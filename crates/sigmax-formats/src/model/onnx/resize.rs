//! Shapes of Resize, Upsample and the two rearrangements of blocks.

use super::arguments::axis;
use super::attribute::Attribute;
use super::facts::{Constant, Context};
use super::limits;
use super::parsed::Node;
use super::size::{Dims, Size};

/// The shape of the output of Resize and Upsample.
pub(super) fn infer(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let mut dims = context.input(node, 0)?.dims.clone()?;
    let unknown = vec![Size::Unknown; dims.len()];
    let crops = node
        .text("coordinate_transformation_mode", "half_pixel")
        .ok()?;
    let policy = node.text("keep_aspect_ratio_policy", "stretch").ok()?;
    if crops == "tf_crop_and_resize" || policy != "stretch" {
        return Some(unknown);
    }
    let axes: Vec<usize> = match node.ints("axes").ok()? {
        Some(axes) => axes
            .iter()
            .map(|&a| axis(a, dims.len()))
            .collect::<Option<_>>()?,
        None => (0..dims.len()).collect(),
    };
    if let Some(sizes) = context.integers(node, 3) {
        let Some(sizes) = sizes.sizes().filter(|sizes| sizes.len() == axes.len()) else {
            return Some(unknown);
        };
        for (&along, &size) in axes.iter().zip(&sizes) {
            dims[along] = size;
        }
        return Some(dims);
    }
    let Some(scales) = scales(context, node).filter(|scales| scales.len() == axes.len()) else {
        return Some(unknown);
    };
    for (&along, &scale) in axes.iter().zip(&scales) {
        if (scale - 1.0).abs() > 0.0 {
            dims[along] = dims[along].and_then(|n| scaled(n, scale));
        }
    }
    Some(dims)
}

/// The place of the scales among the inputs of a Resize or Upsample node.
pub(super) fn place(context: &Context<'_>, node: &Node) -> usize {
    // Opset 11 put the region of interest between data and scales.
    if node.op == "Resize" && context.parsed.opset >= 11 {
        2
    } else {
        1
    }
}

/// The scales of a Resize or Upsample node, as stated.
pub(super) fn scales(context: &Context<'_>, node: &Node) -> Option<Vec<f64>> {
    if let Some(Attribute::Floats(range, count)) = node.attribute("scales") {
        let field = crate::model::repeated::Repeated {
            number: 7,
            entry: crate::model::repeated::Entry::F32,
        };
        let count = usize::try_from(*count)
            .ok()
            .filter(|&n| n <= limits::RANK)?;
        return crate::model::repeated::read_repeated(
            context.source,
            range.clone(),
            field,
            count,
            "scales",
        )
        .ok();
    }
    match &context.input(node, place(context, node))?.constant {
        Constant::Float(tensor, _) if tensor.shape().iter().all(|&n| n <= limits::RANK) => {
            let [_] = tensor.shape() else { return None };
            tensor.read(context.source).ok()
        }
        _ => None,
    }
}

/// ⌊n·scale⌋, unless the rounding of an f32 product could decide it.
fn scaled(n: usize, scale: f64) -> Option<usize> {
    #[allow(
        clippy::cast_precision_loss,
        reason = "n is at most 2²⁴, so it and its product with an f32 are exact in f64"
    )]
    let product = (n <= limits::EXTENT).then_some(n as f64 * scale)?;
    let nearest = product.round();
    // In [1, 2²⁴] an integer product is exact in f32; any other one is off by at most 2⁻²⁴ of it.
    let sure =
        (product - nearest).abs() <= 0.0 || (product - nearest).abs() > product * 2f64.powi(-23);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be from 1 to 2²⁴"
    )]
    let size = (1.0..=16_777_216.0)
        .contains(&product)
        .then_some(product.floor() as usize)?;
    sure.then_some(size)
}

/// The shape of the output of `DepthToSpace` and `SpaceToDepth`.
pub(super) fn blocks(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let dims = context.input(node, 0)?.dims.as_ref()?;
    let &[batch, channels, height, width] = &dims[..] else {
        return None;
    };
    let size = usize::try_from(node.int("blocksize", 0).ok()?).ok()?;
    let area = size.checked_mul(size).filter(|&area| area > 0)?;
    let times = |n: Size, by: usize| n.and_then(|n| n.checked_mul(by));
    let over = |n: Size, by: usize| n.and_then(|n| n.is_multiple_of(by).then(|| n / by));
    Some(if node.op == "DepthToSpace" {
        vec![
            batch,
            over(channels, area),
            times(height, size),
            times(width, size),
        ]
    } else {
        vec![
            batch,
            times(channels, area),
            over(height, size),
            over(width, size),
        ]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_that_rounding_decides_is_unknown() {
        assert_eq!(scaled(7, 2.0), Some(14));
        assert_eq!(scaled(7, 1.5), Some(10));
        // 3 · f32(1/3) is 1 + 2⁻²⁵·…: an f32 product rounds it to 1.
        assert_eq!(scaled(3, f64::from(1.0f32 / 3.0)), None);
        assert_eq!(scaled(usize::MAX, 2.0), None);
        assert_eq!(scaled(7, f64::NAN), None);
        assert_eq!(scaled(7, f64::INFINITY), None);
    }
}

//! Gemm and MatMul with a constant matrix on either side.

use sigmax::Conv;

use crate::model::layer::LayerKind;
use crate::model::tensor::Tensor;

use super::contraction::Contraction;
use super::draft::{Draft, NoLayer};
use super::facts::{Constant, Context};
use super::parsed::Node;

/// Said where the matrix is the first factor.
const LEFT: &str = "the weight is the first factor of the product: it acts on the columns of its \
                    input";

/// The layer of a Gemm node: alpha·A'·B' + beta·C.
pub(super) fn gemm(context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
    let mut notes = Vec::new();
    let (weight, left) = factor(context, node, &mut notes)?;
    if weight.shape().len() != 2 {
        return Err(NoLayer::Fail(format!(
            "its weight {:?} has shape {:?}; expected a matrix",
            weight.name,
            weight.shape()
        )));
    }
    let flag = |name: &str| match node.int(name, 0)? {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(format!("{name} = {other}; expected 0 or 1")),
    };
    let (trans_a, trans_b) = (flag("transA")?, flag("transB")?);
    // As the first factor A' is [out, in]; as the second one B' is [in, out].
    let turn = if left { trans_a } else { !trans_b };
    let scale = f64::from(node.float("alpha", 1.0)?);
    if !scale.is_finite() {
        return Err(NoLayer::Fail(format!(
            "alpha = {scale}; expected a finite number"
        )));
    }
    if context
        .input(node, 2)
        .is_some_and(|bias| matches!(bias.constant, Constant::No))
    {
        notes
            .push("what it adds is not constant; the norm is that of the product alone".to_owned());
    }
    draft(turned(weight, turn)?, scale, notes)
}

/// The layer of a MatMul node.
pub(super) fn matmul(context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
    let mut notes = Vec::new();
    let (weight, left) = factor(context, node, &mut notes)?;
    let shape = weight.shape().to_vec();
    if is_batch(&shape) {
        return Contraction::matmul(context, node)?.draft(context, node);
    }
    match shape[..] {
        [] => Err(NoLayer::Fail(
            "its weight is a number; expected a matrix".to_owned(),
        )),
        // One output, the product with a vector, whatever side it is on.
        [n] => draft(reshaped(weight, vec![1, n])?, 1.0, notes),
        [.., rows, columns] => {
            let matrix = reshaped(weight, vec![rows, columns])?;
            draft(turned(matrix, !left)?, 1.0, notes)
        }
    }
}

/// Whether a weight is more than one matrix.
pub(super) fn is_batch(shape: &[usize]) -> bool {
    let before = shape.len().saturating_sub(2);
    shape[..before].iter().any(|&n| n != 1)
}

/// The constant factor, and whether it is the first one.
fn factor(
    context: &Context<'_>,
    node: &Node,
    notes: &mut Vec<String>,
) -> Result<(Tensor, bool), NoLayer> {
    let data = |place| {
        context
            .input(node, place)
            .is_none_or(|fact| context.is_data(fact))
    };
    let constant = |place| {
        context
            .input(node, place)
            .is_some_and(|fact| !matches!(fact.constant, Constant::No))
    };
    if !constant(0) && !constant(1) {
        return Err(NoLayer::Refuse(
            "no constant weight: both factors are computed while the model runs".to_owned(),
        ));
    }
    // Where both are constant and one may be replaced, that one is the data.
    let left = constant(0) && data(1) && !(constant(1) && data(0));
    if left {
        notes.push(LEFT.to_owned());
    }
    let (place, other) = if left { (0, 1) } else { (1, 0) };
    Ok((context.weight(node, place, other, notes)?, left))
}

fn draft(weight: Tensor, scale: f64, notes: Vec<String>) -> Result<Draft, NoLayer> {
    Ok(Draft {
        op: LayerKind::Dense,
        conv: Conv::new(0),
        scale,
        notes,
        weight,
    })
}

fn turned(matrix: Tensor, turn: bool) -> Result<Tensor, NoLayer> {
    if !turn {
        return Ok(matrix);
    }
    matrix
        .permuted(&[1, 0])
        .ok_or_else(|| NoLayer::Fail("its weight is not a matrix".to_owned()))
}

fn reshaped(tensor: Tensor, shape: Vec<usize>) -> Result<Tensor, NoLayer> {
    tensor
        .reshaped(shape)
        .ok_or_else(|| NoLayer::Fail("the size of its weight overflows".to_owned()))
}

//! Products with a constant along any axes (T45): Einsum, and MatMul with a batch of matrices.

use sigmax::network::{NodeId, Op, Separable};

use super::super::contraction::{Contraction, Equation, Label};
use super::super::draft::NoLayer;
use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, MIXES, refuse};

/// MatMul with a constant that is more than one matrix.
pub(super) fn matmul(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    index: usize,
) -> Result<NodeId, Halt> {
    let product = Contraction::matmul(&lowering.context, node)?;
    contracted(lowering, node, name, index, &product)
}

/// Einsum of the data alone, or with a constant.
pub(super) fn einsum(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    index: usize,
) -> Result<NodeId, Halt> {
    match Contraction::einsum(&lowering.context, node) {
        Ok(product) => contracted(lowering, node, name, index, &product),
        Err(NoLayer::Other) => summed(lowering, node, name),
        Err(stop) => Err(stop.into()),
    }
}

/// The axes of one sample in the data and the result; the batch is first in both, or there is none.
fn of_sample<'l>(
    lowering: &Lowering<'_>,
    data: &'l [Label],
    output: &'l [Label],
    weight: &[Label],
) -> Result<(&'l [Label], &'l [Label]), Halt> {
    if lowering.hidden == 0 {
        return Ok((data, output));
    }
    match (data, output) {
        ([batch, data @ ..], [first, output @ ..]) if batch == first && !weight.contains(batch) => {
            Ok((data, output))
        }
        _ => refuse(MIXES),
    }
}

/// The transpose that brings axes into another order.
fn ordered(
    lowering: &mut Lowering<'_>,
    name: &str,
    id: NodeId,
    from: &[Label],
    to: &[Label],
) -> Result<NodeId, Halt> {
    if from == to {
        return Ok(id);
    }
    let places = to
        .iter()
        .map(|label| from.iter().position(|other| other == label));
    match places.collect::<Option<Vec<usize>>>() {
        Some(axes) if axes.len() == from.len() => lowering.transposed(name, id, &axes),
        _ => refuse("the axes of its result are not those of its inputs"),
    }
}

/// Sums over axes, and a transpose of the others.
fn summed(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let mut id = lowering.data(node, 0)?;
    let equation = Equation::parse(node.text("equation", "")?)?;
    let (data, output) = equation.single(lowering.rank(id))?;
    let (data, output) = of_sample(lowering, &data, &output, &[])?;
    let shape = lowering.shape(id);
    let (kept, over): (Vec<usize>, Vec<usize>) =
        (0..data.len()).partition(|&axis| output.contains(&data[axis]));
    if !over.is_empty() {
        let sum = Op::Separable(Separable::sum(&shape, &over)?);
        id = lowering.add(name, sum, &[id])?;
        let rest: Vec<usize> = kept.iter().map(|&axis| shape[axis]).collect();
        id = lowering.reshaped(name, id, &rest)?;
    }
    let kept: Vec<Label> = kept.iter().map(|&axis| data[axis]).collect();
    ordered(lowering, name, id, &kept, output)
}

/// A product with a constant: one matrix for all rows of the data, or with axes of all three one for each of
/// their places, as the groups of a convolution of one pixel.
fn contracted(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    index: usize,
    product: &Contraction,
) -> Result<NodeId, Halt> {
    let [place, constant] = product.places;
    let input = lowering.data(node, place)?;
    let (data, output) = of_sample(lowering, &product.data, &product.output, &product.weight)?;
    let shape = lowering.shape(input);
    if shape.len() != data.len() {
        return refuse("its equation does not fit the axes of its input");
    }
    let length = |label: Label| match data.iter().position(|&other| other == label) {
        Some(axis) => shape[axis],
        None => product.length(label).unwrap_or(1),
    };
    let lengths = |labels: &[Label]| {
        labels
            .iter()
            .map(|&label| length(label))
            .collect::<Vec<_>>()
    };
    let (groups, inner, new) = (product.groups(), product.inner(), product.new_axes());
    let rest: Vec<Label> = data
        .iter()
        .copied()
        .filter(|label| !product.weight.contains(label))
        .collect();
    let (layer, weight) = lowering.layer(node, constant)?;
    let columns = lengths(&inner).iter().product();
    // Where the data goes, where the result comes from, and the shapes between.
    let (from, flat, to) = if groups.is_empty() {
        let flat = [lengths(&rest), vec![columns]].concat();
        (
            [&rest[..], &inner].concat(),
            flat,
            [&rest[..], &new].concat(),
        )
    } else {
        let channels = lengths(&groups).iter().product::<usize>() * columns;
        let flat = vec![channels, lengths(&rest).iter().product()];
        let from = [&groups[..], &inner, &rest].concat();
        (from, flat, [&groups[..], &new, &rest].concat())
    };
    let id = ordered(lowering, name, input, data, &from)?;
    let id = lowering.reshaped(name, id, &flat)?;
    let id = if groups.is_empty() {
        lowering.layer_step(name, &weight, Op::dense, id)?
    } else {
        let (conv, bias) = (layer.conv, None);
        let op = |kernel| Op::Conv { kernel, conv, bias };
        lowering.layer_step(name, &weight, op, id)?
    };
    lowering.computes(index, id);
    let id = lowering.reshaped(name, id, &lengths(&to))?;
    ordered(lowering, name, id, &to, output)
}

//! Conv, ConvTranspose, Gemm and MatMul.

use sigmax::enclosed::Enclosed;
use sigmax::network::{Affine, NodeId, Op, PerEntry};
use sigmax::weight::Weight;
use sigmax::{Conv, Kernel};

use super::super::conv::{ANY_PADDING, LONGER};
use super::super::dense::is_batch;
use super::super::draft::Draft;
use super::super::layers::draft;
use super::super::parsed::Node;
use super::super::size;
use super::constant::{Array, Terms};
use super::lowering::{Halt, Lowering, MIXES, refuse};
use super::product;

impl Lowering<'_> {
    /// The layer of a node and its weight.
    pub(super) fn layer(&mut self, node: &Node, place: usize) -> Result<(Draft, Weight), Halt> {
        let layer = draft(&self.context, node)?;
        if let Some(value) = node.inputs.get(place).copied().flatten() {
            self.replaceable(value);
        }
        self.reads(&layer.weight)?;
        let (values, errors) = self.enclosed(&layer.weight)?;
        let shape = layer.weight.shape();
        let weight = if errors.is_empty() {
            Weight::exact(Kernel::new(shape, values)?)
        } else {
            Weight::enclosed(shape, &crate::model::enclosed(&values, &errors))?
        };
        Ok((layer, weight))
    }

    /// What is added behind a layer along an axis, where it is not known exactly.
    fn shifted(
        &mut self,
        name: &str,
        id: NodeId,
        axis: usize,
        shift: &[Enclosed],
    ) -> Result<NodeId, Halt> {
        let mut shape = vec![1; self.shape(id).len()];
        let one = shape.clone();
        shape[axis] = shift.len();
        let affine = Affine::enclosed((&one, &[Enclosed::exact(1.0)]), (&shape, shift))?;
        self.step(name, "bias", Op::Affine(affine), &[id])
    }
}

/// What a layer adds: as its own bias where it is exact, else for a node behind it.
type Bias = (Option<Vec<f64>>, Option<Vec<Enclosed>>);

fn split(bias: Option<Terms>) -> Bias {
    match bias {
        Some(bias) if bias.are_exact() => {
            let values = bias.entries.iter().map(|entry| entry.value());
            (Some(values.collect()), None)
        }
        Some(bias) => (None, Some(bias.entries)),
        None => (None, None),
    }
}

/// A convolution, with what is in front of it as far as that is part of it.
pub(super) fn conv(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    index: usize,
    folded: Option<usize>,
) -> Result<NodeId, Halt> {
    let (layer, weight) = lowering.layer(node, 1)?;
    let kernel = weight.kernel();
    let padded = layer.conv.padding_mode != sigmax::PaddingMode::Zeros;
    let input = match folded {
        Some(value) if padded => lowering.value(value)?,
        None if !padded => lowering.data(node, 0)?,
        _ => return refuse("the Pad node in front of it does not fit its input"),
    };
    if layer.notes.iter().any(|note| note == LONGER) {
        return refuse(
            "its output is longer than its input gives, and where the zeros of the rest go differs between the \
             reference of ONNX and onnxruntime; state the natural size and pad the output",
        );
    }
    let size = lowering.shape(input).get(1..).map(<[usize]>::to_vec);
    if layer.notes.iter().any(|note| note == ANY_PADDING) || layer.conv.input_size != size {
        return refuse("its padding or its output depends on sizes that are not known");
    }
    let out = if layer.conv.transposed {
        kernel.shape()[1].saturating_mul(layer.conv.groups)
    } else {
        kernel.shape()[0]
    };
    let bias = match lowering.added(node, 2)? {
        Some(bias) if bias.shape == [out] => Some(bias),
        Some(bias) => {
            return refuse(format!(
                "its bias has shape {:?}; expected [{out}]",
                bias.shape
            ));
        }
        None => None,
    };
    let conv = Conv {
        input_size: None,
        ..layer.conv.clone()
    };
    let (bias, behind) = split(bias);
    let op = |kernel| Op::Conv { kernel, conv, bias };
    let id = lowering.layer_step(name, &weight, op, input)?;
    lowering.computes(index, id);
    match behind {
        Some(shift) => lowering.shifted(name, id, 0, &shift),
        None => Ok(id),
    }
}

/// alpha·A·B' + beta·C with the data in A.
pub(super) fn gemm(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    index: usize,
) -> Result<NodeId, Halt> {
    if lowering.context.varying(node, 0).is_none() || node.int("transA", 0)? != 0 {
        return refuse(MIXES);
    }
    let input = lowering.data(node, 0)?;
    if lowering.shape(input).len() != 1 {
        return refuse(format!(
            "its input has {} axes; expected two",
            lowering.shape(input).len() + 1
        ));
    }
    let (layer, weight) = lowering.layer(node, 1)?;
    let out = weight.kernel().shape()[0];
    let beta = f64::from(node.float("beta", 1.0)?);
    let scale = layer.scale;
    let plain = (scale - 1.0).abs() <= 0.0 && (beta - 1.0).abs() <= 0.0;
    let bias = match lowering.added(node, 2)? {
        Some(bias) if plain && bias.shape == [out] && !bias.are_exact() => {
            let id = lowering.layer_step(name, &weight, Op::dense, input)?;
            lowering.computes(index, id);
            return lowering.shifted(name, id, 0, &bias.entries);
        }
        Some(bias) => Some(rows(bias.exact()?, out, beta)?),
        None => None,
    };
    if (scale - 1.0).abs() <= 0.0 {
        let op = |kernel| Op::Dense { kernel, bias };
        let id = lowering.layer_step(name, &weight, op, input)?;
        lowering.computes(index, id);
        return Ok(id);
    }
    let product = lowering.layer_step(name, &weight, Op::dense, input)?;
    let shift = PerEntry::channels(1, bias.unwrap_or_else(|| vec![0.0; out]))?;
    let affine = Affine::exact(PerEntry::uniform(1, scale)?, shift);
    lowering.add(name, Op::Affine(affine), &[product])
}

/// beta·C, one number per output.
fn rows(bias: Array, out: usize, beta: f64) -> Result<Vec<f64>, Halt> {
    let mut values = match bias.shape[..] {
        [] | [1] | [1, 1] => vec![bias.values[0]; out],
        [n] | [1, n] if n == out => bias.values,
        [n, _] if n > 1 => {
            return refuse("what it adds differs between the samples of a batch");
        }
        _ => {
            return refuse(format!(
                "what it adds has shape {:?}; expected [{out}]",
                bias.shape
            ));
        }
    };
    if (beta - 1.0).abs() <= 0.0 {
        return Ok(values);
    }
    for value in &mut values {
        *value = match product(*value, beta) {
            Some(product) => product,
            None => return refuse(format!("beta = {beta} times what it adds is no f64")),
        };
    }
    Ok(values)
}

/// a·b if that is no rounding.
pub(super) fn product(a: f64, b: f64) -> Option<f64> {
    let product = a * b;
    let zero = a.abs() <= 0.0 || b.abs() <= 0.0;
    // Far from underflow the error is an f64, and mul_add gives it.
    let exact = product.abs() > 1e-200 && a.mul_add(b, -product).abs() <= 0.0;
    (product.is_finite() && (zero || exact)).then_some(product)
}

/// A product with a constant matrix on either side.
pub(super) fn matmul(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    index: usize,
) -> Result<NodeId, Halt> {
    let left = lowering.context.varying(node, 0).is_none();
    let (data, place) = if left { (1, 0) } else { (0, 1) };
    let lengths = lowering.context.input(node, place);
    let lengths = lengths.and_then(|fact| size::lengths(fact.dims.as_ref()?));
    if lengths.is_some_and(|lengths| is_batch(&lengths)) {
        return product::matmul(lowering, node, name, index);
    }
    let input = lowering.data(node, data)?;
    let rank = lowering.shape(input).len();
    // The axis that is summed over must not be the batch.
    let fewest = if left { 1 + lowering.hidden } else { 1 };
    if rank < fewest {
        return refuse(MIXES);
    }
    let weight = node.inputs.get(place).copied().flatten();
    let dims = weight.and_then(|value| lowering.context.facts[value].dims.as_ref());
    let axes = dims.map_or(usize::MAX, Vec::len);
    if axes > (rank + lowering.hidden).max(2) {
        return refuse("its matrix has more axes than its input: the batch axis moves");
    }
    let (_, weight) = lowering.layer(node, place)?;
    let vector = axes == 1;
    // A column without an axis of columns: the product sums over its one axis.
    let column = left && rank == 1;
    if (!left || column) && !vector {
        let id = lowering.layer_step(name, &weight, Op::dense, input)?;
        lowering.computes(index, id);
        return Ok(id);
    }
    let shape = lowering.shape(input);
    if let (true, [n, 1]) = (left && lowering.hidden == 0, &shape[..]) {
        // One column is a row that stands upright.
        let row = lowering.reshaped(name, input, &[*n])?;
        let id = lowering.layer_step(name, &weight, Op::dense, row)?;
        lowering.computes(index, id);
        let shape = [&lowering.shape(id)[..usize::from(!vector)], &[1]].concat();
        return lowering.reshaped(name, id, &shape);
    }
    let mut swapped: Vec<usize> = (0..rank).collect();
    let mut id = input;
    if left && !column {
        swapped.swap(rank - 1, rank - 2);
        id = lowering.transposed(name, id, &swapped)?;
    }
    let dense = lowering.layer_step(name, &weight, Op::dense, id)?;
    lowering.computes(index, dense);
    if vector {
        let mut shape = lowering.shape(dense);
        shape.pop();
        return lowering.reshaped(name, dense, &shape);
    }
    lowering.transposed(name, dense, &swapped)
}

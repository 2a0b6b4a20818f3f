//! Conv, ConvTranspose, Gemm and MatMul.

use sigmax::network::{Affine, NodeId, Op, PerEntry};
use sigmax::{Conv, Kernel};

use super::super::conv::{ANY_PADDING, LONGER};
use super::super::draft::Draft;
use super::super::layers::draft;
use super::super::parsed::Node;
use super::constant::Array;
use super::lowering::{Halt, Lowering, MIXES, refuse};

impl Lowering<'_> {
    /// The layer of a node and its weight.
    fn layer(&mut self, node: &Node, place: usize) -> Result<(Draft, Kernel), Halt> {
        let layer = draft(&self.context, node)?;
        if let Some(value) = node.inputs.get(place).copied().flatten() {
            self.replaceable(value);
        }
        self.reads(&layer.weight)?;
        let values = layer.weight.read(self.context.source)?;
        let kernel = Kernel::new(layer.weight.shape(), values)?;
        Ok((layer, kernel))
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
    let (layer, kernel) = lowering.layer(node, 1)?;
    let padded = layer.conv.padding_mode != sigmax::PaddingMode::Zeros;
    let input = match folded {
        Some(value) if padded => lowering.value(value)?,
        None if !padded => lowering.data(node, 0)?,
        _ => return refuse("the Pad node in front of it does not fit its input"),
    };
    if layer.notes.iter().any(|note| note == LONGER) {
        return refuse(
            "its output_shape is longer than its input gives, and the rest is zeros: not covered; \
             state the natural size and pad the output",
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
    let bias = match lowering.constant(node, 2)? {
        Some(bias) if bias.shape == [out] => Some(bias.values),
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
    let id = lowering.add(name, Op::Conv { kernel, conv, bias }, &[input])?;
    lowering.computes(index, id);
    Ok(id)
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
    let (layer, kernel) = lowering.layer(node, 1)?;
    let out = kernel.shape()[0];
    let beta = f64::from(node.float("beta", 1.0)?);
    let bias = match lowering.constant(node, 2)? {
        Some(bias) => Some(rows(bias, out, beta)?),
        None => None,
    };
    let scale = layer.scale;
    if (scale - 1.0).abs() <= 0.0 {
        let id = lowering.add(name, Op::Dense { kernel, bias }, &[input])?;
        lowering.computes(index, id);
        return Ok(id);
    }
    let product = lowering.step(name, "product", Op::dense(kernel), &[input])?;
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
    let input = lowering.data(node, data)?;
    let rank = lowering.shape(input).len();
    // The axis that is summed over must not be the batch.
    let fewest = if left { 2 } else { 1 };
    if rank < fewest {
        return refuse(MIXES);
    }
    let weight = node.inputs.get(place).copied().flatten();
    let dims = weight.and_then(|value| lowering.context.facts[value].dims.as_ref());
    let axes = dims.map_or(usize::MAX, Vec::len);
    if axes > rank + 1 {
        return refuse("its matrix has more axes than its input: the batch axis moves");
    }
    let (_, kernel) = lowering.layer(node, place)?;
    let vector = axes == 1;
    if !left && !vector {
        let id = lowering.add(name, Op::dense(kernel), &[input])?;
        lowering.computes(index, id);
        return Ok(id);
    }
    let mut swapped: Vec<usize> = (0..rank).collect();
    let mut id = input;
    if left {
        swapped.swap(rank - 1, rank - 2);
        id = lowering.transposed(name, id, &swapped)?;
    }
    let dense = lowering.step(name, "product", Op::dense(kernel), &[id])?;
    lowering.computes(index, dense);
    if vector {
        let mut shape = lowering.shape(dense);
        shape.pop();
        return lowering.reshaped(name, dense, &shape);
    }
    lowering.transposed(name, dense, &swapped)
}

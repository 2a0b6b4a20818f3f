//! Shapes of elementwise operators and matrix products.

use super::facts::Context;
use super::parsed::Node;
use super::size::{Dims, Size};

/// Operators whose first output has the shape of their first input.
pub(super) const UNARY: [&str; 63] = [
    "Abs",
    "Acos",
    "Acosh",
    "Asin",
    "Asinh",
    "Atan",
    "Atanh",
    "BatchNormalization",
    "Bernoulli",
    "Cast",
    "CastLike",
    "Ceil",
    "Celu",
    "Clip",
    "Cos",
    "Cosh",
    "CumSum",
    "DequantizeLinear",
    "Dropout",
    "Elu",
    "Erf",
    "Exp",
    "Floor",
    "Gelu",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Hardmax",
    "Identity",
    "InstanceNormalization",
    "IsInf",
    "IsNaN",
    "LRN",
    "LayerNormalization",
    "LeakyRelu",
    "Log",
    "LogSoftmax",
    "LpNormalization",
    "MeanVarianceNormalization",
    "Mish",
    "Neg",
    "Not",
    "PRelu",
    "QuantizeLinear",
    "RMSNormalization",
    "Reciprocal",
    "Relu",
    "Round",
    "Selu",
    "Shrink",
    "Sigmoid",
    "Sign",
    "SimplifiedLayerNormalization",
    "Sin",
    "Sinh",
    "Softmax",
    "Softplus",
    "Softsign",
    "Sqrt",
    "Swish",
    "Tan",
    "Tanh",
    "ThresholdedRelu",
];

/// Operators whose output has the broadcast shape of all inputs.
pub(super) const ELEMENTWISE: [&str; 18] = [
    "Add",
    "And",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Max",
    "Mean",
    "Min",
    "Mod",
    "Mul",
    "Or",
    "Pow",
    "Sub",
    "Sum",
    "Where",
];

/// The broadcast shape of all inputs.
pub(super) fn all(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let mut result = context.input(node, 0)?.dims.clone()?;
    for place in 1..node.inputs.len() {
        result = pair(&result, context.input(node, place)?.dims.as_ref()?)?;
    }
    Some(result)
}

/// The broadcast shape of two; `None` where they do not go together.
pub(super) fn pair(a: &Dims, b: &Dims) -> Option<Dims> {
    let rank = a.len().max(b.len());
    let at = |dims: &Dims, i: usize| match (i + dims.len()).checked_sub(rank) {
        Some(i) => dims[i],
        None => Size::Known(1),
    };
    (0..rank)
        .map(|i| match (at(a, i), at(b, i)) {
            (Size::Known(1), n) | (n, Size::Known(1)) => Some(n),
            (Size::Known(n), Size::Known(m)) => (n == m).then_some(Size::Known(n)),
            // An axis longer than 1 is that of the result, whatever the other one is.
            (Size::Known(n), _) | (_, Size::Known(n)) => Some(Size::Known(n)),
            (n, m) if n == m => Some(n),
            // Either may be 1.
            _ => Some(Size::Unknown),
        })
        .collect()
}

/// The shape of a Gemm node's output.
pub(super) fn gemm(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let side = |place: usize, flag: &str, outer: usize| {
        let transposed = node.int(flag, 0).ok()? != 0;
        let dims = context.input(node, place)?.dims.as_ref()?;
        let [first, second] = dims[..] else {
            return None;
        };
        Some(if transposed == (outer == 0) {
            second
        } else {
            first
        })
    };
    Some(vec![
        side(0, "transA", 0).unwrap_or(Size::Unknown),
        side(1, "transB", 1).unwrap_or(Size::Unknown),
    ])
}

/// The shape of a MatMul node's output.
pub(super) fn matmul(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let a = context.input(node, 0)?.dims.as_ref()?;
    let b = context.input(node, 1)?.dims.as_ref()?;
    match (&a[..], &b[..]) {
        ([], _) | (_, []) => None,
        ([_], [_]) => Some(Vec::new()),
        ([batch @ .., rows, _], [_]) => Some([batch, &[*rows]].concat()),
        ([_], [batch @ .., _, columns]) => Some([batch, &[*columns]].concat()),
        ([a @ .., rows, _], [b @ .., _, columns]) => {
            let batch = pair(&a.to_vec(), &b.to_vec())?;
            Some([&batch[..], &[*rows, *columns]].concat())
        }
    }
}

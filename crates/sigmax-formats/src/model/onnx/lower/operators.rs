//! The table of operators: which function lowers each.

use sigmax::network::NodeId;

use super::super::order::label;
use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, refuse};
use super::plan::Plan;
use super::{
    activation, arithmetic, blocks, linear, normalisation, pooling, product, reduce, resize,
    select, shape,
};

/// Lowers a node under a name.
type One = fn(&mut Lowering<'_>, &Node, &str) -> Result<NodeId, Halt>;
/// The same for the node of this place in the graph, which is a layer.
type Layer = fn(&mut Lowering<'_>, &Node, &str, usize) -> Result<NodeId, Halt>;
/// The same for one with several outputs.
type Several = fn(&mut Lowering<'_>, &Node, &str) -> Result<Vec<NodeId>, Halt>;

/// How an operator is lowered.
#[derive(Clone, Copy, Debug)]
pub(super) enum Rule {
    /// With what is in front of it, as far as that is part of it.
    Conv,
    Layer(Layer),
    One(One),
    Several(Several),
}

/// The rule of an operator of ONNX itself, if it has one.
pub(super) fn rule(op: &str) -> Option<Rule> {
    Some(match op {
        "Conv" | "ConvTranspose" => Rule::Conv,
        "Gemm" => Rule::Layer(linear::gemm),
        "MatMul" => Rule::Layer(linear::matmul),
        "Einsum" => Rule::Layer(product::einsum),
        "Split" => Rule::Several(select::split),
        op => Rule::One(one(op)?),
    })
}

fn one(op: &str) -> Option<One> {
    Some(match op {
        "BatchNormalization" => normalisation::batch_norm,
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => {
            normalisation::layer_norm
        }
        "GroupNormalization" => normalisation::group_norm,
        "InstanceNormalization" => normalisation::instance_norm,
        "Add" | "Sub" | "Sum" | "Mean" => arithmetic::sum,
        "Mul" | "Div" | "Neg" => arithmetic::factor,
        "Max" | "Min" => arithmetic::extremum,
        "MaxPool" => pooling::max_pool,
        "AveragePool" => pooling::average_pool,
        "LpPool" => pooling::lp_pool,
        "GlobalAveragePool" | "GlobalMaxPool" | "GlobalLpPool" => pooling::global,
        "ReduceMean" | "ReduceSum" | "ReduceMax" | "ReduceMin" | "ReduceL2" | "ReduceLogSumExp" => {
            reduce::reduce
        }
        "Flatten" => shape::flatten,
        "Reshape" => shape::reshape,
        "Squeeze" => shape::squeeze,
        "Unsqueeze" => shape::unsqueeze,
        "Transpose" => shape::transpose,
        "Identity" | "Dropout" | "Cast" => shape::same,
        "CastLike" => shape::cast_like,
        "TopK" => select::sorted,
        "Slice" => select::slice,
        "Concat" => select::concat,
        "Gather" => select::gather,
        "Expand" => select::expand,
        "Tile" => select::tile,
        "Pad" => select::pad,
        "DepthToSpace" | "SpaceToDepth" => blocks::blocks,
        "Resize" | "Upsample" => resize::resize,
        op if is_activation(op) => activation::activation,
        _ => return None,
    })
}

fn is_activation(op: &str) -> bool {
    matches!(
        op,
        "Abs"
            | "Asinh"
            | "Atan"
            | "Celu"
            | "Clip"
            | "Cos"
            | "Elu"
            | "Erf"
            | "Gelu"
            | "HardSigmoid"
            | "HardSwish"
            | "LeakyRelu"
            | "LogSoftmax"
            | "Mish"
            | "PRelu"
            | "Relu"
            | "Selu"
            | "Shrink"
            | "Sigmoid"
            | "Silu"
            | "Sin"
            | "Softmax"
            | "Softplus"
            | "Softsign"
            | "Swish"
            | "Tanh"
            | "ThresholdedRelu"
    )
}

/// Operators for which axis 0 is the batch.
fn is_batched(op: &str) -> bool {
    matches!(
        op,
        "Conv"
            | "ConvTranspose"
            | "Gemm"
            | "BatchNormalization"
            | "GroupNormalization"
            | "InstanceNormalization"
            | "MaxPool"
            | "AveragePool"
            | "GlobalAveragePool"
            | "GlobalMaxPool"
            | "LpPool"
            | "GlobalLpPool"
            | "DepthToSpace"
            | "SpaceToDepth"
            | "Resize"
            | "Upsample"
    )
}

/// Operators that act entry by entry.
fn is_by_entries(op: &str) -> bool {
    let several = matches!(
        op,
        "Add"
            | "Sub"
            | "Sum"
            | "Mean"
            | "Mul"
            | "Div"
            | "Neg"
            | "Max"
            | "Min"
            | "Identity"
            | "Dropout"
            | "Cast"
            | "CastLike"
    );
    let softmax = matches!(op, "Softmax" | "LogSoftmax");
    several || (matches!(rule(op), Some(Rule::One(_))) && is_activation(op) && !softmax)
}

/// With how many axes a node sees its inputs, and these as it sees them.
fn view(lowering: &mut Lowering<'_>, plan: &Plan, index: usize, name: &str) -> Result<(), Halt> {
    let node = &lowering.context.parsed.nodes[index];
    let pattern = plan.patterns.get(&index);
    // A pattern does not read what its nodes make between them.
    let inputs: Vec<usize> = match pattern {
        Some(pattern) => vec![pattern.input],
        None => (0..node.inputs.len())
            .filter_map(|place| lowering.context.varying(node, place))
            .chain(plan.folded.get(&index).copied())
            .collect(),
    };
    let rows =
        node.op == "MatMul" && inputs.first() == node.inputs.first().and_then(Option::as_ref);
    let by_entries = rows || pattern.is_none() && is_by_entries(&node.op);
    let batched = pattern.is_none() && is_batched(&node.op);
    lowering.hidden = lowering.lacks(node, &inputs, batched, by_entries);
    for value in inputs {
        lowering.prepared(name, value)?;
    }
    Ok(())
}

/// Lowers one node whose inputs are.
pub(super) fn lower(lowering: &mut Lowering<'_>, plan: &Plan, index: usize) -> Result<(), Halt> {
    let parsed = lowering.context.parsed;
    let node = &parsed.nodes[index];
    let name = label(parsed, index);
    lowering.begin();
    view(lowering, plan, index, &name)?;
    let results = match (plan.patterns.get(&index), rule(&node.op)) {
        (Some(pattern), _) => vec![activation::pattern(lowering, pattern, &name)?],
        (None, Some(Rule::Conv)) => {
            let folded = plan.folded.get(&index).copied();
            vec![linear::conv(lowering, node, &name, index, folded)?]
        }
        (None, Some(Rule::Layer(layer))) => vec![layer(lowering, node, &name, index)?],
        (None, Some(Rule::One(one))) => vec![one(lowering, node, &name)?],
        (None, Some(Rule::Several(several))) => several(lowering, node, &name)?,
        (None, None) => return refuse("no rule is known for this operator"),
    };
    for (place, &output) in node.outputs.iter().enumerate() {
        let Some(output) = output else { continue };
        match results.get(place) {
            Some(&id) => lowering.made(output, id)?,
            None if plan.read.contains(&output) => {
                return refuse(format!("its output {place} is read, which has no rule"));
            }
            None => {}
        }
    }
    Ok(())
}

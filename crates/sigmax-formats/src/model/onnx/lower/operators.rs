//! The table of operators: which function lowers each.

use sigmax::network::NodeId;

use super::super::order::label;
use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, refuse};
use super::plan::Plan;
use super::{
    activation, arithmetic, blocks, linear, normalisation, pooling, reduce, resize, select, shape,
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
        "Abs" | "Asinh" | "Atan" | "Celu" | "Clip" | "Cos" | "Elu" | "Erf" | "Gelu"
        | "HardSigmoid" | "HardSwish" | "LeakyRelu" | "LogSoftmax" | "Mish" | "PRelu" | "Relu"
        | "Selu" | "Shrink" | "Sigmoid" | "Silu" | "Sin" | "Softmax" | "Softplus" | "Softsign"
        | "Swish" | "Tanh" | "ThresholdedRelu" => activation::activation,
        _ => return None,
    })
}

/// Lowers one node whose inputs are.
pub(super) fn lower(lowering: &mut Lowering<'_>, plan: &Plan, index: usize) -> Result<(), Halt> {
    let parsed = lowering.context.parsed;
    let node = &parsed.nodes[index];
    let name = label(parsed, index);
    lowering.begin();
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

//! Which nodes have no rule whatever their shapes are, and why.

use crate::model::skipped::Refused;

use super::super::draft::NoLayer;
use super::super::facts::Context;
use super::super::layers::{FUSED, draft, is_fused};
use super::super::order::label;
use super::super::parsed::{Node, Parsed};
use super::lowering::{JUMPS, PRODUCT, QUOTIENT};
use super::operators::rule;
use super::plan::Plan;

const SPREAD: &str = "normalises over the batch, and adds what keeps the divisor from 0 outside of the \
                      root: no rule is known";
const NORM: &str = "divides by a norm of its input: not globally Lipschitz";
const ATTENTION: &str = "multiplies activations with one another: not globally Lipschitz";
const STEEP: &str = "its slope is not bounded on all inputs: not globally Lipschitz";
const RECURRENT: &str = "a recurrent layer: no rule is known";
const QUANTISED: &str = "it is quantised, and rounding jumps; use the model before quantisation";
const FLOW: &str = "a subgraph that runs or not, or many times, is not followed";

/// Why an operator has no rule.
fn reason(op: &str) -> Option<&'static str> {
    Some(match op {
        "MeanVarianceNormalization" => SPREAD,
        "LpNormalization" => NORM,
        "LRN" => "divides by a sum of squares of its input: no rule is known",
        "Attention" | "MultiHeadAttention" | "RotaryEmbedding" | "LinearAttention" => ATTENTION,
        "LSTM" | "GRU" | "RNN" => RECURRENT,
        op if op.starts_with("QLinear") => QUANTISED,
        "ConvInteger"
        | "MatMulInteger"
        | "QuantizeLinear"
        | "DequantizeLinear"
        | "DynamicQuantizeLinear" => QUANTISED,
        "If" | "Loop" | "Scan" | "SequenceMap" => FLOW,
        "DeformConv" => "where it reads depends on its input: not globally Lipschitz",
        "GridSample" | "AffineGrid" | "RoiAlign" | "MaxRoiPool" => {
            "where it reads may depend on its input: no rule is known"
        }
        "ArgMax" | "ArgMin" | "Round" | "Sign" | "Floor" | "Ceil" | "Hardmax" | "Mod" | "Equal"
        | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "And" | "Or" | "Xor" | "Not"
        | "IsNaN" | "IsInf" | "NonZero" | "NonMaxSuppression" | "OneHot" | "Unique"
        | "Compress" | "Multinomial" | "Bernoulli" => JUMPS,
        "Where" => "it chooses between values: no rule is known",
        "Pow" => "a power of its input: in general not globally Lipschitz",
        "Exp" | "Sqrt" | "Log" | "Reciprocal" | "Tan" | "Sinh" | "Cosh" | "Asin" | "Acos"
        | "Acosh" | "Atanh" | "ReduceProd" | "ReduceSumSquare" | "ReduceLogSum" | "Det"
        | "CumProd" => STEEP,
        "RandomNormal" | "RandomUniform" | "RandomNormalLike" | "RandomUniformLike" => {
            "it is random"
        }
        "Shape" | "Size" | "ConstantOfShape" | "Range" => {
            "a shape, or what is computed from one, that does not follow from the input's shape"
        }
        "GatherND" | "GatherElements" | "Scatter" | "ScatterND" | "ScatterElements" => {
            "where it reads or writes is not followed: no rule is known"
        }
        _ => return None,
    })
}

/// The needed nodes that have no rule, in the order of the file.
pub(super) fn blockers(context: &Context<'_>, plan: &Plan) -> Vec<Refused> {
    let mut indices = plan.nodes.clone();
    indices.sort_unstable();
    let blocked = indices.into_iter().filter_map(|index| {
        if plan.patterns.contains_key(&index) {
            return None;
        }
        let reason = blocked(context, &context.parsed.nodes[index])?;
        Some(refused(context.parsed, index, reason))
    });
    blocked.collect()
}

/// Why a node has no rule.
fn blocked(context: &Context<'_>, node: &Node) -> Option<String> {
    let op = node.op.as_str();
    if context.is_function(node) {
        return Some(
            "it calls a function of the model, which is not followed; inline the functions with \
             onnx.inliner first"
                .to_owned(),
        );
    }
    if is_fused(node) {
        return Some(FUSED.to_owned());
    }
    if !node.domain.is_empty() {
        return Some(format!(
            "an operator of the domain {:?}, which is not known",
            node.domain
        ));
    }
    if let Some(reason) = reason(op) {
        return Some(reason.to_owned());
    }
    let count = (0..node.inputs.len())
        .filter(|&place| context.varying(node, place).is_some())
        .count();
    let text = match op {
        "MatMul" | "Einsum" if count > 1 => {
            "product of two activations, as in attention: in general not globally Lipschitz"
        }
        "Gemm" if count > 1 => {
            "more than one of its inputs depends on the input of the model: no rule is known"
        }
        "Mul" if count > 1 => PRODUCT,
        "Div" if context.varying(node, 1).is_some() => QUOTIENT,
        "Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "Einsum" => {
            return match draft(context, node) {
                Err(NoLayer::Refuse(reason) | NoLayer::Fail(reason)) => Some(reason),
                _ => None,
            };
        }
        op if rule(op).is_some() => return None,
        _ => "no rule is known for this operator",
    };
    Some(text.to_owned())
}

/// [`Refused`] for a node.
pub(super) fn refused(parsed: &Parsed, index: usize, reason: impl Into<String>) -> Refused {
    let node = &parsed.nodes[index];
    Refused {
        name: label(parsed, index),
        kind: if node.domain.is_empty() {
            node.op.clone()
        } else {
            format!("{}::{}", node.domain, node.op)
        },
        reason: reason.into(),
    }
}

//! Which nodes are layers, and which may be but cannot be audited.

use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::layer::{GeometrySource, LayerId, LayerSpec};
use crate::model::names::Names;
use crate::model::skipped::Skipped;
use crate::model::weight::Stored;

use super::draft::{Draft, NoLayer};
use super::facts::{Constant, Context, Fact};
use super::order::{label, node_error};
use super::parsed::{Node, Parsed};
use super::{conv, dense, limits};

/// The layers and the rest.
pub(super) fn layers(context: &Context<'_>) -> Result<(Vec<LayerSpec>, Skipped), Error> {
    let (source, parsed) = (context.source, context.parsed);
    let (mut layers, mut skipped, mut names) = (Vec::new(), Skipped::default(), Names::default());
    let mut work = 0;
    for (index, node) in parsed.nodes.iter().enumerate() {
        let label = label(parsed, index);
        refuse_inner(parsed, node, &label, &mut skipped);
        let kind = if node.domain.is_empty() {
            node.op.clone()
        } else {
            format!("{}::{}", node.domain, node.op)
        };
        match draft(context, node) {
            Ok(mut draft) => match checked(source, &mut draft, &mut work) {
                Ok(()) => layers.push(finish(LayerId(index), node, names.unique(&label), draft)),
                Err(reason) => skipped.refuse(label, kind, reason),
            },
            Err(NoLayer::Other) => skipped.other(kind, label),
            Err(NoLayer::Refuse(reason)) => skipped.refuse(label, kind, reason),
            Err(NoLayer::Fail(reason)) => return Err(node_error(source, node, &label, reason)),
        }
    }
    Ok((layers, skipped))
}

/// Whether a weight that is computed can be, which is told before it is counted among the layers.
fn checked(source: &Source, draft: &mut Draft, work: &mut u64) -> Result<(), String> {
    let Some(expression) = draft.weight.expression() else {
        return Ok(());
    };
    let name = draft.weight.name.clone();
    *work = work.saturating_add(expression.work());
    if *work > limits::WORK {
        return Err(format!(
            "its weight {name:?} is computed, and with it the weights of the model take {work} \
             operations; at most 2^35 are carried out"
        ));
    }
    let (_, errors) = match draft.weight.read_enclosed(source) {
        Ok(read) => read,
        Err(Error::Tensor { tensor, reason, .. }) => {
            return Err(format!(
                "its weight {name:?} is computed, and {tensor} {reason}"
            ));
        }
        Err(error) => return Err(error.to_string()),
    };
    draft.notes.push(if errors.is_empty() {
        format!(
            "the weight {name:?} is computed from constants of the graph, exactly: real arithmetic, \
             where a runtime may round"
        )
    } else {
        format!(
            "the weight {name:?} is computed from constants of the graph in real arithmetic, and what \
             its evaluation rounds is part of the bounds; a runtime rounds beside"
        )
    });
    Ok(())
}

fn finish(id: LayerId, node: &Node, name: String, draft: Draft) -> LayerSpec {
    LayerSpec {
        name,
        tensor: draft.weight.name.clone(),
        op: draft.op,
        op_type: node.op.clone(),
        shape: draft.weight.shape().to_vec(),
        conv: draft.conv,
        geometry: GeometrySource::Graph,
        scale: draft.scale,
        notes: draft.notes,
        id,
        weight: Stored::Whole(draft.weight),
    }
}

/// The layer of a node.
pub(super) fn draft(context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
    let function = context
        .parsed
        .functions
        .get(&(node.domain.clone(), node.op.clone()));
    match function {
        Some(true) => {
            return refuse(
                "it calls a function of the model, which is not followed; inline the functions \
                 with onnx.inliner first",
            );
        }
        Some(false) => return Err(NoLayer::Other),
        None => {}
    }
    if !node.domain.is_empty() {
        return foreign(context, node);
    }
    match node.op.as_str() {
        "Conv" => conv::conv(context, node),
        "ConvTranspose" => conv::conv_transpose(context, node),
        "Gemm" => dense::gemm(context, node),
        "MatMul" => dense::matmul(context, node),
        "QLinearConv" | "ConvInteger" | "QLinearMatMul" | "MatMulInteger" => {
            refuse("its weight is quantised; audit the model before quantisation")
        }
        "LSTM" | "GRU" | "RNN" => refuse("recurrent layers are not audited"),
        "DeformConv" => refuse("a deformable convolution has no norm that its weight tells"),
        "Einsum" | "Attention" if has_weight(context, node, 1) => refuse(format!(
            "the constants of {} nodes are not audited",
            node.op
        )),
        _ => Err(NoLayer::Other),
    }
}

/// Said of operators that onnxruntime writes when it optimises beyond folding.
pub(super) const FUSED: &str = "onnxruntime has fused it from several nodes, in a way of its own: audit the \
                                model that was optimised, or what onnxruntime saves at the level \
                                ORT_ENABLE_BASIC";

/// Whether onnxruntime has made a node, with the weight of a layer in it.
pub(super) fn is_fused(node: &Node) -> bool {
    const OWN: [&str; 3] = ["com.microsoft", "com.microsoft.nchwc", "com.microsoft.nhwc"];
    const FUSED: [&str; 5] = [
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Conv",
        "NhwcFusedConv",
    ];
    OWN.contains(&node.domain.as_str()) && FUSED.contains(&node.op.as_str())
}

/// A node of another domain: refused if it may hold a weight.
fn foreign(context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
    if is_fused(node) {
        return refuse(FUSED);
    }
    let linear = matches!(node.op.as_str(), "LinearClassifier" | "LinearRegressor");
    if linear || has_weight(context, node, 2) {
        return refuse(format!(
            "an operator of the domain {:?}, which is not known, with a constant that may be a \
             weight",
            node.domain
        ));
    }
    Err(NoLayer::Other)
}

/// Whether an input is a constant of at least `rank` axes.
fn has_weight(context: &Context<'_>, node: &Node, rank: usize) -> bool {
    let weight = |fact: &Fact| match &fact.constant {
        Constant::Float(tensor, _) => tensor.shape().len() >= rank,
        Constant::Opaque(_) => {
            fact.integers.is_none() && fact.dims.as_ref().is_none_or(|dims| dims.len() >= rank)
        }
        Constant::No => false,
    };
    (0..node.inputs.len()).any(|place| context.input(node, place).is_some_and(weight))
}

/// Refuses the layers in the subgraphs of a node.
fn refuse_inner(parsed: &Parsed, node: &Node, label: &str, skipped: &mut Skipped) {
    for inner in &node.inner {
        let key = (inner.domain.clone(), inner.op.clone());
        if !inner.domain.is_empty() && parsed.functions.get(&key) != Some(&true) {
            continue;
        }
        skipped.refuse(
            format!("{label}/{}", inner.name),
            inner.op.clone(),
            format!(
                "it is inside a subgraph of node {label:?} ({}), which is not followed",
                node.op
            ),
        );
    }
}

fn refuse(reason: impl Into<String>) -> Result<Draft, NoLayer> {
    Err(NoLayer::Refuse(reason.into()))
}

//! Which nodes are layers, and which may be but cannot be audited.

use std::collections::HashMap;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::layer::{GeometrySource, LayerId, LayerSpec};
use crate::model::names::Names;
use crate::model::skipped::Skipped;
use crate::model::weight::Stored;

use super::contraction::Contraction;
use super::draft::{Draft, NoLayer};
use super::facts::{Constant, Context, Fact};
use super::order::{Producer, label, node_error};
use super::parsed::{Node, Parsed};
use super::{conv, dense, limits};

/// Said of layers that the network does not follow.
const INSIDE: &str = "it is inside a subgraph or a function of the graph, where the network is not followed: what \
                      is stated is about the layer, however often it runs";
/// What a function that is not followed may hide.
const INLINE: &str = "inline the functions with onnx.inliner first";

/// The layers and the rest.
pub(super) fn layers(context: &Context<'_>) -> Result<(Vec<LayerSpec>, Skipped), Error> {
    let mut found = Found {
        source: context.source,
        next: context.parsed.nodes.len(),
        layers: Vec::new(),
        skipped: Skipped::default(),
        names: Names::default(),
        work: 0,
        visited: 0,
    };
    found.graph(context, None, None)?;
    Ok((found.layers, found.skipped))
}

/// What is found in a graph and in those inside of it.
struct Found<'a> {
    source: &'a Source,
    layers: Vec<LayerSpec>,
    skipped: Skipped,
    names: Names,
    /// The number of the next layer inside.
    next: usize,
    /// Operations that computed weights take.
    work: u64,
    /// Nodes and values of graphs inside, each as often as it is reached, and more for long paths.
    visited: u64,
}

/// A graph that is inside another one.
#[derive(Clone, Copy, Debug)]
struct Place<'p> {
    /// The nodes around it, each followed by `/`.
    path: &'p str,
    depth: usize,
    /// Whether a value in it may be a constant without anybody knowing: what a loop carries, or what a
    /// caller may replace.
    blind: bool,
}

/// The values that a graph inside another one may use.
struct Scope<'s> {
    facts: HashMap<&'s str, &'s Fact>,
    around: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    fn new(context: &'s Context<'_>, around: Option<&'s Scope<'s>>) -> Self {
        let names = context.parsed.names.iter().map(String::as_str);
        let here = names.zip(&context.facts).zip(&context.links.producers);
        // A name that is only mentioned, as an output or with a shape, is one of a graph around.
        let made = here.filter(|(_, producer)| **producer != Producer::Nobody);
        Self {
            facts: made.map(|(fact, _)| fact).collect(),
            around,
        }
    }

    fn find(&self, name: &str) -> Option<&'s Fact> {
        let here = self.facts.get(name).copied();
        here.or_else(|| self.around?.find(name))
    }
}

impl<'a> Found<'a> {
    /// The nodes of a graph. Outside of others, what is no valid ONNX is an error of the file.
    fn graph(
        &mut self,
        context: &Context<'a>,
        place: Option<Place<'_>>,
        around: Option<&Scope<'_>>,
    ) -> Result<(), Error> {
        let parsed = context.parsed;
        let holds = parsed.nodes.iter().any(|node| !node.bodies.is_empty());
        let scope = holds.then(|| Scope::new(context, around));
        for (index, node) in parsed.nodes.iter().enumerate() {
            let own = label(parsed, index);
            let path = place.map_or("", |place| place.path);
            let title = format!("{path}{own}");
            let kind = match node.domain.as_str() {
                "" => node.op.clone(),
                domain => format!("{domain}::{}", node.op),
            };
            if let Some(scope) = &scope {
                for (attribute, body) in &node.bodies {
                    // Only what If chooses between sees nothing but values from outside.
                    let blind = node.op != "If" || !node.domain.is_empty();
                    let inner = format!("{title}/{attribute}/");
                    let result = self.body(context, body, scope, (&inner, place, blind));
                    if let Err(reason) = result {
                        self.skipped
                            .refuse(inner.trim_end_matches('/'), &kind, reason);
                    }
                }
            }
            if context.is_function(node) {
                match self.call(context, node, (&title, place)) {
                    Ok(()) if place.is_none() => self.skipped.other(kind, title),
                    Ok(()) => {}
                    Err(reason) => self.skipped.refuse(title, kind, reason),
                }
                continue;
            }
            let refusal = match (draft(context, node), place) {
                (Ok(mut draft), _) => match checked(self.source, &mut draft, &mut self.work) {
                    Ok(()) => {
                        let mut id = LayerId(index);
                        if place.is_some() {
                            id = LayerId(self.next);
                            self.next += 1;
                            draft.notes.push(INSIDE.to_owned());
                        }
                        let name = self.names.unique(&title);
                        self.layers.push(finish(id, node, name, draft));
                        continue;
                    }
                    Err(reason) => reason,
                },
                (Err(NoLayer::Other), None) => {
                    self.skipped.other(kind, title);
                    continue;
                }
                (Err(NoLayer::Other), Some(place)) => {
                    if !place.blind || !node.may_be_a_layer() {
                        continue;
                    }
                    "it is inside a subgraph, and whether one of its inputs is a constant weight there is \
                     not known"
                        .to_owned()
                }
                (Err(NoLayer::Refuse(reason)), _) | (Err(NoLayer::Fail(reason)), Some(_)) => reason,
                (Err(NoLayer::Fail(reason)), None) => {
                    return Err(node_error(self.source, node, &title, reason));
                }
            };
            self.skipped.refuse(title, kind, refusal);
        }
        Ok(())
    }

    /// The nodes of a subgraph, or why they are not followed.
    fn body(
        &mut self,
        context: &Context<'a>,
        body: &'a Parsed,
        scope: &Scope<'_>,
        (path, place, blind): (&str, Option<Place<'_>>, bool),
    ) -> Result<(), String> {
        let depth = self.enter(body, path, place)?;
        let mut blind = blind || place.is_some_and(|place| place.blind);
        let mut known = Vec::new();
        for &value in &body.captured {
            match scope.find(&body.names[value]) {
                Some(fact) => {
                    blind |= fact.replaceable.is_some();
                    known.push((value, fact.carried()));
                }
                None => blind = true,
            }
        }
        let inside = context.inside(body, known).map_err(|e| e.to_string())?;
        let place = Place { path, depth, blind };
        self.graph(&inside, Some(place), Some(scope))
            .map_err(|error| error.to_string())
    }

    /// The nodes of the function that a node calls, or why they are not followed.
    fn call(
        &mut self,
        context: &Context<'a>,
        node: &Node,
        (title, place): (&str, Option<Place<'_>>),
    ) -> Result<(), String> {
        let key = (node.domain.clone(), node.op.clone());
        let Some(function) = context.functions.get(&key) else {
            return Err("it calls a function that the model does not have".to_owned());
        };
        let wrong = |why: &str| {
            format!("it calls a function of the model, which is not followed: {why}; {INLINE}")
        };
        let body = match &function.body {
            Ok(body) => body,
            Err(_) if !function.holds => return Ok(()),
            Err(why) => return Err(wrong(why)),
        };
        let path = format!("{title}/");
        let depth = self.enter(body, &path, place).map_err(|why| wrong(&why))?;
        let mut blind = place.is_some_and(|place| place.blind) || !body.captured.is_empty();
        if node.inputs.len() > body.inputs.len() {
            return Err(wrong("it is called with more inputs than it has"));
        }
        let mut known = Vec::new();
        for (place, input) in body.inputs.iter().enumerate() {
            let Some(fact) = context.input(node, place) else {
                blind = true;
                continue;
            };
            blind |= fact.replaceable.is_some();
            known.push((input.value, fact.carried()));
        }
        let inside = context
            .inside(body, known)
            .map_err(|error| wrong(&error.to_string()))?;
        let place = Place {
            path: &path,
            depth,
            blind,
        };
        self.graph(&inside, Some(place), None)
            .map_err(|error| wrong(&error.to_string()))
    }

    /// How deep a graph inside another one is, if it may be entered.
    fn enter(
        &mut self,
        body: &Parsed,
        path: &str,
        place: Option<Place<'_>>,
    ) -> Result<usize, String> {
        let depth = place.map_or(0, |place| place.depth) + 1;
        if depth > limits::DEPTH {
            return Err(format!(
                "subgraphs and functions are more than {} deep inside one another",
                limits::DEPTH
            ));
        }
        // Every node may be named with all of the path.
        let each = 1 + path.len() as u64 / 64;
        let cost = (body.nodes.len() as u64 + 1).saturating_mul(each);
        self.visited = self
            .visited
            .saturating_add(cost)
            .saturating_add(body.names.len() as u64);
        if self.visited > limits::INSIDE {
            return Err(format!(
                "subgraphs and functions, each as often as it is used, have more than {} nodes and values",
                limits::INSIDE
            ));
        }
        Ok(depth)
    }
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
    if context.is_function(node) {
        return refuse(format!("it calls a function of the model; {INLINE}"));
    }
    if !node.domain.is_empty() {
        return foreign(context, node);
    }
    match node.op.as_str() {
        "Conv" => conv::conv(context, node),
        "ConvTranspose" => conv::conv_transpose(context, node),
        "Gemm" => dense::gemm(context, node),
        "MatMul" => dense::matmul(context, node),
        "Einsum" => Contraction::einsum(context, node)?.draft(context, node),
        "QLinearConv" | "ConvInteger" | "QLinearMatMul" | "MatMulInteger" => {
            refuse("its weight is quantised; audit the model before quantisation")
        }
        "LSTM" | "GRU" | "RNN" => refuse("recurrent layers are not audited"),
        "DeformConv" => refuse("a deformable convolution has no norm that its weight tells"),
        "Attention" if has_weight(context, node, 1) => refuse(format!(
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

fn refuse(reason: impl Into<String>) -> Result<Draft, NoLayer> {
    Err(NoLayer::Refuse(reason.into()))
}

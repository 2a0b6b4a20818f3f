//! [`Parsed`]: a model file without its weights.

use std::collections::HashMap;

use super::attribute::{Attribute, LAYERS};
use super::limits;
use super::literal::Literal;

/// A node. Values are numbered in [`Parsed::names`].
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) op: String,
    /// Empty for the operators of ONNX itself.
    pub(super) domain: String,
    /// `None` where an optional input is left out.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<Option<usize>>,
    pub(super) attributes: Vec<(String, Attribute)>,
    /// Its subgraphs, each with the name of the attribute that holds it.
    pub(super) bodies: Vec<(String, Parsed)>,
}

/// A declared value: a graph input, or a shape in `value_info`.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub(super) value: usize,
    /// Length per axis, `None` where it is left open.
    pub(super) dims: Option<Vec<Option<usize>>>,
    /// The TensorProto.DataType, 0 where it is not stated.
    pub(super) element: u64,
}

/// Model-local functions by domain and name.
pub(super) type Functions = HashMap<(String, String), Function>;

/// A model-local function.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// What it computes from its inputs, or why that is not followed.
    pub(super) body: Result<Parsed, &'static str>,
    /// Whether a layer may be inside.
    pub(super) holds: bool,
}

/// A model file, a subgraph or a function without its weights.
#[derive(Clone, Debug, Default)]
pub(super) struct Parsed {
    pub(super) ir_version: u64,
    pub(super) opset: u64,
    /// Names of values.
    pub(super) names: Vec<String>,
    pub(super) nodes: Vec<Node>,
    pub(super) initializers: Vec<(usize, Literal)>,
    pub(super) sparse: Vec<usize>,
    pub(super) inputs: Vec<Declared>,
    pub(super) outputs: Vec<usize>,
    /// What is stated about outputs and values between the nodes; see [`super::facts`].
    pub(super) declared: Vec<Declared>,
    /// Values of the graphs around a subgraph that its nodes use.
    pub(super) captured: Vec<usize>,
    /// The functions of a model; none of a subgraph.
    pub(super) functions: Functions,
}

impl Parsed {
    /// Notes what the nodes use and nobody in this graph makes.
    pub(super) fn capture(&mut self) {
        let mut made = vec![false; self.names.len()];
        let inputs = self.inputs.iter().map(|input| input.value);
        let initial = self.initializers.iter().map(|(value, _)| *value);
        let outputs = self.nodes.iter().flat_map(|node| node.outputs.iter());
        inputs
            .chain(initial)
            .chain(self.sparse.iter().copied())
            .chain(outputs.flatten().copied())
            .for_each(|value| made[value] = true);
        for node in &self.nodes {
            for &value in node.inputs.iter().flatten() {
                if !std::mem::replace(&mut made[value], true) {
                    self.captured.push(value);
                }
            }
        }
    }

    /// Whether a node in it may be a layer, or call a function that holds one.
    pub(super) fn may_hold(&self) -> bool {
        self.nodes.iter().any(|node| {
            node.may_be_a_layer() || node.bodies.iter().any(|(_, body)| body.may_hold())
        })
    }
}

impl Node {
    /// Whether this is an operator with weights, or one that nobody knows.
    pub(super) fn may_be_a_layer(&self) -> bool {
        !self.domain.is_empty() || LAYERS.contains(&self.op.as_str())
    }

    /// An attribute, if it is there.
    pub(super) fn attribute(&self, name: &str) -> Option<&Attribute> {
        self.attributes
            .iter()
            .find_map(|(found, value)| (found == name).then_some(value))
    }

    /// An integer attribute.
    pub(super) fn int(&self, name: &str, default: i64) -> Result<i64, String> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Int(value)) => Ok(*value),
            Some(_) => Err(format!("the attribute {name:?} is not an integer")),
        }
    }

    /// A float attribute.
    pub(super) fn float(&self, name: &str, default: f32) -> Result<f32, String> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Float(value)) => Ok(*value),
            Some(_) => Err(format!("the attribute {name:?} is not a float")),
        }
    }

    /// A text attribute.
    pub(super) fn text<'a>(&'a self, name: &str, default: &'a str) -> Result<&'a str, String> {
        match self.attribute(name) {
            None => Ok(default),
            Some(Attribute::Text(value)) => Ok(value),
            Some(_) => Err(format!("the attribute {name:?} is not a short text")),
        }
    }

    /// A list of integers, if it is there.
    pub(super) fn ints(&self, name: &str) -> Result<Option<&[i64]>, String> {
        match self.attribute(name) {
            None => Ok(None),
            Some(Attribute::Ints(values)) => Ok(Some(values)),
            Some(_) => Err(format!(
                "the attribute {name:?} is not a list of at most {} integers",
                limits::INTEGERS
            )),
        }
    }

    /// One integer per axis, each from `least` to the largest extent that is covered.
    pub(super) fn extents(
        &self,
        name: &str,
        length: usize,
        least: usize,
    ) -> Result<Vec<usize>, String> {
        let Some(values) = self.ints(name)? else {
            return Ok(vec![least; length]);
        };
        let inside = |&value: &i64| {
            usize::try_from(value)
                .ok()
                .filter(|value| (least..=limits::EXTENT).contains(value))
        };
        let extents: Option<Vec<_>> = values.iter().map(inside).collect();
        match extents {
            Some(extents) if extents.len() == length => Ok(extents),
            _ => Err(format!(
                "{name} = {values:?}; expected {length} values from {least} to {}",
                limits::EXTENT
            )),
        }
    }
}

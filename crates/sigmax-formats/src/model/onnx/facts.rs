//! [`Fact`]: what is known about a value before the model runs.

use std::sync::Arc;

use crate::bytes::source::Source;
use crate::model::tensor::Tensor;

use super::integers::{Integers, Open};
use super::limits;
use super::literal::{Content, Literal, element, type_name};
use super::order::{Links, Producer, label, link};
use super::proto::{Node, Parsed};
use super::size::{self, Dims, Size};
use super::{numbers, shapes};
use crate::error::Error;

/// What is known about a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact {
    /// Its shape; `None` where not even the rank is known.
    pub(super) dims: Option<Dims>,
    /// Its entries, where they are a few known integers.
    pub(super) integers: Option<Arc<Integers>>,
    /// Whether it is a constant, and which.
    pub(super) constant: Constant,
    /// Why it has no value before the model runs although it does not depend on the data: an integer
    /// that it is made of.
    pub(super) open: Option<Open>,
    /// A graph input that has a default: whoever runs the model may replace what this is made of.
    pub(super) replaceable: Option<usize>,
}

/// A constant value, or not.
#[derive(Clone, Debug, Default)]
pub(super) enum Constant {
    /// Depends on the model's input, as far as is known.
    #[default]
    No,
    /// Floats, and how many nodes moved them.
    Float(Arc<Tensor>, u8),
    /// A constant that cannot be a weight: "it …".
    Opaque(Arc<str>),
}

/// What follows from a graph alone: who makes what, and a fact for every value.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) links: Arc<Links>,
    pub(super) facts: Vec<Fact>,
}

/// A graph with what is known of it.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) parsed: &'a Parsed,
    pub(super) links: Arc<Links>,
    pub(super) facts: Vec<Fact>,
}

impl<'a> Context<'a> {
    /// Links the graph and goes through it once; `size` replaces the spatial axes of one value.
    ///
    /// Shapes are those of the graph's inputs and what follows from them. What the file states about
    /// other values (value_info, outputs) is not checked by anybody and not used.
    pub(super) fn new(
        source: &'a Source,
        parsed: &'a Parsed,
        size: Option<&(usize, Vec<usize>)>,
    ) -> Result<Self, Error> {
        let mut context = Self {
            source,
            parsed,
            links: Arc::new(link(source, parsed)?),
            facts: vec![Fact::default(); parsed.names.len()],
        };
        for input in &parsed.inputs {
            context.facts[input.value].dims = input.dims.as_ref().map(|dims| {
                let mut dims: Dims = dims.iter().copied().map(Size::from).collect();
                if let Some(first @ Size::Unknown) = dims.first_mut() {
                    *first = Size::Batch(input.value);
                }
                dims
            });
        }
        if let Some((value, size)) = size
            && let Some(dims) = &mut context.facts[*value].dims
        {
            for (axis, &n) in dims.iter_mut().skip(2).zip(size) {
                *axis = Size::Known(n);
            }
        }
        for (value, literal) in &parsed.initializers {
            context.initial(*value, literal);
        }
        for &value in &parsed.sparse {
            context.facts[value].constant =
                Constant::Opaque("is a sparse initializer, which is not read".into());
        }
        for step in 0..context.links.order.len() {
            let index = context.links.order[step];
            let facts = context.evaluate(index);
            for (&output, fact) in parsed.nodes[index].outputs.iter().zip(facts) {
                let Some(output) = output else { continue };
                context.facts[output] = fact;
            }
        }
        Ok(context)
    }

    /// The graph with what was known of it before.
    pub(super) fn with(source: &'a Source, parsed: &'a Parsed, known: &Known) -> Self {
        Self {
            source,
            parsed,
            links: known.links.clone(),
            facts: known.facts.clone(),
        }
    }

    /// What is known.
    pub(super) fn known(self) -> Known {
        Known {
            links: self.links,
            facts: self.facts,
        }
    }

    /// The fact about input `place` of a node, if it has that input.
    pub(super) fn input(&self, node: &Node, place: usize) -> Option<&Fact> {
        node.inputs
            .get(place)
            .copied()
            .flatten()
            .map(|value| &self.facts[value])
    }

    /// The integers of input `place` of a node.
    pub(super) fn integers(&self, node: &Node, place: usize) -> Option<&Integers> {
        self.input(node, place)?.integers.as_deref()
    }

    /// The value in input `place` of a node, if that depends on the data.
    pub(super) fn varying(&self, node: &Node, place: usize) -> Option<usize> {
        let value = node.inputs.get(place).copied().flatten()?;
        (!self.facts[value].is_constant()).then_some(value)
    }

    /// A list of integers that is an attribute in older opsets and an input in newer ones:
    /// `Ok(None)` where it is left out, `Err` where it is there but not known.
    pub(super) fn list(
        &self,
        node: &Node,
        name: &str,
        place: usize,
    ) -> Result<Option<Vec<i64>>, Unknown> {
        match node.ints(name) {
            Err(_) => return Err(Unknown),
            Ok(Some(values)) => return Ok(Some(values.to_vec())),
            Ok(None) => {}
        }
        if node.inputs.get(place).copied().flatten().is_none() {
            return Ok(None);
        }
        match self.numbers(node, place) {
            Some(list) => Ok(Some(list)),
            None => Err(Unknown),
        }
    }

    /// The integers of input `place` of a node, where all of them are known.
    pub(super) fn numbers(&self, node: &Node, place: usize) -> Option<Vec<i64>> {
        self.integers(node, place)?.known()
    }

    /// Why input `place` of a node is not known before the model runs: "it …".
    pub(super) fn open(&self, node: &Node, place: usize) -> Option<String> {
        Some(self.input(node, place)?.open?.text(self.parsed))
    }

    /// The fact about an initializer. Where that is a graph input too, a caller may replace it by
    /// anything of the shape that the input has. Before IR version 4 every initializer had to be
    /// listed as an input, and stood for itself.
    fn initial(&mut self, value: usize, literal: &Literal) {
        let mut fact = Fact::of(literal);
        if self.links.producers[value] == Producer::Replaceable
            && !(1..4).contains(&self.parsed.ir_version)
        {
            fact.replaceable = Some(value);
            fact.integers = None;
            fact.dims = self.facts[value].dims.take();
        }
        self.facts[value] = fact;
    }

    /// The facts about the outputs of a node whose inputs are known.
    fn evaluate(&self, index: usize) -> Vec<Fact> {
        let node = &self.parsed.nodes[index];
        let mut facts = vec![Fact::default(); node.outputs.len()];
        let own = node.domain.is_empty() && !self.is_function(node);
        if own && node.op == "Constant" {
            if let Some(first) = facts.first_mut() {
                *first = self.constant(index);
            }
            return facts;
        }
        if own {
            for (fact, dims) in facts.iter_mut().zip(shapes::infer(self, node)) {
                fact.dims = dims.filter(|dims| dims.len() <= limits::RANK);
            }
            if let Some(first) = facts.first_mut() {
                first.integers = numbers::fold(self, node, first.dims.as_ref());
            }
        }
        // A shape does not depend on the data, whether it is known or not.
        if own
            && matches!(node.op.as_str(), "Shape" | "Size")
            && let [first, ..] = &mut facts[..]
            && first.integers.is_none()
            && let Some(value) = node.inputs.first().copied().flatten()
        {
            let open = Open::Length(value);
            first.open = Some(open);
            first.constant = Constant::Opaque(open.text(self.parsed).into());
            return facts;
        }
        let inputs = || {
            node.inputs
                .iter()
                .flatten()
                .map(|&value| &self.facts[value])
        };
        let replaceable = inputs().find_map(|fact| fact.replaceable);
        let constant = inputs().next().is_some() && inputs().all(Fact::is_constant);
        let open = inputs().find_map(|fact| fact.open);
        for (place, fact) in facts.iter_mut().enumerate() {
            fact.replaceable = replaceable;
            if let Some(numbers) = &fact.integers {
                fact.dims = Some(size::dims(&numbers.dims));
                fact.open = numbers.open();
            } else if constant {
                fact.open = open;
            }
            if constant {
                fact.constant = match fact.open {
                    Some(open) => Constant::Opaque(open.text(self.parsed).into()),
                    None if own && place == 0 => self.moved(index, fact.dims.as_ref()),
                    None => self.computed(index),
                };
            }
        }
        facts
    }

    pub(super) fn is_function(&self, node: &Node) -> bool {
        !self.parsed.functions.is_empty()
            && self
                .parsed
                .functions
                .contains_key(&(node.domain.clone(), node.op.clone()))
    }

    /// The output of a node all of whose inputs are constant, where it only moves or casts them.
    fn moved(&self, index: usize, dims: Option<&Dims>) -> Constant {
        let node = &self.parsed.nodes[index];
        let Some(data) = self.input(node, 0) else {
            return self.computed(index);
        };
        let (tensor, steps) = match &data.constant {
            Constant::Float(tensor, steps) => (tensor, *steps),
            // The reason why it is opaque is worth more than that it was moved.
            Constant::Opaque(reason) if is_move(node) => return Constant::Opaque(reason.clone()),
            Constant::Opaque(_) | Constant::No => return self.computed(index),
        };
        let known = || size::lengths(dims?);
        let moved = match node.op.as_str() {
            "Identity" => return Constant::Float(tensor.clone(), steps),
            _ if steps >= limits::CHAIN => None,
            "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                known().and_then(|dims| Tensor::clone(tensor).reshaped(dims))
            }
            "Transpose" => shapes::permutation(node, tensor.shape().len())
                .and_then(|axes| Tensor::clone(tensor).permuted(&axes)),
            "Cast" => {
                let to = node.int("to", 0).ok().and_then(|to| u64::try_from(to).ok());
                match to.map(|to| (to, element(to))) {
                    Some((_, Some(to))) => Tensor::clone(tensor).cast(to),
                    Some((to, None)) => {
                        let reason = format!("is cast to {}, not a float type", type_name(to));
                        return Constant::Opaque(reason.into());
                    }
                    None => None,
                }
            }
            _ => None,
        };
        match moved {
            Some(tensor) => Constant::Float(Arc::new(tensor), steps + 1),
            None => self.computed(index),
        }
    }

    fn computed(&self, index: usize) -> Constant {
        let op = self.parsed.nodes[index].op.as_str();
        let name = label(self.parsed, index);
        let reason = match op {
            "DequantizeLinear" | "DynamicQuantizeLinear" | "QuantizeLinear" => {
                format!("is quantised (node {name:?}, {op}); audit the model before quantisation")
            }
            _ if is_move(&self.parsed.nodes[index]) => {
                format!("is moved or cast by node {name:?} ({op}) in a way that is not followed")
            }
            _ => format!(
                "is computed by node {name:?} ({op}), which is not folded; fold the constants of the \
                 model first (onnxsim, or the optimised model that onnxruntime saves)"
            ),
        };
        Constant::Opaque(reason.into())
    }

    /// The value of a Constant node.
    fn constant(&self, index: usize) -> Fact {
        let node = &self.parsed.nodes[index];
        numbers::constant(node, &label(self.parsed, index)).unwrap_or_else(|| Fact {
            constant: Constant::Opaque("is a Constant node of a kind that is not read".into()),
            ..Fact::default()
        })
    }
}

/// Something is there, but its value is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown;

fn is_move(node: &Node) -> bool {
    matches!(
        node.op.as_str(),
        "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" | "Transpose" | "Cast"
    )
}

impl Fact {
    /// Whether a value does not depend on the data.
    pub(super) fn is_constant(&self) -> bool {
        self.integers.is_some() || !matches!(self.constant, Constant::No)
    }

    /// The fact about a constant tensor.
    pub(super) fn of(literal: &Literal) -> Self {
        let (integers, constant) = match &literal.content {
            Content::Float(tensor) => (None, Constant::Float(Arc::new(tensor.clone()), 0)),
            Content::Integers(numbers) => (
                Some(Arc::new(numbers.clone())),
                Constant::Opaque("holds integers".into()),
            ),
            Content::Opaque(reason) => (None, Constant::Opaque(reason.as_str().into())),
        };
        Self {
            dims: Some(size::dims(&literal.dims)),
            integers,
            constant,
            ..Self::default()
        }
    }
}

//! [`Fact`]: what is known about a value before the model runs.

use std::sync::Arc;

use crate::bytes::source::Source;
use crate::model::codes::Code;
use crate::model::computed::Operand;
use crate::model::tensor::Tensor;

use super::integers::{Integers, Open, Whole};
use super::literal::{Content, Literal};
use super::order::Links;
use super::parsed::{Functions, Node, Parsed};
use super::size::{self, Dims, Size};

/// What is known about a value.
#[derive(Clone, Debug, Default)]
pub(super) struct Fact {
    /// Its shape; `None` where not even the rank is known.
    pub(super) dims: Option<Dims>,
    /// Its entries, where they are a few known integers.
    pub(super) integers: Option<Arc<Integers>>,
    /// Whether it is a constant, and which.
    pub(super) constant: Constant,
    /// The integers or 8-bit floats that it holds, where there are many.
    pub(super) codes: Option<Operand>,
    /// The TensorProto.DataType of a value that depends on the data, where it is known.
    pub(super) element: Option<u64>,
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
#[derive(Clone, Debug)]
pub(super) struct Context<'a> {
    pub(super) source: &'a Source,
    pub(super) parsed: &'a Parsed,
    /// Of the model, also for what is known of a subgraph.
    pub(super) functions: &'a Functions,
    pub(super) links: Arc<Links>,
    pub(super) facts: Vec<Fact>,
}

impl<'a> Context<'a> {
    /// The graph with what was known of it before.
    pub(super) fn with(source: &'a Source, parsed: &'a Parsed, known: &Known) -> Self {
        Self {
            source,
            parsed,
            functions: &parsed.functions,
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

    /// The integers in input `place` of a node and their shape, also where they are many; `None` where they are
    /// not known, or cannot be read.
    pub(super) fn indices(&self, node: &Node, place: usize) -> Option<(Vec<i64>, Vec<usize>)> {
        let fact = self.input(node, place)?;
        if let Some(integers) = &fact.integers {
            return Some((integers.known()?, integers.dims.clone()));
        }
        match fact.codes.as_ref().filter(|_| fact.replaceable.is_none()) {
            Some(Operand::Codes(codes)) if matches!(codes.code, Code::Int32 | Code::Int64) => {
                let values = codes.read(self.source).ok()?;
                #[allow(clippy::cast_possible_truncation, reason = "integers below 2^53")]
                let integers = values.into_iter().map(|value| value as i64).collect();
                Some((integers, codes.shape.clone()))
            }
            _ => None,
        }
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

    pub(super) fn is_function(&self, node: &Node) -> bool {
        !self.functions.is_empty()
            && self
                .functions
                .contains_key(&(node.domain.clone(), node.op.clone()))
    }
}

/// Something is there, but its value is not known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unknown;

impl Open {
    /// "it …".
    pub(super) fn text(self, parsed: &Parsed) -> String {
        match self {
            Self::Batch(input) | Self::FromBatch(input) => format!(
                "depends on the length of the batch (axis 0 of {:?}), which the file leaves open; \
                 export the model with a fixed batch of 1",
                parsed.names[input]
            ),
            Self::Length(value) => {
                let stated = parsed.declared.iter().any(|known| known.value == value);
                let only = if stated {
                    "; that the file states one (value_info) proves nothing"
                } else {
                    ""
                };
                format!(
                    "depends on the shape of {:?}, which does not follow from the graph{only}",
                    parsed.names[value]
                )
            }
            Self::Overflow(element) => format!(
                "is computed with integers that leave the range of {}, or divides by 0",
                match element {
                    Whole::Int32 => "int32",
                    Whole::Int64 => "int64",
                }
            ),
        }
    }
}

impl Fact {
    /// Whether a value does not depend on the data.
    pub(super) fn is_constant(&self) -> bool {
        self.integers.is_some() || !matches!(self.constant, Constant::No)
    }

    /// What is known of a value inside a subgraph or a function that it is carried into. Nothing of it
    /// refers to values by their number, which are others there.
    pub(super) fn carried(&self) -> Self {
        let known = |&size: &Size| match size {
            Size::Batch(_) => Size::Unknown,
            other => other,
        };
        let dims = self.dims.as_ref();
        let mut fact = Self {
            dims: dims.map(|dims| dims.iter().map(known).collect()),
            ..Self::default()
        };
        // Whoever may replace it need not have the values that are known.
        if self.replaceable.is_none() {
            fact.integers = self.integers.clone().filter(|n| n.known().is_some());
            fact.constant = self.constant.clone();
            fact.codes = self.codes.clone();
        }
        fact
    }

    /// The fact about a constant tensor.
    pub(super) fn of(literal: &Literal) -> Self {
        let (integers, constant) = match &literal.content {
            Content::Float(tensor) => (None, Constant::Float(Arc::new(tensor.clone()), 0)),
            Content::Integers(numbers) => (
                Some(Arc::new(numbers.clone())),
                Constant::Opaque("holds integers".into()),
            ),
            Content::Codes(_, reason) | Content::Opaque(reason) => {
                (None, Constant::Opaque(reason.as_str().into()))
            }
        };
        let codes = match &literal.content {
            Content::Codes(codes, _) => Some(Operand::Codes(codes.clone())),
            _ => None,
        };
        Self {
            codes,
            dims: Some(size::dims(&literal.dims)),
            integers,
            constant,
            ..Self::default()
        }
    }
}

//! Constant operands, with their values.

use sigmax::enclosed::Enclosed;
use sigmax::network::PerEntry;

use crate::error::Error;
use crate::model::computed::Expression;
use crate::model::tensor::Tensor;

use super::super::attribute::Attribute;
use super::super::facts::{Constant, Context};
use super::super::literal::Content;
use super::super::order::Producer;
use super::super::parsed::Node;
use super::super::size;
use super::lowering::{Halt, Lowering, refuse};

/// Longest chain of nodes behind a small constant, and most entries that a fill may have.
const CHAIN: usize = 8;
const FILL: usize = 1 << 16;

/// A constant tensor.
#[derive(Clone, Debug)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

impl Array {
    /// Its one entry.
    pub(super) fn single(&self) -> Option<f64> {
        match self.values[..] {
            [value] => Some(value),
            _ => None,
        }
    }
}

/// A constant tensor whose entries are known to within an error each.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) shape: Vec<usize>,
    pub(super) entries: Vec<Enclosed>,
}

impl Terms {
    /// Whether all entries are known exactly.
    pub(super) fn are_exact(&self) -> bool {
        self.entries.iter().all(|entry| entry.error() <= 0.0)
    }

    /// The same, known exactly.
    pub(super) fn exact(self) -> Result<Array, Halt> {
        if !self.are_exact() {
            return refuse(
                "a constant that it reads is computed and known to within its rounding only, which is \
                 not covered here; fold the constants of the model first (onnxsim, or the optimised \
                 model that onnxruntime saves)",
            );
        }
        Ok(Array {
            values: self.entries.iter().map(|entry| entry.value()).collect(),
            shape: self.shape,
        })
    }
}

impl Context<'_> {
    /// The values of a constant that is no tensor of the file: numbers in attributes, integers made
    /// floats, fills.
    fn small(&self, value: usize, depth: usize) -> Option<Array> {
        let fact = &self.facts[value];
        let Producer::Node(index) = self.links.producers[value] else {
            return None;
        };
        let node = &self.parsed.nodes[index];
        if !node.domain.is_empty() || self.is_function(node) || depth == 0 {
            return None;
        }
        let shape = size::lengths(fact.dims.as_ref()?)?;
        let input = |place: usize| node.inputs.get(place).copied().flatten();
        let values = match node.op.as_str() {
            "Constant" => match node.attribute("value_float")? {
                Attribute::Float(value) => vec![f64::from(*value)],
                _ => return None,
            },
            "Cast" if matches!(node.int("to", 0), Ok(1 | 11)) => {
                // These are floats whatever the type is.
                let exact = |&n: &i64| {
                    let n = i32::try_from(n).ok()?;
                    (n.unsigned_abs() <= 1 << 24).then_some(f64::from(n))
                };
                let values = self.numbers(node, 0)?;
                let values = values.iter().map(exact);
                values.collect::<Option<_>>()?
            }
            "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                self.small(input(0)?, depth - 1)?.values
            }
            "CastLike" => {
                let values = self.small(input(0)?, depth - 1)?.values;
                let kept = match self.input(node, 1)?.element? {
                    1 => values
                        .iter()
                        .all(|&x| (f64::from(x as f32) - x).abs() <= 0.0),
                    element => element == 11,
                };
                kept.then_some(values)?
            }
            "ConstantOfShape" => {
                let count = crate::model::tensor::count(&shape).filter(|&n| n <= FILL)?;
                let value = match node.attribute("value") {
                    None => 0.0,
                    Some(Attribute::Tensor(literal)) => match &literal.content {
                        Content::Float(tensor) if tensor.shape().iter().all(|&n| n == 1) => {
                            *tensor.read(self.source).ok()?.first()?
                        }
                        _ => return None,
                    },
                    Some(_) => return None,
                };
                vec![value; count]
            }
            _ => return None,
        };
        (crate::model::tensor::count(&shape)? == values.len()).then_some(Array { shape, values })
    }

    /// The same as a shape and values.
    pub(in super::super) fn small_values(&self, value: usize) -> Option<(Vec<usize>, Vec<f64>)> {
        let array = self.small(value, CHAIN)?;
        Some((array.shape, array.values))
    }

    /// The one entry of a constant that nobody may replace.
    pub(super) fn scalar(&self, value: usize) -> Option<f64> {
        if self.facts[value].replaceable.is_some() {
            return None;
        }
        match &self.facts[value].constant {
            // What is computed with roundings is no number that a function is told by.
            Constant::Float(tensor, _) if tensor.expression().is_some_and(Expression::rounds) => {
                None
            }
            Constant::Float(tensor, _) if tensor.shape().iter().all(|&n| n == 1) => {
                tensor.read(self.source).ok()?.first().copied()
            }
            Constant::Opaque(_) => self.small(value, CHAIN)?.single(),
            _ => None,
        }
    }
}

impl Lowering<'_> {
    /// The constant in input `place`; `None` where that is left out.
    pub(super) fn constant(&mut self, node: &Node, place: usize) -> Result<Option<Array>, Halt> {
        match node.inputs.get(place).copied().flatten() {
            Some(value) => self.array(value).map(Some),
            None => Ok(None),
        }
    }

    /// The constant in input `place`, which has to be there.
    pub(super) fn parameter(&mut self, node: &Node, place: usize) -> Result<Array, Halt> {
        match self.constant(node, place)? {
            Some(array) => Ok(array),
            None => refuse(format!("its input {place} is missing")),
        }
    }

    /// The values of a constant, which have to be exact.
    pub(super) fn array(&mut self, value: usize) -> Result<Array, Halt> {
        self.terms(value)?.exact()
    }

    /// The values of the constant in input `place`, and their errors; `None` where that is left out.
    pub(super) fn added(&mut self, node: &Node, place: usize) -> Result<Option<Terms>, Halt> {
        match node.inputs.get(place).copied().flatten() {
            Some(value) => self.terms(value).map(Some),
            None => Ok(None),
        }
    }

    /// The values of a constant, and their errors.
    pub(super) fn terms(&mut self, value: usize) -> Result<Terms, Halt> {
        self.replaceable(value);
        let name = || format!("{:?}", self.context.parsed.names[value]);
        let tensor = match &self.context.facts[value].constant {
            Constant::No => return refuse(format!("{} is computed while the model runs", name())),
            Constant::Float(tensor, _) => tensor.clone(),
            Constant::Opaque(reason) => {
                return match self.context.small(value, CHAIN) {
                    Some(Array { shape, values }) => Ok(Terms {
                        shape,
                        entries: values.into_iter().map(Enclosed::exact).collect(),
                    }),
                    None => refuse(format!("the constant {} {reason}", name())),
                };
            }
        };
        self.reads(&tensor)?;
        let (values, errors) = self.enclosed(&tensor)?;
        let entries = if errors.is_empty() {
            values.into_iter().map(Enclosed::exact).collect()
        } else {
            crate::model::enclosed(&values, &errors)
        };
        Ok(Terms {
            shape: tensor.shape().to_vec(),
            entries,
        })
    }

    /// The entries of a tensor and their errors. What cannot be computed is refused.
    pub(super) fn enclosed(&mut self, tensor: &Tensor) -> Result<(Vec<f64>, Vec<f64>), Halt> {
        self.rounds |= tensor.expression().is_some_and(Expression::rounds);
        match tensor.read_enclosed(self.context.source) {
            Err(Error::Tensor {
                tensor: node,
                reason,
                ..
            }) if tensor.expression().is_some() => refuse(format!(
                "the constant {:?} is computed, and {node} {reason}",
                tensor.name
            )),
            read => Ok(read?),
        }
    }

    /// Notes that a constant may be replaced.
    pub(super) fn replaceable(&mut self, value: usize) {
        if let Some(input) = self.context.facts[value].replaceable {
            self.note(format!(
                "{:?} is an input of the graph with a default, which is taken for a constant: \
                 whoever runs the model may replace it",
                self.context.parsed.names[input]
            ));
        }
    }

    /// The shape of a constant beside a value of `rank` axes, batch left out: what is broadcast
    /// against it, an axis at a time.
    pub(super) fn beside(&self, shape: &[usize], rank: usize) -> Result<Vec<usize>, Halt> {
        let rank = rank + self.hidden;
        let Some(missing) = rank.checked_sub(shape.len()) else {
            return refuse(format!(
                "a constant of shape {shape:?} beside a value of {rank} axes moves the batch axis"
            ));
        };
        let full = [&vec![1; missing][..], shape].concat();
        if self.hidden == 0 {
            return Ok(full);
        }
        if full[0] != 1 {
            return refuse(format!(
                "a constant of shape {shape:?} that differs between the samples of a batch"
            ));
        }
        Ok(full[1..].to_vec())
    }

    /// A constant beside a value of `rank` axes, batch left out.
    pub(super) fn per_entry(&self, array: Array, rank: usize) -> Result<PerEntry, Halt> {
        let shape = self.beside(&array.shape, rank)?;
        Ok(PerEntry::new(&shape, array.values)?)
    }
}

//! [`Draft`]: a layer before it has a name.

use sigmax::Conv;

use crate::model::layer::LayerKind;
use crate::model::tensor::Tensor;

use super::facts::{Constant, Context, Fact};
use super::parsed::Node;

/// Why a node does not become a layer.
#[derive(Debug)]
pub(super) enum NoLayer {
    /// It is not valid ONNX.
    Fail(String),
    /// It cannot be audited.
    Refuse(String),
    /// It does not act on the model's input.
    Other,
}

impl From<String> for NoLayer {
    fn from(reason: String) -> Self {
        Self::Fail(reason)
    }
}

/// A layer before it has a name.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) op: LayerKind,
    pub(super) conv: Conv,
    pub(super) scale: f64,
    pub(super) notes: Vec<String>,
    /// In the layout of the kernel.
    pub(super) weight: Tensor,
}

impl Context<'_> {
    /// Whether a fact is about something that depends on the model's input.
    pub(super) fn is_data(&self, fact: &Fact) -> bool {
        matches!(fact.constant, Constant::No) || fact.replaceable.is_some()
    }

    /// The constant weight in input `place`; a layer whose data, input `data`, is constant too is
    /// none.
    pub(super) fn weight(
        &self,
        node: &Node,
        place: usize,
        data: usize,
        notes: &mut Vec<String>,
    ) -> Result<Tensor, NoLayer> {
        let name = |place: usize| match node.inputs.get(place).copied().flatten() {
            Some(value) => self.parsed.names[value].as_str(),
            None => "",
        };
        let missing = |place: usize| NoLayer::Fail(format!("its input {place} is missing"));
        let fact = self.input(node, place).ok_or_else(|| missing(place))?;
        let input = self.input(node, data).ok_or_else(|| missing(data))?;
        let tensor = match &fact.constant {
            Constant::No => {
                return Err(NoLayer::Refuse(format!(
                    "no constant weight: {:?} is computed while the model runs or is an input of it",
                    name(place)
                )));
            }
            _ if !self.is_data(input) => return Err(NoLayer::Other),
            Constant::Opaque(reason) => {
                return Err(NoLayer::Refuse(format!(
                    "its weight {:?} {reason}",
                    name(place)
                )));
            }
            Constant::Float(tensor, _) => Tensor::clone(tensor),
        };
        if tensor.shape().contains(&0) {
            return Err(NoLayer::Refuse(format!(
                "its weight {:?} of shape {:?} is empty",
                name(place),
                tensor.shape()
            )));
        }
        if let Some(value) = fact.replaceable {
            notes.push(format!(
                "{:?} is an input of the graph with a default: whoever runs the model may replace \
                 the weight",
                self.parsed.names[value]
            ));
        }
        Ok(tensor)
    }
}

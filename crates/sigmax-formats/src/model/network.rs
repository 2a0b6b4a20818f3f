//! [`NetworkModel`]: the network of a model file, or why there is none.

use std::collections::BTreeMap;

use sigmax::Kernel;
use sigmax::network::{Arithmetic, Network, NodeId, Op};

use crate::error::Error;
use crate::model::layer::LayerId;
use crate::model::skipped::Refused;

/// Noted of a network whose one sample is all of the input.
pub(crate) const NO_BATCH: &str = "the model is read without a batch axis: every axis of its input is of the one \
                                   input that it takes";

/// The network of a model file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NetworkModel {
    /// The network, for one sample.
    pub network: Network,
    /// In which floating-point types a runtime executes it.
    pub precision: Precision,
    /// What a reader of the results should know, one sentence each.
    pub notes: Vec<String>,
    pub(crate) layers: BTreeMap<LayerId, NodeId>,
}

impl NetworkModel {
    /// The node that computes a layer of the model. `None` where the outputs do not depend on the
    /// layer, or where the node is not quite the layer (one with a [`crate::LayerSpec::scale`] that
    /// is not 1).
    #[must_use]
    pub fn node(&self, layer: LayerId) -> Option<NodeId> {
        self.layers.get(&layer).copied()
    }

    /// All layers that a node computes, in the order of the file.
    pub fn layers(&self) -> impl Iterator<Item = (LayerId, NodeId)> {
        self.layers.iter().map(|(&layer, &node)| (layer, node))
    }

    /// The weight of a layer that a node computes, as the network holds it; `None` also where that is
    /// known to within an error only.
    #[must_use]
    pub fn kernel(&self, layer: LayerId) -> Option<&Kernel> {
        let node = self.network.node(self.node(layer)?);
        match &node.op {
            _ if !node.is_exact() => None,
            Op::Conv { kernel, .. } | Op::Dense { kernel, .. } => Some(kernel),
            _ => None,
        }
    }
}

/// In which floating-point types a runtime executes a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Precision {
    /// Somewhere in float16 or bfloat16.
    Sixteen,
    /// In float32.
    Single,
    /// In float64. What is proved of executions in float32 holds: every bound of a rounding error is
    /// one for a smaller unit too (T29).
    Double,
    /// In float32 and float64, with roundings between them that no bound counts.
    Mixed,
    /// With constants that the graph computes itself: what a runtime rounds there no bound counts (T40).
    Constants,
}

impl Precision {
    /// Whether there are executions that a claim about an arithmetic is about.
    ///
    /// # Errors
    /// Why there are none, and what to do.
    pub fn check(self, arithmetic: Arithmetic) -> Result<(), String> {
        let what = match (arithmetic, self) {
            (Arithmetic::Real, _) | (_, Self::Single | Self::Double) => return Ok(()),
            (_, Self::Sixteen) => "in 16 bits (float16 or bfloat16)",
            (_, Self::Mixed) => "partly in float32 and partly in float64",
            (_, Self::Constants) => {
                return Err(
                    "the graph computes constants from others, and what a runtime rounds there no \
                     bound counts; leave --float32 out, or fold the constants of the model first \
                     (onnxsim, or the optimised model that onnxruntime saves)"
                        .to_owned(),
                );
            }
        };
        Err(format!(
            "the graph computes {what}, so that no runtime executes it in float32 and a claim about \
             such executions would be about none; leave --float32 out, or convert the model to \
             float32 first"
        ))
    }

    /// What a reader of any result should know.
    pub(crate) fn note(self) -> Option<&'static str> {
        match self {
            Self::Sixteen => Some(
                "the graph computes in 16 bits (float16 or bfloat16), and what is proved is about the \
                 same function in real arithmetic: rounding to 16 bits may change the class of an \
                 image whose margin is as small as that rounding, about a thousandth of the values",
            ),
            Self::Single | Self::Double | Self::Mixed | Self::Constants => None,
        }
    }
}

/// Why there is no network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The file cannot be read, or its graph is not valid.
    #[error(transparent)]
    File(#[from] Error),
    /// The map from the input to the outputs has no finite rule.
    #[error(transparent)]
    NoRule(#[from] NoNetwork),
}

/// What stands between a model and its network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", text(.blockers))]
#[non_exhaustive]
pub struct NoNetwork {
    /// The nodes between input and outputs that have no rule, in the order of the file; if all
    /// operators have one, the first node whose attributes or inputs are not covered.
    pub blockers: Vec<Refused>,
}

impl NoNetwork {
    /// One reason.
    pub(crate) fn one(name: &str, kind: &str, reason: String) -> Self {
        Self {
            blockers: vec![Refused {
                name: name.to_owned(),
                kind: kind.to_owned(),
                reason,
            }],
        }
    }
}

impl NoNetwork {
    /// Whether it may be no obstacle in a reading without a batch.
    pub(crate) fn is_about_the_batch(&self) -> bool {
        self.blockers.iter().any(|b| b.reason.contains("batch"))
    }
}

fn text(blockers: &[Refused]) -> String {
    let Some(first) = blockers.first() else {
        return "there is no network".to_owned();
    };
    let Refused { name, kind, reason } = first;
    let more = match blockers.len() {
        0 | 1 => String::new(),
        n => format!("; {} more nodes have no rule", n - 1),
    };
    format!("{name:?} ({kind}): {reason}{more}")
}

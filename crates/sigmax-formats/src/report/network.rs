//! [`NetworkReport`]: what an audit says of the network as a whole.

pub(crate) mod curvature;
pub(crate) mod tables;
pub(crate) mod text;
pub(crate) mod waterfall;

use sigmax::network::{Lipschitz, NodeId, Rule};
use sigmax::{Estimate, Upper};

pub use curvature::{CurvatureReport, CurvatureRow};

use crate::model::skipped::Refused;

/// The network as a whole: a proved constant, or why there is none.
#[derive(Clone, Debug)]
pub struct NetworkReport {
    /// The bounds, or every node without a finite rule (or one entry without a node, where the file
    /// has no graph).
    pub bounds: Result<NetworkBounds, Vec<Refused>>,
}

/// Proved bounds of a network and its nodes.
#[derive(Clone, Debug)]
pub struct NetworkBounds {
    /// The Lipschitz constant ℓ₂ → ℓ₂ of the map from the input to all outputs.
    pub upper: Upper,
    /// The nodes, in an order in which each comes after those it reads; the first is the input.
    pub nodes: Vec<NetworkRow>,
    /// The largest norm of the Jacobian at some inputs: an estimate from below.
    pub jacobian: Option<Estimate>,
    /// At how many inputs, and which.
    pub jacobian_at: String,
    /// The curvature of the logits, or why nothing is proved of it; none where it was not looked at.
    pub curvature: Option<Result<CurvatureReport, String>>,
    /// What a reader should know, one sentence each.
    pub notes: Vec<String>,
}

/// A node.
#[derive(Clone, Debug)]
pub struct NetworkRow {
    /// Its name in the file.
    pub name: String,
    /// What it computes.
    pub op: &'static str,
    /// Places of the nodes it reads.
    pub inputs: Vec<usize>,
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// Lipschitz constant of the node alone.
    pub own: Upper,
    /// Lipschitz constant from the input to it.
    pub through: Upper,
    /// The rule that `through` comes from.
    pub rule: String,
    /// Where `rule` takes this node together with nodes before it: the first of them.
    pub together_from: Option<usize>,
    /// Whether these are layers with factors between them, each of which has a norm of its own.
    pub scaled: bool,
    /// The place of its layer in the report, where it is one.
    pub layer: Option<usize>,
}

impl NetworkReport {
    /// The proved constant, where there is a finite one.
    #[must_use]
    pub fn constant(&self) -> Option<Upper> {
        let bounds = self.bounds.as_ref().ok()?;
        Some(bounds.upper).filter(|upper| upper.get().is_finite())
    }

    /// Why there is no finite constant, in one sentence without its full stop.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        match &self.bounds {
            Ok(bounds) if bounds.upper.get().is_finite() => None,
            Ok(_) => Some("the product of the norms leaves the range of f64".to_owned()),
            Err(blockers) => Some(match &blockers[..] {
                [] => "the network was not understood".to_owned(),
                [only] if only.name.is_empty() => only.reason.trim_end_matches('.').to_owned(),
                [only] => format!("no finite rule for {} ({})", only.name, only.kind),
                [first, ..] => format!(
                    "no finite rule for {} nodes, the first is {} ({})",
                    blockers.len(),
                    first.name,
                    first.kind
                ),
            }),
        }
    }
}

impl NetworkBounds {
    /// Collects what is proved; `layers` holds the node of every layer of the report.
    #[must_use]
    pub fn new(bounds: &Lipschitz, layers: &[Option<NodeId>], notes: &[String]) -> Self {
        let nodes = bounds.network().nodes();
        let mut layer_of = vec![None; nodes.len()];
        for (place, node) in layers.iter().enumerate().rev() {
            if let Some(slot) = node.and_then(|id| layer_of.get_mut(id.index())) {
                *slot = Some(place);
            }
        }
        let rows = nodes.iter().zip(bounds.nodes()).enumerate();
        Self {
            upper: bounds.upper(),
            nodes: rows
                .map(|(i, (node, bound))| NetworkRow {
                    name: node.name.clone(),
                    op: node.op.name(),
                    inputs: node.inputs.iter().map(|id| id.index()).collect(),
                    shape: node.shape.clone(),
                    own: bound.own(),
                    through: bound.through(),
                    rule: bound.rule().text(|id| &nodes[id.index()].name),
                    together_from: match bound.rule() {
                        Rule::Fused(first) | Rule::Scaled(first) => Some(first.index()),
                        _ => None,
                    },
                    scaled: matches!(bound.rule(), Rule::Scaled(_)),
                    layer: layer_of[i],
                })
                .collect(),
            jacobian: None,
            jacobian_at: String::new(),
            curvature: None,
            notes: notes.to_vec(),
        }
    }
}

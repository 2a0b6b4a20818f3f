//! The Lipschitz constant ℓ₂ → ℓ₂ of the map from the input to every node.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::audit::Audit;
use crate::bound::norm::norm_bracket;
use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::layout::has_one_tap;
use crate::network::fuse::LatticeMap;
use crate::network::{Affine, CERTIFICATE_SLACK, Network, Node, NodeId, Op, Pick};
use crate::rounding::{mul_up, sqrt_int_up};

/// Most nodes that are taken together.
const LONGEST: usize = 6;

/// Whether norms are as tight as they were found, or such that a coarser method can confirm them:
/// those over all frequencies (not the exact periodic ones), enlarged by [`CERTIFICATE_SLACK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slack {
    None,
    Certificate,
}

impl Slack {
    /// An upper bound of the norm of a layer, as it may be published.
    pub(crate) fn enlarge(self, norm: Upper, kernel: &Kernel, conv: &Conv) -> Upper {
        match self {
            Self::None => norm,
            // One tap is one matrix: there is no grid that would need room.
            Self::Certificate => {
                let slack = if has_one_tap(kernel, conv) {
                    MATRIX_SLACK
                } else {
                    CERTIFICATE_SLACK
                };
                Upper::claim(mul_up(norm.get(), 1.0 + slack))
            }
        }
    }
}

/// The slack of norms of matrices, for rounding.
const MATRIX_SLACK: f64 = 1.0 / (1u64 << 20) as f64;

/// Which theorem a bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The input itself: 1.
    Input,
    /// The norm of a convolution or matrix (T1 to T17).
    Norm,
    /// The norm of this node taken together with those before it, back to and with this one (T24).
    Fused(NodeId),
    /// The largest factor of a diagonal map (T24).
    Diagonal,
    /// √(most copies of one entry) (T22).
    Copies,
    /// A product of norms along axes (T23).
    Kronecker,
    /// √(most windows that hold one pixel) (T23).
    Windows,
    /// The largest slope (T26).
    Slope,
    /// Softmax or its logarithm (T26).
    Softmax,
    /// The sum over the branches (T21).
    Sum,
    /// The root of the sum of squares over the branches (T21).
    RootSumSquare,
    /// Branches that pick entries of one node: √(most copies in all of them) (T22).
    Parts,
    /// The larger and the smaller of two branches side by side: a reordering of these (T21).
    Sorted,
}

impl Rule {
    /// A short text; `name` gives the name of a node.
    #[must_use]
    pub fn text<'a>(self, name: impl Fn(NodeId) -> &'a str) -> String {
        match self {
            Self::Input => "input".into(),
            Self::Norm => "norm".into(),
            Self::Fused(from) => format!("norm together with {}", name(from)),
            Self::Diagonal => "largest factor".into(),
            Self::Copies => "copies".into(),
            Self::Kronecker => "norms along axes".into(),
            Self::Windows => "overlapping windows".into(),
            Self::Slope => "slope".into(),
            Self::Softmax => "softmax".into(),
            Self::Sum => "sum of branches".into(),
            Self::RootSumSquare => "branches side by side".into(),
            Self::Parts => "parts of one node".into(),
            Self::Sorted => "sorted pairs".into(),
        }
    }
}

/// What is proved of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeBound {
    pub(crate) own: Upper,
    pub(crate) through: Upper,
    pub(crate) rule: Rule,
}

impl NodeBound {
    /// Lipschitz constant of the node alone, as a map from all its inputs together.
    #[must_use]
    pub fn own(self) -> Upper {
        self.own
    }

    /// Lipschitz constant of the map from the input of the network to this node.
    #[must_use]
    pub fn through(self) -> Upper {
        self.through
    }

    /// The theorem that gives [`NodeBound::through`] from that of earlier nodes.
    #[must_use]
    pub fn rule(self) -> Rule {
        self.rule
    }
}

/// Bounds for every node of a network, which goes with them: nothing can take them for those of
/// another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Lipschitz {
    network: Network,
    nodes: Vec<NodeBound>,
    upper: Upper,
}

impl Lipschitz {
    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// One per node, in the order of [`Network::nodes`].
    #[must_use]
    pub fn nodes(&self) -> &[NodeBound] {
        &self.nodes
    }

    /// What is proved of a node.
    ///
    /// # Panics
    /// If the id is of another, larger network.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &NodeBound {
        &self.nodes[id.0]
    }

    pub(crate) fn of(network: &Network, nodes: Vec<NodeBound>) -> Self {
        let outputs: Vec<Upper> = network.outputs.iter().map(|o| nodes[o.0].through).collect();
        Self {
            network: network.clone(),
            upper: Upper::root_sum_square(&outputs),
            nodes,
        }
    }

    /// The constant of the map from the input to all outputs together.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.upper
    }
}

/// Bounds the ℓ₂ Lipschitz constant of the map from the input to every node and to the outputs.
///
/// # Guarantee
/// Every number is proved, rounding included, for the network with real arithmetic and the given
/// parameters. `+∞` where a product leaves the range of f64.
///
/// # Cost
/// One norm to `options.tolerance` per convolution and dense layer, and one more for every group of
/// adjacent linear nodes.
///
/// # Errors
/// [`Error`] where the tolerance is not positive, or a layer is too large.
///
/// # Source
/// T21 to T26.
pub fn lipschitz(network: &Network, options: &Options) -> Result<Lipschitz, Error> {
    analysis(network, options, &[], Slack::None)
}

/// The same where some convolution and dense layers were audited before: their norms are not
/// computed again. An audit of another layer than the node's is not used.
///
/// # Errors
/// As [`lipschitz`].
pub fn lipschitz_with_audits(
    network: &Network,
    options: &Options,
    audits: &[(NodeId, &Audit)],
) -> Result<Lipschitz, Error> {
    analysis(network, options, audits, Slack::None)
}

/// The same with or without slack in the norms.
pub(crate) fn analysis(
    network: &Network,
    options: &Options,
    audits: &[(NodeId, &Audit)],
    slack: Slack,
) -> Result<Lipschitz, Error> {
    options.check()?;
    let audits: HashMap<NodeId, &Audit> = audits.iter().copied().collect();
    let own: Vec<Upper> = (0..network.nodes.len())
        .into_par_iter()
        .map(|i| {
            let audit = audits.get(&NodeId(i));
            match audit.filter(|audit| is_audit_of(audit, &network.nodes[i])) {
                Some(audit) => Ok(audit.upper()),
                None => own(network, i, options, slack),
            }
        })
        .collect::<Result<_, Error>>()?;
    let fused: Vec<Vec<(usize, Upper)>> = (0..network.nodes.len())
        .into_par_iter()
        .map(|i| fused(network, i, options, slack))
        .collect::<Result<_, Error>>()?;
    let mut nodes: Vec<NodeBound> = Vec::with_capacity(network.nodes.len());
    for (i, node) in network.nodes.iter().enumerate() {
        let (through, rule) = through(node, own[i], &fused[i], network, &nodes);
        nodes.push(NodeBound {
            own: own[i],
            through,
            rule,
        });
    }
    Ok(Lipschitz::of(network, nodes))
}

fn is_audit_of(audit: &Audit, node: &Node) -> bool {
    match &node.op {
        Op::Conv { kernel, conv, .. } => audit.is_of(kernel, conv),
        Op::Dense { kernel, .. } => audit.is_of(kernel, &Conv::new(0)),
        _ => false,
    }
}

/// The constant from the input to a node whose earlier nodes are done.
fn through(
    node: &Node,
    own: Upper,
    fused: &[(usize, Upper)],
    network: &Network,
    nodes: &[NodeBound],
) -> (Upper, Rule) {
    let mut best = through_by_rule(network, node, own, nodes);
    for &(start, norm) in fused {
        let before = network.nodes[start].inputs[0];
        let candidate = norm.times(nodes[before.0].through);
        if candidate < best.0 {
            best = (candidate, Rule::Fused(NodeId(start)));
        }
    }
    best
}

/// The same from the constant of the node alone.
pub(crate) fn through_by_rule(
    network: &Network,
    node: &Node,
    own: Upper,
    nodes: &[NodeBound],
) -> (Upper, Rule) {
    let rule = match &node.op {
        Op::Input => return (own, Rule::Input),
        Op::Add => {
            let through = node.inputs.iter().map(|id| nodes[id.0].through);
            return (through.fold(Upper::claim(0.0), Upper::plus), Rule::Sum);
        }
        Op::Concat { .. } => {
            return match sorted_pair(network, &node.inputs) {
                Some(pair) => (side_by_side(network, pair, nodes).0, Rule::Sorted),
                None => side_by_side(network, &node.inputs, nodes),
            };
        }
        Op::Max | Op::Min => return side_by_side(network, &node.inputs, nodes),
        Op::Conv { .. } | Op::Dense { .. } => Rule::Norm,
        Op::Affine(_) => Rule::Diagonal,
        Op::Pick(_) => Rule::Copies,
        Op::Separable(_) => Rule::Kronecker,
        Op::MaxPool(_) => Rule::Windows,
        Op::Softmax { .. } | Op::LogSoftmax { .. } => Rule::Softmax,
        Op::Activation(_) | Op::PRelu(_) => Rule::Slope,
    };
    (own.times(nodes[node.inputs[0].0].through), rule)
}

/// The constant of several nodes side by side.
fn side_by_side(network: &Network, ids: &[NodeId], nodes: &[NodeBound]) -> (Upper, Rule) {
    let through: Vec<Upper> = ids.iter().map(|id| nodes[id.0].through).collect();
    let plain = (Upper::root_sum_square(&through), Rule::RootSumSquare);
    let picks: Option<Vec<(NodeId, &Pick)>> = ids
        .iter()
        .map(
            |&id| match (&network.node(id).op, &network.node(id).inputs[..]) {
                (Op::Pick(pick), &[source]) => Some((source, pick)),
                _ => None,
            },
        )
        .collect();
    let Some(picks) = picks else { return plain };
    let source = picks[0].0;
    if picks.iter().any(|&(other, _)| other != source) {
        return plain;
    }
    let picks: Vec<&Pick> = picks.into_iter().map(|(_, pick)| pick).collect();
    let norm = Upper::claim(Pick::norm_of_all(&picks));
    let parts = norm.times(nodes[source.0].through);
    if parts < plain.0 {
        (parts, Rule::Parts)
    } else {
        plain
    }
}

/// The inputs of a maximum and a minimum of the same two nodes, if that is what `ids` are.
fn sorted_pair<'n>(network: &'n Network, ids: &[NodeId]) -> Option<&'n [NodeId]> {
    let &[first, second] = ids else { return None };
    let (first, second) = (network.node(first), network.node(second));
    let pair = matches!(
        (&first.op, &second.op),
        (Op::Max, Op::Min) | (Op::Min, Op::Max)
    );
    let same = |a: &[NodeId], b: &[NodeId]| match (a, b) {
        (&[a, b], &[c, d]) => (a, b) == (c, d) || (a, b) == (d, c),
        _ => false,
    };
    (pair && same(&first.inputs, &second.inputs)).then_some(&first.inputs[..])
}

/// The constant of a node alone.
fn own(network: &Network, index: usize, options: &Options, slack: Slack) -> Result<Upper, Error> {
    let node = &network.nodes[index];
    match &node.op {
        Op::Conv { .. } => match lattice(network, node) {
            Some(map) => map.norm(options, slack),
            None => Ok(Upper::claim(f64::INFINITY)),
        },
        // Along the last axis, whatever the others are: block diagonal.
        Op::Dense { kernel, .. } => {
            let norm = norm_bracket(kernel, &Conv::new(0), options)?;
            Ok(slack.enlarge(norm.bracket.upper(), kernel, &Conv::new(0)))
        }
        _ => own_by_rule(network, index),
    }
}

/// The constant of a node alone that is neither convolution nor dense layer (for these: +∞).
pub(crate) fn own_by_rule(network: &Network, index: usize) -> Result<Upper, Error> {
    let node = &network.nodes[index];
    Ok(Upper::claim(match &node.op {
        Op::Conv { .. } | Op::Dense { .. } => f64::INFINITY,
        Op::Affine(affine) => affine.norm(),
        Op::Pick(pick) => pick.norm(),
        Op::Separable(separable) => separable.norm(),
        Op::MaxPool(pool) => {
            let input = &network.nodes[node.inputs[0].0].shape;
            pool.max_norm(input).map_err(|reason| Error::Node {
                node: node.name.clone(),
                reason,
            })?
        }
        Op::Activation(activation) => activation.slope(),
        Op::PRelu(slopes) => slopes.largest().max(1.0),
        Op::Softmax { axis } if node.shape[*axis] > 1 => 0.5,
        Op::LogSoftmax { axis } if node.shape[*axis] > 1 => sqrt_int_up(node.shape[*axis]),
        Op::Softmax { .. } | Op::LogSoftmax { .. } => 0.0,
        Op::Add => sqrt_int_up(node.inputs.len()),
        Op::Input | Op::Max | Op::Min | Op::Concat { .. } => 1.0,
    }))
}

/// Norms of this node together with linear nodes before it: where each group starts, and its norm.
fn fused(
    network: &Network,
    index: usize,
    options: &Options,
    slack: Slack,
) -> Result<Vec<(usize, Upper)>, Error> {
    let mut found = Vec::new();
    let mut group = Group::of(network, NodeId(index));
    let mut start = NodeId(index);
    for _ in 1..LONGEST {
        let Some((longer, before)) = group.as_ref().and_then(|g| g.longer(network, start)) else {
            break;
        };
        start = before;
        if let Group::Map(map) = &longer {
            found.push((start.0, map.norm(options, slack)?));
        }
        group = Some(longer);
    }
    Ok(found)
}

/// Adjacent linear nodes as one.
pub(crate) enum Group {
    Diagonal(Affine),
    Map(LatticeMap),
}

impl Group {
    /// One node, where it is linear on the lattice.
    pub(crate) fn of(network: &Network, id: NodeId) -> Option<Self> {
        let node = network.node(id);
        match &node.op {
            Op::Affine(affine) => Some(Self::Diagonal(affine.clone())),
            _ => lattice(network, node).map(Self::Map),
        }
    }

    /// This group, which starts at `start`, with the node before it (and that behind a flattening).
    pub(crate) fn longer(&self, network: &Network, start: NodeId) -> Option<(Self, NodeId)> {
        let [before] = network.node(start).inputs[..] else {
            return None;
        };
        if let (Self::Map(map), Op::Pick(pick)) = (self, &network.node(before).op) {
            let source = network.node(before).inputs[0];
            let node = network.node(source);
            return match &node.op {
                Op::Affine(affine) if pick.is_reshape() => {
                    let map = map.after_flattened(affine, &node.shape)?;
                    Some((Self::Map(map), source))
                }
                _ => None,
            };
        }
        let map = match (self, Self::of(network, before)?) {
            (Self::Map(map), Self::Diagonal(affine)) => map.after_affine(&affine),
            (Self::Diagonal(affine), Self::Map(map)) => map.before_affine(affine),
            (Self::Map(second), Self::Map(first)) => LatticeMap::composed(&first, second),
            (Self::Diagonal(_), Self::Diagonal(_)) => None,
        };
        Some((Self::Map(map?), before))
    }
}

fn lattice(network: &Network, node: &Node) -> Option<LatticeMap> {
    LatticeMap::of(node, &network.nodes[node.inputs.first()?.0].shape)
}

//! Adjacent linear nodes taken together (T24).

use crate::bound::options::Options;
use crate::claim::Upper;
use crate::error::Error;
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::network::op::affine::Affine;
use crate::network::rule::lattice_map::LatticeMap;
use crate::network::rule::slack::Slack;

/// Most nodes that are taken together.
const LONGEST: usize = 6;

/// Norms of this node together with linear nodes before it: where each group starts, and its norm.
pub(crate) fn together(
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

/// The nodes from `start` to `end`, each reading the one before, as one layer; `None` where
/// [`together`] would not take as many.
pub(crate) fn as_one(network: &Network, start: NodeId, end: NodeId) -> Option<LatticeMap> {
    let (mut group, mut first) = (Group::of(network, end)?, end);
    for _ in 1..LONGEST {
        if first > start {
            (group, first) = group.longer(network, first)?;
        }
    }
    match group {
        Group::Map(map) if first == start => Some(map),
        _ => None,
    }
}

/// The longest group that ends at `end` and is a layer: that layer, and where the group starts. Nodes
/// inside of it are such that `single` holds for them. A lone pooling is no layer here.
pub(crate) fn longest(
    network: &Network,
    end: NodeId,
    single: impl Fn(NodeId) -> bool,
) -> Option<(LatticeMap, NodeId)> {
    if let Op::Dense { kernel, .. } = &network.node(end).op
        && network.node(end).shape.len() > 1
    {
        return Some((LatticeMap::matrix(kernel, network.node(end).inexact), end));
    }
    let (mut group, mut start) = (Group::of(network, end)?, end);
    for _ in 1..LONGEST {
        let Some((longer, before)) = group.longer(network, start) else {
            break;
        };
        if !single(network.node(start).inputs[0]) || !single(before) {
            break;
        }
        (group, start) = (longer, before);
    }
    match group {
        Group::Map(_) if matches!(network.node(start).op, Op::Separable(_)) && start == end => None,
        Group::Map(map) => Some((map, start)),
        Group::Diagonals(_) => None,
    }
}

/// Adjacent linear nodes as one.
enum Group {
    /// One after another, the first one first: what no layer comes before, so far.
    Diagonals(Vec<Affine>),
    Map(LatticeMap),
}

impl Group {
    /// One node, where it is linear on the lattice.
    fn of(network: &Network, id: NodeId) -> Option<Self> {
        let node = network.node(id);
        match &node.op {
            Op::Affine(affine) => Some(Self::Diagonals(vec![affine.clone()])),
            _ => LatticeMap::of_node(network, node).map(Self::Map),
        }
    }

    /// This group, which starts at `start`, with the node before it (and that behind a flattening).
    fn longer(&self, network: &Network, start: NodeId) -> Option<(Self, NodeId)> {
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
        let longer = match (self, Self::of(network, before)?) {
            (Self::Diagonals(last), Self::Diagonals(mut first)) => {
                first.extend(last.iter().cloned());
                Self::Diagonals(first)
            }
            (Self::Diagonals(last), Self::Map(first)) => last
                .iter()
                .try_fold(first, |map, affine| map.before_affine(affine))
                .map(Self::Map)?,
            (Self::Map(last), Self::Diagonals(first)) => first
                .iter()
                .rev()
                .try_fold(last.clone(), |map, affine| map.after_affine(affine))
                .map(Self::Map)?,
            (Self::Map(second), Self::Map(first)) => {
                LatticeMap::composed(&first, second).map(Self::Map)?
            }
        };
        Some((longer, before))
    }
}

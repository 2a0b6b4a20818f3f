//! Nodes side by side (T21, T22).

use crate::claim::Upper;
use crate::network::bounds::{NodeBound, Rule};
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::network::op::pick::Pick;

/// The constant of several nodes side by side.
pub(crate) fn side_by_side(
    network: &Network,
    ids: &[NodeId],
    nodes: &[NodeBound],
) -> (Upper, Rule) {
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
pub(crate) fn sorted_pair<'n>(network: &'n Network, ids: &[NodeId]) -> Option<&'n [NodeId]> {
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

//! The Lipschitz constant ℓ₂ → ℓ₂ of the map from the input to every node.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::audit::Audit;
use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::network::bounds::{Lipschitz, NodeBound, Rule};
use crate::network::graph::{Network, Node, NodeId};
use crate::network::op::Op;
use crate::network::rule::block::together;
use crate::network::rule::chain::own;
use crate::network::rule::residual::residual;
use crate::network::rule::scaling::{Scaled, scaled_chains};
use crate::network::rule::slack::Slack;
use crate::network::rule::through_by_rule;

/// Bounds the ℓ₂ Lipschitz constant of the map from the input to every node and to the outputs.
///
/// # Guarantee
/// Every number is proved, rounding included, for the network with real arithmetic and the given
/// parameters. `+∞` where a product leaves the range of f64.
///
/// # Cost
/// One norm to `options.tolerance` per convolution and dense layer, and one more for every group of
/// adjacent linear nodes. Where scaling between layers gains a percent or more by an estimate, one more
/// for every layer that it scales; the estimate takes some hundred products with the symbol of each
/// at a few frequencies.
///
/// # Errors
/// [`Error`] where the tolerance is not positive, or a layer is too large.
///
/// # Source
/// T21 to T26, T37, T41 to T43.
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
        .map(|i| together(network, i, options, slack))
        .collect::<Result<_, Error>>()?;
    // Certificates do without: who confirms them knows no factors, and no residuals.
    let (scaled, residuals) = match slack {
        Slack::None => (
            scaled_chains(network, options)?,
            (0..network.nodes.len())
                .into_par_iter()
                .map(|i| residual(network, i, options))
                .collect::<Result<_, Error>>()?,
        ),
        Slack::Certificate => (Vec::new(), vec![None; network.nodes.len()]),
    };
    // No two chains have one end.
    let scaled: HashMap<usize, Scaled> = scaled.into_iter().map(|c| (c.end.0, c)).collect();
    let mut nodes: Vec<NodeBound> = Vec::with_capacity(network.nodes.len());
    for (i, node) in network.nodes.iter().enumerate() {
        let fused = fused[i].iter().map(|&(start, norm)| Together {
            start: NodeId(start),
            norm,
            rule: Rule::Fused(NodeId(start)),
        });
        let chain = scaled.get(&i).map(|chain| Together {
            start: chain.start,
            norm: chain.norm,
            rule: Rule::Scaled(chain.start),
        });
        let residual = residuals[i].map(|(start, norm)| Together {
            start,
            norm,
            rule: Rule::Residual(start),
        });
        let groups = fused.chain(chain).chain(residual);
        let (through, rule) = through(node, own[i], groups, network, &nodes);
        nodes.push(NodeBound {
            own: own[i],
            through,
            rule,
        });
    }
    Ok(Lipschitz::of(network, nodes))
}

fn is_audit_of(audit: &Audit, node: &Node) -> bool {
    // An audit of the kernel knows nothing of an error.
    if node.inexact > 0.0 {
        return false;
    }
    match &node.op {
        Op::Conv { kernel, conv, .. } => audit.is_of(kernel, conv),
        Op::Dense { kernel, .. } => audit.is_of(kernel, &Conv::new(0)),
        _ => false,
    }
}

/// Nodes that are taken together, up to one.
struct Together {
    start: NodeId,
    norm: Upper,
    rule: Rule,
}

/// The constant from the input to a node whose earlier nodes are done.
fn through(
    node: &Node,
    own: Upper,
    groups: impl Iterator<Item = Together>,
    network: &Network,
    nodes: &[NodeBound],
) -> (Upper, Rule) {
    let mut best = through_by_rule(network, node, own, nodes);
    for group in groups {
        let before = network.node(group.start).inputs[0];
        let candidate = group.norm.times(nodes[before.0].through);
        if candidate < best.0 {
            best = (candidate, group.rule);
        }
    }
    best
}

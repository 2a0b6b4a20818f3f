//! Which node has the logits of a classifier.

use crate::error::Error;
use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;

/// Most classes.
const MAX_CLASSES: usize = 1 << 12;

/// The node whose entries are compared, and their number: the output, or what a final softmax reads.
pub(crate) fn logits(network: &Network) -> Result<(NodeId, usize), Error> {
    let not_a_classifier = || Error::NotAClassifier {
        outputs: network
            .outputs()
            .iter()
            .map(|&id| network.node(id).shape.clone())
            .collect(),
    };
    let &[output] = network.outputs() else {
        return Err(not_a_classifier());
    };
    let logits = order_source(network, output);
    let classes = network.node(logits).len();
    if !(2..=MAX_CLASSES).contains(&classes) {
        return Err(not_a_classifier());
    }
    Ok((logits, classes))
}

/// Follows the output back over nodes that keep the order of its entries.
fn order_source(network: &Network, output: NodeId) -> NodeId {
    let mut id = output;
    loop {
        let node = network.node(id);
        let keeps = match &node.op {
            Op::Softmax { axis } | Op::LogSoftmax { axis } => node.shape[*axis] == node.len(),
            Op::Pick(pick) => pick.is_reshape(),
            Op::Affine(affine) => affine.keeps_order(),
            _ => false,
        };
        if !keeps {
            return id;
        }
        id = node.inputs[0];
    }
}

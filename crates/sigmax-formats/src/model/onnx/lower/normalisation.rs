//! BatchNormalization at inference.

use sigmax::network::{Affine, NodeId, Op};

use super::super::parsed::Node;
use super::lowering::{Halt, Lowering, refuse};

/// γ·(x − μ)/√(σ² + ε) + β per channel.
pub(super) fn batch_norm(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    // Before opset 14 the further outputs say that it trains.
    let trains = node.outputs.iter().skip(1).any(Option::is_some);
    if node.int("training_mode", 0)? != 0 || trains {
        return refuse("it is in training mode: it mixes the samples of a batch");
    }
    if node.int("spatial", 1)? != 1 {
        return refuse("spatial = 0: statistics per entry are not covered");
    }
    let id = lowering.data(node, 0)?;
    let rank = lowering.shape(id).len();
    let Some(&channels) = lowering.shape(id).first() else {
        return refuse("its input has no channels");
    };
    let mut parameters = Vec::new();
    for place in 1..5 {
        let array = lowering.parameter(node, place)?;
        if array.shape != [channels] {
            return refuse(format!(
                "its input {place} has shape {:?}; expected [{channels}]",
                array.shape
            ));
        }
        parameters.push(array.values);
    }
    let parameters = [0, 1, 2, 3].map(|i| parameters[i].as_slice());
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let affine = Affine::batch_norm(rank, parameters, epsilon)?;
    lowering.add(name, Op::Affine(affine), &[id])
}

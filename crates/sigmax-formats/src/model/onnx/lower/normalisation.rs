//! BatchNormalization at inference, and normalisations by statistics of one sample.

use sigmax::network::{Affine, NodeId, Normalisation, Op, PerEntry};

use super::super::parsed::Node;
use super::constant::Array;
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

/// `(x − mean)/√(variance + ε)` over some axes, batch left out, or `x/√(mean of squares + ε)`.
pub(super) fn normalised(
    lowering: &mut Lowering<'_>,
    name: &str,
    id: NodeId,
    over: &[usize],
    centred: bool,
    epsilon: f64,
) -> Result<NodeId, Halt> {
    let shape = lowering.shape(id);
    let left: Vec<usize> = (0..shape.len())
        .filter(|axis| !over.contains(axis))
        .collect();
    let op = |axis| match centred {
        true => Normalisation::centred(axis, epsilon),
        false => Normalisation::root_mean_square(axis, epsilon),
    };
    if let &[axis] = over {
        return lowering.step(name, "normalisation", Op::Normalisation(op(axis)?), &[id]);
    }
    // All of them become the last axis.
    let order = [&left[..], over].concat();
    let moved: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
    let sorted = order.is_sorted();
    let mut id = id;
    if !sorted {
        id = lowering.transposed(name, id, &order)?;
    }
    let together: usize = moved[left.len()..].iter().product();
    let flat = [&moved[..left.len()], &[together]].concat();
    id = lowering.reshaped(name, id, &flat)?;
    let op = Op::Normalisation(op(left.len())?);
    id = lowering.step(name, "normalisation", op, &[id])?;
    id = lowering.reshaped(name, id, &moved)?;
    if !sorted {
        let back: Vec<usize> = (0..shape.len())
            .filter_map(|axis| order.iter().position(|&from| from == axis))
            .collect();
        id = lowering.transposed(name, id, &back)?;
    }
    Ok(id)
}

/// Factors and shifts behind a normalisation.
fn scaled(
    lowering: &mut Lowering<'_>,
    name: &str,
    id: NodeId,
    scale: Array,
    shift: Option<Array>,
) -> Result<NodeId, Halt> {
    let rank = lowering.shape(id).len();
    let scale = lowering.per_entry(scale, rank)?;
    let shift = match shift {
        Some(shift) => lowering.per_entry(shift, rank)?,
        None => PerEntry::uniform(rank, 0.0)?,
    };
    lowering.step(
        name,
        "scale",
        Op::Affine(Affine::exact(scale, shift)),
        &[id],
    )
}

/// `LayerNormalization`, and `RMSNormalization` under both of its names: over the last axes.
pub(super) fn layer_norm(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let first = lowering.axis(node.int("axis", -1)?, id)?;
    let over: Vec<usize> = (first..lowering.shape(id).len()).collect();
    let scale = lowering.parameter(node, 1)?;
    let centred = node.op == "LayerNormalization";
    let shift = match centred {
        true => lowering.constant(node, 2)?,
        false => None,
    };
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let id = normalised(lowering, name, id, &over, centred, epsilon)?;
    scaled(lowering, name, id, scale, shift)
}

/// Per channel, over all pixels.
pub(super) fn instance_norm(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    if shape.len() < 2 {
        return refuse(format!(
            "its input has {} axes; expected at least three",
            shape.len() + 1
        ));
    }
    let [scale, shift] = [1, 2].map(|place| per_channel(lowering, node, place, &shape, shape[0]));
    let over: Vec<usize> = (1..shape.len()).collect();
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let id = normalised(lowering, name, id, &over, true, epsilon)?;
    scaled(lowering, name, id, scale?, Some(shift?))
}

/// Per group of channels, over all pixels. Until opset 20 factors are per group, and per channel since.
pub(super) fn group_norm(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let id = lowering.data(node, 0)?;
    let shape = lowering.shape(id);
    let stated = node.int("num_groups", 0)?;
    let groups = usize::try_from(stated).unwrap_or(0);
    let Some(&channels) = shape.first() else {
        return refuse("its input has no channels");
    };
    if groups == 0 || !channels.is_multiple_of(groups) {
        return refuse(format!("num_groups = {stated} for {channels} channels"));
    }
    let expected = match lowering.context.parsed.opset {
        ..21 => groups,
        _ => channels,
    };
    let [scale, shift] = [1, 2].map(|place| per_channel(lowering, node, place, &shape, expected));
    let epsilon = f64::from(node.float("epsilon", 1e-5)?);
    let flat = [groups, shape.iter().product::<usize>() / groups];
    let id = lowering.reshaped(name, id, &flat)?;
    let id = normalised(lowering, name, id, &[1], true, epsilon)?;
    let id = lowering.reshaped(name, id, &shape)?;
    scaled(lowering, name, id, scale?, Some(shift?))
}

/// A parameter of `expected` entries, each for as many channels.
fn per_channel(
    lowering: &mut Lowering<'_>,
    node: &Node,
    place: usize,
    shape: &[usize],
    expected: usize,
) -> Result<Array, Halt> {
    let array = lowering.parameter(node, place)?;
    if array.shape != [expected] {
        return refuse(format!(
            "its input {place} has shape {:?}; expected [{expected}]",
            array.shape
        ));
    }
    let each = shape[0] / expected;
    let values = array.values.into_iter();
    let mut full = vec![1; shape.len()];
    full[0] = shape[0];
    Ok(Array {
        shape: full,
        values: values
            .flat_map(|value| std::iter::repeat_n(value, each))
            .collect(),
    })
}

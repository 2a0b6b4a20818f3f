//! Activation functions, softmax, and products that are an activation function.

use sigmax::network::{Activation, Affine, Fold, NodeId, Op, PerEntry};

use super::super::parsed::Node;
use super::lowering::{Halt, JUMPS, Lowering, refuse};
use super::normalisation::normalised;
use super::pattern::{Pattern, Step};
use super::reduce::{folded, without};

/// An activation function, softmax or PRelu.
pub(super) fn activation(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let float = |name: &str, default: f32| node.float(name, default).map(f64::from);
    let id = lowering.data(node, 0)?;
    let activation = match node.op.as_str() {
        "Abs" => Activation::Abs,
        "Asinh" => Activation::Asinh,
        "Atan" => Activation::Atan,
        "Cos" => Activation::Cos,
        "Sin" => Activation::Sin,
        "Celu" => Activation::Celu {
            alpha: float("alpha", 1.0)?,
        },
        "Clip" => clip(lowering, node)?,
        "Elu" => Activation::Elu {
            alpha: float("alpha", 1.0)?,
        },
        "Erf" => Activation::Erf,
        "Gelu" => match node.text("approximate", "none")? {
            "none" => Activation::Gelu,
            "tanh" => Activation::GeluTanh,
            other => return refuse(format!("approximate = {other:?}; expected none or tanh")),
        },
        "HardSigmoid" => Activation::HardSigmoid {
            alpha: float("alpha", 0.2)?,
            beta: float("beta", 0.5)?,
        },
        "HardSwish" => Activation::HardSwish,
        "LeakyRelu" => Activation::LeakyRelu {
            alpha: float("alpha", 0.01)?,
        },
        "Mish" => Activation::Mish,
        "PRelu" => return prelu(lowering, node, name, id),
        "Relu" => Activation::Relu,
        "ThresholdedRelu" if is_zero(float("alpha", 1.0)?) => Activation::Relu,
        "Shrink" => {
            let (lambd, bias) = (float("lambd", 0.5)?, float("bias", 0.0)?);
            if !is_zero(lambd - bias) {
                return refuse(format!("lambd = {lambd} and bias = {bias}: {JUMPS}"));
            }
            Activation::SoftShrink { lambd }
        }
        // The defaults that the operator states.
        "Selu" => Activation::Selu {
            alpha: float("alpha", 1.673_263_2)?,
            gamma: float("gamma", 1.050_701)?,
        },
        "Sigmoid" => Activation::Sigmoid,
        "Silu" | "Swish" => {
            let alpha = float("alpha", 1.0)?;
            let Some(steps) = lowering
                .context
                .varying(node, 0)
                .and_then(|x| Pattern::swish(x, alpha, 0))
            else {
                return refuse(format!("alpha = {alpha} is out of range"));
            };
            return pattern(lowering, &steps, name);
        }
        "Softmax" | "LogSoftmax" => return softmax(lowering, node, name, id),
        "Softplus" => Activation::Softplus,
        "Softsign" => Activation::Softsign,
        "Tanh" => Activation::Tanh,
        _ => return refuse(JUMPS),
    };
    lowering.add(name, Op::Activation(activation), &[id])
}

fn is_zero(value: f64) -> bool {
    value.abs() <= 0.0
}

/// Bounds are attributes before opset 11, and inputs since.
fn clip(lowering: &mut Lowering<'_>, node: &Node) -> Result<Activation, Halt> {
    let mut bound = |name: &str, place: usize, none: f64| {
        if node.attribute(name).is_some() {
            return Ok(f64::from(node.float(name, 0.0)?));
        }
        match lowering.constant(node, place)? {
            None => Ok(none),
            Some(array) => match array.single() {
                Some(value) => Ok(value),
                None => refuse(format!("its bound {name:?} is not one number")),
            },
        }
    };
    Ok(Activation::Clip {
        low: bound("min", 1, f64::NEG_INFINITY)?,
        high: bound("max", 2, f64::INFINITY)?,
    })
}

fn prelu(lowering: &mut Lowering<'_>, node: &Node, name: &str, id: NodeId) -> Result<NodeId, Halt> {
    let rank = lowering.shape(id).len();
    let slopes = lowering.parameter(node, 1)?;
    let slopes = lowering.per_entry(slopes, rank)?;
    lowering.add(name, Op::PRelu(slopes), &[id])
}

fn softmax(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
    id: NodeId,
) -> Result<NodeId, Halt> {
    let newer = lowering.context.parsed.opset >= 13;
    let axis = lowering.axis(node.int("axis", if newer { -1 } else { 1 })?, id)?;
    let op = |axis: usize| {
        if node.op == "Softmax" {
            Op::Softmax { axis }
        } else {
            Op::LogSoftmax { axis }
        }
    };
    let shape = lowering.shape(id);
    if newer || axis + 1 == shape.len() {
        return lowering.add(name, op(axis), &[id]);
    }
    // Older releases take all axes from this one on together.
    let together: usize = shape[axis..].iter().product();
    let flat = [&shape[..axis], &[together]].concat();
    let id = lowering.reshaped(name, id, &flat)?;
    let id = lowering.add(name, op(axis), &[id])?;
    lowering.reshaped(name, id, &shape)
}

/// A product that is an activation function.
pub(super) fn pattern(
    lowering: &mut Lowering<'_>,
    pattern: &Pattern,
    name: &str,
) -> Result<NodeId, Halt> {
    let mut id = lowering.value(pattern.input)?;
    let rank = lowering.shape(id).len();
    for step in &pattern.steps {
        id = match *step {
            Step::Normalisation(ref spread) => {
                let mut over = Vec::new();
                for &axis in &spread.axes {
                    over.push(lowering.axis(axis, id)?);
                }
                normalised(lowering, name, id, &over, spread.centred, spread.epsilon)?
            }
            Step::Fold(ref fold) => {
                let mut over = Vec::new();
                for &axis in &fold.axes {
                    over.push(lowering.axis(axis, id)?);
                }
                let shape = lowering.shape(id);
                let op = match fold.norm {
                    true => |pool| Op::Fold(Fold::norm(pool)),
                    false => |pool| Op::Fold(Fold::log_sum_exp(pool)),
                };
                let id = folded(lowering, name, id, &over, op)?;
                match fold.keeps {
                    true => id,
                    false => lowering.reshaped(name, id, &without(&shape, &over))?,
                }
            }
            Step::Part {
                axis,
                ref lengths,
                index,
            } => {
                let axis = lowering.axis(axis, id)?;
                let shape = lowering.shape(id);
                let Some(part) = lengths.part(shape[axis], index) else {
                    return refuse(format!(
                        "part {index} of {} entries in {lengths:?} is none",
                        shape[axis]
                    ));
                };
                lowering.room(&[part.len()])?;
                let mut along = vec![None; shape.len()];
                along[axis] = Some(part.collect());
                lowering.picked(name, id, along)?
            }
            Step::Activation(activation) => {
                lowering.step(name, activation.name(), Op::Activation(activation), &[id])?
            }
            Step::Scale(factor, roundings) => {
                let affine = Affine::rounded(PerEntry::uniform(rank, factor)?, roundings);
                lowering.step(name, "scale", Op::Affine(affine), &[id])?
            }
        };
    }
    Ok(id)
}

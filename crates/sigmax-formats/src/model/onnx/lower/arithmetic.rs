//! Sums, products with constants, and entry-by-entry extrema.

use sigmax::enclosed::Enclosed;
use sigmax::network::{Activation, Affine, NodeId, Op, PerEntry};

use super::super::parsed::Node;
use super::constant::{Array, Terms};
use super::lowering::{Halt, Lowering, PRODUCT, QUOTIENT, refuse};

/// The operands of a node that depend on the data, and the others, each with its place.
struct Operands {
    data: Vec<(usize, NodeId)>,
    constants: Vec<(usize, Terms)>,
    /// The shape that all of them are broadcast to.
    shape: Vec<usize>,
}

impl Lowering<'_> {
    fn operands(&mut self, node: &Node) -> Result<Operands, Halt> {
        let (mut data, mut constants) = (Vec::new(), Vec::new());
        for (place, &value) in node.inputs.iter().enumerate() {
            let Some(value) = value else { continue };
            match self.context.varying(node, place) {
                Some(value) => data.push((place, self.value(value)?)),
                None => constants.push((place, self.terms(value)?)),
            }
        }
        let Some(&(_, first)) = data.first() else {
            return refuse("it does not act on the model's input");
        };
        if self.hidden == 0 {
            self.lifted(&mut data, &constants)?;
        }
        let first = data.first().map_or(first, |&(_, id)| id);
        let mut shape = self.shape(first);
        for &(_, id) in data.iter().skip(1) {
            let other = self.shape(id);
            if other.len() != shape.len() {
                return refuse(format!(
                    "values of {} and {} axes are broadcast: the batch axis moves",
                    shape.len() + 1,
                    other.len() + 1
                ));
            }
            shape = broadcast(&shape, &other)?;
        }
        for (_, terms) in &constants {
            let other = self.beside(&terms.shape, shape.len())?;
            shape = broadcast(&shape, &other)?;
        }
        Ok(Operands {
            data,
            constants,
            shape,
        })
    }

    /// Values with axes of length 1 in front, up to the rank of the one with the most axes.
    fn lifted(
        &mut self,
        data: &mut [(usize, NodeId)],
        constants: &[(usize, Terms)],
    ) -> Result<(), Halt> {
        let ranks = data.iter().map(|&(_, id)| self.shape(id).len());
        let others = constants.iter().map(|(_, terms)| terms.shape.len());
        let most = ranks.chain(others).max().unwrap_or(0);
        for (_, id) in data {
            let shape = self.shape(*id);
            let front = vec![1; most.saturating_sub(shape.len())];
            *id = self.reshaped("lifted", *id, &[&front[..], &shape].concat())?;
        }
        Ok(())
    }

    /// A value with its axes of length 1 repeated to a shape.
    pub(super) fn repeated(
        &mut self,
        name: &str,
        id: NodeId,
        shape: &[usize],
    ) -> Result<NodeId, Halt> {
        let own = self.shape(id);
        if own == shape {
            return Ok(id);
        }
        // Before lists as long as an axis are made.
        self.room(shape)?;
        let along = own.iter().zip(shape);
        let along = along.map(|(&own, &n)| (own != n).then(|| vec![0; n]));
        self.picked(name, id, along.collect())
    }
}

/// The broadcast shape of two of one rank.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, Halt> {
    let axes = a.iter().zip(b).map(|(&a, &b)| match (a, b) {
        (1, n) | (n, 1) => Some(n),
        (a, b) => (a == b).then_some(a),
    });
    match axes.collect() {
        Some(shape) => Ok(shape),
        None => refuse(format!("shapes {a:?} and {b:?} do not go together")),
    }
}

/// Add, Sub, Sum and Mean.
pub(super) fn sum(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    let operands = lowering.operands(node)?;
    let rank = operands.shape.len();
    let minus = |place: usize| node.op == "Sub" && place == 1;
    let mut branches = Vec::new();
    for (place, id) in operands.data {
        let id = lowering.repeated(name, id, &operands.shape)?;
        branches.push((place, id));
    }
    let mut id = match branches[..] {
        // Its sign goes with the constant.
        [(_, only)] if !operands.constants.is_empty() => only,
        _ => {
            let mut ids = Vec::new();
            for &(place, id) in &branches {
                ids.push(if minus(place) {
                    lowering.scaled(name, id, -1.0)?
                } else {
                    id
                });
            }
            match ids[..] {
                [only] => only,
                _ => lowering.add(name, Op::Add, &ids)?,
            }
        }
    };
    let mut sign = match branches[..] {
        [(place, _)] if minus(place) && !operands.constants.is_empty() => -1.0,
        _ => 1.0,
    };
    for (place, mut terms) in operands.constants {
        if minus(place) {
            let entries = &mut terms.entries;
            entries
                .iter_mut()
                .for_each(|entry| *entry = entry.negated());
        }
        let shape = lowering.beside(&terms.shape, rank)?;
        let factor = [Enclosed::exact(sign)];
        let affine = Affine::enclosed((&vec![1; rank], &factor), (&shape, &terms.entries))?;
        id = lowering.step(name, "constant", Op::Affine(affine), &[id])?;
        sign = 1.0;
    }
    if node.op == "Mean" && node.inputs.len() > 1 {
        let one = PerEntry::uniform(rank, reciprocal(node.inputs.len() as f64)?)?;
        let affine = Affine::rounded(one, 1);
        id = lowering.step(name, "mean", Op::Affine(affine), &[id])?;
    }
    Ok(id)
}

/// Mul, Div and Neg: one operand depends on the data.
pub(super) fn factor(lowering: &mut Lowering<'_>, node: &Node, name: &str) -> Result<NodeId, Halt> {
    if node.op == "Neg" {
        let id = lowering.data(node, 0)?;
        return lowering.scaled(name, id, -1.0);
    }
    let operands = lowering.operands(node)?;
    let rank = operands.shape.len();
    let [(place, id)] = operands.data[..] else {
        return refuse(PRODUCT);
    };
    let Some((_, mut terms)) = operands.constants.into_iter().next() else {
        return refuse("its second factor is missing");
    };
    if node.op == "Div" && place != 0 {
        return refuse(QUOTIENT);
    }
    let id = lowering.repeated(name, id, &operands.shape)?;
    let affine = if !terms.are_exact() {
        for entry in &mut terms.entries {
            if node.op == "Div" {
                *entry = match Enclosed::exact(1.0).over(*entry) {
                    Some(inverse) => inverse,
                    None => {
                        return refuse(format!("it divides by {}, or nearly that", entry.value()));
                    }
                };
            }
        }
        let shape = lowering.beside(&terms.shape, rank)?;
        let zero = [Enclosed::exact(0.0)];
        Affine::enclosed((&shape, &terms.entries), (&vec![1; rank], &zero))?
    } else if node.op == "Div" {
        let mut array = terms.exact()?;
        for value in &mut array.values {
            *value = reciprocal(*value)?;
        }
        Affine::rounded(lowering.per_entry(array, rank)?, 1)
    } else {
        let scale = lowering.per_entry(terms.exact()?, rank)?;
        Affine::exact(scale, PerEntry::uniform(rank, 0.0)?)
    };
    lowering.add(name, Op::Affine(affine), &[id])
}

/// 1/x, rounded once.
fn reciprocal(x: f64) -> Result<f64, Halt> {
    let y = 1.0 / x;
    if x.is_finite() && y.is_normal() {
        Ok(y)
    } else {
        refuse(format!("it divides by {x}"))
    }
}

/// Max and Min.
pub(super) fn extremum(
    lowering: &mut Lowering<'_>,
    node: &Node,
    name: &str,
) -> Result<NodeId, Halt> {
    let operands = lowering.operands(node)?;
    let largest = node.op == "Max";
    let mut ids = Vec::new();
    for (_, id) in operands.data {
        ids.push(lowering.repeated(name, id, &operands.shape)?);
    }
    let mut id = match ids[..] {
        [only] => only,
        _ => lowering.add(name, if largest { Op::Max } else { Op::Min }, &ids)?,
    };
    for (_, terms) in operands.constants {
        let array = terms.exact()?;
        let Some(value) = array.single() else {
            id = lowering.repeated(name, id, &operands.shape)?;
            id = beyond(lowering, name, id, array, largest)?;
            continue;
        };
        let clip = if largest {
            Activation::Clip {
                low: value,
                high: f64::INFINITY,
            }
        } else {
            Activation::Clip {
                low: f64::NEG_INFINITY,
                high: value,
            }
        };
        id = lowering.step(name, "clip", Op::Activation(clip), &[id])?;
    }
    Ok(id)
}

/// max(x, c) = c + max(x − c, 0), or min(x, c) = c − max(c − x, 0), with one c per entry.
fn beyond(
    lowering: &mut Lowering<'_>,
    name: &str,
    id: NodeId,
    array: Array,
    largest: bool,
) -> Result<NodeId, Halt> {
    let rank = lowering.shape(id).len();
    let sign = if largest { 1.0 } else { -1.0 };
    let mut before = array.clone();
    before.values.iter_mut().for_each(|c| *c *= -sign);
    let [before, after] = [
        lowering.per_entry(before, rank)?,
        lowering.per_entry(array, rank)?,
    ];
    let affine = |shift| Ok::<_, Halt>(Affine::exact(PerEntry::uniform(rank, sign)?, shift));
    let id = lowering.step(name, "difference", Op::Affine(affine(before)?), &[id])?;
    let relu = Op::Activation(Activation::Relu);
    let id = lowering.step(name, "excess", relu, &[id])?;
    lowering.step(name, "constant", Op::Affine(affine(after)?), &[id])
}

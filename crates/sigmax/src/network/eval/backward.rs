//! The derivative of a network at a point: applied to a direction, or transposed. Approximate.

use crate::error::Error;
use crate::network::eval::apply::Map;
use crate::network::eval::forward::{Forward, Inexact, order};
use crate::network::eval::linear::{self, add};
use crate::network::graph::NodeId;
use crate::network::op::Op;
use crate::network::op::pool::argmax;

/// The network linearised at every input.
pub(crate) fn differentials<'f>(
    forward: &'f Forward,
    inputs: &[f64],
) -> Result<Vec<Differential<'f>>, Error> {
    let all: Vec<NodeId> = (0..forward.network().nodes().len()).map(NodeId).collect();
    let samples = forward.run(inputs, Inexact::Relative(0.0), &all)?;
    Ok(samples
        .into_iter()
        .map(|nodes| {
            let values = nodes.into_iter().map(|node| node.values).collect();
            Differential::new(forward, values)
        })
        .collect())
}

/// A network linearised at one input.
pub(crate) struct Differential<'f> {
    forward: &'f Forward,
    /// The value of every node.
    values: Vec<Vec<f64>>,
    /// For max-pools, which input entry every output entry is.
    places: Vec<Vec<u32>>,
}

impl<'f> Differential<'f> {
    fn new(forward: &'f Forward, values: Vec<Vec<f64>>) -> Self {
        let network = forward.network();
        let places = (0..network.nodes().len())
            .map(|i| match forward.map(i) {
                Map::MaxPool(windows) => {
                    let input = network.nodes()[i].inputs[0];
                    argmax(windows, &values[input.0], &network.node(input).shape)
                }
                _ => Vec::new(),
            })
            .collect();
        Self {
            forward,
            values,
            places,
        }
    }

    /// The value of a node.
    pub(crate) fn value(&self, node: NodeId) -> &[f64] {
        &self.values[node.0]
    }

    /// J·v, over all outputs one after the other.
    pub(crate) fn apply(&self, v: &[f64]) -> Vec<f64> {
        let network = self.forward.network();
        let mut tangents: Vec<Vec<f64>> = vec![v.to_vec()];
        for i in 1..network.nodes().len() {
            let node = &network.nodes()[i];
            let mut out = vec![0.0; node.len()];
            let parts: Vec<&[f64]> = node.inputs.iter().map(|id| &tangents[id.0][..]).collect();
            self.tangent(i, &parts, &mut out);
            tangents.push(out);
        }
        let outputs = network.outputs().iter();
        outputs
            .flat_map(|id| tangents[id.0].iter().copied())
            .collect()
    }

    /// Jᵀ·u.
    pub(crate) fn apply_transpose(&self, u: &[f64]) -> Vec<f64> {
        let network = self.forward.network();
        let mut cotangents: Vec<Vec<f64>> = network
            .nodes()
            .iter()
            .map(|node| vec![0.0; node.len()])
            .collect();
        let mut rest = u;
        for id in network.outputs() {
            let (first, after) = rest.split_at(network.node(*id).len());
            add(&mut cotangents[id.0], first);
            rest = after;
        }
        for i in (1..network.nodes().len()).rev() {
            let y = std::mem::take(&mut cotangents[i]);
            for (place, &input) in network.nodes()[i].inputs.iter().enumerate() {
                let part = self.cotangent(i, place, input, &y);
                add(&mut cotangents[input.0], &part);
            }
        }
        std::mem::take(&mut cotangents[0])
    }

    fn tangent(&self, index: usize, inputs: &[&[f64]], out: &mut [f64]) {
        let node = &self.forward.network().nodes()[index];
        let input = node.inputs[0];
        let v = inputs[0];
        if linear::apply(self.forward, index, inputs, out) {
            return;
        }
        match (&node.op, self.forward.map(index)) {
            (_, Map::MaxPool(_)) => {
                for (out, &i) in out.iter_mut().zip(&self.places[index]) {
                    *out = v[i as usize];
                }
            }
            (Op::Fold(fold), Map::Fold(windows)) => {
                let x = &self.values[input.0];
                for ((out, window), &y) in out.iter_mut().zip(windows).zip(&self.values[index]) {
                    let terms = window.iter().map(|&i| i as usize);
                    *out = terms.map(|i| fold.gradient(x[i], y) * v[i]).sum();
                }
            }
            (Op::Max | Op::Min, _) => {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = inputs[self.winner(index, i)][i];
                }
            }
            (Op::LogSoftmax { axis }, _) => {
                let values = &self.values[index];
                // I − 1pᵀ per lane.
                lanes(&node.shape, *axis, |lane| {
                    let p = |i: usize| crate::elementary::exp(values[i]);
                    let mean: f64 = lane.iter().map(|&i| p(i) * v[i]).sum();
                    for &i in lane {
                        out[i] = v[i] - mean;
                    }
                });
            }
            (&Op::Sort { axis, descending }, _) => {
                let x = &self.values[input.0];
                lanes(&node.shape, axis, |lane| {
                    let entries: Vec<f64> = lane.iter().map(|&i| x[i]).collect();
                    for (&i, from) in lane.iter().zip(order(&entries, descending)) {
                        out[i] = v[lane[from]];
                    }
                });
            }
            // The derivative is symmetric.
            _ => out.copy_from_slice(&self.cotangent(index, 0, input, v)),
        }
    }

    /// What input `place` of a node receives from the cotangent `y` of its output.
    fn cotangent(&self, index: usize, place: usize, input: NodeId, y: &[f64]) -> Vec<f64> {
        let network = self.forward.network();
        let node = &network.nodes()[index];
        let x = &self.values[input.0];
        let mut out = vec![0.0; x.len()];
        if linear::apply_transpose(self.forward, index, place, y, &mut out) {
            return out;
        }
        match (&node.op, self.forward.map(index)) {
            (_, Map::PRelu(slopes)) => {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = if x[i] >= 0.0 { y[i] } else { slopes[i] * y[i] };
                }
            }
            (_, Map::MaxPool(_)) => {
                for (y, &i) in y.iter().zip(&self.places[index]) {
                    out[i as usize] += y;
                }
            }
            (Op::Fold(fold), Map::Fold(windows)) => {
                let values = &self.values[index];
                for ((window, value), y) in windows.iter().zip(values).zip(y) {
                    for &i in window {
                        out[i as usize] += fold.gradient(x[i as usize], *value) * y;
                    }
                }
            }
            (Op::Activation(activation), _) => {
                for (i, out) in out.iter_mut().enumerate() {
                    *out = activation.derivative(x[i]).0 * y[i];
                }
            }
            (Op::Softmax { axis }, _) => {
                let p = &self.values[index];
                // diag(p) − ppᵀ per lane.
                lanes(&node.shape, *axis, |lane| {
                    let inner: f64 = lane.iter().map(|&i| p[i] * y[i]).sum();
                    for &i in lane {
                        out[i] = p[i] * (y[i] - inner);
                    }
                });
            }
            (&Op::Sort { axis, descending }, _) => {
                lanes(&node.shape, axis, |lane| {
                    let entries: Vec<f64> = lane.iter().map(|&i| x[i]).collect();
                    for (&i, from) in lane.iter().zip(order(&entries, descending)) {
                        out[lane[from]] = y[i];
                    }
                });
            }
            (Op::Normalisation(normalisation), _) => {
                lanes(&node.shape, normalisation.axis(), |lane| {
                    let [x, v] = [x, y].map(|all| lane.iter().map(|&i| all[i]).collect::<Vec<_>>());
                    let derivative = normalisation.derivative(&x, &v);
                    for (&i, d) in lane.iter().zip(derivative) {
                        out[i] = d;
                    }
                });
            }
            (Op::LogSoftmax { axis }, _) => {
                // The transpose of I − 1pᵀ per lane.
                let values = &self.values[index];
                lanes(&node.shape, *axis, |lane| {
                    let sum: f64 = lane.iter().map(|&i| y[i]).sum();
                    for &i in lane {
                        out[i] = y[i] - crate::elementary::exp(values[i]) * sum;
                    }
                });
            }
            (Op::Max | Op::Min, _) => {
                for (i, out) in out.iter_mut().enumerate() {
                    if self.winner(index, i) == place {
                        *out = y[i];
                    }
                }
            }
            _ => unreachable!("the input has no input, and affine nodes are done"),
        }
        out
    }

    /// Which input of a Max or Min node entry `i` is taken from.
    fn winner(&self, index: usize, i: usize) -> usize {
        let node = &self.forward.network().nodes()[index];
        let value = self.values[index][i];
        node.inputs
            .iter()
            .position(|id| self.values[id.0][i].to_bits() == value.to_bits())
            .unwrap_or(0)
    }
}

/// The flat indices of every lane along `axis`.
fn lanes(shape: &[usize], axis: usize, mut visit: impl FnMut(&[usize])) {
    let n = shape[axis];
    let inner: usize = shape[axis + 1..].iter().product();
    for block in 0..shape[..axis].iter().product::<usize>() {
        for offset in 0..inner {
            let lane: Vec<usize> = (0..n).map(|i| (block * n + i) * inner + offset).collect();
            visit(&lane);
        }
    }
}

//! Gradients of differences of logits, and Jacobians of affine parts, each with a bound of its error
//! (T33).

use crate::network::eval::forward::{Evaluated, Forward, Inexact};
use crate::network::eval::linear::{self, add, is_affine};
use crate::network::eval::rounds::norm_up;
use crate::network::graph::NodeId;
use crate::network::op::Op;
use crate::rounding::{self, U, add_up, larger, mul_up, sqrt_int_up};

/// A vector, and a bound of its ℓ₂ distance from the exact one.
#[derive(Clone, Debug)]
pub(crate) struct Inexactly {
    pub(crate) values: Vec<f64>,
    pub(crate) error: f64,
}

/// z_plus − z_minus, or z_plus alone, at a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed {
    pub(crate) sample: usize,
    pub(crate) plus: usize,
    pub(crate) minus: Option<usize>,
}

/// The way from the input to some logits, where it is smooth.
pub(crate) struct Path<'f> {
    forward: &'f Forward,
    logits: NodeId,
    /// Whether the logits depend on a node.
    used: Vec<bool>,
    /// Nodes whose values a gradient needs: what activations read.
    read: Vec<NodeId>,
}

/// The network at a point: what a gradient needs of it.
pub(crate) struct Point {
    /// What the caller asked for.
    pub(crate) kept: Vec<Evaluated>,
    /// Per activation, in the order of the nodes.
    slopes: Vec<Slopes>,
}

/// σ' at the entries of an activation's input.
struct Slopes {
    values: Vec<f64>,
    /// Bound of the error of each.
    error: f64,
    /// sup|σ''| times the error of the input: ‖·‖₂ of a further error.
    carried: f64,
}

impl<'f> Path<'f> {
    /// The way to `logits`; the node that has no derivative with a proved error, if there is one.
    pub(crate) fn new(forward: &'f Forward, logits: NodeId) -> Result<Self, NodeId> {
        let nodes = forward.network().nodes();
        let mut used = vec![false; nodes.len()];
        used[logits.0] = true;
        let mut read = Vec::new();
        for i in (1..=logits.0).rev() {
            if !used[i] {
                continue;
            }
            nodes[i].inputs.iter().for_each(|id| used[id.0] = true);
            match &nodes[i].op {
                Op::Activation(activation) if activation.curvature().is_ok() => {
                    read.push(nodes[i].inputs[0]);
                }
                op if is_affine(op) => {}
                _ => return Err(NodeId(i)),
            }
        }
        read.reverse();
        Ok(Self {
            forward,
            logits,
            used,
            read,
        })
    }

    /// The logits.
    pub(crate) fn logits(&self) -> NodeId {
        self.logits
    }

    /// The activations, in the order of the nodes.
    pub(crate) fn activations(&self) -> impl Iterator<Item = NodeId> {
        let nodes = self.forward.network().nodes();
        (0..nodes.len())
            .filter(|&i| self.used[i] && matches!(nodes[i].op, Op::Activation(_)))
            .map(NodeId)
    }

    /// Evaluates the network at some points, and keeps the values of the nodes in `keep`.
    pub(crate) fn points(
        &self,
        points: &[f64],
        inexact: Inexact<'_>,
        keep: &[NodeId],
    ) -> Vec<Point> {
        let all = [&self.read[..], keep].concat();
        let nodes = self.forward.network().nodes();
        let activations: Vec<_> = self.activations().collect();
        self.forward
            .evaluated(points, inexact, &all)
            .into_iter()
            .map(|mut values| {
                let kept = values.split_off(self.read.len());
                let slopes = activations.iter().zip(&values).map(|(&id, x)| {
                    let Op::Activation(activation) = &nodes[id.0].op else {
                        unreachable!("it is one of the activations")
                    };
                    let mut slopes = vec![0.0; x.values.len()];
                    let error = activation.derivatives(&x.values, &mut slopes);
                    let curved = activation
                        .curvature()
                        .map_or(f64::INFINITY, |(low, high)| high.max(-low));
                    Slopes {
                        values: slopes,
                        error,
                        carried: mul_up(curved, x.error.get()),
                    }
                });
                Point {
                    slopes: slopes.collect(),
                    kept,
                }
            })
            .collect()
    }

    /// For every seed, the derivative of the difference of logits by the input.
    pub(crate) fn gradients(&self, points: &[Point], seeds: &[Seed]) -> Vec<Inexactly> {
        let mut found = self.cotangents(points, seeds, &[NodeId(0)]);
        found.pop().unwrap_or_default()
    }

    /// For every node in `keep` and every seed, the derivative of the difference of logits by that node.
    /// With `points` empty, activations are not passed: theirs is the last one that is known.
    pub(crate) fn cotangents(
        &self,
        points: &[Point],
        seeds: &[Seed],
        keep: &[NodeId],
    ) -> Vec<Vec<Inexactly>> {
        rounding::assert_ieee();
        let nodes = self.forward.network().nodes();
        let mut received: Vec<Option<Received>> = Vec::new();
        received.resize_with(nodes.len(), || None);
        received[self.logits.0] = Some(Received::seeds(seeds, nodes[self.logits.0].len()));
        let mut found: Vec<Vec<Inexactly>> = keep.iter().map(|_| Vec::new()).collect();
        let mut activation = self.read.len();
        for i in (0..=self.logits.0).rev().filter(|&i| self.used[i]) {
            let node = &nodes[i];
            let is_activation = matches!(node.op, Op::Activation(_));
            if is_activation {
                activation -= 1;
            }
            let Some(received_here) = received[i].take() else {
                continue;
            };
            if let Some(place) = keep.iter().position(|id| id.0 == i) {
                found[place] = received_here.split(node.len());
                if i == 0 {
                    continue;
                }
            }
            if is_activation && points.is_empty() {
                continue;
            }
            for (place, &input) in node.inputs.iter().enumerate() {
                let part = if is_activation {
                    let slopes: Vec<&Slopes> = seeds
                        .iter()
                        .map(|seed| &points[seed.sample].slopes[activation])
                        .collect();
                    let slope = self.forward.own(i);
                    received_here.through_slopes(&slopes, slope)
                } else {
                    self.through_affine(i, place, &received_here, seeds.len())
                };
                match &mut received[input.0] {
                    Some(sum) => sum.add(&part, nodes[input.0].len()),
                    none => *none = Some(part),
                }
            }
        }
        found
    }

    fn through_affine(&self, i: usize, place: usize, y: &Received, count: usize) -> Received {
        let nodes = self.forward.network().nodes();
        let (from, to) = (nodes[i].len(), nodes[nodes[i].inputs[place].0].len());
        let mut values = vec![0.0; count * to];
        if let Op::Dense { .. } = nodes[i].op {
            // All at once.
            linear::apply_transpose(self.forward, i, place, &y.values, &mut values);
        } else {
            for (y, out) in y.values.chunks(from).zip(values.chunks_mut(to)) {
                linear::apply_transpose(self.forward, i, place, y, out);
            }
        }
        let rounds = self.forward.rounds(i);
        let sizes = y.values.chunks(from).map(norm_up);
        let errors = y.errors.iter().zip(sizes);
        Received {
            errors: errors
                .map(|(&error, size)| rounds.reversed(error, size))
                .collect(),
            values,
        }
    }

    /// The Jacobian of affine nodes by the input: for each node in `keep`, columns for the entries of
    /// the input in `columns`, each with its error. Every node before them must be affine.
    pub(crate) fn columns(
        &self,
        columns: std::ops::Range<usize>,
        keep: &[NodeId],
    ) -> Vec<Vec<Inexactly>> {
        rounding::assert_ieee();
        let nodes = self.forward.network().nodes();
        let (count, length) = (columns.len(), nodes[0].len());
        let mut values = vec![0.0; count * length];
        for (row, column) in columns.enumerate() {
            values[row * length + column] = 1.0;
        }
        let mut tangents: Vec<Option<Received>> = Vec::new();
        tangents.resize_with(nodes.len(), || None);
        tangents[0] = Some(Received {
            values,
            errors: vec![0.0; count],
        });
        let last = keep.iter().map(|id| id.0).max().unwrap_or(0);
        for i in (1..=last).filter(|&i| self.used[i] && is_affine(&nodes[i].op)) {
            let inputs: Option<Vec<&Received>> = nodes[i]
                .inputs
                .iter()
                .map(|id| tangents[id.0].as_ref())
                .collect();
            let Some(inputs) = inputs else { continue };
            let widths: Vec<usize> = nodes[i].inputs.iter().map(|id| nodes[id.0].len()).collect();
            let width = nodes[i].len();
            let mut out = vec![0.0; count * width];
            if let Op::Dense { .. } = nodes[i].op {
                linear::apply(self.forward, i, &[&inputs[0].values], &mut out);
            } else {
                for (sample, out) in out.chunks_mut(width).enumerate() {
                    let parts: Vec<&[f64]> = inputs
                        .iter()
                        .zip(&widths)
                        .map(|(input, &width)| &input.values[sample * width..][..width])
                        .collect();
                    linear::apply(self.forward, i, &parts, out);
                }
            }
            let errors = (0..count).map(|sample| {
                let errors: Vec<f64> = inputs.iter().map(|input| input.errors[sample]).collect();
                let size = inputs
                    .iter()
                    .zip(&widths)
                    .fold(0.0, |sum, (input, &width)| {
                        add_up(sum, norm_up(&input.values[sample * width..][..width]))
                    });
                self.forward.rounds(i).linear(&errors, size)
            });
            tangents[i] = Some(Received {
                errors: errors.collect(),
                values: out,
            });
        }
        keep.iter()
            .map(|id| match &tangents[id.0] {
                Some(found) => found.split(nodes[id.0].len()),
                None => Vec::new(),
            })
            .collect()
    }
}

/// A vector per seed, and a bound of the ℓ₂ error of each.
struct Received {
    values: Vec<f64>,
    errors: Vec<f64>,
}

impl Received {
    fn seeds(seeds: &[Seed], classes: usize) -> Self {
        let mut values = vec![0.0; seeds.len() * classes];
        for (seed, z) in seeds.iter().zip(values.chunks_mut(classes)) {
            z[seed.plus] += 1.0;
            if let Some(minus) = seed.minus {
                z[minus] -= 1.0;
            }
        }
        Self {
            values,
            errors: vec![0.0; seeds.len()],
        }
    }

    fn split(&self, width: usize) -> Vec<Inexactly> {
        self.values
            .chunks(width)
            .zip(&self.errors)
            .map(|(values, &error)| Inexactly {
                values: values.to_vec(),
                error,
            })
            .collect()
    }

    fn add(&mut self, other: &Self, width: usize) {
        add(&mut self.values, &other.values);
        let sums = self.values.chunks(width);
        for ((error, &more), sum) in self.errors.iter_mut().zip(&other.errors).zip(sums) {
            // |fl(a + b) − (a + b)| ≤ u·|fl(a + b)|; sums do not underflow.
            let rounding = mul_up(U, norm_up(sum));
            *error = add_up(add_up(*error, more), rounding);
        }
    }

    /// Times σ' (T33): with errors β of b̂ and r of the point,
    /// g·β + sup|σ''|·r·‖b̂‖_∞ + (error of σ')·‖b̂‖₂, and a rounding.
    fn through_slopes(&self, slopes: &[&Slopes], slope: f64) -> Self {
        let width = self.values.len() / self.errors.len().max(1);
        let mut values = Vec::with_capacity(self.values.len());
        let mut errors = Vec::with_capacity(self.errors.len());
        for ((b, &beta), slopes) in self.values.chunks(width).zip(&self.errors).zip(slopes) {
            let start = values.len();
            values.extend(b.iter().zip(&slopes.values).map(|(b, s)| b * s));
            let largest = b.iter().fold(0.0, |m, b| larger(m, b.abs()));
            let evaluated = mul_up(slopes.error, norm_up(b));
            let mut error = add_up(mul_up(slope, beta), mul_up(slopes.carried, largest));
            error = add_up(error, evaluated);
            // Products that underflow lose less than 2⁻¹⁰⁷⁴ each.
            let rounding = mul_up(2.0 * U, norm_up(&values[start..]));
            let tiny = mul_up(sqrt_int_up(width), 1e-320);
            errors.push(add_up(add_up(error, rounding), tiny));
        }
        Self { values, errors }
    }
}

//! [`Around`]: balls and boxes of all nodes, around their values at an image.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::network::eval::apply::Map;
use crate::network::eval::forward::{Evaluated, Forward};
use crate::network::eval::linear::is_affine;
use crate::network::graph::NodeId;
use crate::network::local::pair::{Difference, Of, PairBends};
use crate::network::local::pieces::Bends;
use crate::network::local::pool::PoolBends;
use crate::network::local::prepared::Prepared;
use crate::network::local::reach::{Reach, smaller};
use crate::network::op::Op;
use crate::network::op::activation::Activation;
use crate::network::op::pool::argmax;
use crate::rounding::{U, add_up, mul_up, sub_down};

/// How a node bends there.
pub(super) enum Bent<'p> {
    No,
    Entries(Bends),
    Pool(PoolBends<'p>),
    Pair(PairBends),
}

/// An image, and what is known of all nodes within a distance of it.
pub(super) struct Around<'p> {
    pub(super) forward: &'p Forward,
    pub(super) prepared: &'p Prepared,
    /// The distance from the image.
    pub(super) radius: f64,
    /// Between which the entries of the input are, where only such inputs count.
    pub(super) range: Option<[f64; 2]>,
    /// The values at the image.
    pub(super) at: &'p [Evaluated],
    pub(super) reaches: Vec<Reach>,
    pub(super) bent: Vec<Bent<'p>>,
    /// Differences of two nodes of which somebody takes the larger or the smaller one, where more is known of them
    /// than of each alone.
    pub(super) differences: BTreeMap<[usize; 2], Difference>,
    /// The rounding of every node in its own evaluation.
    pub(super) rounding: Vec<f64>,
    /// Most numbers in the rows of a pass.
    pub(super) numbers: usize,
    /// When to give up.
    pub(super) deadline: Option<Instant>,
}

impl<'p> Around<'p> {
    /// Around an image, before anything is known of nodes that are not the input.
    pub(super) fn new(
        forward: &'p Forward,
        prepared: &'p Prepared,
        at: &'p [Evaluated],
        radius: f64,
        range: Option<[f64; 2]>,
        numbers: usize,
        deadline: Option<Instant>,
    ) -> Self {
        let ball = add_up(at[0].error.get(), radius);
        // An image that is outside of the range is not left out.
        let [least, most] = range.unwrap_or([f64::NEG_INFINITY, f64::INFINITY]);
        let x = &at[0].values;
        let low = x.iter().map(|&x| sub_down(least, x).min(0.0).max(-ball));
        let high = x.iter().map(|&x| add_up(most, -x).max(0.0).min(ball));
        Self {
            forward,
            prepared,
            radius,
            range,
            at,
            reaches: vec![Reach {
                ball,
                low: low.collect(),
                high: high.collect(),
            }],
            bent: vec![Bent::No],
            differences: BTreeMap::new(),
            rounding: vec![0.0],
            numbers,
            deadline,
        }
    }

    /// What follows for the next node from those before it.
    pub(super) fn next(&mut self) {
        let index = self.reaches.len();
        let forward = self.forward;
        let node = &forward.network().nodes()[index];
        let sizes = node
            .inputs
            .iter()
            .fold(0.0, |sum, id| add_up(sum, self.at[id.0].size));
        let rounding = forward.rounds(index).local(sizes);
        let global = add_up(
            mul_up(forward.through(index), self.radius),
            self.at[index].error.get(),
        );
        let bent = self.bent_of(index);
        let (low, high) = self.box_of(index, &bent, rounding);
        let ball = smaller(global, self.ball_of(index, &bent, rounding));
        let mut reach = Reach { ball, low, high };
        reach.cut();
        self.reaches.push(reach);
        self.bent.push(bent);
        self.rounding.push(rounding);
    }

    /// What a node is a function of: its first input; of a max-pool, what the ReLU before it reads,
    /// where there is one.
    pub(super) fn source(&self, index: usize) -> NodeId {
        let network = self.forward.network();
        let node = &network.nodes()[index];
        let before = network.node(node.inputs[0]);
        match (&node.op, &before.op) {
            (Op::MaxPool(_), Op::Activation(Activation::Relu)) => before.inputs[0],
            _ => node.inputs[0],
        }
    }

    /// How a node bends: where nothing is known of what it reads, there is nothing to take apart.
    pub(super) fn bent_of(&self, index: usize) -> Bent<'p> {
        let forward = self.forward;
        let node = &forward.network().nodes()[index];
        if !self.prepared.used[index] || node.inputs.is_empty() {
            return Bent::No;
        }
        let source = self.source(index);
        let reach = &self.reaches[source.0];
        if !reach.ball.is_finite() {
            return Bent::No;
        }
        let values = [&self.at[source.0].values[..], &self.at[index].values[..]];
        let bounds = [&reach.low[..], &reach.high[..]];
        match (&node.op, forward.map(index)) {
            (Op::Activation(activation), _) => {
                Bent::Entries(Bends::of_activation(activation, values, bounds))
            }
            (_, Map::PRelu(slopes)) => Bent::Entries(Bends::of_slopes(slopes, values, bounds)),
            (Op::Max | Op::Min, _) => self.pair_of(index),
            (_, Map::MaxPool(windows)) => {
                let floor = source != node.inputs[0];
                let winners = argmax(windows, values[0], &forward.network().node(source).shape);
                let windows = &self.prepared.windows[index];
                Bent::Pool(PoolBends::new(windows, winners, floor, values[0], bounds))
            }
            _ => Bent::No,
        }
    }

    /// How the larger or the smaller one of two nodes bends.
    fn pair_of(&self, index: usize) -> Bent<'p> {
        let node = &self.forward.network().nodes()[index];
        let &[a, b] = &node.inputs[..] else {
            return Bent::No;
        };
        let of = match node.op {
            Op::Max => Of::Larger,
            _ => Of::Smaller,
        };
        let reaches = [&self.reaches[a.0], &self.reaches[b.0]];
        let balls = reaches.map(|reach| reach.ball);
        if !balls.iter().all(|ball| ball.is_finite()) {
            return Bent::No;
        }
        Bent::Pair(match self.differences.get(&[a.0, b.0]) {
            Some(known) => PairBends::new(of, known, balls),
            None => PairBends::new(of, &self.difference([a.0, b.0]), balls),
        })
    }

    /// The difference of two nodes, from what is known of each.
    pub(super) fn difference(&self, nodes: [usize; 2]) -> Difference {
        Difference::new(
            nodes.map(|i| &self.at[i].values[..]),
            nodes.map(|i| &self.reaches[i]),
        )
    }

    /// ‖d‖ from the balls of what a node reads.
    fn ball_of(&self, index: usize, bent: &Bent<'_>, rounding: f64) -> f64 {
        let forward = self.forward;
        let node = &forward.network().nodes()[index];
        let rounding = match (&node.op, bent) {
            (_, Bent::Entries(bends)) => bends.error,
            (Op::MaxPool(_) | Op::Max | Op::Min, _) => rounding,
            (op, _) if is_affine(op) => rounding,
            // That of a function is not known here: the constant from the input to it counts.
            _ => f64::INFINITY,
        };
        let balls: Vec<f64> = node
            .inputs
            .iter()
            .map(|id| self.reaches[id.0].ball)
            .collect();
        add_up(forward.rounds(index).carried(&balls), rounding)
    }

    fn box_of(&self, index: usize, bent: &Bent<'_>, rounding: f64) -> (Vec<f64>, Vec<f64>) {
        let forward = self.forward;
        let node = &forward.network().nodes()[index];
        let unknown = || {
            (
                vec![f64::NEG_INFINITY; node.len()],
                vec![f64::INFINITY; node.len()],
            )
        };
        let Some(&first) = node.inputs.first() else {
            return unknown();
        };
        let reach = &self.reaches[first.0];
        let lengths = &self.prepared.lengths[index];
        let symmetric = |half: Vec<f64>| (half.iter().map(|h| -h).collect(), half);
        match (&node.op, bent, forward.map(index)) {
            (_, Bent::Entries(bends), _) => bends.ranges(),
            (_, Bent::Pair(pair), _) => {
                let inputs = [node.inputs[0].0, node.inputs[1].0];
                let values = inputs.map(|i| &self.at[i].values[..]);
                let reaches = inputs.map(|i| &self.reaches[i]);
                pair.ranges(&self.at[index].values, values, reaches)
            }
            (_, Bent::Pool(pool), _) => {
                let source = self.source(index).0;
                let x = &self.at[source].values;
                pool.ranges(&self.at[index].values, x, &self.reaches[source])
            }
            (Op::Conv { .. }, ..) if !lengths.is_empty() => {
                let pixels = node.len() / lengths.len();
                symmetric(
                    lengths
                        .iter()
                        .map(|length| add_up(mul_up(*length, reach.ball), rounding))
                        .flat_map(|half| std::iter::repeat_n(half, pixels))
                        .collect(),
                )
            }
            (Op::Dense { .. }, ..) if !lengths.is_empty() => {
                let halves = lengths
                    .iter()
                    .map(|length| add_up(mul_up(*length, reach.ball), rounding));
                symmetric(halves.cycle().take(node.len()).collect())
            }
            (Op::Affine(affine), _, Map::Affine(scale, _)) => {
                let off = (affine.roundings + 4) as f64 * 4.0 * U;
                let ends = reach.low.iter().zip(&reach.high).zip(scale);
                ends.map(|((&low, &high), &s)| {
                    let (a, b) = (s * low, s * high);
                    let more = add_up(mul_up(off, a.abs().max(b.abs())), add_up(rounding, 1e-300));
                    (sub_down(a.min(b), more), add_up(a.max(b), more))
                })
                .unzip()
            }
            (Op::Pick(pick), ..) => (pick.picked(&reach.low, 0.0), pick.picked(&reach.high, 0.0)),
            (Op::Concat { axis }, ..) => {
                let side = |of: fn(&Reach) -> &[f64]| {
                    let parts: Vec<&[f64]> = node
                        .inputs
                        .iter()
                        .map(|id| of(&self.reaches[id.0]))
                        .collect();
                    let mut out = vec![0.0; node.len()];
                    forward.concatenate(index, *axis, &parts, &mut out);
                    out
                };
                (side(|reach| &reach.low), side(|reach| &reach.high))
            }
            (Op::Add, ..) => {
                let side = |of: fn(&Reach) -> &[f64]| {
                    let mut sum = vec![0.0; node.len()];
                    let mut size = vec![0.0; node.len()];
                    for id in &node.inputs {
                        for ((sum, size), v) in
                            sum.iter_mut().zip(&mut size).zip(of(&self.reaches[id.0]))
                        {
                            *sum += v;
                            *size += v.abs();
                        }
                    }
                    let off = 4.0 * U * node.inputs.len() as f64;
                    (
                        sum,
                        size.into_iter()
                            .map(move |s| add_up(mul_up(off, s), rounding)),
                    )
                };
                let (low, less) = side(|reach| &reach.low);
                let (high, more) = side(|reach| &reach.high);
                (
                    low.iter().zip(less).map(|(v, e)| sub_down(*v, e)).collect(),
                    high.iter().zip(more).map(|(v, e)| add_up(*v, e)).collect(),
                )
            }
            _ => unknown(),
        }
    }
}

//! [`Ties`]: which channels, on either side of what stands between two layers, have one factor.

use crate::network::graph::{Network, NodeId};
use crate::network::op::Op;
use crate::network::rule::lattice_map::LatticeMap;

/// No channel: an entry that does not depend on the input.
const CONSTANT: usize = usize::MAX;

/// Per channel of the output of one layer, and of the input of the next, its class: the nodes between
/// them commute with every diagonal map that has one factor per class (T37).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ties {
    pub(crate) outputs: Vec<usize>,
    pub(crate) inputs: Vec<usize>,
    pub(crate) classes: usize,
}

/// Whether a node commutes with positive diagonal maps, those that [`Ties`] finds.
pub(crate) fn commutes(op: &Op) -> bool {
    matches!(
        op,
        Op::Activation(_)
            | Op::PRelu(_)
            | Op::Affine(_)
            | Op::Pick(_)
            | Op::Separable(_)
            | Op::MaxPool(_)
    )
}

impl Ties {
    /// Between the layer `first` that ends at `end` and the layer `second` that reads the last node of
    /// `path`, whose nodes [`commutes`] holds for; each reads the one before, the first of them `end`.
    pub(crate) fn new(
        network: &Network,
        (first, end): (&LatticeMap, NodeId),
        path: &[NodeId],
        second: &LatticeMap,
    ) -> Self {
        let outputs = first.outputs();
        let mut sets = Sets((0..outputs + second.inputs()).collect());
        let mut at = network.node(end);
        let mut channels: Vec<usize> = (0..at.len())
            .map(|entry| first.channel(entry, at.len(), outputs))
            .collect();
        for &id in path {
            let node = network.node(id);
            match &node.op {
                Op::Pick(pick) => channels = pick.picked(&channels, CONSTANT),
                Op::Separable(separable) => {
                    channels = sets.mixed(&channels, &at.shape, &node.shape, &separable.mixed());
                }
                // Windows lie in one channel.
                Op::MaxPool(_) => {
                    let mixed: Vec<bool> = (0..at.shape.len()).map(|axis| axis > 0).collect();
                    channels = sets.mixed(&channels, &at.shape, &node.shape, &mixed);
                }
                _ => {}
            }
            at = node;
        }
        for (entry, &channel) in channels.iter().enumerate() {
            if channel != CONSTANT {
                let input = second.channel(entry, channels.len(), second.inputs());
                sets.join(channel, outputs + input);
            }
        }
        let (mut class, classes) = sets.numbered();
        let inputs = class.split_off(outputs);
        Self {
            outputs: class,
            inputs,
            classes,
        }
    }
}

/// Disjoint sets (Galler and Fischer): for every element another one of its set, or itself.
struct Sets(Vec<usize>);

impl Sets {
    fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }

    /// Channels behind a node that mixes entries along some axes: these become one.
    fn mixed(
        &mut self,
        channels: &[usize],
        before: &[usize],
        after: &[usize],
        mixed: &[bool],
    ) -> Vec<usize> {
        let kept = before.iter().zip(mixed).filter(|&(_, &mixed)| !mixed);
        let mut together = vec![CONSTANT; kept.map(|(&n, _)| n).product()];
        for (&channel, place) in channels.iter().zip(places(before, mixed)) {
            if channel == CONSTANT {
                continue;
            }
            match together[place] {
                CONSTANT => together[place] = channel,
                other => self.join(other, channel),
            }
        }
        let after = places(after, mixed);
        after.into_iter().map(|place| together[place]).collect()
    }

    /// Every element's set, numbered from 0, and how many there are.
    fn numbered(mut self) -> (Vec<usize>, usize) {
        let mut count = 0;
        let mut number = vec![0; self.0.len()];
        for i in 0..self.0.len() {
            // The root is the least element of its set.
            let root = self.root(i);
            if root == i {
                number[i] = count;
                count += 1;
            } else {
                number[i] = number[root];
            }
        }
        (number, count)
    }
}

/// For every entry of a tensor, its place among those with one entry along the mixed axes.
fn places(shape: &[usize], mixed: &[bool]) -> Vec<usize> {
    let mut places = vec![0];
    for (&n, &mixed) in shape.iter().zip(mixed) {
        places = places
            .iter()
            .flat_map(|&place| (0..n).map(move |i| if mixed { place } else { place * n + i }))
            .collect();
    }
    places
}

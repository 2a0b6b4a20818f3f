//! Boxes of nodes around an image, by a pass back from the entries that they leave undecided (T38).

use rayon::prelude::*;

use crate::deadline::is_past;
use crate::network::graph::Node;
use crate::network::local::around::{Around, Bent};
use crate::network::local::rows::{Rows, extent};
use crate::network::op::Op;

/// Which boxes are narrowed by passes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Narrowed {
    None,
    /// Those that somebody reads who bends.
    All,
}

impl Around<'_> {
    /// Finds boxes and balls of all nodes up to `last`; false where time was over before.
    pub(super) fn spread(&mut self, last: usize, narrowed: Narrowed) -> bool {
        while self.reaches.len() <= last {
            let index = self.reaches.len();
            if narrowed == Narrowed::All && self.prepared.used[index] {
                self.narrow_difference(index);
            }
            self.next();
            let says_more = self.prepared.behind[index] || self.range.is_some();
            if narrowed == Narrowed::All && self.prepared.wanted[index] && says_more {
                self.narrow(index);
            }
            if self.is_late() {
                return false;
            }
        }
        true
    }

    pub(super) fn is_late(&self) -> bool {
        is_past(self.deadline)
    }

    /// Narrows the box of a node where somebody reads it who bends.
    fn narrow(&mut self, index: usize) {
        let found = self.ends(&self.undecided(index), &[(index, 1.0)]);
        let reach = &mut self.reaches[index];
        for (entry, low, high) in found {
            reach.low[entry] = reach.low[entry].max(low);
            reach.high[entry] = reach.high[entry].min(high);
        }
        reach.cut();
    }

    /// Narrows the difference of two nodes of which the next one takes the larger or the smaller one.
    fn narrow_difference(&mut self, index: usize) {
        let node = &self.forward.network().nodes()[index];
        let (Op::Max | Op::Min, &[a, b]) = (&node.op, &node.inputs[..]) else {
            return;
        };
        let nodes = [a.0, b.0];
        if a == b || self.differences.contains_key(&nodes) {
            return;
        }
        let Bent::Pair(pair) = self.bent_of(index) else {
            return;
        };
        let undecided: Vec<u32> = (0..node.len() as u32)
            .filter(|&entry| pair.is_bent(entry as usize))
            .collect();
        let mut known = self.difference(nodes);
        for (entry, low, high) in self.ends(&undecided, &[(a.0, 1.0), (b.0, -1.0)]) {
            known.low[entry] = known.low[entry].max(low);
            known.high[entry] = known.high[entry].min(high);
        }
        self.differences.insert(nodes, known);
    }

    /// Of entries, the ends of the sum of some nodes of one shape, each times a factor: the entry, the low one and the
    /// high one.
    fn ends(&self, undecided: &[u32], of: &[(usize, f64)]) -> Vec<(usize, f64, f64)> {
        let last = of.iter().map(|&(index, _)| index).max().unwrap_or(0);
        let (channels, pixels) = extent(&self.forward.network().nodes()[last]);
        // Entries of one pixel depend on the same inputs.
        let mut by_pixel: Vec<Vec<u32>> = vec![Vec::new(); pixels];
        for &entry in undecided {
            by_pixel[entry as usize % pixels].push(entry);
        }
        let most = (self.numbers / self.widest(last) / 2).max(1);
        let passes: Vec<(usize, &[u32])> = by_pixel
            .iter()
            .enumerate()
            .flat_map(|(pixel, entries)| entries.chunks(most).map(move |part| (pixel, part)))
            .collect();
        let found: Vec<Vec<f64>> = passes
            .par_iter()
            .map(|&(pixel, entries)| {
                if self.is_late() {
                    // Nothing is narrowed.
                    return Vec::new();
                }
                let rows = |factor: f64| {
                    let mut rows = Rows::zeros(2 * entries.len(), channels, vec![pixel as u32]);
                    for (i, &entry) in entries.iter().enumerate() {
                        let channel = entry as usize / pixels;
                        rows.values[2 * i * channels + channel] = factor;
                        rows.values[(2 * i + 1) * channels + channel] = -factor;
                    }
                    rows
                };
                let all = of.iter().map(|&(index, factor)| (index, rows(factor)));
                self.lower_by(all.collect(), None)
            })
            .collect();
        let found = passes.iter().zip(&found).flat_map(|((_, entries), found)| {
            let pairs = entries.iter().zip(found.chunks(2));
            pairs.map(|(&entry, found)| (entry as usize, found[0], -found[1]))
        });
        found.collect()
    }

    /// Entries whose activation is no straight line on their box.
    fn undecided(&self, index: usize) -> Vec<u32> {
        let nodes = self.forward.network().nodes();
        let mut found = vec![false; nodes[index].len()];
        for (node, next) in nodes.iter().enumerate().skip(index + 1) {
            if !self.prepared.used[node] || !next.inputs.iter().any(|id| id.0 == index) {
                continue;
            }
            // Others bend nowhere, or like the larger of two, whose difference is narrowed; and of what they read, not
            // everything may be known yet.
            let bends = matches!(next.op, Op::Activation(_) | Op::PRelu(_) | Op::MaxPool(_));
            if !bends {
                continue;
            }
            match self.bent_of(node) {
                Bent::Entries(bends) => {
                    for (entry, found) in found.iter_mut().enumerate() {
                        *found |= bends.is_bent(entry);
                    }
                }
                Bent::Pool(pool) if self.source(node).0 == index => pool.undecided(&mut found),
                Bent::Pool(_) | Bent::Pair(_) | Bent::No => {}
            }
        }
        (0..found.len() as u32)
            .filter(|&i| found[i as usize])
            .collect()
    }

    /// The most entries of a node before one.
    fn widest(&self, index: usize) -> usize {
        let nodes = self.forward.network().nodes();
        nodes[..=index].iter().map(Node::len).max().unwrap_or(1)
    }
}

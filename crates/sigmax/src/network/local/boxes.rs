//! Boxes of nodes around an image, by a pass back from the entries that they leave undecided (T38).

use rayon::prelude::*;

use crate::network::local::around::{Around, Bent};
use crate::network::local::pieces::Bends;
use crate::network::local::rows::{Rows, extent};
use crate::network::op::Op;

/// Most numbers in the rows of a pass.
const PASS: usize = 1 << 21;

impl Around<'_> {
    /// Finds boxes and balls of all nodes up to `last`.
    pub(super) fn spread(&mut self, last: usize) {
        while self.reaches.len() <= last {
            let index = self.reaches.len();
            self.next();
            if self.prepared.wanted[index] {
                self.narrow(index);
            }
        }
    }

    /// Narrows the box of a node where somebody reads it who bends.
    fn narrow(&mut self, index: usize) {
        let node = &self.forward.network().nodes()[index];
        let (channels, pixels) = extent(node);
        let undecided = self.undecided(index);
        // Entries of one pixel depend on the same inputs.
        let mut by_pixel: Vec<Vec<u32>> = vec![Vec::new(); pixels];
        for entry in undecided {
            by_pixel[entry as usize % pixels].push(entry);
        }
        let most = (PASS / self.widest(index) / 2).max(1);
        let passes: Vec<(usize, &[u32])> = by_pixel
            .iter()
            .enumerate()
            .flat_map(|(pixel, entries)| entries.chunks(most).map(move |part| (pixel, part)))
            .collect();
        let found: Vec<Vec<f64>> = passes
            .par_iter()
            .map(|&(pixel, entries)| {
                let mut rows = Rows::zeros(2 * entries.len(), channels, vec![pixel as u32]);
                for (i, &entry) in entries.iter().enumerate() {
                    let channel = entry as usize / pixels;
                    rows.values[2 * i * channels + channel] = 1.0;
                    rows.values[(2 * i + 1) * channels + channel] = -1.0;
                }
                self.lower(index, rows)
            })
            .collect();
        let reach = &mut self.reaches[index];
        for (&(_, entries), found) in passes.iter().zip(&found) {
            for (&entry, found) in entries.iter().zip(found.chunks(2)) {
                let entry = entry as usize;
                reach.low[entry] = reach.low[entry].max(found[0]);
                reach.high[entry] = reach.high[entry].min(-found[1]);
            }
        }
        reach.cut();
    }

    /// Entries whose activation is no straight line on their box.
    fn undecided(&self, index: usize) -> Vec<u32> {
        let forward = self.forward;
        let nodes = forward.network().nodes();
        let reach = &self.reaches[index];
        let mut found = vec![false; nodes[index].len()];
        for (node, next) in nodes.iter().enumerate().skip(index + 1) {
            if !self.prepared.used[node] || !next.inputs.iter().any(|id| id.0 == index) {
                continue;
            }
            let x = &self.at[index].values;
            match &next.op {
                Op::Activation(activation) => {
                    let bends = Bends::of_activation(activation, [x, x], [&reach.low, &reach.high]);
                    for (entry, found) in found.iter_mut().enumerate() {
                        let straight = matches!(bends.of(entry), [piece] if piece.is_straight());
                        *found |= !straight;
                    }
                }
                Op::PRelu(_) => {
                    for (entry, found) in found.iter_mut().enumerate() {
                        *found |=
                            x[entry] + reach.low[entry] < 0.0 && x[entry] + reach.high[entry] > 0.0;
                    }
                }
                Op::MaxPool(_) if self.pooled(node).0 == index => {
                    if let Bent::Pool(pool) = self.bent_of(node) {
                        pool.undecided(&mut found);
                    }
                }
                _ => {}
            }
        }
        (0..found.len() as u32)
            .filter(|&i| found[i as usize])
            .collect()
    }

    /// The most entries of a node before one.
    fn widest(&self, index: usize) -> usize {
        let nodes = self.forward.network().nodes();
        nodes[..=index]
            .iter()
            .map(crate::network::graph::Node::len)
            .max()
            .unwrap_or(1)
    }
}

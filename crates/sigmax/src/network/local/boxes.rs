//! Boxes of nodes around an image, by a pass back from the entries that they leave undecided (T38).

use rayon::prelude::*;

use crate::network::graph::Node;
use crate::network::local::around::{Around, Bent, is_past};
use crate::network::local::rows::{Rows, extent};

/// Most numbers in the rows of a pass.
const PASS: usize = 1 << 21;

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
                if self.is_late() {
                    // Nothing is narrowed.
                    return Vec::new();
                }
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
        let nodes = self.forward.network().nodes();
        let mut found = vec![false; nodes[index].len()];
        for (node, next) in nodes.iter().enumerate().skip(index + 1) {
            if !self.prepared.used[node] || !next.inputs.iter().any(|id| id.0 == index) {
                continue;
            }
            match self.bent_of(node) {
                Bent::Entries(bends) => {
                    for (entry, found) in found.iter_mut().enumerate() {
                        *found |= bends.is_bent(entry);
                    }
                }
                Bent::Pool(pool) if self.source(node).0 == index => pool.undecided(&mut found),
                Bent::Pool(_) | Bent::No => {}
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

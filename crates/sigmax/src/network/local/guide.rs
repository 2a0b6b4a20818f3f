//! [`Guide`]: slopes to go back by, and what came of them.

use std::collections::BTreeMap;

use crate::network::local::bend::{Steps, Touch};
use crate::network::local::rows::Rows;

/// Slopes of one row, node by node.
pub(super) type Chosen = BTreeMap<usize, Vec<u8>>;

/// Slopes to go back by, one set a row, and what came of them.
pub(super) struct Guide<'g> {
    chosen: &'g [Chosen],
    pub(super) met: BTreeMap<usize, Met>,
}

/// What came of a node: the coefficients, and where the bounds of every row are touched.
pub(super) struct Met {
    pub(super) rows: Rows,
    pub(super) touches: Vec<Vec<Touch>>,
}

impl<'g> Guide<'g> {
    pub(super) fn new(chosen: &'g [Chosen]) -> Self {
        Self {
            chosen,
            met: BTreeMap::new(),
        }
    }

    /// The slopes of a row at a node.
    pub(super) fn steps(&self, row: usize, node: usize) -> &'g Steps {
        let chosen = self.chosen.get(row).and_then(|nodes| nodes.get(&node));
        chosen.map_or(&[], |steps| &steps[..])
    }
}

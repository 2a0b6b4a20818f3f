//! What branch and bound asks of a set of frequencies.

use crate::estimate::ascent::Peak;
use crate::symbol::autocorrelation::{Autocorrelation, Frequency};

/// Frequencies as cells that are closed one by one.
pub(crate) trait Cover {
    /// A set of frequencies around a centre.
    type Cell: Copy;
    /// About how many first cells there are.
    fn count(&self) -> f64;
    /// Cells that cover all frequencies, up to θ → −θ.
    fn first(&self) -> Vec<Self::Cell>;
    /// Smaller cells that cover a cell; none where it cannot be split.
    fn split(&self, cell: &Self::Cell) -> Vec<Self::Cell>;
    fn centre(&self, cell: &Self::Cell) -> Frequency;
    /// The largest t found for which "‖F(c)‖² ≤ t" closes the cell at `target`; any number ≤ 0 where
    /// there is none.
    fn threshold(&mut self, of: &Autocorrelation, cell: &Self::Cell, target: f64) -> f64;
    /// Climbs to a local maximum of ‖F‖ among these frequencies.
    fn ascend(&self, of: &Autocorrelation, from: Peak, gain: f64) -> Peak;
    /// The extents of the kernel, where these are all frequencies of it.
    fn whole(&self) -> Option<&[usize]>;
}

//! [`Slack`]: room for others to confirm a norm.

use crate::bound::four::four_bounds;
use crate::bound::norm::norm_bracket;
use crate::bound::options::Options;
use crate::claim::Upper;
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::layout::has_one_tap;
use crate::rounding::mul_up;
use crate::symbol::autocorrelation::Cost;
use crate::symbol::fold::{Fold, Shear};
use crate::symbol::{Lattice, TapMatrices};

/// By how much every norm that a search found is enlarged in a certificate, so that others can
/// confirm it: on boxes that they close at it (T16), or on a plain grid of frequencies (T15).
pub const CERTIFICATE_SLACK: f64 = 1.0 / 1024.0;

/// Whether norms are as tight as they were found, or such that a coarser method can confirm them:
/// those over all frequencies (not the exact periodic ones), enlarged by [`CERTIFICATE_SLACK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slack {
    None,
    Certificate,
}

impl Slack {
    /// An upper bound of the norm of a layer over all input sizes, such that it can be confirmed if it
    /// is to be.
    pub(crate) fn norm(
        self,
        kernel: &Kernel,
        conv: &Conv,
        options: &Options,
    ) -> Result<Upper, Error> {
        if self == Self::Certificate && !has_cover(&Lattice::new(kernel, conv)?) {
            return Ok(four_bounds(kernel, conv)?.min());
        }
        Ok(norm_bracket(kernel, conv, options)?.bracket().upper())
    }

    /// An upper bound of the norm of a layer, as it may be published.
    pub(crate) fn enlarge(self, norm: Upper, kernel: &Kernel, conv: &Conv) -> Upper {
        match self {
            Self::None => norm,
            // One tap is one matrix: there is no grid that would need room.
            Self::Certificate => {
                let slack = if has_one_tap(kernel, conv) {
                    MATRIX_SLACK
                } else {
                    CERTIFICATE_SLACK
                };
                Upper::claim(mul_up(norm.get(), 1.0 + slack))
            }
        }
    }
}

/// The slack of norms of matrices, for rounding.
const MATRIX_SLACK: f64 = 1.0 / (1u64 << 20) as f64;

/// Whether all frequencies of a layer can be closed one box after the other (T16) in the work that a
/// checker takes. Where not, certificates state the smallest reshape (T9), which is confirmed as it
/// was found.
pub(crate) fn has_cover(lattice: &Lattice<'_>) -> bool {
    /// Boxes are far fewer than in the worst case, which this counts.
    const MAX_CLOSING: f64 = (1u64 << 46) as f64;
    lattice.taps() == 1
        || (0..lattice.groups).all(|group| {
            let taps = folded(lattice, group);
            let cost = Cost::of(&taps);
            let n = taps.matrices[0].nrows() as f64;
            let test = cost.evaluation + 4.0 / 3.0 * n * n * n;
            cost.is_affordable() && boxes(&taps.k) * test <= MAX_CLOSING
        })
}

/// The taps of a group in the coordinates that they need (T19a).
pub(crate) fn folded(lattice: &Lattice<'_>, group: usize) -> TapMatrices {
    Fold::new(lattice.tap_matrices(group), Shear::Allowed).taps
}

/// Boxes that cover half of the torus with cos r ≥ 1 − [`CERTIFICATE_SLACK`]/4, at most: with half-widths
/// h per axis, r = Σ d_a·h_a and 1 − cos r ≤ r²/2, r ≤ √(slack/2) suffices.
fn boxes(k: &[usize]) -> f64 {
    let axes = k.iter().filter(|&&k| k > 1).count().max(1) as f64;
    let reach = (CERTIFICATE_SLACK / 2.0).sqrt() / axes;
    let along = |&k: &usize| (std::f64::consts::PI * (k - 1) as f64 / 2.0 / reach).max(1.0);
    k.iter().map(along).product::<f64>() / 2.0
}

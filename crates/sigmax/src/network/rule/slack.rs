//! [`Slack`]: room for others to confirm a norm.

use crate::claim::Upper;
use crate::conv::Conv;
use crate::kernel::Kernel;
use crate::layout::has_one_tap;
use crate::rounding::mul_up;

/// By how much every norm that a search found is enlarged in a certificate, so that a plain grid
/// of frequencies can confirm it.
pub const CERTIFICATE_SLACK: f64 = 1.0 / 1024.0;

/// Whether norms are as tight as they were found, or such that a coarser method can confirm them:
/// those over all frequencies (not the exact periodic ones), enlarged by [`CERTIFICATE_SLACK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slack {
    None,
    Certificate,
}

impl Slack {
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

//! Everything about one layer at once, with shared work.

use std::time::{Duration, Instant};

use crate::bound::circular::{circular_bracket, is_periodic};
use crate::bound::four::{FourBounds, ReshapeNorms};
use crate::bound::norm::{NormBracket, lattice_bracket};
use crate::bound::options::Options;
use crate::bound::weighted::{Weighted, WeightedFour};
use crate::claim::{Bracket, Estimate, Upper};
use crate::conv::Conv;
use crate::error::Error;
use crate::estimate;
use crate::kernel::Kernel;
use crate::symbol::Lattice;

/// The audit of one layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// The four bounds.
    pub four: FourBounds,
    /// The weighted four.
    pub weighted_four: WeightedFour,
    /// What the frameworks' `spectral_norm` reports: not a bound.
    pub reshape_norm: Estimate,
    /// The norm between two proved ends; its upper end is never above the two bounds before.
    pub norm: NormBracket,
    /// An upper bound of ‖P‖₂, by which the padding mode multiplies every upper bound that is not
    /// for the exact periodic layer (T7); 1 for zero padding.
    pub padding_factor: f64,
    /// Time per part.
    pub timing: Timing,
}

/// Time per part of an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timing {
    /// The four bounds.
    pub four: Duration,
    /// The weighted four, beyond the four.
    pub weighted_four: Duration,
    /// The bracket, beyond the four.
    pub norm: Duration,
}

impl Audit {
    /// The smallest proved upper bound of the layer's norm.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.norm.bracket.upper()
    }
}

/// Audits one layer: the four bounds, the weighted four, and the norm between two proved ends.
///
/// # Guarantee
/// Every [`Upper`] and every [`Bracket`] is proved, rounding included. The numbers (not the times) are
/// the same for any number of threads, unless a time budget is set.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit.
///
/// # Example
/// ```
/// use sigmax::{Conv, Kernel, Options, audit};
/// let kernel = Kernel::new(&[1, 1, 3, 3], vec![1.0; 9])?;
/// let audit = audit(&kernel, &Conv::new(2), &Options::default())?;
/// assert!(audit.norm.bracket.contains(9.0)); // Σ|K|, attained at θ = 0
/// assert!((audit.reshape_norm.get() - 3.0).abs() < 1e-9); // three times too small
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn audit(kernel: &Kernel, conv: &Conv, options: &Options) -> Result<Audit, Error> {
    options.check()?;
    let lattice = Lattice::new(kernel, conv)?;
    let start = Instant::now();
    let four = ReshapeNorms::compute(&lattice);
    let bounds = four.bounds(&lattice, conv);
    let four_time = start.elapsed();
    let start = Instant::now();
    let weighted_four = Weighted::compute(&lattice, &four).claim(&lattice, conv);
    let weighted_time = start.elapsed();
    let start = Instant::now();
    let mut norm = if is_periodic(kernel, conv) {
        circular_bracket(&lattice, conv, &four, options)?
    } else {
        lattice_bracket(&lattice, conv, &four, options)
    };
    let upper = norm
        .bracket
        .upper()
        .min(bounds.min)
        .min(weighted_four.upper);
    norm.bracket = Bracket::claim(norm.bracket.lower(), upper);
    let norm_time = start.elapsed();
    Ok(Audit {
        four: bounds,
        weighted_four,
        reshape_norm: estimate::reshape_norm(kernel, conv)?,
        norm,
        padding_factor: conv.padding_factor(),
        timing: Timing {
            four: four_time,
            weighted_four: weighted_time,
            norm: norm_time,
        },
    })
}

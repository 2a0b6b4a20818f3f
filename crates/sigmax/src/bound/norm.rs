//! The norm of a layer between two proved ends.

use crate::bound::four::{ReshapeNorms, layer_upper};
use crate::bound::options::{Options, Stop};
use crate::bound::search;
use crate::claim::{Bracket, Lower, Upper};
use crate::conv::Conv;
use crate::error::Error;
use crate::kernel::Kernel;
use crate::named::named;
use crate::rounding::scale_down;
use crate::symbol::Lattice;

/// What the two ends of a [`NormBracket`] enclose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quantity {
    /// For zero padding, or none, the supremum of the layer's norm over all input sizes,
    /// `S(K) = sup_θ ‖F(θ)‖₂`; at a given size the layer's norm may lie below the lower end. With
    /// another padding mode, the upper end is ‖P‖₂·S(K): it bounds the layer at its input size, or at
    /// every size where the size is unknown; the lower end is that of S(K).
    Lattice,
    /// The layer's norm at the given input size, periodic.
    Circular,
}

impl Quantity {
    /// A short name: `lattice`, `circular`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Lattice => "lattice",
            Self::Circular => "circular",
        }
    }
}

named!(Quantity, "quantity", [Lattice, Circular]);

/// A norm between two proved ends, and how the method came to stop there.
///
/// ```compile_fail,E0616
/// use sigmax::bound::norm_bracket;
/// use sigmax::{Conv, Kernel, Options};
/// let kernel = |value| Kernel::new(&[1, 1], vec![value]);
/// let mut norm = norm_bracket(&kernel(9.0)?, &Conv::new(0), &Options::default())?;
/// let other = norm_bracket(&kernel(1.0)?, &Conv::new(0), &Options::default())?;
/// norm.bracket = other.bracket(); // a claim is not exchanged: this does not compile
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormBracket {
    pub(crate) bracket: Bracket,
    pub(crate) quantity: Quantity,
    pub(crate) stop: Stop,
    pub(crate) tests: u64,
}

impl NormBracket {
    /// The two ends.
    #[must_use]
    pub fn bracket(self) -> Bracket {
        self.bracket
    }

    /// What they enclose.
    #[must_use]
    pub fn quantity(self) -> Quantity {
        self.quantity
    }

    /// Why the method stopped; the bracket is proved in any case.
    #[must_use]
    pub fn stop(self) -> Stop {
        self.stop
    }

    /// Frequencies tested (Cholesky factorisations).
    #[must_use]
    pub fn tests(self) -> u64 {
        self.tests
    }
}

/// Brackets the norm of a layer over all input sizes.
///
/// For zero padding, or none, this is `S(K) = sup_θ ‖F(θ)‖₂` of the (polyphase) kernel, the largest
/// of its groups: upper ≤ (1 + tolerance)·lower unless the budget runs out. Other padding modes
/// multiply the upper end by ‖P‖₂ ≥ 1, so the bracket may be wider than the tolerance.
///
/// # Guarantee
/// Both ends are proved, rounding included. The result does not depend on the number of threads
/// (with a time budget it depends on time).
///
/// # Cost
/// Tens to a few thousand Cholesky factorisations of the order of the smaller channel count; most
/// where ‖F(θ)‖ is nearly constant in θ, as for random kernels.
///
/// # Errors
/// [`Error`] where kernel and geometry do not fit, or the tolerance is not positive.
///
/// # Source
/// T2 to T7, T13, T14, T16, T17, T19.
///
/// # Example
/// ```
/// use sigmax::bound::norm_bracket;
/// use sigmax::{Conv, Kernel, Options};
/// let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0])?;
/// let norm = norm_bracket(&kernel, &Conv::new(1), &Options::default())?;
/// assert!(norm.bracket().contains(4.0)); // at θ = π
/// assert!(norm.bracket().relative_width() <= 1e-3);
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn norm_bracket(kernel: &Kernel, conv: &Conv, options: &Options) -> Result<NormBracket, Error> {
    options.check()?;
    let lattice = Lattice::new(kernel, conv)?;
    let four = ReshapeNorms::compute(&lattice);
    Ok(lattice_bracket(&lattice, conv, &four, options))
}

/// The same for a lattice kernel whose reshapes have been bounded.
pub(crate) fn lattice_bracket(
    lattice: &Lattice<'_>,
    conv: &Conv,
    four: &ReshapeNorms,
    options: &Options,
) -> NormBracket {
    let outcome = search::supremum(lattice, four, options);
    let upper = if outcome.upper > 0.0 {
        layer_upper(outcome.upper, lattice, conv)
    } else {
        Upper::claim(0.0)
    };
    NormBracket {
        bracket: Bracket::claim(lower_claim(outcome.lower, lattice), upper),
        quantity: Quantity::Lattice,
        stop: outcome.stop,
        tests: outcome.tests,
    }
}

/// A proved lower bound in scaled lattice units as a claim in the kernel's own scale.
pub(crate) fn lower_claim(lower: f64, lattice: &Lattice<'_>) -> Lower {
    Lower::claim(scale_down(lower, lattice.exponent))
}

//! Everything about one layer at once, with shared work.

use std::time::{Duration, Instant};

use crate::bound::circular::{circular_bracket, is_periodic};
use crate::bound::four::{FourBounds, ReshapeNorms};
use crate::bound::norm::{NormBracket, lattice_bracket};
use crate::bound::options::Options;
use crate::bound::weighted::{Weighted, WeightedFour};
use crate::claim::{Bracket, Enclosure, Estimate, Lower, Upper};
use crate::conv::{Conv, PaddingMode};
use crate::error::Error;
use crate::estimate;
use crate::kernel::Kernel;
use crate::rounding::{mul_down, mul_up, sub_down};
use crate::symbol::Lattice;

/// The audit of one layer, which it holds: what is proved of it cannot be taken for another's.
///
/// ```compile_fail,E0616
/// use sigmax::{Conv, Kernel, Options, audit};
/// let kernel = |value| Kernel::new(&[1, 1], vec![value]);
/// let mut nine = audit(&kernel(9.0)?, &Conv::new(0), &Options::default())?;
/// let one = audit(&kernel(1.0)?, &Conv::new(0), &Options::default())?;
/// nine.norm = one.norm(); // a claim is not exchanged: this does not compile
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    four: FourBounds,
    weighted_four: WeightedFour,
    reshape_norm: Estimate,
    norm: NormBracket,
    padding_factor: f64,
    timing: Timing,
    /// `None` once it was scaled or released.
    layer: Option<(Kernel, Conv)>,
}

/// Time per part of an audit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timing {
    /// The four bounds.
    pub four: Duration,
    /// The weighted four, beyond the four.
    pub weighted_four: Duration,
    /// The bracket, beyond the four.
    pub norm: Duration,
}

impl Audit {
    /// The four bounds.
    #[must_use]
    pub fn four(&self) -> &FourBounds {
        &self.four
    }

    /// The weighted four.
    #[must_use]
    pub fn weighted_four(&self) -> &WeightedFour {
        &self.weighted_four
    }

    /// What the frameworks' `spectral_norm` reports: not a bound.
    #[must_use]
    pub fn reshape_norm(&self) -> Estimate {
        self.reshape_norm
    }

    /// The norm between two proved ends; its upper end is never above the two bounds before.
    #[must_use]
    pub fn norm(&self) -> NormBracket {
        self.norm
    }

    /// An upper bound of ‖P‖₂, by which the padding mode multiplies every upper bound that is not
    /// for the exact periodic layer (T7); 1 for zero padding.
    #[must_use]
    pub fn padding_factor(&self) -> f64 {
        self.padding_factor
    }

    /// Time per part.
    #[must_use]
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// Whether this is the audit of that layer: with the same values and geometry, and with the same
    /// input size where that matters.
    pub(crate) fn is_of(&self, kernel: &Kernel, conv: &Conv) -> bool {
        let Some((of, geometry)) = &self.layer else {
            return false;
        };
        let mut geometry = geometry.clone();
        if geometry.padding_mode == PaddingMode::Zeros {
            geometry.input_size.clone_from(&conv.input_size);
        }
        geometry == *conv && of == kernel
    }

    /// The same without its layer, whose weight it no longer keeps in memory: it can then not stand
    /// for a node of a network.
    #[must_use]
    pub fn released(mut self) -> Self {
        self.layer = None;
        self
    }

    /// The smallest proved upper bound of the layer's norm.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.norm.bracket.upper()
    }

    /// The audit of `factor` times this layer: upper ends rounded up, lower ends down.
    ///
    /// A norm is homogeneous, so every bound is multiplied by |`factor`|; 0 makes all of them 0. A
    /// `factor` that is NaN or infinite makes every upper end `+∞` and every lower end 0, which is
    /// true of any layer. The estimate is rounded to nearest.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        let factor = factor.abs();
        if factor.to_bits() == 1f64.to_bits() {
            return self;
        }
        self.layer = None;
        let upper = |bound: Upper| {
            Upper::claim(if factor.is_finite() {
                mul_up(bound.get(), factor)
            } else {
                f64::INFINITY
            })
        };
        for (_, bound) in &mut self.four.bounds {
            *bound = upper(*bound);
        }
        self.four.min = upper(self.four.min);
        self.weighted_four.upper = upper(self.weighted_four.upper);
        self.reshape_norm = Estimate::new(factor * self.reshape_norm.get());
        let bracket = self.norm.bracket;
        let lower = if factor.is_finite() {
            mul_down(bracket.lower().get(), factor)
        } else {
            0.0
        };
        self.norm.bracket = Bracket::claim(Lower::claim(lower), upper(bracket.upper()));
        self
    }
}

/// Of weights that are computed (T30).
impl Audit {
    /// The audit of a layer with the kernel f·K + E, `factor` holding |f| and S(E) ≤ `error`, from that
    /// of K.
    ///
    /// Every upper end is one of a norm of the layer, and ‖layer of E‖ ≤ ‖P‖·S(E) by T7: the ends move
    /// outward by that much.
    pub(crate) fn within(mut self, factor: Enclosure, error: f64) -> Self {
        if factor == Enclosure::ONE && error <= 0.0 {
            return self;
        }
        self.layer = None;
        let error = mul_up(error, self.padding_factor);
        let upper = |bound: Upper| {
            let product = mul_up(bound.get(), factor.upper);
            Upper::claim(product).plus(Upper::claim(error))
        };
        for (_, bound) in &mut self.four.bounds {
            *bound = upper(*bound);
        }
        self.four.min = upper(self.four.min);
        self.weighted_four.upper = upper(self.weighted_four.upper);
        let middle = 0.5 * factor.lower + 0.5 * factor.upper;
        self.reshape_norm = Estimate::new(middle * self.reshape_norm.get());
        let bracket = self.norm.bracket;
        let product = mul_down(bracket.lower().get(), factor.lower);
        let lower = Lower::claim(if error > 0.0 {
            sub_down(product, error)
        } else {
            product
        });
        self.norm.bracket = Bracket::claim(lower, upper(bracket.upper()));
        self
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
/// assert!(audit.norm().bracket().contains(9.0)); // Σ|K|, attained at θ = 0
/// assert!((audit.reshape_norm().get() - 3.0).abs() < 1e-9); // three times too small
/// # Ok::<(), sigmax::Error>(())
/// ```
pub fn audit(kernel: &Kernel, conv: &Conv, options: &Options) -> Result<Audit, Error> {
    options.check()?;
    let lattice = Lattice::new(kernel, conv)?;
    let start = Instant::now();
    let deadline = options.budget.time.and_then(|time| start.checked_add(time));
    let four = ReshapeNorms::until(&lattice, deadline);
    let bounds = four.bounds(&lattice, conv);
    let four_time = start.elapsed();
    let start = Instant::now();
    let weighted_four = Weighted::until(&lattice, &four, deadline).claim(&lattice, conv);
    let weighted_time = start.elapsed();
    let start = Instant::now();
    let options = &Options {
        budget: options.budget.until(deadline),
        ..options.clone()
    };
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
    // The only reshape of a kernel with one tap and one group is the layer.
    let reshape_norm = match lattice.taps() == 1 && lattice.groups == 1 {
        true => Estimate::new(norm.bracket.lower().get()),
        false => estimate::reshape_norm(kernel, conv)?,
    };
    Ok(Audit {
        four: bounds,
        weighted_four,
        reshape_norm,
        norm,
        padding_factor: conv.padding_factor(),
        timing: Timing {
            four: four_time,
            weighted_four: weighted_time,
            norm: norm_time,
        },
        layer: Some((kernel.clone(), conv.clone())),
    })
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact by construction")]
mod tests {
    use super::*;

    fn second_difference() -> Audit {
        let kernel = Kernel::new(&[1, 1, 3], vec![1.0, -2.0, 1.0]).unwrap();
        audit(&kernel, &Conv::new(1), &Options::default()).unwrap()
    }

    #[test]
    fn a_scaled_audit_encloses_the_scaled_layer() {
        let plain = second_difference();
        for factor in [0.1, -0.1, 3.0, 1e300, 1e-300, -7e-320] {
            let scaled = plain.clone().scaled(factor);
            let size = f64::abs(factor);
            let (lower, upper) = (scaled.norm.bracket.lower(), scaled.norm.bracket.upper());
            // 4·factor is exact: a power of two times the factor.
            assert!(
                lower.get() <= 4.0 * size && 4.0 * size <= upper.get(),
                "{factor}"
            );
            // The exact products lie strictly between the neighbours of the rounded ones.
            let ends = plain.norm.bracket;
            assert!(upper.get() > ends.upper().get() * size, "{factor}");
            assert!(lower.get() < ends.lower().get() * size, "{factor}");
            for (scaled, plain) in scaled.four.bounds.iter().zip(&plain.four.bounds) {
                assert!(scaled.1.get() > plain.1.get() * size, "{factor}");
            }
            let smallest = scaled.four.bounds.iter().map(|b| b.1.get());
            assert_eq!(
                scaled.four.min.get(),
                smallest.fold(f64::INFINITY, f64::min)
            );
            assert!(scaled.weighted_four.upper.get() >= upper.get());
            assert_eq!(scaled.reshape_norm.get(), plain.reshape_norm.get() * size);
            assert_eq!(scaled.padding_factor, plain.padding_factor);
        }
    }

    #[test]
    fn plus_and_minus_one_change_nothing() {
        let plain = second_difference();
        assert_eq!(plain.clone().scaled(1.0), plain);
        assert_eq!(plain.clone().scaled(-1.0), plain);
    }

    #[test]
    fn zero_makes_everything_zero() {
        for factor in [0.0, -0.0] {
            let zero = second_difference().scaled(factor);
            assert_eq!(zero.norm.bracket.lower().get(), 0.0);
            assert_eq!(zero.norm.bracket.upper().get(), 0.0);
            assert_eq!(zero.weighted_four.upper.get(), 0.0);
            assert!(zero.four.bounds.iter().all(|(_, b)| b.get() == 0.0));
            assert_eq!(zero.reshape_norm.get(), 0.0);
        }
    }

    #[test]
    fn no_factor_makes_it_claim_something_false() {
        for factor in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let open = second_difference().scaled(factor);
            assert_eq!(open.norm.bracket.lower().get(), 0.0);
            assert_eq!(open.norm.bracket.upper().get(), f64::INFINITY);
            assert_eq!(open.four.min.get(), f64::INFINITY);
        }
        let overflow = second_difference().scaled(f64::MAX);
        assert_eq!(overflow.norm.bracket.upper().get(), f64::INFINITY);
        assert!(overflow.norm.bracket.lower().get() <= f64::MAX);
    }
}

//! What a number is allowed to mean: [`Upper`], [`Lower`], [`Bracket`], [`Estimate`].
//!
//! A bound and an estimate are different types with no conversion between them, and only this
//! crate can make a bound. Whoever holds an [`Upper`] holds the conclusion of a theorem in
//! [`theory`](crate::theory), rounding included; whoever holds an [`Estimate`] holds a number.
//!
//! ```compile_fail,E0308
//! use sigmax::{Estimate, Upper};
//! fn gate(bound: Upper) -> bool {
//!     bound.get() <= 1.0
//! }
//! let estimate: Estimate = sigmax::Estimate::new(0.5);
//! gate(estimate); // an estimate is not a bound: this does not compile
//! ```
//!
//! ```compile_fail,E0599
//! let forged = sigmax::Upper::new(0.5); // only the crate makes bounds: this does not compile
//! ```

use crate::rounding;

/// A proved upper bound `u`: the quantity it bounds is ≤ `u`, floating-point rounding included.
///
/// Never NaN, never negative; `+∞` where the bound does not fit into an `f64`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Upper(f64);

/// A proved lower bound `l`: the quantity it bounds is ≥ `l`, floating-point rounding included.
///
/// Never NaN, never negative, always finite.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Lower(f64);

/// Two proved ends: `lower` ≤ quantity ≤ `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bracket {
    lower: Lower,
    upper: Upper,
}

/// `lower` ≤ a non-negative number ≤ `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Enclosure {
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// A number about which nothing is proved.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Estimate(f64);

impl Upper {
    /// Wraps a proved value. A NaN would be a bug of ours; it becomes `+∞`, which is always true.
    pub(crate) fn claim(value: f64) -> Self {
        if value.is_nan() {
            Self(f64::INFINITY)
        } else {
            Self(value.max(0.0))
        }
    }

    /// The bound as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// The smaller of two upper bounds of the same quantity.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self(self.0.min(other.0))
    }

    /// The larger of two: an upper bound of the maximum of the two quantities.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }

    /// An upper bound of the sum of the two quantities, rounded up.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        if other.0 <= 0.0 {
            return self;
        }
        if self.0 <= 0.0 {
            return other;
        }
        Self::claim(rounding::add_up(self.0, other.0))
    }

    /// An upper bound of the root of the sum of the squares of the quantities, rounded up.
    #[must_use]
    pub fn root_sum_square(of: &[Self]) -> Self {
        if let [only] = of {
            return *only;
        }
        let largest = of.iter().fold(0.0f64, |m, x| m.max(x.0));
        if largest <= 0.0 || largest.is_infinite() {
            return Self(largest);
        }
        // Scaled by a power of two, so that squares neither overflow nor vanish.
        let exponent = rounding::exponent(largest);
        let mut sum = 0.0;
        for x in of {
            let scaled = rounding::scale_up(x.0, -exponent);
            sum = rounding::add_up(sum, rounding::mul_up(scaled, scaled));
        }
        Self::claim(rounding::scale_up(rounding::sqrt_up(sum), exponent))
    }

    /// An upper bound of the product of the two quantities, rounded up.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        // One times anything is exact.
        if self.0.to_bits() == 1f64.to_bits() {
            return other;
        }
        if other.0.to_bits() == 1f64.to_bits() {
            return self;
        }
        Self::claim(rounding::mul_up(self.0, other.0))
    }
}

impl Lower {
    /// Wraps a proved value. A NaN would be a bug of ours; it becomes 0, which is always true of
    /// a norm.
    pub(crate) fn claim(value: f64) -> Self {
        Self(if value > 0.0 {
            value.min(f64::MAX)
        } else {
            0.0
        })
    }

    /// The bound as a number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }

    /// The larger of two lower bounds of the same quantity.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self(self.0.max(other.0))
    }
}

impl Bracket {
    pub(crate) fn claim(lower: Lower, upper: Upper) -> Self {
        debug_assert!(
            lower.0 <= upper.0,
            "a proved bracket is not empty: {lower:?} {upper:?}"
        );
        Self { lower, upper }
    }

    /// The proved lower end.
    #[must_use]
    pub fn lower(self) -> Lower {
        self.lower
    }

    /// The proved upper end.
    #[must_use]
    pub fn upper(self) -> Upper {
        self.upper
    }

    /// `upper / lower − 1` (rounded to nearest): 0 for the bracket [0, 0], ∞ where only the lower
    /// end is 0.
    #[must_use]
    pub fn relative_width(self) -> f64 {
        if self.upper.0 <= self.lower.0 {
            0.0
        } else {
            self.upper.0 / self.lower.0 - 1.0
        }
    }

    /// Whether `value` lies between the two ends.
    #[must_use]
    pub fn contains(self, value: f64) -> bool {
        self.lower.0 <= value && value <= self.upper.0
    }
}

impl Estimate {
    /// Marks a number as an estimate. Anyone may: it claims nothing.
    #[must_use]
    pub fn new(value: f64) -> Self {
        Self(value)
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Enclosure {
    pub(crate) const ONE: Self = Self {
        lower: 1.0,
        upper: 1.0,
    };

    /// `value`, which is known to within `error`.
    pub(crate) fn around(value: f64, error: f64) -> Self {
        Self {
            lower: rounding::sub_down(value, error).max(0.0),
            upper: rounding::add_up(value, error),
        }
    }
}

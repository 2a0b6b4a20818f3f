//! [`Filter`]: interpolation by cubics, and by functions that widen where an axis shrinks.

use crate::rounding::{add_up, gamma, mul_up};

/// What resizing weighs the entries around a position p with: entry j by W(s·(j − p)).
///
/// W is the hat max(1 − |t|, 0) or a cubic. s is 1, or with `antialias` the scale where that is smaller, and then
/// the weights are divided by their sum.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Filter {
    /// The coefficient a of the cubic (a + 2)|t|³ − (a + 3)t² + 1 for |t| ≤ 1, a(|t| − 1)(|t| − 2)² for |t| from
    /// 1 to 2 (Keys 1981); `None`: the hat.
    pub cubic: Option<f64>,
    /// Whether it widens where the axis shrinks.
    pub antialias: bool,
    /// Whether only entries inside of the axis count, with weights that are divided by their sum; else those
    /// outside are copies of the nearest one.
    pub exclude_outside: bool,
}

/// Largest coefficient of a cubic.
const MAX_CUBIC: f64 = 2.0;

impl Filter {
    /// Whether the coefficient is one that errors are bounded for.
    pub(crate) fn is_covered(&self) -> bool {
        self.cubic.is_none_or(|a| a.abs() <= MAX_CUBIC)
    }

    /// Where W ends.
    pub(crate) fn reach(&self) -> f64 {
        if self.cubic.is_some() { 2.0 } else { 1.0 }
    }

    pub(crate) fn weight(&self, t: f64) -> f64 {
        let t = t.abs();
        match self.cubic {
            None => (1.0 - t).max(0.0),
            Some(a) if t <= 1.0 => ((a + 2.0) * t - (a + 3.0)) * t * t + 1.0,
            Some(a) if t < 2.0 => a * (t - 1.0) * (t - 2.0) * (t - 2.0),
            Some(_) => 0.0,
        }
    }

    /// The error of a weight whose argument is off by so much, from above.
    pub(crate) fn error(&self, argument: f64) -> f64 {
        // |W'| ≤ |a| for |t| > 1; else ≤ (a + 3)²/(3(a + 2)) ≤ 3/2 for −1 ≤ a ≤ 0, and 3(|a| + 2) + 2(|a| + 3) for any.
        let slope = match self.cubic {
            None => 1.0,
            Some(a) if (-1.0..=0.0).contains(&a) => 1.5,
            Some(a) => 5.0 * a.abs() + 12.0,
        };
        // Terms of at most 2|a| + 6 for |t| ≤ 1; beyond, the differences are exact.
        let size = 2.0 * self.cubic.map_or(0.0, f64::abs) + 8.0;
        add_up(mul_up(slope, argument), mul_up(gamma(12), size))
    }
}

//! [`kappa`]: how concave a unit can make a difference of logits (T34).

use crate::rounding::{U, add_up, larger, mul_up, sub_down};

/// What F = ∂f/∂h may be at a unit, from below and from above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Factor {
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Factor {
    /// All numbers no further than `error` from `value`.
    pub(crate) fn near(value: f64, error: f64) -> Self {
        Self {
            low: sub_down(value, error),
            high: add_up(value, error),
        }
    }

    /// Of plus − minus, where each computed value is off by at most its error.
    pub(crate) fn difference(plus: f64, minus: f64, errors: f64) -> Self {
        let difference = plus - minus;
        // |fl(a − b) − (a − b)| ≤ u·|fl(a − b)|.
        Self::near(difference, add_up(errors, mul_up(U, difference.abs())))
    }
}

/// sup of (−F·q)₊ over F and q in their ranges: at a corner.
pub(crate) fn kappa(factor: Factor, (low, high): (f64, f64)) -> f64 {
    // −F·q is rounded up in magnitude towards +∞: mul_up(−F, q).
    [factor.low, factor.high]
        .into_iter()
        .flat_map(|f| [mul_up(-f, low), mul_up(-f, high)])
        .fold(0.0, larger)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kappa_is_the_largest_corner() {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let softplus = (0.0, 0.25);
        assert!(kappa(Factor::near(2.0, 0.0), softplus) < 1e-300);
        assert!(near(kappa(Factor::near(-2.0, 0.0), softplus), 0.5));
        let mixed = (-0.1, 0.8);
        assert!(near(kappa(Factor::near(2.0, 0.0), mixed), 0.2));
        assert!(near(
            kappa(
                Factor {
                    low: -1.0,
                    high: 3.0
                },
                mixed
            ),
            0.8
        ));
        assert!(kappa(Factor::near(f64::NAN, 0.0), mixed).is_nan());
    }

    /// A sum that overflowed may belong to a number of the other sign.
    #[test]
    fn kappa_of_what_overflowed_is_not_a_number() {
        for range in [(0.0, 0.25), (-1.0, 0.0), (-0.1, 0.8)] {
            for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
                let kappa = kappa(Factor::near(value, f64::INFINITY), range);
                assert!(!(kappa < f64::INFINITY), "{value} {range:?}: {kappa}");
            }
        }
    }

    #[test]
    fn a_difference_is_inside_of_its_factor() {
        let (a, b) = (1.0, 1e-17);
        let factor = Factor::difference(a, b, 0.0);
        assert!(factor.low < 1.0 && factor.high >= 1.0);
    }
}

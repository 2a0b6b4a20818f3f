//! [`Enclosed`]: a real number known to within an error, and arithmetic that keeps it so (T40).

use crate::rounding::{U, add_up, div_up, mul_up, sqrt_down, sqrt_up, sub_down};

/// A rounding to a subnormal number is off by half of the least positive one.
const LEAST: f64 = 5e-324;
/// Where a product or a square is at least this large, its rounding error is an f64, which a fused
/// multiply-add gives.
const FUSED: f64 = 1e-250;

/// A real number x with |x − `value`| ≤ `error`; an error of 0 says that it is `value`.
///
/// Every operation gives a number whose error holds what the operands may be and its own rounding.
/// Where a result is exact, as of sums and products of a few integers, no error is added. A result
/// that leaves the range of f64 has a value or an error that is not finite.
///
/// # Example
/// ```
/// use sigmax::enclosed::Enclosed;
/// let third = Enclosed::exact(1.0).over(Enclosed::exact(3.0)).unwrap();
/// assert!(third.error() > 0.0 && third.error() < 1e-16);
/// assert!(Enclosed::exact(3.0).times(Enclosed::exact(0.5)).error() == 0.0);
/// assert!(Enclosed::exact(1.0).over(Enclosed::exact(0.0)).is_none());
/// ```
///
/// # Source
/// T40.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Enclosed {
    value: f64,
    error: f64,
}

impl Enclosed {
    /// A number that is known.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { value, error: 0.0 }
    }

    /// A number within `error` ≥ 0 of `value`. A NaN is an error of ∞.
    #[must_use]
    pub fn new(value: f64, error: f64) -> Self {
        let error = if error >= 0.0 { error } else { f64::INFINITY };
        Self { value, error }
    }

    /// The midpoint.
    #[must_use]
    pub fn value(self) -> f64 {
        self.value
    }

    /// How far from it the number may be, from above.
    #[must_use]
    pub fn error(self) -> f64 {
        self.error
    }

    /// Whether midpoint and error are numbers.
    #[must_use]
    pub fn is_finite(self) -> bool {
        self.value.is_finite() && self.error.is_finite()
    }

    /// `value` with the errors of operands and that of its own rounding.
    fn of(value: f64, errors: [f64; 2]) -> Self {
        let [a, b] = errors.map(f64::abs);
        let error = match (a > 0.0, b > 0.0) {
            (true, true) => add_up(a, b),
            // One of them is 0, or not a number.
            _ => a + b,
        };
        Self::new(value, error)
    }

    /// x + y.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let (a, b) = (self.value, other.value);
        let sum = a + b;
        // The rounding error of a sum is an f64 (Knuth).
        let virtual_b = sum - a;
        let rounding = (a - (sum - virtual_b)) + (b - virtual_b);
        let errors = Self::of(sum, [self.error, other.error]).error;
        Self::of(sum, [errors, rounding])
    }

    /// −x.
    #[must_use]
    pub fn negated(self) -> Self {
        Self::new(-self.value, self.error)
    }

    /// x − y.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        self.plus(other.negated())
    }

    /// |x|.
    #[must_use]
    pub fn magnitude(self) -> Self {
        Self::new(self.value.abs(), self.error)
    }

    /// The larger of x and y.
    #[must_use]
    pub fn larger(self, other: Self) -> Self {
        // |max(x, y) − max(a, b)| ≤ max(|x − a|, |y − b|); a NaN stays one.
        let value = if self.value > other.value || self.value.is_nan() {
            self.value
        } else {
            other.value
        };
        Self::new(value, self.error.max(other.error))
    }

    /// x·y.
    #[must_use]
    pub fn times(self, other: Self) -> Self {
        let (a, b) = (self.value, other.value);
        let product = a * b;
        let zero = a.abs() <= 0.0 || b.abs() <= 0.0;
        let rounding = if zero {
            0.0
        } else if product.abs() >= FUSED {
            a.mul_add(b, -product).abs()
        } else {
            add_up(mul_up(product.abs(), U), LEAST)
        };
        // |xy − ab| ≤ |a|·e_y + |b|·e_x + e_x·e_y.
        let first = mul_up(a.abs(), other.error);
        let second = mul_up(b.abs(), self.error);
        let third = mul_up(self.error, other.error);
        let errors = Self::of(0.0, [first, second]).error;
        let errors = Self::of(0.0, [errors, third]).error;
        Self::of(product, [errors, rounding])
    }

    /// x/y; `None` where y may be 0.
    #[must_use]
    pub fn over(self, other: Self) -> Option<Self> {
        let (a, b) = (self.value, other.value);
        let least = if other.error > 0.0 {
            sub_down(b.abs(), other.error)
        } else {
            b.abs()
        };
        if !(least > 0.0) {
            return None;
        }
        let quotient = a / b;
        let residual = || (-quotient).mul_add(b, a).abs();
        let exact = a.abs() <= 0.0 || quotient.is_normal() && a.abs() >= FUSED && residual() <= 0.0;
        let rounding = if exact {
            0.0
        } else {
            add_up(mul_up(quotient.abs(), U), LEAST)
        };
        // |x/y − a/b| ≤ (e_x + |a/b|·e_y)/(|b| − e_y).
        let second = mul_up(div_up(a.abs(), b.abs()), other.error);
        let numerator = Self::of(0.0, [self.error, second]).error;
        let errors = if numerator > 0.0 {
            div_up(numerator, least)
        } else {
            numerator
        };
        Some(Self::of(quotient, [errors, rounding]))
    }

    /// √x; `None` where x may be negative.
    #[must_use]
    pub fn root(self) -> Option<Self> {
        let a = self.value;
        let least = if self.error > 0.0 {
            sub_down(a, self.error)
        } else {
            a
        };
        if !(least >= 0.0) {
            return None;
        }
        let root = a.sqrt();
        let exact = a <= 0.0 || a >= FUSED && root.mul_add(root, -a).abs() <= 0.0;
        let rounding = if exact { 0.0 } else { mul_up(root, U) };
        // |√x − √a| ≤ |x − a|/√a.
        let errors = if self.error > 0.0 {
            div_up(self.error, sqrt_down(a)).min(sqrt_up(self.error))
        } else {
            self.error
        };
        Some(Self::of(root, [errors, rounding]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_results_have_no_error() {
        let [two, half, nine] = [2.0, 0.5, 9.0].map(Enclosed::exact);
        for exact in [
            two.plus(half),
            two.minus(half),
            two.times(half),
            nine.over(half).unwrap(),
            nine.root().unwrap(),
            Enclosed::exact(0.0).root().unwrap(),
            two.negated().magnitude().larger(half),
        ] {
            assert!(exact.error() <= 0.0, "{exact:?}");
        }
    }

    #[test]
    fn what_rounds_says_so() {
        let [one, tenth, least] = [1.0, 0.1, 5e-324].map(Enclosed::exact);
        for rounded in [
            one.plus(Enclosed::exact(1e-30)),
            tenth.times(tenth),
            one.over(tenth).unwrap(),
            tenth.root().unwrap(),
            // Underflow: the product and the quotient are 0, and nobody may take them for that.
            least.times(tenth),
            least.over(Enclosed::exact(4.0)).unwrap(),
            Enclosed::exact(1e-200).times(Enclosed::exact(1e-200)),
        ] {
            assert!(rounded.error() > 0.0, "{rounded:?}");
        }
    }

    #[test]
    fn what_may_be_zero_divides_nothing() {
        let one = Enclosed::exact(1.0);
        for divisor in [
            Enclosed::exact(0.0),
            Enclosed::new(1e-3, 1e-3),
            Enclosed::new(-1.0, 2.0),
            Enclosed::new(f64::NAN, 0.0),
            Enclosed::new(1.0, f64::NAN),
        ] {
            assert_eq!(one.over(divisor), None, "{divisor:?}");
        }
        assert_eq!(Enclosed::exact(-1e-300).root(), None);
        assert_eq!(Enclosed::new(1e-300, 1.0).root(), None);
    }

    /// Corners of the operands, exactly computed with operands of few digits, lie in the result.
    #[test]
    fn corners_are_inside() {
        let numbers = [-3.0, -0.75, 0.0, 0.5, 1.25, 7.0];
        let errors = [0.0, 0.125, 0.25];
        let holds = |x: Enclosed, exact: f64| (exact - x.value()).abs() <= x.error();
        for a in numbers {
            for b in numbers {
                for (e, f) in errors.iter().flat_map(|&e| errors.map(|f| (e, f))) {
                    let (x, y) = (Enclosed::new(a, e), Enclosed::new(b, f));
                    for (p, q) in [
                        (a - e, b - f),
                        (a - e, b + f),
                        (a + e, b - f),
                        (a + e, b + f),
                    ] {
                        assert!(holds(x.plus(y), p + q));
                        assert!(holds(x.minus(y), p - q));
                        assert!(holds(x.times(y), p * q));
                        assert!(holds(x.larger(y), p.max(q)));
                        if let Some(quotient) = x.over(y) {
                            let slack = 2.0 * f64::EPSILON * (p / q).abs();
                            assert!((p / q - quotient.value()).abs() <= quotient.error() + slack);
                        }
                        if let Some(root) = x.root() {
                            let slack = 2.0 * f64::EPSILON * p.sqrt();
                            assert!((p.sqrt() - root.value()).abs() <= root.error() + slack);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn nothing_infinite_is_small() {
        let huge = Enclosed::exact(1e300);
        assert!(!huge.times(huge).is_finite());
        assert!(!huge.times(huge).minus(huge.times(huge)).is_finite());
        assert!(!Enclosed::new(1.0, -1.0).is_finite());
        assert!(!Enclosed::exact(f64::NAN).larger(huge).is_finite());
        assert!(!huge.larger(Enclosed::exact(f64::NAN)).is_finite());
    }
}

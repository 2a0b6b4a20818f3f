//! Outward-rounded arithmetic; the only file that knows an ulp.
//!
//! IEEE 754 rounds every `+ − × ÷ √` to nearest, so the exact result lies within one float of the
//! computed one (also for subnormal results). `_up` therefore returns the next float above, `_down`
//! the next below. Sums of many terms use the a-priori factor γ_k = k·u / (1 − k·u) instead.

#![allow(
    clippy::disallowed_methods,
    reason = "this file replaces the functions that are disallowed elsewhere"
)]

/// Unit roundoff of f64: 2⁻⁵³.
pub(crate) const U: f64 = f64::EPSILON / 2.0;

/// 2π, rounded up.
pub(crate) const TAU_UP: f64 = std::f64::consts::TAU.next_up();

/// Whether this thread rounds to nearest, ties to even, and keeps subnormal numbers.
///
/// Other code in the process can change the state of the processor.
pub(crate) fn is_ieee() -> bool {
    let hide = std::hint::black_box::<f64>;
    are_ieee(
        |a, b| hide(hide(a) + hide(b)),
        |a, b| hide(hide(a) * hide(b)),
    )
}

/// 1 + u is a tie and goes down to 1, 1 + 3u is one and goes up to 1 + 4u, and so do their negatives:
/// only "to nearest, ties to even" does all four. Half of the least normal number is subnormal: where
/// results or operands are flushed to zero, it or its sum with itself is 0.
fn are_ieee(add: impl Fn(f64, f64) -> f64, mul: impl Fn(f64, f64) -> f64) -> bool {
    let half = mul(f64::MIN_POSITIVE, 0.5);
    let is = |x: f64, y: f64| x.to_bits() == y.to_bits();
    is(add(1.0, U), 1.0)
        && is(add(1.0, 3.0 * U), 1.0 + 4.0 * U)
        && is(add(-1.0, -U), -1.0)
        && is(add(-1.0, -3.0 * U), -1.0 - 4.0 * U)
        && half.to_bits() == 1 << 51
        && is(add(half, half), f64::MIN_POSITIVE)
}

/// Panics in a thread in which [`is_ieee`] is false: nothing that is computed there proves anything.
///
/// Entries to the crate refuse with [`Error::Arithmetic`](crate::Error::Arithmetic) before; a
/// worker whose state differs from that of its caller is a defect of the program around it.
pub(crate) fn assert_ieee() {
    assert!(
        is_ieee(),
        "this thread does not round to nearest, or flushes subnormal numbers to zero: no bound can \
         be proved in it"
    );
}

/// a + b, rounded up.
pub(crate) fn add_up(a: f64, b: f64) -> f64 {
    (a + b).next_up()
}

/// a − b, rounded down.
pub(crate) fn sub_down(a: f64, b: f64) -> f64 {
    (a - b).next_down()
}

/// a · b, rounded up.
pub(crate) fn mul_up(a: f64, b: f64) -> f64 {
    let zero = a == 0.0 || b == 0.0;
    if zero { 0.0 } else { (a * b).next_up() }
}

/// a · b, rounded down.
pub(crate) fn mul_down(a: f64, b: f64) -> f64 {
    (a * b).next_down()
}

/// a / b, rounded up.
pub(crate) fn div_up(a: f64, b: f64) -> f64 {
    (a / b).next_up()
}

/// a / b, rounded down.
pub(crate) fn div_down(a: f64, b: f64) -> f64 {
    (a / b).next_down()
}

/// The larger of two; NaN if one of them is. `f64::max` drops a NaN, and a comparison drops that of an
/// earlier turn: either would make a bound of what is not known.
pub(crate) fn larger(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

/// √a, rounded up.
pub(crate) fn sqrt_up(a: f64) -> f64 {
    if a <= 0.0 { 0.0 } else { a.sqrt().next_up() }
}

/// √a, rounded down; 0 for a ≤ 0.
pub(crate) fn sqrt_down(a: f64) -> f64 {
    if a <= 0.0 {
        0.0
    } else {
        a.sqrt().next_down().max(0.0)
    }
}

/// γ_k = k·u / (1 − k·u), rounded up: the relative error bound of k roundings in sequence
/// (Higham, *Accuracy and Stability of Numerical Algorithms*, lemma 3.1). ∞ where k·u ≥ 1.
pub(crate) fn gamma(k: usize) -> f64 {
    let ku = mul_up(k as f64, U);
    if ku < 1.0 {
        div_up(ku, (1.0 - ku).next_down())
    } else {
        f64::INFINITY
    }
}

/// An upper bound of √k for an integer k.
pub(crate) fn sqrt_int_up(k: usize) -> f64 {
    let root = (k as f64).sqrt();
    // Below 2⁵³ the conversion is exact; a perfect square below 2⁵³ has an exact root.
    if k < 1 << 53 && (root as usize).checked_mul(root as usize) == Some(k) {
        root
    } else {
        root.next_up()
    }
}

/// x · 2^e, rounded up (∞ on overflow).
pub(crate) fn scale_up(x: f64, e: i32) -> f64 {
    if x == 0.0 { 0.0 } else { ldexp(x, e).next_up() }
}

/// x · 2^e, rounded down (`f64::MAX` on overflow).
pub(crate) fn scale_down(x: f64, e: i32) -> f64 {
    let y = ldexp(x, e);
    // A NaN becomes 0: always true from below.
    if y > 0.0 {
        y.min(f64::MAX).next_down()
    } else {
        0.0
    }
}

/// x · 2^e with one rounding in the subnormal range; exact elsewhere; ±∞ on overflow.
pub(crate) fn ldexp(x: f64, e: i32) -> f64 {
    // At most three factors, each a normal power of two. All but the last are chosen so that the
    // intermediate results stay normal whenever the final one is normal, or underflow only once:
    // going down, the large steps come while the value is still large.
    let mut value = x;
    let mut left = e.clamp(-2300, 2300);
    while left > 1000 {
        value *= power_of_two(1000);
        left -= 1000;
    }
    while left < -1000 {
        // Where two steps round, the first error, at most half the smallest subnormal, is shrunk by
        // the second: the result stays within one float of the exact value.
        value *= power_of_two(-1000);
        left += 1000;
    }
    value * power_of_two(left)
}

fn power_of_two(e: i32) -> f64 {
    debug_assert!((-1022..=1023).contains(&e));
    f64::from_bits(((e + 1023) as u64) << 52)
}

/// The exponent e with 2^(e−1) ≤ |x| < 2^e, for finite x ≠ 0.
pub(crate) fn exponent(x: f64) -> i32 {
    debug_assert!(x.is_finite() && x != 0.0);
    let bits = x.abs().to_bits();
    match (bits >> 52) as i32 {
        0 => -1010 - bits.leading_zeros() as i32,
        biased => biased - 1022,
    }
}

/// Bound of the absolute error of [`sin_cos_turns`], 2⁻⁴⁹.
///
/// The reduced angle x = 2π·r with |x| ≤ π/4 is computed with three roundings (2π, the quotient,
/// the product): |x̂ − x| ≤ 0.79·3.01u < 2.4u, and sine and cosine have slope ≤ 1. Horner's scheme in x̂² with
/// |x̂²| ≤ 0.617 has error below 5u for either series (each coefficient is rounded once, each step
/// adds two roundings, weighted by 0.617^j/(2j)!), and the first omitted terms are below
/// 0.79¹⁸/18! < 3·10⁻¹⁸. In all less than 8u = 2⁻⁵⁰.
pub(crate) const TRIG_ERROR: f64 = 1.0 / (1u64 << 49) as f64;

/// (sin, cos) of 2π·`numerator`/`denominator`, each with absolute error ≤ [`TRIG_ERROR`].
///
/// The reduction modulo a turn and to the octant is exact integer arithmetic, so no library
/// function and no value of π beyond one rounded constant takes part.
pub(crate) fn sin_cos_turns(numerator: i64, denominator: u64) -> (f64, f64) {
    debug_assert!(denominator > 0 && denominator < 1 << 52);
    // Below 2⁵²: four times it fits.
    let den = denominator as i64;
    let turn = numerator.rem_euclid(den);
    // Nearest multiple of a quarter turn: angle = quarter·(π/2) + 2π·rest/(4·den), |rest| ≤ den/2.
    let quarter = (4 * turn + den / 2).div_euclid(den);
    let rest = 4 * turn - quarter * den;
    let x = std::f64::consts::FRAC_PI_2 * (rest as f64 / den as f64);
    let (s, c) = sin_cos_small(x);
    match quarter.rem_euclid(4) {
        0 => (s, c),
        1 => (c, -s),
        2 => (-s, -c),
        _ => (-c, s),
    }
}

/// Taylor's series for |x| ≤ π/4 (a hair more through rounding).
fn sin_cos_small(x: f64) -> (f64, f64) {
    let y = x * x;
    let mut sin = 0.0;
    let mut cos = 0.0;
    for j in (1..=8).rev() {
        let j = f64::from(j);
        sin = (1.0 + sin) * (-y / ((2.0 * j) * (2.0 * j + 1.0)));
        cos = (1.0 + cos) * (-y / ((2.0 * j - 1.0) * (2.0 * j)));
    }
    (x + x * sin, 1.0 + cos)
}

/// A lower bound of cos(2π·`numerator`/`denominator`).
pub(crate) fn cos_turns_down(numerator: i64, denominator: u64) -> f64 {
    sub_down(sin_cos_turns(numerator, denominator).1, TRIG_ERROR)
}

/// An upper bound of sin(2π·`numerator`/`denominator`).
pub(crate) fn sin_turns_up(numerator: i64, denominator: u64) -> f64 {
    add_up(sin_cos_turns(numerator, denominator).0, TRIG_ERROR)
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these results are exact by construction")]
mod tests {
    use super::*;

    #[test]
    fn exponents_and_scaling_are_exact() {
        for x in [
            1.0,
            0.75,
            3.0,
            f64::MIN_POSITIVE,
            5e-324,
            f64::MAX,
            -2.5e-310,
        ] {
            let e = exponent(x);
            let y = ldexp(x, -e);
            assert!((0.5..1.0).contains(&y.abs()), "{x} {e} {y}");
            assert_eq!(ldexp(y, e), x);
        }
        assert_eq!(scale_down(0.75, 2000), f64::MAX.next_down());
        assert_eq!(scale_up(0.75, 2000), f64::INFINITY);
        assert!(scale_up(0.75, -1080) > 0.0);
        assert_eq!(scale_down(0.75, -1080), 0.0);
    }

    /// Other modes, by software: the sums that are asked for are exact in twice the precision, and an
    /// error-free transformation gives what they lose.
    #[test]
    fn other_modes_of_the_processor_are_noticed() {
        let lost = |a: f64, b: f64| {
            let sum = a + b;
            let c = sum - a;
            (sum, (a - (sum - c)) + (b - c))
        };
        let upward = |a, b| match lost(a, b) {
            (sum, rest) if rest > 0.0 => sum.next_up(),
            (sum, _) => sum,
        };
        let downward = |a, b| match lost(a, b) {
            (sum, rest) if rest < 0.0 => sum.next_down(),
            (sum, _) => sum,
        };
        let to_zero = |a: f64, b: f64| {
            if a + b > 0.0 {
                downward(a, b)
            } else {
                upward(a, b)
            }
        };
        let flush = |x: f64| if x.abs() < f64::MIN_POSITIVE { 0.0 } else { x };
        let (add, mul) = (|a: f64, b: f64| a + b, |a: f64, b: f64| a * b);
        assert!(is_ieee());
        assert!(are_ieee(add, mul));
        assert!(!are_ieee(upward, mul));
        assert!(!are_ieee(downward, mul));
        assert!(!are_ieee(to_zero, mul));
        assert!(!are_ieee(add, |a, b| flush(a * b)));
        assert!(!are_ieee(|a, b| flush(a) + flush(b), mul));
    }

    #[test]
    fn sines_are_within_their_bound() {
        // The platform's sine of a correctly rounded angle is itself good to an ulp for |x| ≤ 2π.
        for den in [1u64, 2, 3, 4, 5, 7, 8, 12, 32, 224, 1000, 1 << 20] {
            for num in (0..64).map(|j| j * den as i64 / 64).chain(-5..5) {
                let (s, c) = sin_cos_turns(num, den);
                let x = std::f64::consts::TAU * (num.rem_euclid(den as i64) as f64 / den as f64);
                // 2π, the quotient and the product are rounded: |x̂ − x| ≤ 3u·2π < 2.1e-15.
                assert!((s - x.sin()).abs() < 2.1e-15 + TRIG_ERROR, "{num}/{den}");
                assert!((c - x.cos()).abs() < 2.1e-15 + TRIG_ERROR, "{num}/{den}");
            }
        }
        assert_eq!(sin_cos_turns(1, 4), (1.0, 0.0));
        assert_eq!(sin_cos_turns(1, 2), (0.0, -1.0));
        assert_eq!(sin_cos_turns(-1, 4), (-1.0, 0.0));
    }

    #[test]
    fn a_nan_stays_whatever_comes_after_it() {
        for values in [
            [f64::NAN, 1.0, 2.0],
            [1.0, f64::NAN, 2.0],
            [1.0, 2.0, f64::NAN],
        ] {
            assert!(values.into_iter().fold(0.0, larger).is_nan(), "{values:?}");
        }
        assert_eq!([1.0, 3.0, 2.0].into_iter().fold(0.0, larger), 3.0);
    }

    #[test]
    fn roots_of_squares_are_exact() {
        assert_eq!(sqrt_int_up(9), 3.0);
        assert_eq!(sqrt_int_up(1), 1.0);
        assert_eq!(sqrt_int_up(0), 0.0);
        assert!(sqrt_int_up(3) * sqrt_int_up(3) > 3.0);
    }
}

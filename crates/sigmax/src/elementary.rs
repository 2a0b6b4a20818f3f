//! Elementary functions with proved errors, from `+ − × ÷ √` alone.
//!
//! ⟨k⟩ says: the relative error is at most that of k roundings in sequence, γ_k. Products and
//! quotients add counters, and one; sums of positive terms take the largest, and one; a root halves
//! it. Bounds in the text are to first order in u = 2⁻⁵³; what is claimed leaves a factor for the
//! rest. Results below 10⁻³⁰⁰ may be off by [`TINY`] instead, through underflow.

use std::f64::consts::{FRAC_2_PI, FRAC_2_SQRT_PI, FRAC_PI_2, LN_2, LOG2_E};

use crate::rounding::{U, add_up, exponent, ldexp};

/// What underflow may cost, where a doc comment says so.
pub(crate) const TINY: f64 = 1e-300;

/// ln 2 rounded to a multiple of 2⁻⁴²: a multiple of it by an integer below 2¹¹ is exact.
const LN2_HIGH: f64 = 3_048_493_539_143.0 / (1u64 << 42) as f64;
/// ln 2 − [`LN2_HIGH`], rounded.
const LN2_LOW: f64 = 5.497_923_018_708_371e-14;
/// 1.5·2⁵²: a sum with it is rounded to an integer.
const TO_INTEGER: f64 = 6_755_399_441_055_744.0;

/// e^x for x ≤ 0: ⟨4⟩ from −700 on, and 0 below, where e^x < 10⁻³⁰⁴.
///
/// With k the integer nearest to x/ln 2, r = x − k·ln 2 and e^x = 2^k·e^r. k·`LN2_HIGH` is exact. For
/// k ≠ 0, |x| > ¼, so x is a multiple of 2⁻⁵⁴, and so is x − k·`LN2_HIGH`; being below ½ it is exact
/// too. Only the second subtraction rounds, by ≤ u/4, as |r| < 0.3467; k·`LN2_LOW` < 2⁻³³ adds
/// nothing visible. With the 1.51u of [`taylor`] and its last sum: < 1.8u.
pub(crate) fn exp(x: f64) -> f64 {
    exps([x])[0]
}

/// [`exp`] of several numbers, side by side: the same operations for each.
pub(crate) fn exps<const N: usize>(x: [f64; N]) -> [f64; N] {
    debug_assert!(x.iter().all(|&x| x <= 0.0));
    let (mut r, mut powers) = ([0.0; N], [0.0; N]);
    for i in 0..N {
        // A number from the range where this is right, in the place of one that is not in it.
        let y = if x[i] >= -700.0 { x[i] } else { -700.0 };
        let sum = y * LOG2_E + TO_INTEGER;
        let k = sum - TO_INTEGER;
        r[i] = (y - k * LN2_HIGH) - k * LN2_LOW;
        // −1010 ≤ k ≤ 0: a normal power of two, and a normal result. The last bits of the sum are those
        // of k, as 1.5·2⁵² is an integer multiple of 2¹².
        powers[i] = f64::from_bits(sum.to_bits().wrapping_add(1023) << 52);
    }
    let mut e = taylors(r);
    for i in 0..N {
        e[i] = if x[i] >= -700.0 {
            (1.0 + e[i]) * powers[i]
        } else {
            0.0
        };
    }
    e
}

/// e^x − 1 for x ≤ 0: ⟨8⟩, up to [`TINY`].
///
/// From −0.34 on it is [`taylor`], ⟨2⟩. Below, e^x ≤ 0.712 has an error ≤ 1.3u and the difference is
/// ≥ 0.288 and rounded once: 5.5u.
pub(crate) fn exp_m1(x: f64) -> f64 {
    if x >= -0.34 { taylor(x) } else { exp(x) - 1.0 }
}

/// e^r − 1 for |r| < 0.3467, by Taylor's series up to r¹³/13!.
///
/// Write it as r + r²·s, s = 1/2 + r/6 + …, 0.44 < s < 0.57. The terms after ½ have an error below
/// 0.2u, the last sum ½u: s is good to 0.7u and r²·s to |r|²·(2·0.57 + 0.7)u ≤ 0.64u·|r| ≤ 0.22u. The
/// sum with r rounds by ≤ u/4, the omitted terms are < 0.3467¹⁴/14!·1.03 < 0.04u. So 1 + (the
/// result) has an error ≤ (0.51 + 1)u above 1 and (0.51 + 0.5)u below, where it is ≥ 0.7: ≤ 1.51u
/// relative. Relative to the result itself, ≥ 0.82·|r|: 0.64/0.82 + 1 + 0.15 < 2u.
fn taylor(r: f64) -> f64 {
    taylors([r])[0]
}

/// [`taylor`] of several numbers, side by side.
fn taylors<const N: usize>(r: [f64; N]) -> [f64; N] {
    const INVERSE_FACTORIALS: [f64; 12] = [
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5_040.0,
        1.0 / 40_320.0,
        1.0 / 362_880.0,
        1.0 / 3_628_800.0,
        1.0 / 39_916_800.0,
        1.0 / 479_001_600.0,
        1.0 / 6_227_020_800.0,
    ];
    let mut s = [0.0; N];
    for c in INVERSE_FACTORIALS.iter().rev() {
        for i in 0..N {
            s[i] = c + r[i] * s[i];
        }
    }
    for i in 0..N {
        s[i] = r[i] + (r[i] * r[i]) * s[i];
    }
    s
}

/// ln(1 + t) for 0 ≤ t ≤ 1: ⟨8⟩, up to [`TINY`].
///
/// 2·artanh z with z = t/(2 + t) ≤ ⅓, ⟨2⟩, and artanh z = z + z·(w/3 + w²/5 + …), w = z². The sum in
/// brackets is ≤ 0.04: its error, ⟨5⟩ per power of w and three roundings per step, stays below
/// 0.04·12u. The omitted terms are < 9⁻¹⁷/35·1.2 of z. In all < 2 + 0.5 + 1 + 0.1 = 3.6u.
pub(crate) fn ln_1p(t: f64) -> f64 {
    ln_1ps([t])[0]
}

/// [`ln_1p`] of several numbers, side by side.
pub(crate) fn ln_1ps<const N: usize>(t: [f64; N]) -> [f64; N] {
    debug_assert!(t.iter().all(|t| (0.0..=1.0).contains(t)));
    let z = t.map(|t| t / (2.0 + t));
    let w = z.map(|z| z * z);
    let mut sums = [0.0; N];
    for j in (1..=16).rev() {
        let c = 1.0 / f64::from(2 * j + 1);
        for i in 0..N {
            sums[i] = (sums[i] + c) * w[i];
        }
    }
    for i in 0..N {
        sums[i] = 2.0 * (z[i] + z[i] * sums[i]);
    }
    sums
}

/// ln s for finite s ≥ 1: ⟨9⟩.
///
/// s = 2^k·(1 + t), exactly, and ln s = k·ln 2 + ln(1 + t), a sum of non-negative terms.
pub(crate) fn ln(s: f64) -> f64 {
    debug_assert!(s >= 1.0 && s.is_finite());
    let k = exponent(s) - 1;
    f64::from(k) * LN_2 + ln_1p(ldexp(s, -k) - 1.0)
}

/// arctan x: ⟨16⟩, up to [`TINY`].
///
/// For |x| > 1 it is π/2 − arctan(1/|x|). Then arctan t = 2·arctan(t/(1 + √(1 + t²))), twice: t ≤ 1
/// becomes ≤ 0.199. Each halving adds ⟨4⟩ (a relative error of t enters with a factor ≤ 1), so t is
/// ⟨9⟩ in the series t·(1 − w/3 + w²/5 − …), w = t² ≤ 0.04, whose bracket has an error ≤ 1.5u; the
/// first term omitted is < 0.04¹²/25. That is < 12u, or < 9.5u where the result is ≤ π/4 and
/// subtracted: with π/2 and the subtraction 9.5 + 0.6 + 1 < 12u, of a difference ≥ 0.78.
pub(crate) fn atan(x: f64) -> f64 {
    let a = x.abs();
    let mut t = if a > 1.0 { 1.0 / a } else { a };
    for _ in 0..2 {
        t /= 1.0 + (1.0 + t * t).sqrt();
    }
    let w = t * t;
    let mut sum = 0.0;
    for j in (1..=11).rev() {
        sum = (1.0 / f64::from(2 * j + 1) - sum) * w;
    }
    let angle = 4.0 * (t - t * sum);
    (if a > 1.0 { FRAC_PI_2 - angle } else { angle }).copysign(x)
}

/// A value and a bound of its absolute error.
pub(crate) type Approximation = (f64, f64);

/// arsinh x: ⟨20⟩, up to [`TINY`].
///
/// ln(1 + t) with t = |x| + x²/(1 + √(1 + x²)): x² ⟨1⟩, the root ⟨2⟩, the divisor ⟨3⟩, the quotient ⟨5⟩ and
/// t ⟨6⟩. For t ≤ 1 a relative error of t enters with a factor ≤ 1: ⟨6 + 8⟩. Above, 1 + t ⟨7⟩ enters
/// with one of 1/ln(1 + t) < 1.45: ⟨11 + 9⟩. From 10¹⁰⁰ on it is ln|x| + ln 2, but for a relative 10⁻²⁰⁰.
pub(crate) fn asinh(x: f64) -> f64 {
    let a = x.abs();
    let value = if a < 1e100 {
        let t = a + a * a / (1.0 + (1.0 + a * a).sqrt());
        if t <= 1.0 { ln_1p(t) } else { ln(1.0 + t) }
    } else {
        ln(a) + LN_2
    };
    value.copysign(x)
}

/// Largest |x| whose sine is computed.
const MOST_TURNED: f64 = (1u64 << 20) as f64;
/// π/2 in three parts: two of 33 bits, the rest rounded.
const HALF_PI: [f64; 3] = [
    6_746_518_852.0 / (1u64 << 32) as f64,
    6.077_100_506_303_966e-11,
    2.022_266_248_795_950_6e-21,
];

/// ∓1/j! of the powers of r² in (sin r)/r and in cos r.
const SINE: [f64; 8] = [
    -1.0 / 6.0,
    1.0 / 120.0,
    -1.0 / 5_040.0,
    1.0 / 362_880.0,
    -1.0 / 39_916_800.0,
    1.0 / 6_227_020_800.0,
    -1.0 / 1_307_674_368_000.0,
    1.0 / 355_687_428_096_000.0,
];
const COSINE: [f64; 9] = [
    -1.0 / 2.0,
    1.0 / 24.0,
    -1.0 / 720.0,
    1.0 / 40_320.0,
    -1.0 / 3_628_800.0,
    1.0 / 479_001_600.0,
    -1.0 / 87_178_291_200.0,
    1.0 / 20_922_789_888_000.0,
    -1.0 / 6_402_373_705_728_000.0,
];

/// sin x and cos x, each to within 8u; for |x| above 2²⁰, 0 to within 1.
///
/// With k the integer nearest to 2x/π, r = x − k·π/2. |k| < 2²⁰, so the products with the first two parts
/// of π/2 are exact. For k ≠ 0, |x| > ¾ and x is a multiple of 2⁻⁵³; the first part is one of 2⁻³², so
/// the first difference, below 1, is exact. The other two round by ≤ u/2 each; the product with the last
/// part, < 2⁻⁴⁸, and what the three parts leave of π/2, < 2⁻¹²⁰, add nothing visible: 1.01u. k is off from
/// 2x/π by at most ½ + 2⁻³⁰, so |r| < 0.786.
///
/// w = r² < 0.618. sin r = r + r·w·p, p = −1/6 + w/120 − …, up to r¹⁷: what is omitted is < 10⁻¹⁹. The
/// rounding of p is ≤ 4u·(1/6 + 0.618/120 + …) < 0.75u, that of r·w·p ≤ 0.49·0.75u + 3u·0.09, of the sum
/// ≤ u/2: < 1.2u. cos r = 1 + w·q, q = −½ + w/24 − …, up to r¹⁸: omitted < 10⁻²⁰; q is rounded by ≤ 4u·0.54,
/// w·q by ≤ 0.62·2.2u + 2u·0.31, the sum by ≤ u/2: < 2.6u. With 1.01u of r: < 4u.
pub(crate) fn sin_cos(x: f64) -> (Approximation, Approximation) {
    if !(x.abs() <= MOST_TURNED) {
        return ((0.0, 1.0), (0.0, 1.0));
    }
    let sum = x * FRAC_2_PI + TO_INTEGER;
    let k = sum - TO_INTEGER;
    let r = ((x - k * HALF_PI[0]) - k * HALF_PI[1]) - k * HALF_PI[2];
    let w = r * r;
    let series = |factors: &[f64]| factors.iter().rev().fold(0.0, |sum, c| c + w * sum);
    let sin = r + r * (w * series(&SINE));
    let cos = 1.0 + w * series(&COSINE);
    // The last two bits of k: |k| < 2²⁰.
    let (sin, cos) = match (k as i64).rem_euclid(4) {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    };
    ((sin, 8.0 * U), (cos, 8.0 * U))
}

/// erf x and erfc x = 1 − erf x, for x ≥ 0.
///
/// Up to 2 by the series (2/√π)·x·e^{−x²}·Σ y^n/(1·3·5⋯(2n + 1)), y = 2x², of positive terms t_n.
/// - Horner's rule: h_n = 1 + y/(2n + 1)·h_{n+1} makes four roundings per term, and step n carries
///   the share T_n/T_0 of the sum, T_n = t_n + t_{n+1} + …. As Σ_{n≥1} T_n = Σ n·t_n, and
///   (2n + 1)·t_n = y·t_{n−1} gives 2Σ n·t_n ≤ y·T_0, that is ≤ (1 + 4x²)u.
/// - Omitted terms: with N terms ≤ t_{N+1}/(1 − y/(2N + 5)), a share of T_0 that grows with y and is
///   < 5·10⁻¹⁸ = 0.05u for (y, N) = (½, 12), (2, 18), (8, 30).
/// - e^{−x²}: x² is rounded, ≤ x²·u, and ⟨4⟩. Constant and products ⟨4⟩.
///
/// In all < (10 + 5x²)u. Above 2 with τ_n = x + (n/2)/τ_{n+1}: erfc x = e^{−x²}/(√π·τ_1). (τ_n is
/// I_{n−2}/(2I_{n−1}), I_n the n-th repeated integral of erfc = I_0, and I_{n−2} = 2x·I_{n−1} + 2n·I_n.)
/// - Cut at τ_51 ≈ x: as τ_51 and τ_52 are > x, 1/τ_1 is between the convergents K_50 and K_51, and
///   |K_51 − K_50| = Π(n/2)/(B_50·B_51), B_n polynomials in x with coefficients ≥ 0, one of them odd.
///   1/τ_1 > 1/(x + 1/(2x)) ≥ 8/(9x). So the relative error is ≤ (9/8)·x·Π(n/2)/(B_50·B_51), which
///   falls with x, and at 2 is < 12u.
/// - Roundings: level n passes on the share (τ_n − x)/τ_n < 0.7 of an error: ≤ u·1.7/0.3 < 6u.
/// - e^{−x²}: x²·u and ⟨4⟩; constant, product, quotient ⟨3⟩.
///
/// In all < (25 + x²)u. From x² = 696 on, erfc x < 10⁻³⁰².
pub(crate) fn erf_erfc(x: f64) -> (Approximation, Approximation) {
    debug_assert!(x >= 0.0);
    let square = x * x;
    if square <= 4.0 {
        let y = 2.0 * square;
        let terms = match y {
            _ if y <= 0.5 => 12,
            _ if y <= 2.0 => 18,
            _ => 30,
        };
        let mut sum = 1.0;
        for n in (1..=terms).rev() {
            sum = 1.0 + y / f64::from(2 * n + 1) * sum;
        }
        let erf = FRAC_2_SQRT_PI * x * (exp(-square) * sum);
        let error = erf * ((12.0 + 6.0 * square) * U) + TINY;
        return ((erf, error), (1.0 - erf, add_up(error, U)));
    }
    let (erfc, error) = if square <= 696.0 {
        let mut tail = x;
        for n in (1..=50).rev() {
            tail = x + 0.5 * f64::from(n) / tail;
        }
        let erfc = exp(-square) * (0.5 * FRAC_2_SQRT_PI) / tail;
        (erfc, erfc * ((30.0 + 2.0 * square) * U) + TINY)
    } else {
        (0.0, TINY)
    };
    ((1.0 - erfc, add_up(error, U)), (erfc, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// References: 50 digits, rounded to f64.
    #[test]
    fn values_are_within_their_bounds() {
        let close = |value: f64, reference: f64, counter: f64| {
            // One more u: the reference is rounded.
            let error = (value - reference).abs();
            assert!(
                error <= reference.abs() * ((counter + 1.0) * U) + TINY,
                "{value} {reference}"
            );
        };
        for (x, e) in [
            (-5e-324, 1.0),
            (-0.3465, 0.707_158_819_287_271_3),
            (-0.3466, 0.707_088_106_941_018_9),
            (-1.0, 0.367_879_441_171_442_33),
            (-100.0, 3.720_075_976_020_836e-44),
            (-699.9, 1.089_662_777_779_616_2e-304),
        ] {
            close(exp(x), e, 4.0);
        }
        close(exp_m1(-1e-20), -1e-20, 8.0);
        close(exp_m1(-0.35), -0.295_311_910_281_286_56, 8.0);
        close(ln(1.0), 0.0, 9.0);
        close(ln(1.0 + f64::EPSILON), 2.220_446_049_250_312_8e-16, 9.0);
        close(ln(10.0), std::f64::consts::LN_10, 9.0);
        close(ln(f64::MAX), 709.782_712_893_384, 9.0);
        close(atan(1e300), FRAC_PI_2, 16.0);
        close(atan(-1e-200), -1e-200, 16.0);
    }

    #[test]
    fn the_two_ways_to_erf_meet() {
        let ((low, e), (low_c, e_c)) = erf_erfc(2.0);
        let ((high, f), (high_c, f_c)) = erf_erfc(2.0_f64.next_up());
        assert!((low - high).abs() <= e + f && (low_c - high_c).abs() <= e_c + f_c);
        assert!(e < 5e-15 && f < 5e-15 && f_c < 1e-16);
    }
}

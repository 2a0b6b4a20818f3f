//! Ranges against difference quotients of derivatives, whose errors `activation/tests.rs` tests.

use proptest::prelude::*;

use super::*;
use crate::rounding::U;

const NEAR: f64 = 0.9 / 1024.0;

fn near(linear: f64, cubic: f64) -> Activation {
    Activation::GeluTanhNear {
        linear: GELU_LINEAR * (1.0 + linear),
        cubic: GELU_CUBIC * (1.0 + cubic),
    }
}

/// With how close their ranges come to what is attained.
fn smooth() -> Vec<(Activation, f64)> {
    let selu = |gamma| Activation::Selu { alpha: 1.0, gamma };
    let mut smooth: Vec<_> = [
        Activation::Elu { alpha: 1.0 },
        Activation::Celu { alpha: 0.01 },
        Activation::Celu { alpha: 1.7 },
        selu(1.05),
        selu(-2.5),
        Activation::Sigmoid,
        Activation::Tanh,
        Activation::Softplus,
        Activation::Softsign,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Mish,
        Activation::Erf,
        Activation::Atan,
    ]
    .map(|activation| (activation, 1e-6))
    .to_vec();
    smooth.push((near(3e-8, -2e-8), 3e-6));
    for (linear, cubic) in [(NEAR, NEAR), (NEAR, -NEAR), (-NEAR, NEAR), (-NEAR, -NEAR)] {
        smooth.push((near(linear, cubic), 51.0 * NEAR));
    }
    smooth
}

/// The difference quotient of σ', from below and from above.
fn quotient(activation: Activation, x: f64, y: f64) -> (f64, f64) {
    let ((v, e), (w, f)) = (activation.derivative(x), activation.derivative(y));
    // Dividing the sum of two errors by x − y covers the roundings with a factor of 1.01.
    let (slope, error) = (
        (w - v) / (y - x),
        1.01 * (e + f + (w - v).abs() * U) / (y - x).abs(),
    );
    (slope - error, slope + error)
}

/// No quotient leaves the range, and some come close to its ends.
#[test]
fn curvatures_are_tight() {
    const STEP: f64 = 1.0 / 4096.0;
    const SMALL: f64 = 1.0 / 67_108_864.0;
    for (activation, close) in smooth() {
        activation.check().unwrap();
        let (low, high) = activation.curvature().unwrap();
        let grid = (-20 * 4096..20 * 4096).map(|j| f64::from(j) * STEP);
        let pairs = grid.map(|x| (x, x + STEP));
        let (mut least, mut largest) = (f64::INFINITY, f64::NEG_INFINITY);
        for (x, y) in pairs.chain([(-SMALL, 0.0), (0.0, SMALL)]) {
            let (from, to) = quotient(activation, x, y);
            assert!(
                from <= high && to >= low,
                "{activation:?} at {x}: {from} {to}"
            );
            (least, largest) = (least.min(from), largest.max(to));
        }
        let close = close * high.max(1.0);
        assert!(least <= low + close, "{activation:?}: {least} {low}");
        assert!(largest >= high - close, "{activation:?}: {largest} {high}");
    }
}

/// The closed forms, in more digits than the literals have.
#[test]
fn curvatures_are_those_of_the_theory() {
    let root_3 = 3.0_f64.sqrt();
    for (activation, low, high) in [
        (Activation::Softplus, 0.0, 0.25),
        (Activation::Elu { alpha: 1.0 }, 0.0, 1.0),
        (Activation::Celu { alpha: 0.25 }, 0.0, 4.0),
        (Activation::Softsign, -2.0, 2.0),
        (
            Activation::Sigmoid,
            -1.0 / (6.0 * root_3),
            1.0 / (6.0 * root_3),
        ),
        (
            Activation::Tanh,
            -4.0 / (3.0 * root_3),
            4.0 / (3.0 * root_3),
        ),
        (
            Activation::Atan,
            -9.0 / (8.0 * root_3),
            9.0 / (8.0 * root_3),
        ),
        (
            Activation::Erf,
            -0.967_882_898_076_573_4,
            0.967_882_898_076_573_4,
        ),
        (
            Activation::Gelu,
            -0.107_981_933_026_376_1,
            0.797_884_560_802_865_4,
        ),
        (Activation::Silu, -0.036_914_373_199_9, 0.5),
    ] {
        let (from, to) = activation.curvature().unwrap();
        assert!(
            from <= low && from >= low - 2e-12,
            "{activation:?}: {from} {low}"
        );
        assert!(
            to >= high && to <= high + 2e-12,
            "{activation:?}: {to} {high}"
        );
    }
}

/// A kink has difference quotients of σ' without limit.
#[test]
fn kinks_have_no_curvature() {
    let (low, high) = (0.0, 6.0);
    let below_1 = 1.0 - U;
    let text = |activation: Activation| activation.curvature().unwrap_err().to_string();
    for kinked in [
        Activation::Relu,
        Activation::LeakyRelu { alpha: below_1 },
        Activation::Elu { alpha: below_1 },
        Activation::Elu { alpha: -1.0 },
        Activation::Selu {
            alpha: 1.673,
            gamma: 1.05,
        },
        Activation::HardSigmoid {
            alpha: 0.2,
            beta: 0.5,
        },
        Activation::HardSwish,
        Activation::Clip { low, high },
        Activation::SoftShrink { lambd: 0.5 },
        Activation::Abs,
    ] {
        let (text, name) = (text(kinked), kinked.name());
        assert!(
            text.starts_with(name) && text.contains("its derivative jumps"),
            "{text}"
        );
        for x in [-3.0, 0.0, 1.0] {
            assert!(kinked.derivative(x).1 > f64::MAX, "{kinked:?}");
        }
    }
    for refused in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
        let celu = Activation::Celu { alpha: refused };
        assert!(text(celu).contains("parameters"));
        assert_eq!(celu.slopes_on(0.0, 1.0), (f64::NEG_INFINITY, f64::INFINITY));
    }
    assert!(text(Activation::Celu { alpha: 5e-324 }).contains("larger than any float"));
}

#[test]
fn straight_lines_have_none() {
    let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
    for (activation, slope) in [
        (Activation::LeakyRelu { alpha: 1.0 }, 1.0),
        (
            Activation::Selu {
                alpha: 1.673,
                gamma: 0.0,
            },
            0.0,
        ),
        (
            Activation::HardSigmoid {
                alpha: 0.0,
                beta: 0.5,
            },
            0.0,
        ),
        (Activation::Clip { low, high }, 1.0),
        (
            Activation::Clip {
                low: 2.0,
                high: 2.0,
            },
            0.0,
        ),
        (Activation::SoftShrink { lambd: 0.0 }, 1.0),
    ] {
        assert_eq!(activation.curvature(), Ok((0.0, 0.0)));
        assert_eq!(activation.slopes_on(-1.0, 1.0), (slope, slope));
        for x in [-1.0, 0.0, 2.0] {
            assert_eq!(activation.derivative(x), (slope, 0.0));
        }
    }
}

#[test]
fn slopes_on_an_interval() {
    let is = |activation: Activation, low: f64, high: f64, (least, largest): (f64, f64)| {
        let (from, to) = activation.slopes_on(low, high);
        assert!(
            from <= least && from >= least - 1e-10,
            "{activation:?}: {from} {least}"
        );
        assert!(
            to >= largest && to <= largest + 1e-10,
            "{activation:?}: {to} {largest}"
        );
    };
    let infinite = f64::INFINITY;
    // s(−1) and s(1).
    is(
        Activation::Softplus,
        -1.0,
        1.0,
        (0.268_941_421_369_995_1, 0.731_058_578_630_004_9),
    );
    is(Activation::Softplus, -infinite, infinite, (0.0, 1.0));
    is(Activation::Softplus, 1.0, infinite, (0.0, 1.0));
    is(
        Activation::Sigmoid,
        -1.0,
        2.0,
        (0.104_993_585_403_506_52, 0.25),
    );
    is(
        Activation::Sigmoid,
        1.0,
        2.0,
        (0.104_993_585_403_506_52, 0.196_611_933_241_481_85),
    );
    // Φ(√2) + √2·φ(√2) at √2, and 1 minus that at −√2.
    is(Activation::Gelu, 0.0, 3.0, (0.5, 1.128_904_145_185_154_8));
    is(
        Activation::Gelu,
        -infinite,
        infinite,
        (-0.128_904_145_185_154_8, 1.128_904_145_185_154_8),
    );
    is(
        Activation::Gelu,
        -2.0,
        -1.0,
        (-0.128_904_145_185_154_8, -0.083_315_470_587_686_3),
    );
    is(Activation::Gelu, 0.0, 0.0, (0.5, 0.5));
    is(
        Activation::Mish,
        -3.0,
        3.0,
        (-0.112_526_122_389_5, 1.088_498_161_251_7),
    );
    is(
        Activation::Celu { alpha: 2.0 },
        -2.0,
        5.0,
        (0.367_879_441_171_442_3, 1.0),
    );
    is(Activation::Relu, 1.0, 2.0, (0.0, 1.0));
    // Nothing is said of an interval that is none.
    is(Activation::Softplus, 1.0, -1.0, (0.0, 1.0));
    is(Activation::Softplus, f64::NAN, 0.0, (0.0, 1.0));
}

/// Around a turn the ends of a short interval are not its extremes.
#[test]
fn no_turn_is_passed_over() {
    for (activation, _) in smooth() {
        for j in -4 * 256..4 * 256 {
            let low = f64::from(j) / 256.0;
            let (from, to) = activation.slopes_on(low, low + 1.0 / 64.0);
            for k in 0..=8 {
                let (value, error) = activation.derivative(low + f64::from(k) / 512.0);
                assert!(
                    value + error >= from && value - error <= to,
                    "{activation:?} at {low}: {value} {from} {to}"
                );
            }
        }
    }
}

proptest! {
    /// Over all magnitudes: no two slopes are further apart than the range allows.
    #[test]
    fn no_pair_leaves_the_range(x in any::<f64>(), y in any::<f64>(), near in -30f64..30.0, close in -4f64..4.0) {
        prop_assume!(x.is_finite() && y.is_finite());
        for (activation, _) in smooth() {
            let (low, high) = activation.curvature().unwrap();
            for (x, y) in [(x, -x), (near, x), (near, y), (near, -near), (near, near + close), (near, close)] {
                let ((v, e), (w, f)) = (activation.derivative(x), activation.derivative(y));
                // Halves, so that nothing overflows; the rounding of x − y is relative.
                let (apart, moved, error) = (0.5 * y - 0.5 * x, 0.5 * w - 0.5 * v, 0.5 * (e + f) + U * (v.abs() + w.abs()));
                let (a, b) = (low * apart, high * apart);
                let slack = error + 8.0 * U * a.abs().max(b.abs());
                prop_assert!(moved >= a.min(b) - slack && moved <= a.max(b) + slack, "{activation:?} {x:e} {y:e}");
            }
        }
    }

    /// What lies in an interval is in the range there, which is not much wider than it must be.
    #[test]
    fn slopes_stay_in_their_range(low in -12f64..12.0, width in 0f64..6.0, at in 0f64..1.0) {
        for (activation, _) in smooth() {
            let (high, x) = (low + width, low + at * width);
            let (from, to) = activation.slopes_on(low, high);
            let (value, error) = activation.derivative(x.min(high));
            prop_assert!(value + error >= from && value - error <= to, "{activation:?} {low} {high} {x}");
            let (least, largest) = activation.curvature().unwrap();
            // At a turn σ' is within a half·sup|σ''|·(the width of its interval) of its extreme.
            let wide = largest.max(-least) * (width + 0.04) + 1e-2;
            prop_assert!(to - from <= wide, "{activation:?} {low} {high}: {from} {to}");
        }
    }
}

//! Slopes against difference quotients, values and derivatives against `testdata/activations.toml`.

use proptest::prelude::*;
use serde::Deserialize;

use super::softmax::{log_softmax, softmax};
use super::*;
use crate::rounding::U;

#[derive(Deserialize)]
struct Suite {
    x: Vec<f64>,
    activation: Vec<Table>,
    axis: Vec<Axis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    alpha: Option<f64>,
    beta: Option<f64>,
    gamma: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    values: Vec<f64>,
    derivatives: Option<Vec<f64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Axis {
    x: Vec<f64>,
    softmax: Vec<f64>,
    log_softmax: Vec<f64>,
}

impl Table {
    fn activation(&self) -> Activation {
        let alpha = self.alpha.unwrap_or(f64::NAN);
        match self.name.as_str() {
            "LeakyRelu" => Activation::LeakyRelu { alpha },
            "Elu" => Activation::Elu { alpha },
            "Celu" => Activation::Celu { alpha },
            "Selu" => Activation::Selu {
                alpha,
                gamma: self.gamma.unwrap(),
            },
            "HardSigmoid" => Activation::HardSigmoid {
                alpha,
                beta: self.beta.unwrap(),
            },
            "Clip" => Activation::Clip {
                low: self.low.unwrap(),
                high: self.high.unwrap(),
            },
            "GeluTanh" => Activation::GeluTanh,
            name => *PLAIN.iter().find(|plain| plain.name() == name).unwrap(),
        }
    }
}

const PLAIN: [Activation; 16] = [
    Activation::Relu,
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Softplus,
    Activation::Softsign,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Mish,
    Activation::HardSwish,
    Activation::Abs,
    Activation::Erf,
    Activation::Atan,
    Activation::Asinh,
    Activation::Sin,
    Activation::Cos,
];

fn all() -> Vec<Activation> {
    let (low, high) = (-1.5, f64::INFINITY);
    let mut all = PLAIN.to_vec();
    for alpha in [0.01, -1.7, 2.5] {
        all.push(Activation::LeakyRelu { alpha });
        all.push(Activation::Elu { alpha });
        all.push(Activation::Celu { alpha: alpha.abs() });
        all.push(Activation::Selu { alpha, gamma: 1.05 });
        all.push(Activation::HardSigmoid { alpha, beta: 0.5 });
    }
    all.push(Activation::SoftShrink { lambd: 0.5 });
    all.push(Activation::SoftShrink { lambd: 0.0 });
    all.push(near());
    all.push(Activation::Clip { low, high });
    all.push(Activation::Clip { low, high: low });
    all
}

/// The tanh form of Gelu as it is exported in float32: √(2/π) and its product with 0.044715.
fn near() -> Activation {
    let linear = 0.797_884_583_473_205_6;
    let cubic = linear * 0.044_714_998_453_855_515;
    Activation::GeluTanhNear { linear, cubic }
}

/// Against values of 40 digits.
#[test]
fn gelu_with_rounded_parameters() {
    for (x, expected) in [
        (-6.0, -8.439_645_206_693_89e-11),
        (-2.5, -0.015_084_264_493_538_81),
        (-0.75, -0.170_039_440_387_456_36),
        (0.001, 0.000_500_398_942_224_917_1),
        (1.418_504_008_79, 1.307_598_534_586_53),
        (3.0, 2.996_362_608_369_244_3),
        (20.0, 20.0),
    ] {
        let (value, error) = near().value(x);
        assert!(
            (value - expected).abs() <= error + U * expected.abs(),
            "{x}: {value}"
        );
        assert!(error <= 1e-14 * value.abs().max(1.0));
    }
    let (linear, cubic) = (GELU_LINEAR, GELU_CUBIC);
    let (slope, exact) = (near().slope(), Activation::GeluTanh.slope());
    assert!(slope > exact && slope < exact + 4e-7, "{slope}");
    for wrong in [
        Activation::GeluTanhNear { linear: 0.8, cubic },
        Activation::GeluTanhNear {
            linear,
            cubic: 0.036,
        },
        Activation::GeluTanhNear {
            linear: f64::NAN,
            cubic,
        },
    ] {
        assert!(wrong.check().unwrap_err().to_string().contains("near"));
    }
}

#[test]
fn the_soft_threshold() {
    let soft = |x: f64| Activation::SoftShrink { lambd: 0.5 }.value(x).0;
    assert_eq!(
        [-2.0, -0.5, 0.25, 0.5, 0.75].map(soft).map(f64::to_bits),
        [-1.5f64, 0.0, 0.0, 0.0, 0.25].map(f64::to_bits)
    );
    assert_eq!(
        Activation::SoftShrink { lambd: -0.5 }
            .check()
            .unwrap_err()
            .to_string(),
        "lambd: expected a number from 0 on for Shrink, got -0.5"
    );
}

fn suite() -> Suite {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../testdata/activations.toml"
    );
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

#[test]
fn values_are_within_their_bounds() {
    let suite = suite();
    for table in &suite.activation {
        let activation = table.activation();
        activation.check().unwrap();
        assert_eq!(suite.x.len(), table.values.len());
        for (&x, &reference) in suite.x.iter().zip(&table.values) {
            let (value, error) = activation.value(x);
            // The reference is rounded to nearest: ≤ u of it, or half a subnormal, which error
            // covers wherever it is not 0.
            let off = (value - reference).abs();
            assert!(
                off <= error + reference.abs() * U,
                "{activation:?} at {x:e}: {value:e} is {off:e} from {reference:e}, bound {error:e}"
            );
            // Nothing is computed of many turns.
            let turns = matches!(activation, Activation::Sin | Activation::Cos);
            assert!(
                error <= 1e-14 * value.abs().max(1.0) || turns && x.abs() > 1e6,
                "{activation:?} at {x:e}: bound {error:e} of {value:e}"
            );
        }
    }
}

#[test]
fn derivatives_are_within_their_bounds() {
    let suite = suite();
    let mut tables = 0;
    for table in &suite.activation {
        let activation = table.activation();
        let Some(derivatives) = &table.derivatives else {
            assert!(activation.curvature().is_err(), "{activation:?}");
            continue;
        };
        assert!(activation.curvature().is_ok(), "{activation:?}");
        assert_eq!(suite.x.len(), derivatives.len());
        for (&x, &reference) in suite.x.iter().zip(derivatives) {
            let (value, error) = activation.derivative(x);
            let off = (value - reference).abs();
            assert!(
                off <= error + reference.abs() * U,
                "{activation:?} at {x:e}: {value:e} is {off:e} from {reference:e}, bound {error:e}"
            );
            let turns = matches!(activation, Activation::Sin | Activation::Cos);
            assert!(
                error <= 1.5e-14 * value.abs().max(1.0) || turns && x.abs() > 1e6,
                "{activation:?} at {x:e}: bound {error:e} of {value:e}"
            );
        }
        tables += 1;
    }
    assert_eq!(tables, 18);
}

#[test]
fn values_are_never_nan() {
    let extreme = [f64::MAX, f64::MIN, f64::INFINITY, f64::NAN, 0.0, 5e-324];
    let parameters = [f64::MAX, f64::MIN, 0.0, 5e-324, 1.0];
    let mut all = all();
    for alpha in parameters {
        for other in parameters {
            all.push(Activation::HardSigmoid { alpha, beta: other });
            all.push(Activation::Selu {
                alpha,
                gamma: other,
            });
            all.push(Activation::LeakyRelu { alpha });
            all.push(Activation::Elu { alpha });
            all.push(Activation::Celu { alpha });
        }
    }
    for activation in all.iter().filter(|activation| activation.check().is_ok()) {
        for x in extreme.into_iter().flat_map(|x| [x, -x]) {
            let (value, error) = activation.value(x);
            assert!(value.is_finite() && error >= 0.0, "{activation:?} at {x:e}");
            assert!(x.is_finite() || error > f64::MAX);
            let (slope, error) = activation.derivative(x);
            assert!(slope.is_finite() && error >= 0.0, "{activation:?} at {x:e}");
            assert!(x.is_finite() || error > f64::MAX);
        }
    }
}

/// Every slope is above all difference quotients, and close to the steepest.
#[test]
fn slopes_are_tight() {
    const STEP: f64 = 1.0 / 16384.0;
    for activation in all() {
        let slope = activation.slope();
        let (mut steepest, mut steepest_derivative) = (0.0_f64, 0.0_f64);
        let mut before = activation.value(-12.0);
        for j in 1..24 * 16384 {
            let x = -12.0 + f64::from(j) * STEP;
            let now = activation.value(x);
            let quotient = ((now.0 - before.0).abs() - now.1 - before.1) / STEP;
            assert!(quotient <= slope, "{activation:?} at {x}: {quotient}");
            steepest = steepest.max(quotient);
            steepest_derivative = steepest_derivative.max(activation.derivative(x).0.abs());
            before = now;
        }
        assert!(steepest >= slope - 1e-4, "{activation:?}: {steepest}");
        assert!((steepest_derivative - slope).abs() < 2e-4, "{activation:?}");
    }
}

#[test]
fn derivatives_are_those_of_the_values() {
    const STEP: f64 = 1.0 / 65536.0;
    for activation in all() {
        for j in -800..800 {
            // Not at a kink: 1/200 + 1/1000 off any multiple of 1/100.
            let x = f64::from(j) / 100.0 + 0.006;
            let difference = activation.value(x + STEP).0 - activation.value(x - STEP).0;
            let off = difference / (2.0 * STEP) - activation.derivative(x).0;
            assert!(off.abs() < 1e-6, "{activation:?} at {x}: {off}");
        }
        for x in [-1e308, -1e100, -750.0, 750.0, 1e100, 1e308] {
            assert!(
                activation.derivative(x).0.is_finite(),
                "{activation:?} {x:e}"
            );
        }
    }
}

#[test]
fn wrong_parameters_are_named() {
    let message = |activation: Activation| activation.check().unwrap_err().to_string();
    assert_eq!(
        message(Activation::Celu { alpha: -1.0 }),
        "alpha: expected a positive number for Celu, got -1"
    );
    let (low, high) = (2.0, 1.0);
    assert_eq!(
        message(Activation::Clip { low, high }),
        "high: expected a number not below 2 for Clip, got 1"
    );
    for bad in [f64::NAN, f64::INFINITY] {
        assert!(Activation::Elu { alpha: bad }.check().is_err());
        assert!(Activation::Celu { alpha: bad }.check().is_err());
        assert!(
            Activation::Clip {
                low: bad,
                high: bad
            }
            .check()
            .is_err()
        );
        let (alpha, beta) = (1.0, bad);
        assert!(Activation::HardSigmoid { alpha, beta }.check().is_err());
        assert!(Activation::Selu { alpha, gamma: bad }.check().is_err());
    }
    let everything = Activation::Clip {
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    };
    assert!(everything.check().is_ok());
}

#[test]
fn float32_roundings_count_the_parameters() {
    let leaky = |alpha| Activation::LeakyRelu { alpha }.float32_roundings();
    assert_eq!(leaky(0.25), Some(1));
    assert_eq!(leaky(0.01), Some(2));
    assert_eq!(leaky(1e-300), None);
    let clip = |low, high| Activation::Clip { low, high }.float32_roundings();
    assert_eq!(clip(0.0, 6.0), Some(0));
    assert_eq!(clip(f64::NEG_INFINITY, 0.1), Some(1));
    assert_eq!(clip(1e39, f64::INFINITY), None);
    assert_eq!(Activation::Gelu.float32_roundings(), None);
}

#[test]
fn softmax_is_within_its_bound() {
    for Axis {
        x,
        softmax: p,
        log_softmax: log_p,
    } in suite().axis
    {
        type Map = fn(&[f64], &mut [f64]) -> f64;
        for (map, reference) in [(softmax as Map, p), (log_softmax as Map, log_p)] {
            let mut out = vec![f64::NAN; x.len()];
            let bound = map(&x, &mut out);
            let norm = |v: &mut dyn Iterator<Item = f64>| v.fold(0.0, f64::hypot);
            let size = norm(&mut reference.iter().copied());
            let off = norm(&mut out.iter().zip(&reference).map(|(a, b)| a - b));
            // The references are rounded: ≤ u·size; hypot itself is good to a few u.
            assert!(off <= bound + 1.01 * U * size, "{x:?}: {off} {bound}");
            assert!(bound <= 1e-14 * size.max(1.0), "{x:?}: {bound}");
        }
    }
    let mut out = [f64::NAN; 2];
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(softmax(&[1.0, bad], &mut out) > f64::MAX);
        assert!(log_softmax(&[1.0, bad], &mut out) > f64::MAX);
        assert!(out.iter().all(|v| v.is_finite()));
    }
    assert!(log_softmax(&[f64::MAX, f64::MIN], &mut out) > f64::MAX);
    assert!(out.iter().all(|v| v.is_finite()));
    assert!(softmax(&[], &mut []) < 1e-14 && log_softmax(&[], &mut []) < 1e-14);
}

proptest! {
    /// Over all magnitudes: no two points are further apart after than the slope allows.
    #[test]
    fn no_pair_is_stretched_more(x in any::<f64>(), y in any::<f64>(), near in -30f64..30.0) {
        prop_assume!(x.is_finite() && y.is_finite());
        for activation in all() {
            for (x, y) in [(x, y), (x, -x), (near, x), (near, y), (near, -near)] {
                let (v, e) = activation.value(x);
                let (w, f) = activation.value(y);
                // Halves, so that nothing overflows; three roundings on either side.
                let stretched = (0.5 * v - 0.5 * w).abs() - (0.5 * e + 0.5 * f);
                let allowed = activation.slope() * (0.5 * x - 0.5 * y).abs();
                prop_assert!(stretched <= allowed * (1.0 + 8.0 * U) + f64::MIN_POSITIVE,
                    "{activation:?} {x:e} {y:e}");
            }
        }
    }

    /// ‖softmax x − softmax y‖ ≤ ½‖x − y‖ and ‖ln softmax x − ln softmax y‖ ≤ √n‖x − y‖ (T26).
    #[test]
    fn softmax_is_lipschitz(pairs in prop::collection::vec((-9f64..9.0, -9f64..9.0), 2..6), scale in 0.001f64..1.0) {
        let x: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
        let y: Vec<f64> = pairs.iter().map(|pair| pair.0 + scale * pair.1).collect();
        let n = x.len();
        let distance = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).fold(0.0, f64::hypot);
        let (mut p, mut q) = (vec![0.0; n], vec![0.0; n]);
        let error = softmax(&x, &mut p) + softmax(&y, &mut q);
        prop_assert!(distance(&p, &q) <= 0.5 * distance(&x, &y) + error);
        let error = log_softmax(&x, &mut p) + log_softmax(&y, &mut q);
        prop_assert!(distance(&p, &q) <= (n as f64).sqrt() * distance(&x, &y) * (1.0 + 8.0 * U) + error);
    }
}

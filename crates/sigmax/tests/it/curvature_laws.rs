//! Laws of curvatures, gradients and certificates by tangents, for every network.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sigmax::network::{
    Activation, Arithmetic, Certificate, Certifier, Curvature, CurvatureRule, Effort, Forward,
    Lipschitz, Network, Op, Tangent, curvature, lipschitz,
};
use sigmax::{Error, Options};

use crate::curvature::{Chain, dense};
use crate::graphs::{Draw, Graph, Kinds, Spec, graph};
use crate::jet::{Jet, SMOOTH};
use crate::num::{Double, Num};

fn coarse() -> Options {
    Options {
        tolerance: 1e-2,
        ..Options::default()
    }
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// A direction of length 1.
fn direction(n: usize, draw: &mut Draw) -> Vec<f64> {
    let v = draw.reals(n, 1.0);
    let length = norm(&v).max(1e-9);
    v.iter().map(|v| v / length).collect()
}

/// A classifier with its bounds, and the plain evaluation of its logits.
struct Case {
    graph: Graph,
    bounds: Lipschitz,
    logits: usize,
    classes: usize,
}

impl Case {
    fn new(seed: u64, kinds: Kinds) -> Self {
        let classes = 2 + (seed % 4) as usize;
        let graph = graph(seed, kinds, 2 + (seed % 7) as usize, Some(classes));
        let bounds = lipschitz(&graph.net, &coarse()).unwrap();
        // A final softmax reads them.
        let last = graph.specs.len() - 1;
        let logits = match graph.specs[last].0 {
            Spec::Softmax(_) => last - 1,
            _ => last,
        };
        Self {
            graph,
            bounds,
            logits,
            classes,
        }
    }

    fn inputs(&self) -> usize {
        self.graph.net.input().len()
    }

    /// None where no bound is known yet.
    fn curvature(&self) -> Option<Curvature> {
        match curvature(&self.bounds, &coarse()) {
            Ok(found) => Some(found),
            Err(Error::NoCurvature { .. }) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn pair(&self, draw: &mut Draw) -> (usize, usize) {
        let y = draw.below(self.classes);
        (y, (y + 1 + draw.below(self.classes - 1)) % self.classes)
    }

    /// z_y − z_t at x + s·h, along h.
    fn along(&self, x: &[f64], s: f64, h: &[f64], (y, t): (usize, usize)) -> Jet {
        let at = |(&x, &h): (&f64, &f64)| {
            let moved = Double::of(s).mul(Double::of(h));
            Jet::new(Double::of(x).add(moved), h)
        };
        let x = x.iter().zip(h).map(at).collect();
        let values = self.graph.evaluate_with(x, None, |_, _| {});
        values[self.logits][y].add(values[self.logits][t].neg())
    }

    /// z_y − z_t, and the largest magnitude on the way, which the digits of the oracle are relative to.
    fn value(&self, x: &[f64], (y, t): (usize, usize)) -> (f64, f64) {
        let x = x.iter().map(|&x| Jet::of(x)).collect();
        let values = self.graph.evaluate_with(x, None, |_, _| {});
        let size = values.iter().flatten().map(|v| v.get().abs());
        let z = &values[self.logits];
        (z[y].add(z[t].neg()).get(), size.fold(1.0, f64::max))
    }

    /// The gradient, in twice the precision.
    fn gradient(&self, x: &[f64], pair: (usize, usize)) -> Vec<Double> {
        (0..x.len())
            .map(|i| {
                let mut unit = vec![0.0; x.len()];
                unit[i] = 1.0;
                self.along(x, 0.0, &unit, pair).first
            })
            .collect()
    }

    /// hᵀ∇²f h.
    fn bend(&self, x: &[f64], h: &[f64], pair: (usize, usize)) -> f64 {
        self.along(x, 0.0, h, pair).second.get()
    }

    /// Directions in which f bends down: power iteration on −∇²f, whose products with a vector are
    /// differences of the quadratic form.
    fn downward(&self, x: &[f64], pair: (usize, usize), draw: &mut Draw) -> Vec<f64> {
        let n = x.len();
        let mut h = direction(n, draw);
        if n > 24 {
            return h;
        }
        let unit = |i: usize| (0..n).map(|j| f64::from(i == j)).collect::<Vec<f64>>();
        let own: Vec<f64> = (0..n).map(|i| self.bend(x, &unit(i), pair)).collect();
        // Shifted, so that the least eigenvalue is the one of largest magnitude.
        let shift: f64 = own.iter().map(|v| v.abs()).sum();
        for _ in 0..4 {
            let square = self.bend(x, &h, pair);
            let mut next: Vec<f64> = (0..n)
                .map(|i| {
                    let mut both = h.clone();
                    both[i] += 1.0;
                    let product = (self.bend(x, &both, pair) - square - own[i]) / 2.0;
                    shift * h[i] - product
                })
                .collect();
            let length = norm(&next);
            if !(length > 0.0 && length.is_finite()) {
                break;
            }
            next.iter_mut().for_each(|v| *v /= length);
            h = next;
        }
        h
    }
}

/// f(x + h) + f(x − h) − 2f(x) ≥ −m‖h‖², and hᵀ∇²f h ≥ −m‖h‖², near and far. Returns whether there was a
/// bound.
pub(crate) fn check_curvature(seed: u64, kinds: Kinds) -> bool {
    let case = Case::new(seed, kinds);
    let Some(found) = case.curvature() else {
        return false;
    };
    let mut draw = Draw(seed ^ 0x99);
    let n = case.inputs();
    for size in [0.1, 1.0, 10.0] {
        let x = draw.reals(n, size);
        let pair = case.pair(&mut draw);
        let m = found.pair(pair.0, pair.1).get();
        let (value, large) = case.value(&x, pair);
        let mut directions = vec![direction(n, &mut draw), direction(n, &mut draw)];
        directions.push(case.downward(&x, pair, &mut draw));
        let mut unit = vec![0.0; n];
        unit[draw.below(n)] = 1.0;
        directions.push(unit);
        for h in directions {
            let square = norm(&h).powi(2);
            let bend = case.bend(&x, &h, pair);
            // What is left of 31 digits where terms cancel.
            let rest = 1e-22 * (1.0 + large.powi(2)) + 1e-12 * m;
            assert!(
                bend >= -m * square - rest,
                "{bend} < −{m}, pair {pair:?}, seed {seed}: {:?}",
                case.graph.specs
            );
            for step in [1e-3, 1e-1, 3.0, 1e3] {
                let above = case.along(&x, step, &h, pair).value;
                let below = case.along(&x, -step, &h, pair).value;
                let twice = Double::of(-2.0).mul(case.along(&x, 0.0, &h, pair).value);
                let second = above.add(below).add(twice).get();
                let size = above.get().abs() + below.get().abs() + value.abs() + large;
                let rest = 1e-24 * size * (1.0 + large) + 1e-12 * m * step * step;
                assert!(
                    second >= -m * square * step * step - rest,
                    "{second} < −{m}·{step}², pair {pair:?}, seed {seed}: {:?}",
                    case.graph.specs
                );
            }
        }
    }
    true
}

/// The gradient is within its error of the derivative in twice the precision; returns whether the bound is
/// of use.
pub(crate) fn check_gradient(seed: u64, kinds: Kinds) -> bool {
    let case = Case::new(seed, kinds);
    let forward = Forward::new(&case.bounds).unwrap();
    let mut draw = Draw(seed ^ 0xaa);
    let mut useful = true;
    for size in [1e-3, 1.0, 30.0] {
        let x = draw.reals(case.inputs(), size);
        let pair = case.pair(&mut draw);
        let exact = case.gradient(&x, pair);
        let found = forward.gradient(&x, pair.0, Some(pair.1)).unwrap();
        let off: Vec<f64> = exact
            .iter()
            .zip(found.values())
            .map(|(e, &v)| e.neg().add(Double::of(v)).get())
            .collect();
        let (off, error) = (norm(&off), found.error().get());
        let digits = 1e-22 * exact.iter().fold(0.0, |m, e| e.get().abs().max(m));
        assert!(
            off <= error + digits,
            "{off:e} > {error:e} at {size}, pair {pair:?}, seed {seed}: {:?}",
            case.graph.specs
        );
        useful &= error <= 1e-9 * case.bounds.upper().get().max(1.0);
    }
    useful
}

/// Ranges of σ'', as in tables, for the tightness alone.
fn range(activation: &Activation) -> (f64, f64) {
    let symmetric = |c: f64| (-c, c);
    let root = 3f64.sqrt();
    match *activation {
        Activation::Sigmoid => symmetric(1.0 / (6.0 * root)),
        Activation::Tanh => symmetric(4.0 / (3.0 * root)),
        Activation::Softplus => (0.0, 0.25),
        Activation::Softsign => symmetric(2.0),
        Activation::Gelu => (-0.107_981_933_1, 0.797_884_560_9),
        Activation::GeluTanh => (-0.107_913_515_9, 0.797_884_560_9),
        Activation::GeluTanhNear { .. } => (-0.107_913_6, 0.797_884_7),
        Activation::Silu => (-0.036_914_373_2, 0.5),
        Activation::Mish => (-0.059_033_357_0, 0.644_204_637_3),
        Activation::Erf => symmetric(0.967_882_898_1),
        Activation::Atan => symmetric(9.0 / (8.0 * root)),
        Activation::Elu { .. } => (0.0, 1.0),
        Activation::Celu { alpha } => (0.0, 1.0 / alpha),
        Activation::Selu { gamma, .. } => (gamma.min(0.0), gamma.max(0.0)),
        _ => panic!("{activation} is not smooth"),
    }
}

/// The largest eigenvalue of a symmetric matrix by Jacobi's rotations.
fn largest_eigenvalue(mut a: Vec<Vec<f64>>) -> f64 {
    let n = a.len();
    for _ in 0..30 {
        let mut off = 0.0;
        for p in 0..n {
            for q in p + 1..n {
                off += a[p][q] * a[p][q];
                if a[p][q].abs() <= 1e-300 {
                    continue;
                }
                let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
                let tan = tau.signum() / (tau.abs() + tau.hypot(1.0));
                let cos = 1.0 / tan.hypot(1.0);
                let sin = tan * cos;
                for row in &mut a {
                    (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
                }
                for j in 0..n {
                    (a[p][j], a[q][j]) =
                        (cos * a[p][j] - sin * a[q][j], sin * a[p][j] + cos * a[q][j]);
                }
            }
        }
        let diagonal: f64 = (0..n).map(|i| a[i][i] * a[i][i]).sum();
        if off <= 1e-28 * diagonal {
            break;
        }
    }
    (0..n).map(|i| a[i][i]).fold(0.0, f64::max)
}

/// Of a network with one layer of activations: λ_max(BᵀKB) by the explicit matrices, and what its entries'
/// digits may hide.
fn explicit(case: &Case, pair: (usize, usize)) -> (f64, f64) {
    let graph = &case.graph;
    let n = case.inputs();
    let activations: Vec<usize> = (0..graph.specs.len())
        .filter(|&i| matches!(graph.specs[i].0, Spec::Activation(_)))
        .collect();
    let zero = || vec![Jet::of(0.0); n];
    let mut square = vec![vec![0.0; n]; n];
    let mut hidden = 0.0;
    for &node in &activations {
        let Spec::Activation(activation) = &graph.specs[node].0 else {
            continue;
        };
        let (low, high) = range(activation);
        // Rows of B: what the node reads, along the axes of the input.
        let read = graph.specs[node].1[0];
        let columns: Vec<Vec<f64>> = (0..n)
            .map(|j| {
                let mut x = zero();
                x[j] = Jet::new(Double::of(0.0), 1.0);
                let values = graph.evaluate_with(x, None, |_, _| {});
                values[read].iter().map(|v| v.first.get()).collect()
            })
            .collect();
        for unit in 0..columns[0].len() {
            let values = graph.evaluate_with(zero(), None, |i, values| {
                if i == node {
                    values[unit].first = Double::of(1.0);
                }
            });
            let z = &values[case.logits];
            let factor = z[pair.0].add(z[pair.1].neg()).first.get();
            let kappa = (-factor * low).max(-factor * high).max(0.0);
            for i in 0..n {
                for j in 0..n {
                    square[i][j] += kappa * columns[i][unit] * columns[j][unit];
                }
            }
            let row: f64 = columns.iter().map(|c| c[unit] * c[unit]).sum();
            hidden += factor.abs() * (high - low) * row;
        }
    }
    (largest_eigenvalue(square), hidden)
}

/// m is the largest eigenvalue: not below it, and returned is whether to 2e-6. `None` where another rule was
/// used, or the range of σ'' is wider by what its parameters are off.
pub(crate) fn check_tightness(seed: u64) -> Option<bool> {
    let case = Case::new(seed, Kinds::SmoothOnce);
    let found = case.curvature()?;
    let near = |spec: &(Spec, Vec<usize>)| {
        matches!(spec.0, Spec::Activation(Activation::GeluTanhNear { .. }))
    };
    let wider = case.graph.specs.iter().any(near);
    if found.rule() != CurvatureRule::Units || case.inputs() > 40 || wider {
        return None;
    }
    let mut draw = Draw(seed ^ 0xbb);
    let pair = case.pair(&mut draw);
    let (exact, hidden) = explicit(&case, pair);
    let m = found.pair(pair.0, pair.1).get();
    assert!(
        m >= exact * (1.0 - 1e-6),
        "{m} < {exact}, pair {pair:?}, seed {seed}: {:?}",
        case.graph.specs
    );
    // Factors and entries that cancel are known to a part of what cancels.
    let through = case.bounds.upper().get();
    Some(m <= exact * (1.0 + 2e-6) + 1e-9 * (hidden + through * through) + 1e-100)
}

/// Steps down the gradient of z_y − z_t within a ball: the nearest thing to another class.
fn attack(
    forward: &Forward,
    x: &[f64],
    radius: f64,
    pair: (usize, usize),
    draw: &mut Draw,
) -> Vec<Vec<f64>> {
    let mut found = Vec::new();
    for start in 0..2 {
        let first = direction(x.len(), draw);
        let reach = if start == 0 { 0.0 } else { radius };
        let mut d: Vec<f64> = first.iter().map(|v| reach * v).collect();
        for step in 0..12 {
            let y: Vec<f64> = x.iter().zip(&d).map(|(x, d)| x + d).collect();
            let gradient = forward.gradient(&y, pair.0, Some(pair.1)).unwrap();
            let length = norm(gradient.values());
            found.push(d.clone());
            if !(length > 0.0 && length.is_finite()) {
                break;
            }
            // At first to the sphere, then along it.
            let long = 4.0 * radius / f64::from(1 + step);
            for (d, g) in d.iter_mut().zip(gradient.values()) {
                *d -= long * g / length;
            }
            let length = norm(&d);
            if length > radius {
                d.iter_mut().for_each(|d| *d *= radius / length);
            }
        }
        found.push(d);
    }
    found
}

/// Nothing within a radius has another class, as the plain evaluation in twice the precision sees it.
fn assert_radius(case: &Case, x: &[f64], label: usize, found: &Certificate, draw: &mut Draw) {
    let radius = found.radius().get().min(1e6);
    let forward = Forward::new(&case.bounds).unwrap();
    let inside = radius * (1.0 - 1e-12);
    for t in (0..case.classes).filter(|&t| t != label) {
        for d in attack(&forward, x, inside, (label, t), draw) {
            let jet = case.along(x, 1.0, &d, (label, t));
            let (_, large) = case.value(x, (label, t));
            assert!(
                jet.value.get() > -1e-22 * (1.0 + large).powi(2),
                "{} against {t} within {radius}: {:?}",
                jet.value.get(),
                case.graph.specs
            );
        }
    }
}

/// Radii of the search and of arbitrary tangents are sound, ends on both sides are in order, and what was
/// published is confirmed by its tangents. Returns how many radii came from the curvature.
pub(crate) fn check_tangents(seed: u64, kinds: Kinds) -> usize {
    let case = Case::new(seed, kinds);
    let mut draw = Draw(seed ^ 0xcc);
    let n = case.inputs();
    let mut curved = 0;
    let specs = &case.graph.specs;
    let filtered = specs
        .iter()
        .any(|(spec, _)| matches!(spec, Spec::Filtered(..)));
    for arithmetic in [Arithmetic::Real, Arithmetic::Float32] {
        // Its rounding in float32 is not bounded (T23).
        if filtered && arithmetic == Arithmetic::Float32 {
            assert!(Certifier::new(&case.graph.net, &coarse(), arithmetic).is_err());
            continue;
        }
        let mut certifier = Certifier::new(&case.graph.net, &coarse(), arithmetic).unwrap();
        if certifier.bound_curvature(&coarse()).is_err() {
            return 0;
        }
        for size in [0.1, 3.0] {
            let x = draw.reals(n, size);
            let first = &certifier.certify(&x, &[0], true).unwrap()[0];
            let label = first.prediction();
            let first = &certifier.certify(&x, &[label], true).unwrap()[0];
            let found = &certifier
                .search(&x, &[label], true, Effort::full())
                .unwrap()[0];
            let radius = found.radius().get();
            let say = || format!("seed {seed}, {arithmetic:?}: {:?}", case.graph.specs);
            assert!(radius >= first.radius().get(), "{}", say());
            if let Some(end) = found.adversarial() {
                assert!(end.get() >= radius, "{} < {radius}, {}", end.get(), say());
            }
            assert_radius(&case, &x, label, found, &mut draw);
            curved += usize::from(radius > first.radius().get());

            let tangents = found.tangents().to_vec();
            let again = &certifier
                .certify_by(&x, &[label], true, &[tangents])
                .unwrap()[0];
            assert!(again.confirms_radius(radius), "{}", say());
            assert!(again.confirms_margin(found.margin().get()), "{}", say());
            if let Some(end) = found.adversarial() {
                let beyond = end.get() * (1.0 + 1e-9);
                assert!(!again.confirms_radius(beyond), "{}", say());
            }

            // Any offset proves something that is true.
            let tangents: Vec<Tangent> = (0..6)
                .map(|_| {
                    let steps = (0..n).map(|_| (32_000.0 * draw.real()) as i32).collect();
                    let exponent = draw.below(24) as i32 - 24;
                    Tangent::new(draw.below(case.classes), exponent, steps)
                })
                .collect();
            let by = &certifier
                .certify_by(&x, &[label], true, &[tangents])
                .unwrap()[0];
            assert!(by.radius().get() >= first.radius().get(), "{}", say());
            if let Some(end) = found.adversarial() {
                assert!(end.get() >= by.radius().get(), "{}", say());
            }
            assert_radius(&case, &x, label, by, &mut draw);
            for wrong in (0..case.classes).filter(|&t| t != label) {
                let found = &certifier
                    .search(&x, &[wrong], true, Effort::full())
                    .unwrap()[0];
                assert_eq!(found.radius().get().to_bits(), 0, "{}", say());
            }
        }
    }
    curved
}

/// Of z = W·x + b the distance is known: least of f_t/‖w_y − w_t‖.
#[test]
fn tangents_never_exceed_the_distance_of_a_linear_network() {
    let mut draw = Draw(5);
    for _ in 0..100 {
        let (n, classes) = (1 + draw.below(5), 2 + draw.below(3));
        let weights = draw.reals(classes * n, 2.0);
        let network = Chain::new(&[n]).then(dense(classes, &weights)).finish();
        let mut certifier = Certifier::new(&network, &coarse(), Arithmetic::Real).unwrap();
        certifier.bound_curvature(&coarse()).unwrap();
        let x = draw.reals(n, 3.0);
        let z: Vec<f64> = (0..classes)
            .map(|t| (0..n).map(|i| weights[t * n + i] * x[i]).sum())
            .collect();
        let label = (0..classes).fold(0, |best, t| if z[t] > z[best] { t } else { best });
        let distance = (0..classes)
            .filter(|&t| t != label)
            .map(|t| {
                let difference: Vec<f64> = (0..n)
                    .map(|i| weights[label * n + i] - weights[t * n + i])
                    .collect();
                (z[label] - z[t]) / norm(&difference)
            })
            .fold(f64::INFINITY, f64::min);
        let tangents = (0..8)
            .map(|_| {
                let steps = (0..n).map(|_| (32_000.0 * draw.real()) as i32).collect();
                let exponent = draw.below(30) as i32 - 20;
                Tangent::new(draw.below(classes), exponent, steps)
            })
            .collect();
        let by = &certifier
            .certify_by(&x, &[label], true, &[tangents])
            .unwrap()[0];
        let radius = by.radius().get();
        assert!(radius <= distance * (1.0 + 1e-12), "{radius} > {distance}");
        assert!(radius >= distance * (1.0 - 1e-4), "{radius} < {distance}");
    }
}

/// Of one pixel all points within the radius are seen, and so is the end of the search's.
#[test]
fn tangents_never_exceed_the_distance_on_a_line() {
    let mut draw = Draw(6);
    let mut useful = 0;
    for round in 0..60 {
        let units = 1 + draw.below(6);
        let activation = SMOOTH[round % SMOOTH.len()];
        let network = Chain::new(&[1])
            .then(dense(units, &draw.reals(units, 3.0)))
            .then(Op::Activation(activation))
            .then(dense(2, &draw.reals(2 * units, 2.0)))
            .finish();
        let mut certifier = Certifier::new(&network, &coarse(), Arithmetic::Real).unwrap();
        certifier.bound_curvature(&coarse()).unwrap();
        let x = draw.real();
        let label = certifier.certify(&[x], &[0], true).unwrap()[0].prediction();
        let found = &certifier
            .search(&[x], &[label], true, Effort::full())
            .unwrap()[0];
        let tangents = (0..8)
            .map(|_| Tangent::new(1 - label, -15, vec![(64_000.0 * draw.real()) as i32]))
            .collect();
        let by = &certifier
            .certify_by(&[x], &[label], true, &[tangents])
            .unwrap()[0];
        let radius = found.radius().get().max(by.radius().get()).min(50.0);
        useful += usize::from(radius > 0.0);
        let forward = forward_of(&network);
        for i in -200..=200 {
            let y = x + radius * (1.0 - 1e-9) * f64::from(i) / 200.0;
            let z = forward.evaluate(&[y]).unwrap();
            let (z, error) = (z[0].values(), z[0].error().get());
            assert!(
                z[label] - z[1 - label] > -2.0 * error,
                "{activation} at {y}, {radius} around {x}"
            );
        }
    }
    assert!(useful > 50, "{useful}");
}

fn forward_of(network: &Network) -> Forward {
    Forward::new(&lipschitz(network, &coarse()).unwrap()).unwrap()
}

/// Where the networks of one layer are good enough, the bound is the eigenvalue.
#[test]
fn curvature_of_one_layer_is_tight() {
    let seen: Vec<bool> = (0..150u64)
        .filter_map(|seed| check_tightness(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    let tight = seen.iter().filter(|&&tight| tight).count();
    assert!(seen.len() >= 40, "{} networks", seen.len());
    assert_eq!(tight, seen.len(), "some are not tight");
}

#[test]
fn most_gradients_are_of_use() {
    let useful = (0..100u64)
        .filter(|&seed| check_gradient(seed.wrapping_mul(0x9E37_79B9), Kinds::Smooth))
        .count();
    assert!(useful >= 85, "{useful} of 100");
}

#[test]
fn tangents_prove_more_than_constants() {
    let curved: usize = (0..40u64)
        .map(|seed| check_tangents(seed * 7919, Kinds::SmoothOnce))
        .sum();
    assert!(curved >= 40, "{curved}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, rng_seed: RngSeed::Fixed(4), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn nothing_bends_further_down_with_one_layer(seed in any::<u64>()) {
        prop_assert!(check_curvature(seed, Kinds::SmoothOnce));
    }

    #[test]
    fn nothing_bends_further_down(seed in any::<u64>()) {
        check_curvature(seed, Kinds::Smooth);
    }

    #[test]
    fn no_gradient_is_further_off(seed in any::<u64>()) {
        check_gradient(seed, Kinds::Smooth);
    }

    #[test]
    fn no_point_within_a_radius_of_tangents_has_another_class(seed in any::<u64>()) {
        check_tangents(seed, Kinds::SmoothOnce);
    }
}

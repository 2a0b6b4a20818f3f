//! Laws that hold for every network.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use sigmax::bound::dense_norm;
use sigmax::network::{
    Arithmetic, Certifier, Distances, Forward, Limits, Lipschitz, Method, Network, Op, StatedBound,
    confirm_bounds, jacobian_norm, lipschitz,
};
use sigmax::{Conv, Kernel, Options};

use crate::graphs::{Draw, Graph, Kinds, Spec, graph};
use crate::networks::stated;
use crate::num::{Double, Num};

/// Coarse, so that the search is short.
fn coarse() -> Options {
    Options {
        tolerance: 1e-2,
        ..Options::default()
    }
}

fn norm(v: impl IntoIterator<Item = f64>) -> f64 {
    v.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    norm(a.iter().zip(b).map(|(a, b)| a - b))
}

fn output(graph: &Graph) -> usize {
    graph.net.outputs()[0].index()
}

/// x moved by `step` in a random direction.
fn moved(x: &[f64], step: f64, draw: &mut Draw) -> Vec<f64> {
    let direction = draw.reals(x.len(), 1.0);
    let length = norm(direction.iter().copied());
    let factor = step / length;
    x.iter()
        .zip(direction)
        .map(|(x, d)| x + factor * d)
        .collect()
}

/// ‖f(x) − f(y)‖ ≤ L‖x − y‖ for every node, at far and at near pairs.
pub(crate) fn check_pairs(seed: u64) {
    let graph = graph(seed, Kinds::All, 5 + (seed % 8) as usize, None);
    let bounds = lipschitz(&graph.net, &coarse()).unwrap();
    let forward = Forward::new(&bounds).unwrap();
    let mut draw = Draw(seed ^ 0x55);
    let n = graph.net.input().len();
    for step in [1e-6, 1e-3, 0.3, 3.0, 100.0] {
        let size = [0.1, 1.0, 10.0][draw.below(3)];
        let x = draw.reals(n, size);
        let y = moved(&x, step, &mut draw);
        let apart = distance(&x, &y);
        let (fx, fy) = (graph.evaluate::<f64>(&x, None), graph.evaluate(&y, None));
        // The plain values carry the rounding of all earlier nodes; erf is good to ten digits.
        let mut rest = 1e-13 * (1.0 + norm(x.iter().copied()));
        for i in 0..fx.len() {
            let (seen, allowed) = (distance(&fx[i], &fy[i]), bounds.nodes()[i].through().get());
            rest += 1e-9 * step.min(1.0) + 1e-12 * (norm(fx[i].iter().copied()) + 1.0);
            let own = bounds.nodes()[i].own().get().max(1.0);
            rest *= own;
            assert!(
                seen <= allowed * apart + rest,
                "node {i}: {seen} > {allowed}·{apart} ({rest}), seed {seed}: {:?}",
                graph.specs
            );
        }
        let both = forward.evaluate(&[&x[..], &y].concat()).unwrap();
        let seen = distance(both[0].values(), both[1].values());
        let error = both[0].error().get() + both[1].error().get();
        let allowed = bounds.upper().get() * apart + error;
        assert!(
            seen <= allowed * (1.0 + 1e-12),
            "{seen} > {allowed}, seed {seed}"
        );
    }
}

/// The matrix of difference quotients in twice the precision: of a map that is linear, its matrix;
/// else nearly its Jacobian.
fn quotients(graph: &Graph, x: &[f64], step: f64) -> Vec<Vec<Vec<f64>>> {
    let base = graph.evaluate::<Double>(x, None);
    (0..x.len())
        .map(|i| {
            let mut y = x.to_vec();
            y[i] += step;
            let step = y[i] - x[i];
            graph
                .evaluate::<Double>(&y, None)
                .iter()
                .zip(&base)
                .map(|(fy, fx)| {
                    fy.iter()
                        .zip(fx)
                        .map(|(a, b)| a.add(b.neg()).get() / step)
                        .collect()
                })
                .collect()
        })
        .collect()
}

/// ‖J‖₂ of a node from the columns, between two ends.
fn matrix_norm(columns: &[Vec<Vec<f64>>], node: usize) -> (f64, f64) {
    let (rows, cols) = (columns[0][node].len(), columns.len());
    let values = (0..rows * cols)
        .map(|i| columns[i % cols][node][i / cols])
        .collect();
    let kernel = Kernel::new(&[rows, cols], values).unwrap();
    let norm = dense_norm(&kernel, &Conv::new(0)).unwrap();
    (norm.lower().get(), norm.upper().get())
}

/// What the rules give without taking nodes together.
pub(crate) fn product(net: &Network, bounds: &Lipschitz) -> Vec<f64> {
    let mut through: Vec<f64> = Vec::new();
    for (node, bound) in net.nodes().iter().zip(bounds.nodes()) {
        let inputs = node.inputs.iter().map(|id| through[id.index()]);
        through.push(match node.op {
            Op::Input => 1.0,
            Op::Add => inputs.sum(),
            Op::Concat { .. } | Op::Max | Op::Min => norm(inputs),
            _ => bound.own().get() * inputs.sum::<f64>(),
        });
    }
    through
}

/// Norms of matrices and Jacobians are below the constants; nodes taken together do not give more
/// than the product.
pub(crate) fn check_matrices(seed: u64, kinds: Kinds) {
    let graph = graph(seed, kinds, 5 + (seed % 8) as usize, None);
    let bounds = lipschitz(&graph.net, &coarse()).unwrap();
    let mut draw = Draw(seed ^ 0x66);
    let x = draw.reals(graph.net.input().len(), 1.0);
    let step = 2f64.powi(-30);
    let columns = quotients(&graph, &x, step);
    let products = product(&graph.net, &bounds);
    for i in 0..graph.specs.len() {
        let allowed = bounds.nodes()[i].through().get();
        let (seen, _) = matrix_norm(&columns, i);
        // Products with 31 digits, divided by the step: 1e-19 relative to the values.
        let rest = 1e-15 * (1.0 + products[i]);
        assert!(
            seen <= allowed + rest,
            "node {i}: {seen} > {allowed}, seed {seed}: {:?}",
            graph.specs
        );
        assert!(
            allowed <= products[i] * (1.0 + 1e-12),
            "node {i}, seed {seed}"
        );
    }
    let forward = Forward::new(&bounds).unwrap();
    let (lower, upper) = matrix_norm(&columns, output(&graph));
    let estimate = jacobian_norm(&forward, &x, 300).unwrap().get();
    // Twice differentiable functions differ from their quotients by about the step.
    let near = 1e-6 * (1.0 + products[output(&graph)]);
    assert!(
        estimate <= upper + near,
        "{estimate} > {upper}, seed {seed}"
    );
    assert!(
        estimate >= 0.95 * lower - near,
        "{estimate} < {lower}, seed {seed}"
    );
}

/// The error of the evaluation is within its bound; returns whether the bound is also of use.
pub(crate) fn check_error(seed: u64) -> bool {
    let kinds = if seed.is_multiple_of(3) {
        Kinds::Linear
    } else {
        Kinds::Algebraic
    };
    let graph = graph(seed, kinds, 5 + (seed % 8) as usize, None);
    let bounds = lipschitz(&graph.net, &coarse()).unwrap();
    let forward = Forward::new(&bounds).unwrap();
    let mut draw = Draw(seed ^ 0x77);
    let mut useful = true;
    for size in [1.0, 1e-3, 300.0] {
        let x = draw.reals(graph.net.input().len(), size);
        let exact = graph.evaluate::<Double>(&x, None);
        let value = &forward.evaluate(&x).unwrap()[0];
        let exact_out = &exact[output(&graph)];
        let off = norm(value.values().iter().zip(exact_out).map(|(&v, e)| {
            let difference = Double::of(v).add(e.neg());
            difference.get()
        }));
        let error = value.error().get();
        assert!(
            off <= error * (1.0 + 1e-12),
            "{off:e} > {error:e}, seed {seed}: {:?}",
            graph.specs
        );
        let largest = exact
            .iter()
            .map(|v| norm(v.iter().map(|v| v.get())))
            .fold(1.0, f64::max);
        useful &= error <= 1e-10 * largest * bounds.upper().get().max(1.0);
    }
    useful
}

fn best(z: &[f64]) -> usize {
    (1..z.len()).fold(0, |best, t| if z[t] > z[best] { t } else { best })
}

/// z_label − z_t of the plain evaluation, least over t.
fn margin(graph: &Graph, logits: usize, x: &[f64], label: usize) -> f64 {
    let z = &graph.evaluate::<f64>(x, None)[logits];
    (0..z.len())
        .filter(|&t| t != label)
        .map(|t| z[label] - z[t])
        .fold(f64::INFINITY, f64::min)
}

/// x moved by at most `radius` against the margin, by a few steps along its slope.
fn attacked(
    graph: &Graph,
    logits: usize,
    x: &[f64],
    label: usize,
    radius: f64,
    draw: &mut Draw,
) -> Vec<f64> {
    let h = (1e-5 * radius).max(1e-9);
    let mut y = moved(x, 0.1 * radius, draw);
    for _ in 0..4 {
        let base = margin(graph, logits, &y, label);
        let slope: Vec<f64> = (0..y.len())
            .map(|i| {
                let mut z = y.clone();
                z[i] += h;
                (margin(graph, logits, &z, label) - base) / h
            })
            .collect();
        let length = norm(slope.iter().copied());
        if length <= 0.0 || length.is_nan() {
            break;
        }
        let step: Vec<f64> = y
            .iter()
            .zip(&slope)
            .zip(x)
            .map(|((y, s), x)| y - radius * s / length - x)
            .collect();
        let length = norm(step.iter().copied());
        if length < 1e-6 * radius {
            break;
        }
        let factor = radius / length;
        y = x.iter().zip(step).map(|(x, d)| x + factor * d).collect();
    }
    y
}

/// No point within the radius has another class, in real numbers or in float32. Returns how many
/// images were certified.
pub(crate) fn check_certificates(seed: u64) -> usize {
    let classes = 2 + (seed % 4) as usize;
    let graph = graph(seed, Kinds::All, 3 + (seed % 6) as usize, Some(classes));
    let mut draw = Draw(seed ^ 0x88);
    let n = graph.net.input().len();
    let mut certified = 0;
    let normalised = graph.specs.iter().any(|(spec, _)| {
        matches!(
            spec,
            Spec::Normalisation { .. } | Spec::Fold(..) | Spec::Filtered(..)
        )
    });
    for arithmetic in [Arithmetic::Real, Arithmetic::Float32] {
        let certifier = Certifier::new(&graph.net, &coarse(), arithmetic);
        // Its rounding in float32 is not bounded (T23, T41, T44).
        if normalised && arithmetic == Arithmetic::Float32 {
            assert!(certifier.is_err(), "seed {seed}");
            continue;
        }
        let certifier = certifier.unwrap();
        let logits = certifier.logits().index();
        for size in [0.1, 1.0, 10.0] {
            let x = draw.reals(n, size);
            // All inputs, or only those whose entries are between its own.
            let all = [f64::NEG_INFINITY, f64::INFINITY];
            let own = x
                .iter()
                .fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], &x| {
                    [low.min(x), high.max(x)]
                });
            let certifier = Certifier::new(&graph.net, &coarse(), arithmetic).unwrap();
            let (certifier, [low, high]) = match n > 1 && draw.below(3) == 0 {
                true => (certifier.within(own).unwrap(), own),
                false => (certifier, all),
            };
            let z = &graph.evaluate::<f64>(&x, None)[logits];
            let label = best(z);
            for wrong in (0..classes).filter(|&t| t != label) {
                let certificate = &certifier.certify(&x, &[wrong], true).unwrap()[0];
                if certificate.prediction() != wrong {
                    assert_eq!(certificate.radius().get().to_bits(), 0, "seed {seed}");
                }
            }
            let mut found = certifier.certify(&x, &[label], true).unwrap();
            let global = found[0].radius();
            let largest = Distances::Largest { resolution: 0.05 };
            certifier
                .enlarge(&x, true, &mut found, &largest, Limits::default())
                .unwrap();
            let certificate = &found[0];
            assert!(certificate.radius() >= global, "seed {seed}");
            // What holds of all inputs says so.
            let around = certificate.method() == Method::Local;
            let range = certifier.range().filter(|_| around);
            assert_eq!(certificate.range(), range, "seed {seed}");
            // Where nothing moves, a radius has no end.
            let radius = certificate.radius().get().min(1e6);
            if radius <= 0.0 {
                continue;
            }
            certified += 1;
            let mut again = certifier.certify(&x, &[label], true).unwrap();
            let stated = [(certificate.radius().get(), certificate.slopes().to_vec())];
            certifier
                .confirm_around(&x, true, &mut again, &stated, None)
                .unwrap();
            assert!(again[0].confirms_radius(stated[0].0), "seed {seed}");
            let inside = radius * (1.0 - 1e-9);
            let mut points: Vec<Vec<f64>> = (0..3).map(|_| moved(&x, inside, &mut draw)).collect();
            points.push(attacked(&graph, logits, &x, label, inside, &mut draw));
            for mut y in points {
                y.iter_mut().for_each(|y| *y = y.max(low).min(high));
                if arithmetic == Arithmetic::Float32 {
                    let shuffle = Some(seed ^ draw.below(1 << 20) as u64);
                    let z = graph.evaluate::<f32>(&y, shuffle)[logits].clone();
                    let kept = (0..classes).all(|t| t == label || z[label] > z[t]);
                    assert!(
                        kept,
                        "{z:?} not {label} within {radius}, seed {seed}: {:?}",
                        graph.specs
                    );
                } else {
                    let z = &graph.evaluate::<f64>(&y, None)[logits];
                    let size = norm(z.iter().copied()) + norm(y.iter().copied()) + 1.0;
                    let kept = (0..classes).all(|t| z[label] >= z[t] - 1e-9 * size);
                    assert!(
                        kept,
                        "{z:?} not {label} within {radius}, seed {seed}: {:?}",
                        graph.specs
                    );
                }
            }
        }
    }
    certified
}

/// The checker takes what the certifier states, and nothing that is lower.
fn check_checker(seed: u64) {
    let graph = graph(seed, Kinds::All, 3 + (seed % 6) as usize, Some(3));
    let options = Options::default();
    let certifier = Certifier::new(&graph.net, &options, Arithmetic::Real).unwrap();
    let claims: Vec<StatedBound> = certifier.bounds().nodes().iter().map(stated).collect();
    let confirmed = confirm_bounds(&graph.net, &claims)
        .unwrap_or_else(|error| panic!("{error}, seed {seed}: {:?}", graph.specs));
    assert_eq!(&confirmed, certifier.bounds(), "seed {seed}");
    for (i, node) in graph.net.nodes().iter().enumerate() {
        let one_tap = match &node.op {
            Op::Conv { kernel, .. } | Op::Dense { kernel, .. } => {
                kernel.spatial().iter().all(|&k| k == 1)
            }
            _ => false,
        };
        for part in if one_tap {
            vec![0.01, 0.002]
        } else {
            vec![0.01]
        } {
            if claims[i].own > 0.0 {
                let mut lowered = claims.clone();
                lowered[i].own *= 1.0 - part;
                assert!(
                    confirm_bounds(&graph.net, &lowered).is_err(),
                    "own of {i} less {part}, seed {seed}: {:?}",
                    graph.specs
                );
            }
            if claims[i].through > 0.0 && (part > 0.005 || claims[i].together_from.is_none()) {
                let mut lowered = claims.clone();
                lowered[i].through *= 1.0 - part;
                assert!(
                    confirm_bounds(&graph.net, &lowered).is_err(),
                    "through of {i} less {part}, seed {seed}: {:?}",
                    graph.specs
                );
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, rng_seed: RngSeed::Fixed(2), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn no_pair_of_points_is_stretched_further(seed in any::<u64>()) {
        check_pairs(seed);
    }

    #[test]
    fn no_jacobian_is_larger(seed in any::<u64>()) {
        check_matrices(seed, Kinds::Algebraic);
    }

    #[test]
    fn no_matrix_is_larger(seed in any::<u64>()) {
        check_matrices(seed, Kinds::Linear);
    }

    #[test]
    fn no_point_within_the_radius_has_another_class(seed in any::<u64>()) {
        check_certificates(seed);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, failure_persistence: None, rng_seed: RngSeed::Fixed(3), max_shrink_iters: 0, ..ProptestConfig::default() })]

    #[test]
    fn the_checker_takes_the_bounds_and_nothing_lower(seed in any::<u64>()) {
        check_checker(seed);
    }

    #[test]
    fn values_do_not_depend_on_threads(seed in any::<u64>()) {
        let graph = graph(seed, Kinds::All, 8, None);
        let bounds = lipschitz(&graph.net, &coarse()).unwrap();
        let n = graph.net.input().len();
        let images = Draw(seed).reals(150 * n, 1.0);
        let run = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                Forward::new(&bounds).unwrap().evaluate(&images).unwrap()
            })
        };
        let (one, four) = (run(1), run(4));
        prop_assert_eq!(&one, &four);
        // Alone, an image may meet other sums, but not leave the error bound.
        let forward = Forward::new(&bounds).unwrap();
        for i in [0, 63, 64, 149] {
            let alone = &forward.evaluate(&images[i * n..][..n]).unwrap()[0];
            let error = alone.error().get() + one[i].error().get();
            prop_assert!(distance(alone.values(), one[i].values()) <= error);
        }
    }
}

#[test]
fn errors_are_within_their_bounds() {
    let useful = (0..500u64)
        .filter(|&seed| check_error(seed.wrapping_mul(0x9E37_79B9)))
        .count();
    assert!(useful >= 450, "{useful} of 500 bounds are of use");
}

#[test]
fn many_random_classifiers_are_certified() {
    let certified: usize = (0..60u64).map(|seed| check_certificates(seed * 7919)).sum();
    assert!(certified >= 60, "{certified}");
}

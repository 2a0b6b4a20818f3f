//! The gradient against the core's, finite differences, and at ties.

use burn::module::Module;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use sigmax::Conv;
use sigmax::bound::four_gradient;
use sigmax_burn::{Form, Measure, SpectralPenaltyConfig};

use crate::support::{Numbers, autodiff, conv2d, geometry, in_f64, kernel, net, replace, values};

fn gradient<const D: usize, M: Module>(
    model: &M,
    weight: &Tensor<D>,
    config: &SpectralPenaltyConfig,
) -> Vec<f64> {
    let loss = config.init(model).unwrap().evaluate(model).unwrap().loss();
    values(&weight.grad(&loss.backward()).unwrap())
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * scale,
            "entry {i}: {a}, expected {b}"
        );
    }
}

#[test]
fn it_is_the_gradient_of_the_core() {
    let model = in_f64(net(&autodiff()));
    let config = SpectralPenaltyConfig::new()
        .with_beta(1.0)
        .with_initial_steps(3000);
    let config = geometry()
        .into_iter()
        .fold(config, |config, (pattern, conv)| {
            config.with_geometry(pattern, conv)
        });
    let value = config.init(&model).unwrap().evaluate(&model).unwrap();
    let gradients = value.loss().backward();
    let geometry = |i: usize| geometry()[i].1.clone();
    let check = |found: Vec<f64>, kernel: sigmax::Kernel, conv: Conv| {
        let expected = four_gradient(&kernel, &conv).unwrap().gradient().to_vec();
        // Both are singular vectors from iterations in f64, good to about 1e-7 here.
        assert_close(&found, &expected, 1e-5);
    };
    macro_rules! check {
        ($weight:expr, $conv:expr) => {
            let weight = $weight.val();
            check(
                values(&weight.grad(&gradients).unwrap()),
                kernel(&weight),
                $conv,
            );
        };
    }
    check!(model.stem.weight, geometry(0));
    check!(model.depthwise.weight, geometry(1));
    check!(model.up.weight, geometry(2).transposed(&[0, 0]));
    check!(model.blocks[1].conv.weight, Conv::new(2));
    check!(model.line.weight, Conv::new(1));
    check!(model.cube.as_ref().unwrap().weight, Conv::new(3));
}

#[test]
fn it_agrees_with_finite_differences_for_every_measure_and_form() {
    let device = autodiff();
    let weights = Numbers(9).take(3 * 4 * 9);
    let model = in_f64(conv2d([4, 3, 3, 3], weights.clone(), &device));
    let with = |weights: &[f64]| -> Conv2d {
        let mut changed = model.clone();
        changed.weight = changed.weight.map(|old| replace(&old, weights.to_vec()));
        changed
    };
    let sized = Conv::new(2)
        .with_stride(&[2, 1])
        .with_padding(&[(1, 1), (1, 1)])
        .with_input_size(&[6, 5]);
    let measures = [
        Measure::Four,
        Measure::Reshape("S".into()),
        Measure::WeightedFour,
        Measure::TrackedNorm,
        Measure::TrackedOperator,
    ];
    for measure in measures {
        for form in [Form::Sum, Form::SumLog, Form::Hinge { target: 1.0 }] {
            let config = SpectralPenaltyConfig::new()
                .with_measure(measure.clone())
                .with_form(form)
                .with_beta(0.7)
                .with_geometry("*", sized.clone())
                .with_initial_steps(800);
            let penalty = config.init(&model).unwrap();
            let value = penalty.evaluate(&model).unwrap().loss();
            let weight = model.weight.val();
            let exact = values(&weight.grad(&value.backward()).unwrap());
            // One power step from converged vectors: off by the square of the change.
            let loss =
                |weights: &[f64]| values(&penalty.evaluate(&with(weights)).unwrap().loss())[0];
            let h = 1e-5;
            let scale = exact.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for entry in [0, 17, 52, 107] {
                let mut moved = weights.clone();
                moved[entry] += h;
                let above = loss(&moved);
                moved[entry] -= 2.0 * h;
                let difference = (above - loss(&moved)) / (2.0 * h);
                // The central difference is off by O(h²) and by the rounding 1e-16/h.
                let tolerance = 1e-6;
                assert!(
                    (exact[entry] - difference).abs() <= tolerance * scale,
                    "{measure:?} {form:?} entry {entry}: {} and {difference}",
                    exact[entry]
                );
            }
        }
    }
}

#[test]
fn at_a_tie_of_reshapes_one_of_them_counts() {
    // One tap: all four reshapes have the norm 2, the bound is 3·2.
    let mut weights = vec![0.0; 9];
    weights[4] = 2.0;
    let model = conv2d([1, 1, 3, 3], weights, &autodiff());
    let config = SpectralPenaltyConfig::new().with_beta(1.0);
    let found = gradient(&model, &model.weight.val(), &config);
    let mut expected = vec![0.0; 9];
    expected[4] = 3.0;
    assert_close(&found, &expected, 1e-6);
}

#[test]
fn at_a_tie_of_groups_one_of_them_counts() {
    let model = conv2d([3, 1, 1, 1], vec![2.0; 3], &autodiff());
    for measure in [Measure::Four, Measure::WeightedFour, Measure::TrackedNorm] {
        let config = SpectralPenaltyConfig::new()
            .with_measure(measure)
            .with_beta(1.0)
            .with_geometry("*", Conv::new(2).with_groups(3));
        let mut found = gradient(&model, &model.weight.val(), &config);
        found.sort_by(f64::total_cmp);
        assert_close(&found, &[0.0, 0.0, 1.0], 1e-6);
    }
}

#[test]
fn weights_without_gradients_count_in_the_value_alone() {
    let mut model = net(&autodiff());
    model.stem = model.stem.no_grad();
    let config = SpectralPenaltyConfig::new();
    let result = config.init(&model).unwrap().step(&model).unwrap();
    assert!(result.layers().iter().any(|layer| layer.path == "stem"));
    let gradients = result.loss().backward();
    assert!(model.stem.weight.val().grad(&gradients).is_none());
    assert!(model.line.weight.val().grad(&gradients).is_some());
}

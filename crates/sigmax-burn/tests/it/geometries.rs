//! Layers whose stride and dilation have a common factor, against the core.

use burn::module::Module;
use burn::nn::conv::{Conv1d, Conv1dConfig, Conv2d, ConvTranspose2d, ConvTranspose2dConfig};
use burn::tensor::Device;
use sigmax::bound::four_gradient;
use sigmax::{Conv, Options};
use sigmax_burn::{Measure, ProvedLayer, SpectralPenaltyConfig, prove};

use crate::support::{Numbers, autodiff, close, conv2d, fill, in_f64, kernel, replace, values};

/// (stride, dilation) with gcd 1, 2 and 3, and different ones per axis.
const STEPS: [([usize; 2], [usize; 2]); 7] = [
    ([2, 3], [1, 2]),
    ([2, 2], [2, 2]),
    ([4, 2], [2, 4]),
    ([4, 6], [6, 4]),
    ([3, 3], [3, 3]),
    ([6, 3], [3, 6]),
    ([2, 3], [2, 3]),
];

#[derive(Module, Debug)]
struct Net {
    down: Conv2d,
    grouped: Conv2d,
    up: ConvTranspose2d,
}

fn net(device: &Device) -> Net {
    let mut numbers = Numbers(21);
    let net = Net {
        down: conv2d([3, 2, 3, 4], numbers.take(72), device),
        grouped: conv2d([4, 2, 3, 3], numbers.take(72), device),
        up: fill(
            ConvTranspose2dConfig::new([4, 6], [3, 2])
                .with_groups(2)
                .with_bias(false)
                .init(device),
            5,
        ),
    };
    in_f64(net)
}

fn config((stride, dilation): ([usize; 2], [usize; 2])) -> SpectralPenaltyConfig {
    let conv = Conv::new(2).with_stride(&stride).with_dilation(&dilation);
    SpectralPenaltyConfig::new()
        .with_beta(1.0)
        .with_initial_steps(2000)
        .with_geometry("down", conv.clone())
        .with_geometry("grouped", conv.clone().with_groups(2))
        .with_geometry("up", conv.with_groups(2))
}

/// Calls `check` with every layer's estimate and what the core proves of it.
fn compare(measure: &Measure, initial: usize, check: impl Fn(f64, &ProvedLayer)) {
    let model = net(&Device::default());
    for steps in STEPS {
        let config = config(steps)
            .with_measure(measure.clone())
            .with_initial_steps(initial);
        let penalty = config.init(&model).unwrap();
        let estimates = penalty.evaluate(&model).unwrap().layers();
        let proved = prove(&model, config.layer_selection(), &Options::default()).unwrap();
        assert_eq!((estimates.len(), proved.len()), (3, 3));
        for proved in &proved {
            let path = &proved.layer().path;
            let found = estimates.iter().find(|e| e.path == *path).unwrap();
            check(found.estimate.get(), proved);
        }
    }
}

#[test]
fn the_four_are_those_of_the_core() {
    compare(&Measure::Four, 2000, |estimate, proved| {
        close(estimate, proved.audit().four().min().get(), 2e-6);
    });
}

#[test]
fn the_weighted_four_are_between_the_norm_and_the_core() {
    compare(&Measure::WeightedFour, 400, |estimate, proved| {
        let audit = proved.audit();
        assert!(estimate >= audit.norm().bracket().lower().get() * (1.0 - 1e-9));
        // The core stops its optimisation after a fixed number of rounds.
        assert!(estimate <= audit.weighted_four().upper().get() * 1.01);
    });
}

#[test]
fn the_tracked_norm_is_that_of_the_core() {
    compare(&Measure::TrackedNorm, 60, |estimate, proved| {
        let norm = proved.audit().norm().bracket();
        // Below the norm but for the rounding of sums of fewer than 300 products in f64.
        assert!(estimate <= norm.upper().get() * (1.0 + 1e-12), "{norm:?}");
        assert!(estimate >= norm.lower().get() * 0.99, "{estimate} {norm:?}");
    });
}

#[test]
fn the_gradients_are_those_of_the_core() {
    let model = net(&autodiff());
    for (stride, dilation) in STEPS {
        let config = config((stride, dilation));
        let loss = config
            .init(&model)
            .unwrap()
            .evaluate(&model)
            .unwrap()
            .loss();
        let gradients = loss.backward();
        let conv = Conv::new(2).with_stride(&stride).with_dilation(&dilation);
        let weights = [
            (model.down.weight.val(), conv.clone()),
            (model.grouped.weight.val(), conv.clone().with_groups(2)),
            (
                model.up.weight.val(),
                conv.with_groups(2).transposed(&[0, 0]),
            ),
        ];
        for (weight, conv) in weights {
            let found = values(&weight.grad(&gradients).unwrap());
            let expected = four_gradient(&kernel(&weight), &conv).unwrap();
            let expected = expected.gradient();
            let scale = expected.iter().fold(0.0f64, |m, v| m.max(v.abs()));
            for (a, b) in found.iter().zip(expected) {
                // Both are singular vectors from iterations in f64, good to about 1e-7 here.
                assert!((a - b).abs() <= 1e-5 * scale, "{conv:?}: {a}, not {b}");
            }
        }
    }
}

/// A layer from one channel to one, with the taps 1 and 1.
fn pair(device: &Device) -> Conv1d {
    let mut conv = Conv1dConfig::new(1, 1, 2).with_bias(false).init(device);
    conv.weight = conv.weight.map(|old| replace(&old, vec![1.0, 1.0]));
    in_f64(conv)
}

#[test]
fn two_taps_at_stride_and_dilation_2_have_the_norm_2_and_the_gradient_1_1() {
    // y[j] = x[2j] + x[2j + 2]: on the even pixels the kernel [1, 1] of stride 1.
    let model = pair(&autodiff());
    for measure in [Measure::Four, Measure::WeightedFour, Measure::TrackedNorm] {
        let config = SpectralPenaltyConfig::new()
            .with_measure(measure)
            .with_beta(1.0)
            .with_geometry("*", Conv::new(1).with_stride(&[2]).with_dilation(&[2]));
        let loss = config.init(&model).unwrap().evaluate(&model).unwrap();
        close(loss.layers()[0].estimate.get(), 2.0, 1e-9);
        let weight = model.weight.val();
        for gradient in values(&weight.grad(&loss.loss().backward()).unwrap()) {
            close(gradient, 1.0, 1e-9);
        }
    }
}

#[test]
fn layers_that_differ_in_the_stride_that_matters_are_not_computed_together() {
    // At stride 2 the two taps are two phases, whose norm is √2; with dilation 2 it is 2.
    #[derive(Module, Debug)]
    struct Two {
        plain: Conv1d,
        dilated: Conv1d,
    }
    let device = Device::default();
    let model = Two {
        plain: pair(&device),
        dilated: pair(&device),
    };
    let stride = Conv::new(1).with_stride(&[2]);
    let config = SpectralPenaltyConfig::new()
        .with_geometry("plain", stride.clone())
        .with_geometry("dilated", stride.with_dilation(&[2]));
    let found = config
        .init(&model)
        .unwrap()
        .evaluate(&model)
        .unwrap()
        .layers();
    let of = |path: &str| {
        let layer = found.iter().find(|layer| layer.path == path).unwrap();
        layer.estimate.get()
    };
    close(of("plain"), 2f64.sqrt(), 1e-9);
    close(of("dilated"), 2.0, 1e-9);
}

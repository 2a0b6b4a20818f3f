//! The estimates against what the core proves.

use burn::module::Module;
use burn::tensor::Device;
use sigmax::estimate::Operator;
use sigmax::{Conv, Options};
use sigmax_burn::{Form, LayerKind, Measure, SpectralPenaltyConfig, prove};

use crate::support::{Net, close, conv2d, geometry, in_f64, kernel, net, values};

fn config(measure: Measure) -> SpectralPenaltyConfig {
    let config = SpectralPenaltyConfig::new()
        .with_measure(measure)
        .with_linear(true)
        .with_initial_steps(2000);
    geometry()
        .into_iter()
        .fold(config, |config, (pattern, conv)| {
            config.with_geometry(pattern, conv)
        })
}

/// (estimate, proved layer) for every layer of a model.
fn both<M: Module>(
    model: &M,
    config: &SpectralPenaltyConfig,
) -> Vec<(f64, sigmax_burn::ProvedLayer)> {
    let estimates = config
        .init(model)
        .unwrap()
        .evaluate(model)
        .unwrap()
        .layers();
    let proved = prove(model, config.layer_selection(), &Options::default()).unwrap();
    assert_eq!(estimates.len(), proved.len());
    proved
        .into_iter()
        .map(|proved| {
            let found = estimates
                .iter()
                .find(|e| e.path == proved.layer().path)
                .unwrap();
            (found.estimate.get(), proved)
        })
        .collect()
}

#[test]
fn the_four_in_f64_agree_with_the_core() {
    let model = in_f64(net(&Device::default()));
    for (estimate, proved) in both(&model, &config(Measure::Four)) {
        // The core's bound is within 1e-6 of the exact one; rounding in f64 is far below.
        let bound = proved.audit().four().min().get();
        assert!(estimate <= bound * (1.0 + 1e-12), "{}", proved.layer().path);
        close(estimate, bound, 2e-6);
    }
}

#[test]
fn the_four_in_f32_agree_with_the_core_to_rounding() {
    let model = net(&Device::default());
    for (estimate, proved) in both(&model, &config(Measure::Four)) {
        // A sum of n products W·G in f32 is off by at most γ_n Σ|W||G| ≤ n·2⁻²⁴·‖W‖_F·‖G‖_F, and
        // ‖G‖_F = √(Πk), so relatively by n·2⁻²⁴·‖W‖_F/‖M‖₂ with ‖W‖_F ≤ √rank·‖M‖₂; the unit
        // vectors themselves are off by as much again.
        let n: usize = proved.layer().shape.iter().product();
        let rank = proved.layer().shape[0].min(proved.layer().shape[1]) * 5;
        let tolerance =
            2e-6 + 2.0 * n as f64 * (rank as f64).sqrt() * f64::from(f32::EPSILON) / 2.0;
        close(estimate, proved.audit().four().min().get(), tolerance);
    }
}

#[test]
fn every_reshape_has_the_value_of_the_core() {
    let model = in_f64(net(&Device::default()));
    for name in ["T", "U"] {
        let config = config(Measure::Reshape(name.into())).with_linear(false);
        for (estimate, proved) in both(&model, &config) {
            close(
                estimate,
                proved.audit().four().get(name).unwrap().get(),
                2e-6,
            );
        }
    }
    for name in ["R", "S"] {
        let config = SpectralPenaltyConfig::new()
            .with_measure(Measure::Reshape(name.into()))
            .with_include("stem")
            .with_include("up")
            .with_initial_steps(2000)
            .with_geometry("stem", geometry()[0].1.clone())
            .with_geometry("up", geometry()[2].1.clone());
        for (estimate, proved) in both(&model, &config) {
            close(
                estimate,
                proved.audit().four().get(name).unwrap().get(),
                2e-6,
            );
        }
    }
}

#[test]
fn the_weighted_four_are_between_the_norm_and_the_four() {
    let model = in_f64(net(&Device::default()));
    for (estimate, proved) in both(&model, &config(Measure::WeightedFour)) {
        let audit = proved.audit();
        assert!(estimate >= audit.norm().bracket().lower().get() * (1.0 - 1e-9));
        assert!(
            estimate <= audit.four().min().get() * (1.0 + 1e-6),
            "{}",
            proved.layer().path
        );
        // The core stops its optimisation after a fixed number of rounds.
        assert!(
            estimate <= audit.weighted_four().upper().get() * 1.01,
            "{}",
            proved.layer().path
        );
    }
}

#[test]
fn without_geometry_the_value_bounds_every_geometry() {
    let model = in_f64(net(&Device::default()));
    let blind = SpectralPenaltyConfig::new().with_initial_steps(2000);
    let selection = config(Measure::Four).with_linear(false);
    let estimates = blind
        .init(&model)
        .unwrap()
        .evaluate(&model)
        .unwrap()
        .layers();
    for proved in prove(&model, selection.layer_selection(), &Options::default()).unwrap() {
        let found = estimates
            .iter()
            .find(|e| e.path == proved.layer().path)
            .unwrap();
        assert!(
            found.estimate.get() >= proved.audit().norm().bracket().lower().get() * (1.0 - 1e-9)
        );
    }
}

#[test]
fn the_tracked_operator_is_the_norm_of_the_padded_layer() {
    let model = in_f64(net(&Device::default()));
    let size = |conv: Conv, size: &[usize]| conv.with_input_size(size);
    let padded = Conv::new(2).with_padding(&[(1, 1), (0, 2)]);
    let up = Conv::new(2)
        .with_stride(&[2, 2])
        .with_groups(2)
        .with_padding(&[(1, 1), (1, 1)])
        .transposed(&[1, 0]);
    let cases = [
        ("stem", size(Conv::new(2).with_stride(&[2, 2]), &[7, 8])),
        ("blocks.*.conv", size(padded.clone(), &[6, 5])),
        (
            "depthwise",
            size(padded.with_groups(6).with_dilation(&[2, 1]), &[6, 6]),
        ),
        ("up", size(up, &[4, 3])),
        ("line", size(Conv::new(1).with_padding(&[(1, 1)]), &[9])),
        (
            "cube",
            size(
                Conv::new(3).with_padding(&[(1, 1), (1, 1), (1, 1)]),
                &[3, 4, 3],
            ),
        ),
    ];
    for (pattern, conv) in cases {
        let config = SpectralPenaltyConfig::new()
            .with_measure(Measure::TrackedOperator)
            .with_include(pattern)
            .with_geometry(pattern, conv)
            .with_initial_steps(1500);
        let penalty = config.init(&model).unwrap();
        let found = penalty.evaluate(&model).unwrap().layers();
        for (layer, found) in penalty.layers().zip(found) {
            let weight = weight(&model, &layer.path);
            let exact = operator_norm(&Operator::new(&weight, &layer.conv).unwrap());
            close(found.estimate.get(), exact, 1e-6);
        }
    }
}

fn weight(model: &Net, path: &str) -> sigmax::Kernel {
    match path {
        "stem" => kernel(&model.stem.weight.val()),
        "depthwise" => kernel(&model.depthwise.weight.val()),
        "up" => kernel(&model.up.weight.val()),
        "line" => kernel(&model.line.weight.val()),
        "cube" => kernel(&model.cube.as_ref().unwrap().weight.val()),
        "blocks.0.conv" => kernel(&model.blocks[0].conv.weight.val()),
        _ => kernel(&model.blocks[1].conv.weight.val()),
    }
}

/// 4000 power steps in f64.
fn operator_norm(operator: &Operator) -> f64 {
    let mut x: Vec<f64> = (0..operator.input_len())
        .map(|i| 1.0 + (i as f64 * 0.37).fract())
        .collect();
    let mut norm = 0.0;
    for _ in 0..4000 {
        let length = x.iter().map(|v| v * v).sum::<f64>().sqrt();
        x.iter_mut().for_each(|v| *v /= length);
        let y = operator.apply(&x);
        norm = y.iter().map(|v| v * v).sum::<f64>().sqrt();
        x = operator.apply_transpose(&y);
    }
    norm
}

#[test]
fn the_forms_are_what_they_say() {
    let model = in_f64(net(&Device::default()));
    let base = config(Measure::Four).with_beta(0.5).with_initial_steps(5);
    let bounds: Vec<f64> = both(&model, &base)
        .iter()
        .map(|(estimate, _)| *estimate)
        .collect();
    let loss = |form| {
        let penalty = base.clone().with_form(form).init(&model).unwrap();
        values(&penalty.evaluate(&model).unwrap().loss())[0]
    };
    let target = bounds.iter().sum::<f64>() / bounds.len() as f64;
    let log: f64 = bounds
        .iter()
        .map(|b| b.log2() / std::f64::consts::LOG2_E)
        .sum();
    let hinge: f64 = bounds.iter().map(|b| (b - target).max(0.0)).sum();
    close(loss(Form::Sum), 0.5 * bounds.iter().sum::<f64>(), 1e-12);
    close(loss(Form::SumLog), 0.5 * log, 1e-12);
    close(loss(Form::LogProduct), 0.5 * log, 1e-12);
    close(loss(Form::Hinge { target }), 0.5 * hinge, 1e-12);
}

#[test]
fn a_kernel_of_zeros_has_the_value_zero_and_recovers() {
    let device = Device::default();
    let zero = conv2d([2, 2, 3, 3], vec![0.0; 36], &device);
    let one = conv2d([2, 2, 3, 3], vec![1.0; 36], &device);
    for measure in [Measure::Four, Measure::WeightedFour, Measure::TrackedNorm] {
        let mut penalty = SpectralPenaltyConfig::new()
            .with_measure(measure)
            .with_rescan_every(3)
            .init(&zero)
            .unwrap();
        assert!(values(&penalty.step(&zero).unwrap().loss())[0].abs() <= 0.0);
        let mut found = 0.0;
        for _ in 0..40 {
            found = penalty.step(&one).unwrap().layers()[0].estimate.get();
        }
        close(found, 18.0, 1e-3); // Σ|K| = 9 per channel pair, attained at θ = 0: 9·2.
    }
}

#[test]
fn all_kinds_of_layers_are_found() {
    let model = net(&Device::default());
    let found: Vec<(String, LayerKind)> = sigmax_burn::layers(&model)
        .into_iter()
        .map(|layer| (layer.path, layer.kind))
        .collect();
    let expected = [
        ("stem", LayerKind::Conv),
        ("blocks.0.conv", LayerKind::Conv),
        ("blocks.1.conv", LayerKind::Conv),
        ("blocks.1.shortcut", LayerKind::Conv),
        ("depthwise", LayerKind::Conv),
        ("up", LayerKind::ConvTranspose),
        ("line", LayerKind::Conv),
        ("cube", LayerKind::Conv),
        ("head", LayerKind::Linear),
    ];
    assert_eq!(found, expected.map(|(path, kind)| (path.to_owned(), kind)));
}

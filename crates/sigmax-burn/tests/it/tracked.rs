//! The tracked norm against the proved bracket.

use burn::module::Module;
use burn::tensor::Device;
use sigmax::Options;
use sigmax_burn::{Measure, SpectralPenalty, SpectralPenaltyConfig, prove};

use crate::support::{Each, Numbers, conv2d, fill, geometry, net};

fn check<M: Module>(penalty: &SpectralPenalty, model: &M) {
    let estimates = penalty.evaluate(model).unwrap().layers();
    let selection = penalty.config().layer_selection();
    for proved in prove(model, selection, &Options::default()).unwrap() {
        let found = estimates
            .iter()
            .find(|e| e.path == proved.layer().path)
            .unwrap();
        let (found, norm) = (found.estimate.get(), proved.audit().norm().bracket());
        let path = &proved.layer().path;
        // Below the norm in exact arithmetic; the f32 sum of fewer than 300 products adds 1e-5.
        assert!(
            found <= norm.upper().get() * (1.0 + 1e-5),
            "{path}: {found} {norm:?}"
        );
        assert!(
            found >= norm.lower().get() * 0.99,
            "{path}: {found} {norm:?}"
        );
    }
}

#[test]
fn it_is_the_norm_for_every_geometry() {
    for seed in 0..8 {
        let model = fill(net(&Device::default()), seed);
        let config = SpectralPenaltyConfig::new()
            .with_measure(Measure::TrackedNorm)
            .with_linear(true)
            .with_initial_steps(60);
        let config = geometry()
            .into_iter()
            .fold(config, |config, (pattern, conv)| {
                config.with_geometry(pattern, conv)
            });
        check(&config.init(&model).unwrap(), &model);
    }
}

#[test]
fn it_follows_a_changing_kernel() {
    let mut model = conv2d([6, 5, 3, 3], Numbers(3).take(270), &Device::default());
    let mut penalty = SpectralPenaltyConfig::new()
        .with_measure(Measure::TrackedNorm)
        .init(&model)
        .unwrap();
    let mut numbers = Numbers(4);
    for step in 0..300 {
        model = model.map(&mut Each(|_: &[usize], old: Vec<f64>| {
            old.into_iter()
                .map(|w| w * 0.999 + 0.004 * numbers.next())
                .collect()
        }));
        penalty.step(&model).unwrap();
        if step % 50 == 49 {
            check(&penalty, &model);
        }
    }
}

/// A low-pass and a high-pass filter side by side: two separate peaks, θ = 0 and θ = (π, π).
fn two_peaks(low: f64, high: f64) -> Vec<f64> {
    let mut weights = Vec::new();
    for t in 0..9 {
        let sign = if t % 2 == 0 { 1.0 } else { -1.0 };
        weights.push((low + high * sign) / 9.0);
    }
    weights
}

#[test]
fn a_new_peak_is_found_by_the_next_search_and_not_before() {
    let device = Device::default();
    let before = conv2d([1, 1, 3, 3], two_peaks(2.0, 1.0), &device);
    let after = conv2d([1, 1, 3, 3], two_peaks(2.0, 4.0), &device);
    let mut penalty = SpectralPenaltyConfig::new()
        .with_measure(Measure::TrackedNorm)
        .with_rescan_every(10)
        .init(&before)
        .unwrap();
    let mut value = |model| penalty.step(model).unwrap().layers()[0].estimate.get();
    let old = value(&before);
    let mut stuck = 0.0;
    for _ in 1..10 {
        stuck = value(&after);
    }
    let found = value(&after);
    assert!((1.9..2.5).contains(&old), "{old}");
    assert!(stuck < 3.0, "the old peak is still a local one: {stuck}");
    assert!(found > 3.9, "{found}");
    check(&penalty, &after);
}

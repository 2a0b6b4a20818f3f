//! What is kept between steps: warm start, records, clones, moves, mismatches.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::store::ModuleRecord;
use burn::tensor::Device;
use sigmax::Conv;
use sigmax_burn::{Error, Measure, SpectralPenalty, SpectralPenaltyConfig};

use crate::support::{Each, Numbers, autodiff, close, conv2d, fill, net, values};

fn measures() -> [Measure; 3] {
    [Measure::Four, Measure::WeightedFour, Measure::TrackedNorm]
}

fn config(measure: Measure) -> SpectralPenaltyConfig {
    SpectralPenaltyConfig::new()
        .with_measure(measure)
        .with_initial_steps(4)
        .with_rescan_every(7)
}

fn losses<M: Module>(penalty: &mut SpectralPenalty, model: &M, steps: usize) -> Vec<f64> {
    (0..steps)
        .map(|_| values(&penalty.step(model).unwrap().loss())[0])
        .collect()
}

#[test]
fn one_step_per_change_keeps_up_with_a_slowly_changing_kernel() {
    let mut model = conv2d([6, 6, 3, 3], Numbers(3).take(324), &Device::default());
    let config = SpectralPenaltyConfig::new().with_initial_steps(500);
    let mut penalty = config.init(&model).unwrap();
    let mut numbers = Numbers(4);
    for step in 0..200 {
        model = model.map(&mut Each(|_: &[usize], old: Vec<f64>| {
            old.into_iter()
                .map(|w| w + 0.003 * numbers.next())
                .collect()
        }));
        let warm = penalty.step(&model).unwrap().layers()[0].estimate.get();
        if step % 20 == 19 {
            let fresh = config.init(&model).unwrap().evaluate(&model).unwrap();
            close(warm, fresh.layers()[0].estimate.get(), 0.01);
        }
    }
}

#[test]
fn steps_converge_from_a_cold_start() {
    let model = conv2d([6, 6, 3, 3], Numbers(3).take(324), &Device::default());
    let config = SpectralPenaltyConfig::new();
    let mut cold = config.clone().with_initial_steps(1).init(&model).unwrap();
    let converged = config.with_initial_steps(2000).init(&model).unwrap();
    let exact = converged.evaluate(&model).unwrap().layers()[0]
        .estimate
        .get();
    let mut found = 0.0;
    for _ in 0..1000 {
        found = cold.step(&model).unwrap().layers()[0].estimate.get();
    }
    close(found, exact, 1e-5);
    cold.refresh(&model, 2000).unwrap();
    let refreshed = cold.evaluate(&model).unwrap().layers()[0].estimate.get();
    close(refreshed, exact, 1e-5);
}

#[test]
fn a_restored_state_goes_on_bit_for_bit() {
    let model = net(&autodiff());
    for measure in measures() {
        let config = config(measure);
        let mut first = config.init(&model).unwrap();
        losses(&mut first, &model, 5);
        let bytes = first.clone().into_record().into_bytes().unwrap();
        let record = ModuleRecord::from_bytes(bytes).unwrap();
        let mut second = config.init(&model).unwrap().restore(record).unwrap();
        assert_eq!(second.steps(), 5);
        // Across a new search of the torus, too.
        assert_eq!(
            losses(&mut first, &model, 6),
            losses(&mut second, &model, 6)
        );
    }
}

#[test]
fn the_state_is_saved_with_the_model_that_holds_it() {
    #[derive(Module, Debug)]
    struct Both {
        conv: Conv2d,
        penalty: SpectralPenalty,
    }
    let conv = conv2d([3, 3, 3, 3], Numbers(8).take(81), &autodiff());
    let config = config(Measure::Four);
    let fresh = || Both {
        penalty: config.init(&conv).unwrap(),
        conv: conv.clone(),
    };
    let mut first = fresh();
    losses(&mut first.penalty, &conv, 3);
    let mut second = fresh().load_record(first.clone().into_record());
    assert_eq!(
        losses(&mut first.penalty, &conv, 3),
        losses(&mut second.penalty, &conv, 3)
    );
    assert_eq!(second.penalty.steps(), 6);
}

#[test]
fn a_clone_is_independent() {
    let model = net(&autodiff());
    for measure in measures() {
        let mut original = config(measure.clone()).init(&model).unwrap();
        let mut copy = original.clone();
        let ahead = losses(&mut original, &model, 9);
        assert_eq!(ahead, losses(&mut copy, &model, 9));
    }
}

#[test]
fn evaluation_does_not_change_the_state() {
    let model = net(&autodiff());
    let mut penalty = config(Measure::Four).init(&model).unwrap();
    let before = values(&penalty.evaluate(&model).unwrap().loss());
    assert_eq!(before, values(&penalty.evaluate(&model).unwrap().loss()));
    assert_eq!(before, values(&penalty.step(&model).unwrap().loss()));
    assert_eq!(penalty.steps(), 1);
}

#[test]
fn modes_and_devices_change_nothing() {
    let model = net(&autodiff());
    let mut plain = config(Measure::TrackedNorm).init(&model).unwrap();
    let expected = losses(&mut plain.clone(), &model, 3);
    let variants: [fn(SpectralPenalty) -> SpectralPenalty; 6] = [
        |p| p.valid(),
        |p| p.valid().train(),
        |p| p.no_grad(),
        |p| p.freeze(),
        |p| p.set_require_grad(true),
        |p| p.to_device(&autodiff()).fork(&Device::default()),
    ];
    for variant in variants {
        let mut changed = variant(plain.clone());
        assert_eq!(expected, losses(&mut changed, &model, 3));
        assert_eq!(
            expected,
            losses(&mut variant(plain.clone()), &model.valid(), 3)
        );
    }
    assert_eq!(expected, losses(&mut plain, &model.clone().no_grad(), 3));
}

#[test]
fn another_model_is_an_error_with_the_path() {
    let model = net(&Device::default());
    let mut penalty = config(Measure::Four).init(&model).unwrap();
    let mut other = model.clone();
    other.blocks[1].conv = Conv2dConfig::new([6, 6], [5, 5]).init(&Device::default());
    let error = penalty.step(&other).unwrap_err();
    assert!(
        matches!(&error, Error::Mismatch { path, .. } if path == "blocks.1.conv"),
        "{error}"
    );
    let mut other = model.clone();
    other.blocks[1].shortcut = None;
    let error = penalty.step(&other).unwrap_err();
    assert!(
        matches!(&error, Error::Mismatch { path, .. } if path == "depthwise"),
        "{error}"
    );
    let error = penalty.step(&model.stem).unwrap_err();
    assert!(matches!(error, Error::Mismatch { .. }));
    penalty.step(&model).unwrap();
}

#[test]
fn another_state_is_an_error_with_the_path() {
    #[derive(Module, Debug)]
    struct A {
        left: Conv2d,
    }
    #[derive(Module, Debug)]
    struct B {
        right: Conv2d,
    }
    let conv = conv2d([3, 3, 3, 3], Numbers(8).take(81), &Device::default());
    let wide = conv2d([4, 3, 3, 3], Numbers(8).take(108), &Device::default());
    let a = A { left: conv.clone() };
    let b = B { right: conv };
    let config = config(Measure::Four);
    let record = || config.init(&a).unwrap().into_record();
    // Same shapes, another layer.
    let error = config.init(&b).unwrap().restore(record()).unwrap_err();
    assert!(
        matches!(&error, Error::Mismatch { path, .. } if path == "right"),
        "{error}"
    );
    // The same through Burn's own loading, found at the next step.
    let mut loaded = config.init(&b).unwrap().load_record(record());
    let error = loaded.step(&b).unwrap_err();
    assert!(
        matches!(&error, Error::Mismatch { path, .. } if path == "right"),
        "{error}"
    );
    // Another shape.
    let wide = B { right: wide };
    let error = config.init(&wide).unwrap().restore(record()).unwrap_err();
    assert!(
        matches!(&error, Error::Record { layers, .. } if layers == "right"),
        "{error}"
    );
    // Another geometry.
    let strided = config
        .clone()
        .with_geometry("*", Conv::new(2).with_dilation(&[2, 2]));
    let error = strided.init(&a).unwrap().restore(record()).unwrap_err();
    assert!(
        matches!(&error, Error::Mismatch { path, .. } if path == "left"),
        "{error}"
    );
}

#[test]
fn the_start_does_not_depend_on_the_grouping() {
    let model = fill(net(&Device::default()), 2);
    let all = config(Measure::Four).init(&model).unwrap();
    let one = config(Measure::Four)
        .with_include("blocks.1.conv")
        .init(&model)
        .unwrap();
    let all = all.evaluate(&model).unwrap().layers();
    let one = one.evaluate(&model).unwrap().layers();
    let found = all
        .iter()
        .find(|layer| layer.path == "blocks.1.conv")
        .unwrap();
    close(found.estimate.get(), one[0].estimate.get(), 1e-6);
}

//! Spectral reparametrisation and the finishing call.

use burn::module::Module;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use sigmax::bound::four_bounds;
use sigmax::{Conv, Options};
use sigmax_burn::{
    Error, LayerSelection, Measure, SpectralReparamConfig, SpectralScale, finish, prove,
};

use crate::support::{
    Numbers, autodiff, close, conv2d, geometry, in_f64, kernel, net, replace, values,
};

fn input(shape: [usize; 4], device: &Device) -> Tensor<4> {
    let data = TensorData::new(Numbers(6).take(shape.iter().product()), shape);
    Tensor::from_data(data, device)
}

#[test]
fn weights_stay_at_the_target_through_training() {
    let device = autodiff();
    let mut model = SpectralReparamConfig::new(1.0)
        .apply(conv2d([4, 3, 3, 3], Numbers(1).take(108), &device))
        .unwrap();
    let x = input([2, 3, 6, 6], &device);
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..40 {
        // The output is to grow without limit.
        let loss = model.forward(x.clone()).square().mean().neg();
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.5, model, gradients);
    }
    let effective = four_bounds(&kernel(&model.weight.val()), &Conv::new(2)).unwrap();
    let base = four_bounds(&kernel(&model.weight.base()), &Conv::new(2)).unwrap();
    assert!(
        base.min().get() > 2.0,
        "without it the weights would be too large"
    );
    // One power step per forward pass, the weights still moving.
    assert!(
        (0.99..1.05).contains(&effective.min().get()),
        "{effective:?}"
    );
    let (finished, proved) =
        finish(model, &LayerSelection::new(), 1.0, &Options::default()).unwrap();
    assert!(proved[0].audit().upper().get() <= 1.0);
    assert!(
        finished
            .weight
            .reparameterization::<SpectralScale>()
            .is_none()
    );
}

#[test]
fn small_weights_are_left_alone() {
    let weights: Vec<f64> = Numbers(1).take(108).iter().map(|w| w * 1e-3).collect();
    let plain = conv2d([4, 3, 3, 3], weights, &Device::default());
    let model = SpectralReparamConfig::new(1.0)
        .apply(plain.clone())
        .unwrap();
    assert_eq!(values(&model.weight.val()), values(&plain.weight.val()));
}

#[test]
fn the_gradient_goes_through_the_bound() {
    let device = autodiff();
    let weights = Numbers(2).take(2 * 2 * 9);
    let model = in_f64(conv2d([2, 2, 3, 3], weights.clone(), &device));
    let config = SpectralReparamConfig::new(0.7).with_initial_steps(3000);
    let probe = |like: &Tensor<4>| replace(like, Numbers(5).take(36)).detach();
    let with = |weights: &[f64]| {
        let mut model = model.clone();
        model.weight = model.weight.map(|old| replace(&old, weights.to_vec()));
        config.apply(model).unwrap()
    };
    let reparametrised = with(&weights);
    let value = reparametrised.weight.val();
    let loss = (value.clone() * probe(&value)).sum();
    let exact = values(&reparametrised.weight.base().grad(&loss.backward()).unwrap());
    let evaluate = |weights: &[f64]| {
        let value = with(weights).weight.val();
        values(&(value.clone() * probe(&value)).sum())[0]
    };
    let h = 1e-5;
    for entry in [0, 13, 35] {
        let mut moved = weights.clone();
        moved[entry] += h;
        let above = evaluate(&moved);
        moved[entry] -= 2.0 * h;
        let difference = (above - evaluate(&moved)) / (2.0 * h);
        assert!(
            (exact[entry] - difference).abs() < 1e-5,
            "{} {difference}",
            exact[entry]
        );
    }
}

#[test]
fn evaluation_takes_no_step_and_records_carry_the_state() {
    let device = autodiff();
    let config = SpectralReparamConfig::new(1.0).with_initial_steps(2);
    let plain = || conv2d([4, 3, 3, 3], Numbers(1).take(108), &device);
    let model = config.apply(plain()).unwrap();
    let frozen = model.valid();
    assert_eq!(values(&frozen.weight.val()), values(&frozen.weight.val()));
    let first = values(&model.weight.val());
    assert_ne!(
        first,
        values(&model.weight.val()),
        "training moves the vectors"
    );
    let loaded = config
        .apply(plain())
        .unwrap()
        .load_record(model.clone().into_record());
    assert_eq!(values(&loaded.weight.val()), values(&model.weight.val()));
}

#[test]
fn every_layer_is_finished_below_its_target_in_every_type() {
    let device = Device::default();
    let geometry = |selection: LayerSelection| {
        geometry()
            .into_iter()
            .fold(selection, |s, (pattern, conv)| {
                s.with_geometry(pattern, conv)
            })
    };
    let selection = geometry(LayerSelection::new().with_linear(true));
    let check = |model: crate::support::Net, target: f64| {
        let (model, proved) = finish(model, &selection, target, &Options::default()).unwrap();
        assert_eq!(proved.len(), 9);
        let again = prove(&model, &selection, &Options::default()).unwrap();
        for (first, again) in proved.iter().zip(&again) {
            assert!(first.audit().upper().get() <= target);
            assert_eq!(first.audit().upper(), again.audit().upper());
            // Not far below, either: the bracket's tolerance is 1e-3.
            assert!(again.audit().norm().bracket().lower().get() >= target * 0.99);
        }
    };
    check(net(&device), 1.0);
    check(net(&device), 1e-3);
    check(in_f64(net(&device)), 0.3);
    let mut half = conv2d([4, 3, 3, 3], Numbers(1).take(108), &device);
    half.weight = half.weight.map(|w| w.cast(DType::F16));
    let (half, proved) = finish(half, &LayerSelection::new(), 1.0, &Options::default()).unwrap();
    assert_eq!(half.weight.val().dtype(), DType::F16);
    assert!(proved[0].audit().upper().get() <= 1.0);
    close(proved[0].audit().upper().get(), 1.0, 2e-3);
}

#[test]
fn layers_of_extreme_scale_are_finished_or_refused() {
    let device = Device::default();
    let numbers = Numbers(1).take(108);
    for (scale, target) in [
        (1e30, 1.0),
        (1e-30, 1.0),
        (1e30, 1e-30),
        (1.0, 1e-37),
        (1.0, 1e-44),
    ] {
        let scaled = numbers.iter().map(|x| x * scale).collect();
        let model = conv2d([4, 3, 3, 3], scaled, &device);
        let selection = LayerSelection::new();
        match finish(model, &selection, target, &Options::default()) {
            Ok((model, _)) => {
                let again = prove(&model, &selection, &Options::default()).unwrap();
                assert!(again[0].audit().upper().get() <= target, "{scale} {target}");
            }
            // Weights of a few units of the smallest number cannot follow every factor.
            Err(Error::Unreachable { .. }) => assert!(target < 1e-40, "{scale} {target}"),
            Err(error) => panic!("{scale} {target}: {error}"),
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let model = conv2d([1, 1, 1, 1], vec![1.0], &Device::default());
    for config in [
        SpectralReparamConfig::new(0.0),
        SpectralReparamConfig::new(f64::NAN),
        SpectralReparamConfig::new(1.0).with_measure(Measure::TrackedNorm),
        SpectralReparamConfig::new(1.0).with_initial_steps(0),
    ] {
        assert!(matches!(config.init(&model), Err(Error::Setting { .. })));
    }
    let refused = finish(model, &LayerSelection::new(), -1.0, &Options::default());
    assert!(matches!(refused, Err(Error::Setting { .. })));
}

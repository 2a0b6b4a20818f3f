//! The penalty on the curvature against its formula and its difference quotients.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use sigmax::network::Activation;
use sigmax_burn::{CurvaturePenalty, Error, SpectralPenaltyConfig};

#[derive(Module, Debug)]
struct Net {
    hidden: Linear,
    last: Linear,
}

fn linear(values: &[f32], shape: [usize; 2], device: &Device) -> Linear {
    let mut layer = LinearConfig::new(shape[0], shape[1]).init(device);
    let weight = Tensor::<2>::from_data(TensorData::new(values.to_vec(), shape), device);
    layer.weight = layer.weight.map(|_| weight.require_grad());
    layer
}

/// The hidden layer is diag(3, 1), the last one has the rows (1, 0), (0, 2), (−1, 5).
fn net(device: &Device) -> Net {
    Net {
        hidden: linear(&[3.0, 0.0, 0.0, 1.0], [2, 2], device),
        last: linear(&[1.0, 0.0, -1.0, 0.0, 2.0, 5.0], [2, 3], device),
    }
}

fn config() -> SpectralPenaltyConfig {
    SpectralPenaltyConfig::new()
        .with_linear(true)
        .with_include("hidden")
        .with_initial_steps(200)
}

fn number(tensor: Tensor<1>) -> f64 {
    tensor
        .into_data()
        .convert::<f64>()
        .try_to_vec::<f64>()
        .unwrap()[0]
}

/// ¼·3²·max|w_y − w_t| with t the largest logit beside the label: 5 for (0, 2), 2 for (1, 0).
#[test]
fn the_penalty_is_its_formula() {
    let device = Device::default().autodiff();
    let net = net(&device);
    let mut penalty = CurvaturePenalty::new(&net, config(), Activation::Softplus, 0.1).unwrap();
    let logits = Tensor::<2>::from_floats([[9.0, 0.0, 1.0], [4.0, 5.0, 3.0]], &device);
    let labels = Tensor::<1, Int>::from_ints([0, 1], &device);
    let term = penalty
        .step(&net, net.last.weight.val(), logits.clone(), labels.clone())
        .unwrap();
    let expected = 0.1 * 0.25 * 9.0 * (5.0 + 2.0) / 2.0;
    assert!((number(term) - expected).abs() < 1e-5 * expected);
    penalty.set_gamma(0.0);
    let none = penalty
        .step(&net, net.last.weight.val(), logits, labels)
        .unwrap();
    assert!(number(none).abs() < 1e-12);
}

/// d/dk of ¼·k²·5 at k = 3, for the largest entry of the hidden layer, and ¼·9·(±1) where the largest
/// difference of the last one is.
#[test]
fn the_gradient_is_that_of_the_formula() {
    let device = Device::default().autodiff();
    let net = net(&device);
    let mut penalty = CurvaturePenalty::new(&net, config(), Activation::Softplus, 1.0).unwrap();
    let logits = Tensor::<2>::from_floats([[9.0, 0.0, 1.0]], &device);
    let labels = Tensor::<1, Int>::from_ints([0], &device);
    let term = penalty
        .step(&net, net.last.weight.val(), logits, labels)
        .unwrap();
    let gradients = term.backward();
    let of = |weight: Tensor<2>| {
        let gradient = weight.grad(&gradients).unwrap();
        gradient
            .into_data()
            .convert::<f64>()
            .try_to_vec::<f64>()
            .unwrap()
    };
    let hidden = of(net.hidden.weight.val());
    assert!((hidden[0] - 0.25 * 2.0 * 3.0 * 5.0).abs() < 1e-4);
    assert!(hidden[1..].iter().all(|g| g.abs() < 1e-4));
    let last = of(net.last.weight.val());
    assert!((last[3] + 0.25 * 9.0).abs() < 1e-4 && (last[5] - 0.25 * 9.0).abs() < 1e-4);
    assert!(last[..3].iter().all(|g| g.abs() < 1e-6));
}

#[test]
fn what_has_no_such_curvature_is_refused() {
    let device = Device::default().autodiff();
    let net = net(&device);
    let kink = CurvaturePenalty::new(&net, config(), Activation::Relu, 1.0).unwrap_err();
    assert!(kink.to_string().contains("jumps at 0"), "{kink}");
    let nan = CurvaturePenalty::new(&net, config(), Activation::Softplus, f64::NAN).unwrap_err();
    assert!(matches!(
        nan,
        Error::Setting {
            setting: "gamma",
            ..
        }
    ));
    let both = SpectralPenaltyConfig::new().with_linear(true);
    let two = CurvaturePenalty::new(&net, both, Activation::Softplus, 1.0).unwrap_err();
    assert!(two.to_string().contains("one hidden layer"), "{two}");
}

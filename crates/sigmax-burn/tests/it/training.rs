//! The penalty at work.

use burn::module::Module;
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Tensor, TensorData};
use sigmax::Options;
use sigmax_burn::{LayerSelection, Measure, SpectralPenaltyConfig, prove};

use crate::support::{Each, Numbers, autodiff, fill};

#[derive(Module, Debug)]
struct Small {
    first: Conv2d,
    rest: Vec<Conv2d>,
}

fn small(device: &Device) -> Small {
    let conv = |c_in, c_out| {
        Conv2dConfig::new([c_in, c_out], [3, 3])
            .with_padding(PaddingConfig2d::Same)
            .init(device)
    };
    let model = fill(
        Small {
            first: conv(1, 4),
            rest: vec![conv(4, 4), conv(4, 4)],
        },
        3,
    );
    // About the gain 1 per layer.
    model.map(&mut Each(|_: &[usize], old: Vec<f64>| {
        old.into_iter().map(|w| 0.3 * w).collect()
    }))
}

impl Small {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.rest.iter().fold(self.first.forward(x), |x, conv| {
            conv.forward(x.clamp_min(0.0))
        })
    }
}

fn images(seed: u64, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let data = TensorData::new(Numbers(seed).take(shape.iter().product()), shape);
    Tensor::from_data(data, device)
}

/// The largest proved norm after 60 steps of regression onto noise.
fn trained(measure: Option<Measure>) -> f64 {
    let device = autodiff();
    let mut model = small(&device);
    let (x, y) = (
        images(1, [8, 1, 6, 6], &device),
        images(2, [8, 4, 6, 6], &device),
    );
    let mut penalty = measure.map(|measure| {
        SpectralPenaltyConfig::new()
            .with_measure(measure)
            .with_beta(0.3)
            .init(&model)
            .unwrap()
    });
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..60 {
        let mut loss = (model.forward(x.clone()) - y.clone()).square().mean();
        if let Some(penalty) = &mut penalty {
            loss = loss + penalty.step(&model).unwrap().loss();
        }
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(0.01, model, gradients);
    }
    let proved = prove(&model, &LayerSelection::new(), &Options::default()).unwrap();
    proved
        .iter()
        .map(|p| p.audit().upper().get())
        .fold(0.0, f64::max)
}

#[test]
fn the_penalty_lowers_the_proved_norms() {
    let plain = trained(None);
    for measure in [Measure::Four, Measure::WeightedFour, Measure::TrackedNorm] {
        let penalised = trained(Some(measure.clone()));
        assert!(
            penalised < 0.9 * plain,
            "{measure:?}: {penalised} against {plain}"
        );
    }
}

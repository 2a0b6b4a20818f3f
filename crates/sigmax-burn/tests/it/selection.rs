//! Include, exclude, geometry: what is selected and what is refused.

use burn::nn::conv::{Conv1dConfig, Conv2dConfig, Conv3dConfig, ConvTranspose2dConfig};
use burn::nn::{PaddingConfig1d, PaddingConfig2d};
use burn::tensor::{Device, Tensor};
use sigmax::{Conv, PaddingMode};
use sigmax_burn::{Error, LayerGeometry, Measure, SpectralPenaltyConfig};

use crate::support::net;

fn paths(config: &SpectralPenaltyConfig) -> Vec<String> {
    let penalty = config.init(&net(&Device::default())).unwrap();
    let mut paths: Vec<String> = penalty.layers().map(|layer| layer.path.clone()).collect();
    paths.sort();
    paths
}

fn refused(config: &SpectralPenaltyConfig) -> (Error, String) {
    let error = config.init(&net(&Device::default())).unwrap_err();
    let text = error.to_string();
    (error, text)
}

#[test]
fn patterns_select_by_path() {
    let config = SpectralPenaltyConfig::new().with_initial_steps(1);
    assert_eq!(paths(&config).len(), 8);
    assert_eq!(paths(&config.clone().with_linear(true)).len(), 9);
    assert_eq!(
        paths(&config.clone().with_include("blocks.*")),
        ["blocks.0.conv", "blocks.1.conv", "blocks.1.shortcut"]
    );
    assert_eq!(
        paths(
            &config
                .clone()
                .with_include("blocks.*")
                .with_exclude("*.shortcut")
        ),
        ["blocks.0.conv", "blocks.1.conv"]
    );
    assert_eq!(
        paths(&config.with_linear(true).with_include("{head,line}")),
        ["head", "line"]
    );
}

#[test]
fn typing_mistakes_are_errors() {
    let config = SpectralPenaltyConfig::new();
    let (error, text) = refused(&config.clone().with_include("block.*"));
    assert!(matches!(error, Error::Pattern { .. }));
    assert_eq!(text, "pattern \"block.*\": matches no layer of the model");
    let (error, _) = refused(&config.clone().with_exclude("[a"));
    assert!(matches!(error, Error::Pattern { .. }));
    let (error, _) = refused(&config.clone().with_geometry("stm", Conv::new(2)));
    assert!(matches!(error, Error::Pattern { .. }));
    let (error, _) = refused(&config.clone().with_include("head"));
    assert!(matches!(error, Error::NoLayers { found: 9 }));
    for bad in [
        config.clone().with_beta(f64::NAN),
        config.with_initial_steps(0),
    ] {
        assert!(matches!(refused(&bad).0, Error::Setting { .. }));
    }
}

#[test]
fn geometry_that_does_not_fit_names_the_layer() {
    let config = SpectralPenaltyConfig::new();
    let (error, text) = refused(&config.clone().with_geometry("line", Conv::new(2)));
    assert!(matches!(error, Error::Core { .. }));
    assert!(text.starts_with("layer line: stride:"), "{text}");
    let (_, text) = refused(
        &config
            .clone()
            .with_geometry("blocks.1.conv", Conv::new(2).with_groups(4)),
    );
    assert!(text.starts_with("layer blocks.1.conv: groups:"), "{text}");
    let reflect = Conv::new(2).with_padding_mode(PaddingMode::Reflect);
    let (_, text) = refused(&config.clone().with_geometry("stem", reflect));
    assert!(text.starts_with("layer stem: reflect padding"), "{text}");
    let (_, text) = refused(&config.clone().with_measure(Measure::TrackedOperator));
    assert!(
        text.starts_with("layer stem: the tracked operator needs"),
        "{text}"
    );
    let (_, text) = refused(&config.with_measure(Measure::Reshape("R".into())));
    assert!(
        text.starts_with("layer line: expected one of the reshapes"),
        "{text}"
    );
}

#[test]
fn the_geometry_of_a_layer_gives_its_output_size() {
    let device = Device::default();
    let size = [7, 10];
    let same = Conv2dConfig::new([1, 1], [3, 4])
        .with_stride([2, 3])
        .with_padding(PaddingConfig2d::Same)
        .init(&device);
    let explicit = Conv2dConfig::new([2, 2], [3, 3])
        .with_dilation([2, 1])
        .with_groups(2)
        .with_padding(PaddingConfig2d::Explicit(1, 2, 0, 1))
        .init(&device);
    for (layer, channels) in [(same, 1), (explicit, 2)] {
        let conv = layer.geometry(Some(&size));
        let [_, _, height, width] = layer
            .forward(Tensor::zeros([1, channels, size[0], size[1]], &device))
            .dims();
        let operator =
            sigmax::estimate::Operator::new(&crate::support::kernel(&layer.weight.val()), &conv);
        assert_eq!(operator.unwrap().output_len(), channels * height * width);
    }
    let up = ConvTranspose2dConfig::new([1, 1], [3, 3])
        .with_stride([2, 2])
        .with_padding([1, 0])
        .with_padding_out([1, 0])
        .init(&device);
    let [_, _, height, width] = up.forward(Tensor::zeros([1, 1, 7, 10], &device)).dims();
    let operator = sigmax::estimate::Operator::new(
        &crate::support::kernel(&up.weight.val()),
        &up.geometry(Some(&size)),
    );
    assert_eq!(operator.unwrap().output_len(), height * width);
    let line = Conv1dConfig::new(1, 1, 3)
        .with_padding(PaddingConfig1d::Explicit(2, 1))
        .init(&device);
    assert_eq!(line.geometry(None).padding, [(2, 1)]);
    let cube = Conv3dConfig::new([1, 1], [3, 3, 3])
        .with_stride([1, 2, 3])
        .init(&device);
    assert_eq!(cube.geometry(None), Conv::new(3).with_stride(&[1, 2, 3]));
}

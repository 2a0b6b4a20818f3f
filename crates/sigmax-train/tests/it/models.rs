//! The models: shortcuts by hand, names as in PyTorch, geometry as in the forward pass.

use burn::tensor::{Device, Tensor, TensorData};
use sigmax_train::model::{Architecture, Network, Task, shortcut};
use sigmax_train::state::{self, StateDict};

#[test]
fn option_a_takes_every_second_pixel_and_pads_channels_on_both_sides() {
    let values: Vec<f32> = (0..2 * 16).map(|i| i as f32).collect();
    let device = Device::flex();
    let x = Tensor::<4>::from_data(TensorData::new(values, [1, 2, 4, 4]), &device);
    let same = shortcut(x.clone(), 2, 1).to_data();
    assert_eq!(same, x.to_data());
    let y = shortcut(x, 4, 2);
    assert_eq!(y.dims(), [1, 4, 2, 2]);
    let found: Vec<f32> = y.to_data().iter::<f32>().collect();
    let mut expected = vec![0.0; 4];
    expected.extend([0.0, 2.0, 8.0, 10.0, 16.0, 18.0, 24.0, 26.0]);
    expected.extend([0.0; 4]);
    assert_eq!(found, expected);
}

#[test]
fn the_gradient_of_the_shortcut_goes_back_to_the_pixels_it_took() {
    let device = Device::flex().autodiff();
    let x = Tensor::<4>::ones([1, 1, 3, 3], &device).require_grad();
    let weights: Vec<f32> = vec![0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 0.0, 0.0, 0.0, 0.0];
    let weights = Tensor::from_data(TensorData::new(weights, [1, 3, 2, 2]), &device);
    let gradients = (shortcut(x.clone(), 3, 2) * weights).sum().backward();
    let found: Vec<f32> = x
        .grad(&gradients)
        .unwrap()
        .to_data()
        .iter::<f32>()
        .collect();
    assert_eq!(found, [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0]);
}

/// Names and shapes, and whether every layer of `layers()` has the weight it says.
struct Describe;

impl Task for Describe {
    type Output = StateDict;

    fn run<N: Network>(self, model: N) -> StateDict {
        let state = state::read(&model);
        for layer in model.layers() {
            let weight = &state[&format!("{}.weight", layer.path)];
            assert_eq!(weight.shape.len(), 2 + layer.conv.axes(), "{}", layer.path);
            let kernel = sigmax::Kernel::from_f32(&weight.shape, &weight.values).unwrap();
            layer.conv.check(&kernel).unwrap();
        }
        let weights = state
            .values()
            .filter(|array| [2, 4].contains(&array.shape.len()));
        assert_eq!(weights.count(), model.layers().len());
        state
    }
}

#[test]
fn resnet_20_has_the_tensors_of_pytorch() {
    let state = Architecture::Resnet20.with([3, 32, 32], 0, &Device::flex(), Describe);
    let shape = |name: &str| state[name].shape.clone();
    assert_eq!(shape("conv1.weight"), [16, 3, 3, 3]);
    assert_eq!(shape("layer2.0.conv1.weight"), [32, 16, 3, 3]);
    assert_eq!(shape("layer3.2.bn2.running_var"), [64]);
    assert_eq!(shape("layer3.2.bn2.weight"), [64]);
    assert_eq!(shape("linear.weight"), [10, 64]);
    // 19 convolutions, 19 × 4 of BatchNorm, 2 of the dense layer.
    assert_eq!(state.len(), 19 + 76 + 2);
    // He et al., table 6: 0.27 million parameters.
    let trained = state.iter().filter(|(name, _)| !name.contains("running"));
    let count: usize = trained.map(|(_, array)| array.values.len()).sum();
    assert_eq!(count, 269_722);
}

#[test]
fn the_other_models_have_theirs() {
    let lenet = Architecture::Lenet.with([1, 28, 28], 0, &Device::flex(), Describe);
    assert_eq!(lenet["fc1.weight"].shape, [120, 400]);
    let mlp = Architecture::Mlp.with([1, 28, 28], 0, &Device::flex(), Describe);
    assert_eq!(mlp["fc1.weight"].shape, [256, 784]);
    let deep = Architecture::Resnet32.with([3, 32, 32], 0, &Device::flex(), Describe);
    assert_eq!(deep.len(), 31 * 5 + 2);
}

#[test]
fn initial_weights_depend_on_the_seed_alone() {
    let make = |seed| Architecture::Lenet.with([1, 28, 28], seed, &Device::flex(), Describe);
    assert_eq!(make(3), make(3));
    assert_ne!(make(3), make(4));
}

struct Forward(Vec<f32>);

impl Task for Forward {
    type Output = Vec<f32>;

    fn run<N: Network>(self, model: N) -> Vec<f32> {
        let x = Tensor::from_data(TensorData::new(self.0, [2, 1, 28, 28]), &Device::flex());
        let y = model.forward(x);
        assert_eq!(y.dims(), [2, 10]);
        y.to_data().iter::<f32>().collect()
    }
}

#[test]
fn images_of_a_batch_do_not_mix() {
    let image = |k: usize| (0..784).map(move |i| ((i * k) % 7) as f32);
    let forward = |a, b| {
        let values = image(a).chain(image(b)).collect();
        Architecture::Lenet.with([1, 28, 28], 0, &Device::flex(), Forward(values))
    };
    let (one, two) = (forward(1, 2), forward(2, 1));
    let close = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(close(&one[..10], &two[10..]) && close(&one[10..], &two[..10]));
    assert!(!close(&one[..10], &one[10..]));
}

//! Models, fixed weights, and the core's view of them.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::conv::{
    Conv1d, Conv1dConfig, Conv2d, Conv2dConfig, Conv3d, Conv3dConfig, ConvTranspose2d,
    ConvTranspose2dConfig,
};
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor, TensorData};
use sigmax::{Conv, Kernel};

#[derive(Module, Debug)]
pub(crate) struct Block {
    pub(crate) conv: Conv2d,
    pub(crate) shortcut: Option<Conv2d>,
}

/// Every kind of layer, nested in `Vec` and `Option`.
#[derive(Module, Debug)]
pub(crate) struct Net {
    pub(crate) stem: Conv2d,
    pub(crate) blocks: Vec<Block>,
    pub(crate) depthwise: Conv2d,
    pub(crate) up: ConvTranspose2d,
    pub(crate) line: Conv1d,
    pub(crate) cube: Option<Conv3d>,
    pub(crate) head: Linear,
}

pub(crate) fn net(device: &Device) -> Net {
    let conv = |c_in, c_out, k| Conv2dConfig::new([c_in, c_out], [k, k]).init(device);
    let block = |shortcut: bool| Block {
        conv: conv(6, 6, 3),
        shortcut: shortcut.then(|| conv(6, 6, 1)),
    };
    let net = Net {
        stem: Conv2dConfig::new([3, 6], [3, 5])
            .with_stride([2, 2])
            .init(device),
        blocks: vec![block(false), block(true)],
        depthwise: Conv2dConfig::new([6, 6], [3, 3])
            .with_groups(6)
            .init(device),
        up: ConvTranspose2dConfig::new([6, 4], [4, 4])
            .with_stride([2, 2])
            .with_groups(2)
            .init(device),
        line: Conv1dConfig::new(5, 4, 3).init(device),
        cube: Some(Conv3dConfig::new([2, 3], [2, 3, 3]).init(device)),
        head: LinearConfig::new(6, 5).init(device),
    };
    fill(net, 1)
}

/// The geometry of [`net`], in the order of its fields.
pub(crate) fn geometry() -> Vec<(&'static str, Conv)> {
    vec![
        ("stem", Conv::new(2).with_stride(&[2, 2])),
        ("depthwise", Conv::new(2).with_groups(6)),
        ("up", Conv::new(2).with_stride(&[2, 2]).with_groups(2)),
    ]
}

/// Numbers in [−1, 1), fixed by the seed.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as f64) / f64::from(1u32 << 30) - 1.0
    }

    pub(crate) fn take(&mut self, n: usize) -> Vec<f64> {
        (0..n).map(|_| self.next()).collect()
    }
}

/// Replaces every parameter by fixed numbers.
pub(crate) fn fill<M: Module>(model: M, seed: u64) -> M {
    let mut numbers = Numbers(seed.wrapping_mul(77) + 5);
    model.map(&mut Each(|shape: &[usize], _old: Vec<f64>| {
        numbers.take(shape.iter().product())
    }))
}

/// Replaces parameters by a function of shape and old values.
pub(crate) struct Each<F>(pub(crate) F);

impl<F: FnMut(&[usize], Vec<f64>) -> Vec<f64>> ModuleMapper for Each<F> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let shape = tensor.dims();
            let values = (self.0)(&shape, values(&tensor));
            replace(&tensor, values)
        })
    }
}

pub(crate) fn replace<const D: usize>(tensor: &Tensor<D>, values: Vec<f64>) -> Tensor<D> {
    let data = TensorData::new(values, tensor.dims());
    let new = Tensor::from_data(data, (&tensor.device(), tensor.dtype()));
    new.set_require_grad(tensor.is_require_grad())
}

pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    let data = tensor.to_data().convert_dtype(DType::F64);
    data.try_to_vec().unwrap()
}

/// The same model in f64.
pub(crate) fn in_f64<M: Module>(model: M) -> M {
    struct Cast;
    impl ModuleMapper for Cast {
        fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
            param.map(|tensor| {
                let (grad, autodiff) = (tensor.is_require_grad(), tensor.is_autodiff());
                let cast = tensor.without_autodiff().cast(DType::F64);
                let cast = if autodiff { cast.autodiff() } else { cast };
                cast.set_require_grad(grad)
            })
        }
    }
    model.map(&mut Cast)
}

pub(crate) fn autodiff() -> Device {
    Device::default().autodiff()
}

/// A 2D convolution with the given weights.
pub(crate) fn conv2d(shape: [usize; 4], weights: Vec<f64>, device: &Device) -> Conv2d {
    let mut conv = Conv2dConfig::new([shape[1], shape[0]], [shape[2], shape[3]])
        .with_bias(false)
        .init(device);
    conv.weight = conv.weight.map(|old| replace(&old, weights));
    conv
}

pub(crate) fn kernel<const D: usize>(weight: &Tensor<D>) -> Kernel {
    Kernel::new(&weight.dims(), values(weight)).unwrap()
}

pub(crate) fn close(a: f64, b: f64, tolerance: f64) {
    assert!(
        (a - b).abs() <= tolerance * b.abs().max(f64::MIN_POSITIVE),
        "{a} and {b} differ by {} relatively, allowed {tolerance}",
        (a - b).abs() / b.abs()
    );
}

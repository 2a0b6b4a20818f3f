//! Initial weights from our own generator: the same for one seed on every device, in any thread.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Tensor, TensorData};

use crate::rng::{Purpose, Rng};

/// Kaiming normal over the inputs for every weight (He et al. 2015), biases 0.
pub(super) fn he<M: Module>(model: M, seed: u64) -> M {
    model.map(&mut Init::new(seed, Law::Normal))
}

/// Uniform on ±1/√inputs for weights and biases, PyTorch's default.
pub(super) fn uniform<M: Module>(model: M, seed: u64) -> M {
    model.map(&mut Init::new(seed, Law::Uniform))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Law {
    Normal,
    Uniform,
}

struct Init {
    rng: Rng,
    law: Law,
    container: Vec<String>,
    fan_in: usize,
}

impl Init {
    fn new(seed: u64, law: Law) -> Self {
        Self {
            rng: Rng::new(seed, Purpose::Weights, [0, 0]),
            law,
            container: Vec::new(),
            fan_in: 1,
        }
    }

    #[allow(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "small sizes; weights are f32"
    )]
    fn draw(&mut self, bias: bool) -> f32 {
        let fan_in = self.fan_in as f64;
        let value = match (self.law, bias) {
            (Law::Normal, true) => 0.0,
            (Law::Normal, false) => self.rng.normal() * (2.0 / fan_in).sqrt(),
            (Law::Uniform, _) => (2.0 * self.rng.uniform() - 1.0) / fan_in.sqrt(),
        };
        value as f32
    }
}

impl ModuleMapper for Init {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.container.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.container.pop();
    }

    // Weights come before the bias of their layer. BatchNorm keeps γ = 1, β = 0.
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let bias = match self.container.last().map(String::as_str) {
            Some("weight") => false,
            Some("bias") => true,
            _ => return param,
        };
        param.map(|tensor| {
            let shape = tensor.dims();
            if !bias {
                self.fan_in = match D {
                    2 => shape[0],
                    _ => shape[1..].iter().product(),
                };
            }
            let count: usize = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| self.draw(bias)).collect();
            let fresh = Tensor::from_data(TensorData::new(values, shape), &tensor.device());
            fresh.set_require_grad(tensor.is_require_grad())
        })
    }
}

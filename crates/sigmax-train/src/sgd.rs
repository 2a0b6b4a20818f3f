//! [`Sgd`]: stochastic gradient descent with momentum and weight decay, as in PyTorch.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::error::Error;
use crate::state::{self, Array, StateDict};

/// g ← g + λ·w, v ← μ·v + g, w ← w − rate·v; for every parameter, biases and BatchNorm included.
#[derive(Debug)]
pub struct Sgd {
    momentum: f64,
    weight_decay: f64,
    /// v, flat, by path.
    velocity: BTreeMap<String, Tensor<1>>,
}

impl Sgd {
    /// With μ = `momentum` and λ = `weight_decay`.
    #[must_use]
    pub fn new(momentum: f64, weight_decay: f64) -> Self {
        Self {
            momentum,
            weight_decay,
            velocity: BTreeMap::new(),
        }
    }

    /// One step.
    pub fn step<M: Module>(&mut self, rate: f64, model: M, gradients: &mut Gradients) -> M {
        model.map(&mut Step {
            sgd: self,
            rate,
            gradients,
            path: Vec::new(),
        })
    }

    /// The velocities, for a checkpoint.
    #[must_use]
    pub fn state(&self) -> StateDict {
        self.velocity
            .iter()
            .map(|(path, v)| (path.clone(), state::array(v)))
            .collect()
    }

    /// Takes the velocities of a checkpoint.
    ///
    /// # Errors
    /// A tensor that is not flat.
    pub fn restore(&mut self, state: StateDict, device: &Device) -> Result<(), Error> {
        self.velocity.clear();
        for (name, Array { shape, values }) in state {
            if shape.len() != 1 {
                return Err(Error::Tensor {
                    name,
                    expected: "one axis".into(),
                    found: format!("shape {shape:?}"),
                });
            }
            let tensor = Tensor::from_data(TensorData::new(values, shape), device);
            self.velocity.insert(name, tensor);
        }
        Ok(())
    }
}

struct Step<'a> {
    sgd: &'a mut Sgd,
    rate: f64,
    gradients: &'a mut Gradients,
    path: Vec<String>,
}

impl ModuleMapper for Step<'_> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if !param.is_require_grad() {
            return param;
        }
        let Some(gradient) = param.val().grad_remove(self.gradients) else {
            return param;
        };
        let path = self.path.join(".");
        param.map(|tensor| {
            let weight = tensor.inner();
            let shape = weight.dims();
            let gradient = if self.sgd.weight_decay > 0.0 {
                gradient + weight.clone().mul_scalar(self.sgd.weight_decay)
            } else {
                gradient
            };
            let velocity = match self.sgd.velocity.remove(&path) {
                Some(old) => old.reshape(shape).mul_scalar(self.sgd.momentum) + gradient,
                None => gradient,
            };
            let count: usize = shape.iter().product();
            self.sgd
                .velocity
                .insert(path, velocity.clone().reshape([count]));
            Tensor::from_inner(weight - velocity.mul_scalar(self.rate)).require_grad()
        })
    }
}

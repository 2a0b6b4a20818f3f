//! [`CurvaturePenalty`]: the penalty on the curvature of a network with one hidden layer.

use burn::module::Module;
use burn::tensor::{Int, Tensor};
use sigmax::network::Activation;

use crate::config::SpectralPenaltyConfig;
use crate::error::Error;
use crate::form::Form;
use crate::penalty::SpectralPenalty;

/// γ·K, K the mean over the images of sup|σ''|·ν²·max_i |w_y,i − w_t,i|: a bound of the curvature of
/// z_y − z_t for a network z = W·σ(layer(x)) + b, as Singla & Feizi penalise it (ICLR 2021).
///
/// ν is the number that the [`SpectralPenaltyConfig`] asks for of the hidden layer: by default the
/// smallest of the four bounds, by warm power iteration. t is the class with the largest logit beside
/// the true class y. Whatever is affine before the layer (a normalisation by std multiplies K by 1/std²)
/// or between the activation and W is not in K. Every number is an estimate: the proved curvature of
/// trained weights is [`sigmax::network::curvature`]'s.
///
/// ```
/// use burn::nn::conv::{Conv2d, Conv2dConfig};
/// use burn::nn::{Linear, LinearConfig};
/// use burn::prelude::*;
/// use burn::tensor::activation::softplus;
/// use sigmax::network::Activation;
/// use sigmax_burn::{CurvaturePenalty, SpectralPenaltyConfig};
///
/// #[derive(Module, Debug)]
/// struct Net {
///     hidden: Conv2d,
///     last: Linear,
/// }
///
/// let device = Device::default().autodiff();
/// let net = Net {
///     hidden: Conv2dConfig::new([1, 4], [3, 3]).init(&device),
///     last: LinearConfig::new(4 * 6 * 6, 10).init(&device),
/// };
/// let config = SpectralPenaltyConfig::new();
/// let mut penalty = CurvaturePenalty::new(&net, config, Activation::Softplus, 0.01)?;
/// let images = Tensor::<4>::ones([2, 1, 8, 8], &device);
/// let labels = Tensor::<1, Int>::from_ints([3, 1], &device);
/// let hidden = softplus(net.hidden.forward(images), 1.0).flatten::<2>(1, 3);
/// let logits = net.last.forward(hidden);
/// let term = penalty.step(&net, net.last.weight.val(), logits.clone(), labels)?;
/// let gradients = (logits.square().mean() + term).backward();
/// # let _ = gradients;
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
#[derive(Module, Debug)]
pub struct CurvaturePenalty {
    norm: SpectralPenalty,
    #[module(skip)]
    curvature: f64,
    #[module(skip)]
    gamma: f64,
}

impl CurvaturePenalty {
    /// Starts the power iterations of the one layer that `config` selects; its form and its β are not
    /// used.
    ///
    /// # Errors
    /// [`Error::Setting`] for an activation whose derivative jumps or a γ that is not finite,
    /// [`Error::Layer`] where more than one layer is selected, and those of
    /// [`SpectralPenaltyConfig::init`].
    pub fn new<M: Module>(
        model: &M,
        config: SpectralPenaltyConfig,
        activation: Activation,
        gamma: f64,
    ) -> Result<Self, Error> {
        let (low, high) = activation.curvature().map_err(|reason| Error::Setting {
            setting: "activation",
            expected: "one with a continuous derivative",
            got: reason.to_string(),
        })?;
        if !gamma.is_finite() {
            return Err(Error::Setting {
                setting: "gamma",
                expected: "a finite number",
                got: gamma.to_string(),
            });
        }
        let norm = config.with_form(Form::Sum).with_beta(1.0).init(model)?;
        if let Some(second) = norm.layers().nth(1) {
            return Err(Error::layer(
                &second.path,
                "the curvature is that of one hidden layer: select that one by with_include",
            ));
        }
        Ok(Self {
            norm,
            curvature: high.max(-low),
            gamma,
        })
    }

    /// Sets γ, for schedules.
    pub fn set_gamma(&mut self, gamma: f64) {
        self.gamma = gamma;
    }

    /// One power step on the hidden layer, and γ·K on the graph of the weights: add it to the loss.
    ///
    /// `last` is the weight of the last layer, `[features, classes]` as Burn's `Linear` has it; `logits`
    /// are `[images, classes]`, and `labels` their classes.
    ///
    /// # Errors
    /// As [`SpectralPenalty::step`].
    pub fn step<M: Module>(
        &mut self,
        model: &M,
        last: Tensor<2>,
        logits: Tensor<2>,
        labels: Tensor<1, Int>,
    ) -> Result<Tensor<1>, Error> {
        let norm = self.norm.step(model)?.loss();
        let [_, classes] = logits.dims();
        let own = labels.clone().one_hot::<2>(classes).bool();
        let rivals = logits
            .without_autodiff()
            .mask_fill(own, f32::NEG_INFINITY)
            .argmax(1)
            .squeeze_dim::<1>(1);
        let difference = last.clone().select(1, labels) - last.select(1, rivals);
        let largest = difference.abs().max_dim(0).mean();
        Ok((norm.clone() * norm * largest).mul_scalar(self.gamma * self.curvature))
    }
}

//! [`SpectralReparam`]: weights divided by what their bound exceeds a target by.

use std::collections::HashMap;

use burn::module::{Module, Param, Reparameterization, Reparameterizer};
use burn::tensor::Tensor;
use sigmax::Conv;

use crate::error::Error;
use crate::group::Group;
use crate::layer::{Layer, visit_weights};
use crate::measure::Measure;
use crate::selection::LayerSelection;
use crate::state::State;

/// Configuration of a [`SpectralReparam`].
///
/// # Example
/// ```
/// use burn::module::Module;
/// use burn::nn::conv::Conv2dConfig;
/// use sigmax_burn::SpectralReparamConfig;
/// let conv = Conv2dConfig::new([3, 8], [3, 3]).init(&Default::default());
/// // 1-Lipschitz convolutions, to the accuracy of the power iteration.
/// let conv = SpectralReparamConfig::new(1.0).apply(conv)?;
/// # let _ = conv;
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralReparamConfig {
    target: f64,
    layers: LayerSelection,
    measure: Measure,
    initial_steps: usize,
    seed: u64,
}

impl SpectralReparamConfig {
    /// Every convolution gets a bound of at most about `target`, by the smallest of the four bounds.
    #[must_use]
    pub fn new(target: f64) -> Self {
        Self {
            target,
            layers: LayerSelection::new(),
            measure: Measure::Four,
            initial_steps: 30,
            seed: 0,
        }
    }

    /// Sets the layers.
    #[must_use]
    pub fn with_layers(mut self, layers: LayerSelection) -> Self {
        self.layers = layers;
        self
    }

    /// As [`LayerSelection::with_geometry`].
    #[must_use]
    pub fn with_geometry(mut self, pattern: impl Into<String>, geometry: Conv) -> Self {
        self.layers = self.layers.with_geometry(pattern, geometry);
        self
    }

    /// Divides by this measure: [`Measure::Four`], [`Measure::WeightedFour`] or a
    /// [`Measure::Reshape`].
    #[must_use]
    pub fn with_measure(mut self, measure: Measure) -> Self {
        self.measure = measure;
        self
    }

    /// Sets the number of power steps at the start.
    #[must_use]
    pub fn with_initial_steps(mut self, steps: usize) -> Self {
        self.initial_steps = steps;
        self
    }

    /// Sets the seed of the start vectors.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Prepares the reparametrisation of the layers of `model`, for
    /// [`Module::apply_reparameterization`].
    ///
    /// # Errors
    /// [`Error`] as for [`SpectralPenaltyConfig::init`](crate::SpectralPenaltyConfig::init); a
    /// target that is not positive and finite; a measure that is not a bound.
    pub fn init<M: Module>(&self, model: &M) -> Result<SpectralReparam, Error> {
        let wrong = |setting, expected, got| {
            Err(Error::Setting {
                setting,
                expected,
                got,
            })
        };
        if !(self.target > 0.0 && self.target.is_finite()) {
            return wrong(
                "target",
                "a positive finite number",
                self.target.to_string(),
            );
        }
        if matches!(
            self.measure,
            Measure::TrackedNorm | Measure::TrackedOperator
        ) {
            let expected = "a bound: the four, the weighted four or one reshape";
            return wrong("measure", expected, self.measure.to_string());
        }
        if self.initial_steps == 0 {
            return wrong("initial_steps", "at least 1", "0".into());
        }
        let selected = self.layers.select(&crate::layer::layers(model))?;
        let mut wanted = selected.into_iter().peekable();
        let mut scales = HashMap::new();
        let mut failed = None;
        visit_weights(model, |layer, weight| {
            let Some(layer) = wanted.next_if(|next| next.path == layer.path) else {
                return;
            };
            match self.scale(layer, weight.tensor().without_autodiff()) {
                Ok((path, scale)) => {
                    scales.insert(path, scale);
                }
                Err(error) => failed = failed.take().or(Some(error)),
            }
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(SpectralReparam { scales }),
        }
    }

    /// Reparametrises the selected layers of `model`.
    ///
    /// # Errors
    /// As [`SpectralReparamConfig::init`].
    pub fn apply<M: Module>(&self, model: M) -> Result<M, Error> {
        let reparam = self.init(&model)?;
        Ok(model.apply_reparameterization(reparam))
    }

    fn scale(&self, layer: Layer, weight: Tensor<3>) -> Result<(String, SpectralScale), Error> {
        let path = if layer.path.is_empty() {
            "weight".to_owned()
        } else {
            format!("{}.weight", layer.path)
        };
        let len = weight.shape().num_elements();
        let group = Group::new(vec![layer], &self.measure)?;
        let mut state = State::new(&group.fingerprints, &weight.device());
        let weight = weight.reshape([1, len]);
        group.refresh(&mut state, weight, self.initial_steps, self.seed);
        let rule = Rule {
            group,
            target: self.target,
        };
        Ok((path, SpectralScale { state, rule }))
    }
}

/// Attaches a [`SpectralScale`] to every selected weight: Burn's `Reparameterizer`.
#[derive(Debug)]
pub struct SpectralReparam {
    /// By the path of the weight.
    scales: HashMap<String, SpectralScale>,
}

impl Reparameterizer for SpectralReparam {
    type Reparam = SpectralScale;

    fn reparameterize<const D: usize>(
        &mut self,
        path: &str,
        param: Param<Tensor<D>>,
    ) -> (Param<Tensor<D>>, Option<SpectralScale>) {
        let scale = self.scales.remove(path);
        (param, scale)
    }
}

/// W ↦ W / max(1, bound(W)/target), with the gradient through the bound.
///
/// The bound is that of the *convolution*, √(Πk) included, and not the norm of one reshape. It is
/// estimated from below by a power iteration that takes one step per forward pass in training and
/// none in evaluation: the quotient may exceed the target a little until the iteration has
/// converged. [`finish`](crate::finish) removes the doubt.
#[derive(Module, Debug)]
pub struct SpectralScale {
    state: State,
    #[module(skip)]
    rule: Rule,
}

#[derive(Clone, Debug)]
struct Rule {
    group: Group,
    target: f64,
}

impl Reparameterization for SpectralScale {
    const NAME: &'static str = "spectral";

    fn apply<const D: usize>(&self, base: Tensor<D>) -> Tensor<D> {
        let shape = base.shape();
        let training = base.is_autodiff();
        let flat = base.reshape([1, shape.num_elements()]);
        let plain = flat.clone().without_autodiff();
        let gradient = self.rule.group.step(&self.state, plain, training, false);
        let bound = (flat.clone() * gradient).sum_dim(1);
        let excess = bound.div_scalar(self.rule.target).clamp_min(1.0);
        (flat / excess).reshape(shape)
    }
}

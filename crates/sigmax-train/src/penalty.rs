//! [`Penalty`]: the spectral penalty of a recipe, or none.

use burn::tensor::Tensor;
use sigmax_burn::{Measure, SpectralPenalty, SpectralPenaltyConfig};

use crate::error::Error;
use crate::model::Network;
use crate::recipe::{PenaltyKind, Recipe};
use crate::state::{self, StateDict};

/// The penalty of a recipe, with its state.
#[derive(Debug)]
pub struct Penalty(Option<SpectralPenalty>);

/// The penalty of one step.
#[derive(Debug)]
pub struct Charge {
    /// β times the sum, on the graph of the model's weights.
    pub loss: Tensor<1>,
    /// The number of every layer: estimates.
    pub layers: Vec<(String, f64)>,
}

impl Penalty {
    /// Starts the penalty that `recipe` asks for. The convolutions of the model are penalised, with
    /// their true stride; dense layers only in a model that has nothing else.
    ///
    /// # Errors
    /// What `sigmax-burn` refuses.
    pub fn new<N: Network>(recipe: &Recipe, model: &N) -> Result<Self, Error> {
        let measure = match recipe.penalty {
            PenaltyKind::None => return Ok(Self(None)),
            PenaltyKind::Four => Measure::Four,
            PenaltyKind::Weighted => Measure::WeightedFour,
            PenaltyKind::Norm => Measure::TrackedNorm,
        };
        let layers = model.layers();
        let mut config = SpectralPenaltyConfig::new()
            .with_measure(measure)
            .with_beta(recipe.beta)
            .with_seed(recipe.seed)
            .with_linear(layers.iter().all(|layer| layer.is_dense()));
        for layer in layers.into_iter().filter(|layer| !layer.is_dense()) {
            config = config.with_geometry(layer.path, layer.conv);
        }
        Ok(Self(Some(config.init(model)?)))
    }

    /// One power step on every layer, and the penalty. `None` without a penalty.
    ///
    /// # Errors
    /// Where the state is not that of this model.
    pub fn step<N: Network>(&mut self, model: &N) -> Result<Option<Charge>, Error> {
        let Some(penalty) = &mut self.0 else {
            return Ok(None);
        };
        let step = penalty.step(model)?;
        let layers = step.layers().into_iter();
        Ok(Some(Charge {
            loss: step.loss(),
            layers: layers.map(|l| (l.path, l.estimate.get())).collect(),
        }))
    }

    /// The numbers of the layers after `steps` more power steps at the present weights, without a
    /// change of the state; empty without a penalty.
    ///
    /// # Errors
    /// As [`Penalty::step`].
    pub fn estimates<N: Network>(
        &self,
        model: &N,
        steps: usize,
    ) -> Result<Vec<(String, f64)>, Error> {
        let Some(penalty) = &self.0 else {
            return Ok(Vec::new());
        };
        let mut copy = penalty.clone();
        if steps > 0 {
            copy.refresh(model, steps)?;
        }
        let layers = copy.evaluate(model)?.layers().into_iter();
        Ok(layers.map(|l| (l.path, l.estimate.get())).collect())
    }

    /// The state, for a checkpoint.
    #[must_use]
    pub fn state(&self) -> StateDict {
        self.0.as_ref().map(state::read).unwrap_or_default()
    }

    /// Takes the state of a checkpoint; that it belongs to the same layers is checked at the next
    /// step.
    ///
    /// # Errors
    /// A tensor that does not fit.
    pub fn restore(self, state: StateDict) -> Result<Self, Error> {
        match self.0 {
            Some(penalty) => Ok(Self(Some(state::load(penalty, state)?))),
            None => Ok(self),
        }
    }

    /// Whether there is one.
    #[must_use]
    pub fn is_some(&self) -> bool {
        self.0.is_some()
    }
}

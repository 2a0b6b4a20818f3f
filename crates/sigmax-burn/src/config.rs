//! [`SpectralPenaltyConfig`]: what is penalised, how, and how the estimates are kept.

use sigmax::Conv;

use crate::error::Error;
use crate::form::Form;
use crate::measure::Measure;
use crate::selection::LayerSelection;

/// Configuration of a [`SpectralPenalty`](crate::SpectralPenalty).
///
/// The defaults are those of the paper: the smallest of the four bounds, summed over all
/// convolutions.
///
/// # Example
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use sigmax_burn::{Form, Measure, SpectralPenaltyConfig};
/// let model = Conv2dConfig::new([3, 8], [3, 3]).init(&Default::default());
/// let penalty = SpectralPenaltyConfig::new()
///     .with_measure(Measure::WeightedFour)
///     .with_form(Form::Hinge { target: 1.0 })
///     .with_beta(1e-3)
///     .init(&model)?;
/// assert_eq!(penalty.layers().count(), 1);
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SpectralPenaltyConfig {
    pub(crate) layers: LayerSelection,
    pub(crate) measure: Measure,
    pub(crate) form: Form,
    pub(crate) beta: f64,
    pub(crate) initial_steps: usize,
    pub(crate) rescan_every: usize,
    pub(crate) seed: u64,
}

impl Default for SpectralPenaltyConfig {
    fn default() -> Self {
        Self {
            layers: LayerSelection::new(),
            measure: Measure::default(),
            form: Form::default(),
            beta: 1e-3,
            initial_steps: 30,
            rescan_every: 50,
            seed: 0,
        }
    }
}

impl SpectralPenaltyConfig {
    /// The defaults: [`Measure::Four`], [`Form::Sum`], β = 1e-3, all convolutions, 30 power steps
    /// at the start, a new search for the peak every 50 steps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the layers, all at once.
    #[must_use]
    pub fn with_layers(mut self, layers: LayerSelection) -> Self {
        self.layers = layers;
        self
    }

    /// As [`LayerSelection::with_include`].
    #[must_use]
    pub fn with_include(mut self, pattern: impl Into<String>) -> Self {
        self.layers = self.layers.with_include(pattern);
        self
    }

    /// As [`LayerSelection::with_exclude`].
    #[must_use]
    pub fn with_exclude(mut self, pattern: impl Into<String>) -> Self {
        self.layers = self.layers.with_exclude(pattern);
        self
    }

    /// As [`LayerSelection::with_linear`].
    #[must_use]
    pub fn with_linear(mut self, linear: bool) -> Self {
        self.layers = self.layers.with_linear(linear);
        self
    }

    /// As [`LayerSelection::with_geometry`].
    #[must_use]
    pub fn with_geometry(mut self, pattern: impl Into<String>, geometry: Conv) -> Self {
        self.layers = self.layers.with_geometry(pattern, geometry);
        self
    }

    /// Sets what is penalised.
    #[must_use]
    pub fn with_measure(mut self, measure: Measure) -> Self {
        self.measure = measure;
        self
    }

    /// Sets how the layers are summed up.
    #[must_use]
    pub fn with_form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Sets the factor β.
    #[must_use]
    pub fn with_beta(mut self, beta: f64) -> Self {
        self.beta = beta;
        self
    }

    /// Sets the number of power steps at the start and after a refresh.
    #[must_use]
    pub fn with_initial_steps(mut self, steps: usize) -> Self {
        self.initial_steps = steps;
        self
    }

    /// Sets after how many steps [`Measure::TrackedNorm`] searches the whole torus again.
    #[must_use]
    pub fn with_rescan_every(mut self, steps: usize) -> Self {
        self.rescan_every = steps;
        self
    }

    /// Sets the seed of the start vectors.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The layers and their geometry, as for [`prove`](crate::prove).
    #[must_use]
    pub fn layer_selection(&self) -> &LayerSelection {
        &self.layers
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        let wrong = |setting, expected, got: String| {
            Err(Error::Setting {
                setting,
                expected,
                got,
            })
        };
        if !self.beta.is_finite() {
            return wrong("beta", "a finite number", self.beta.to_string());
        }
        if let Form::Hinge { target } = self.form
            && !(target >= 0.0 && target.is_finite())
        {
            return wrong(
                "target",
                "a finite number of at least 0",
                target.to_string(),
            );
        }
        if self.initial_steps == 0 {
            return wrong("initial_steps", "at least 1", "0".into());
        }
        if self.rescan_every == 0 {
            return wrong("rescan_every", "at least 1", "0".into());
        }
        Ok(())
    }
}

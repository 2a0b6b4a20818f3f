//! The one error type of the crate.

/// Why a model, a configuration or a saved state was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A pattern is not a valid glob.
    #[error("pattern {pattern:?}: {reason}")]
    Pattern {
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No layer was selected.
    #[error(
        "no layer selected: the model has {found} convolution and linear layers; \
         check the include and exclude patterns (linear layers are selected only on request)"
    )]
    NoLayers {
        /// Layers in the model, selected or not.
        found: usize,
    },
    /// A layer and what was said about it do not fit.
    #[error("layer {path}: {reason}")]
    Layer {
        /// Path of the layer in the model.
        path: String,
        /// What does not fit.
        reason: String,
    },
    /// The core refused a layer.
    #[error("layer {path}: {source}")]
    Core {
        /// Path of the layer in the model.
        path: String,
        /// What the core says.
        source: sigmax::Error,
    },
    /// The model is not the one that the state belongs to.
    #[error(
        "layer {path}: the state does not match the model: expected {expected}, found {found}; \
         call init on this model instead"
    )]
    Mismatch {
        /// Path of the first layer that differs.
        path: String,
        /// What the state was made for.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// A saved state could not be restored.
    #[error("restoring the state of {layers}: {reason}")]
    Record {
        /// Paths of the layers that the state should be for.
        layers: String,
        /// What Burn says.
        reason: String,
    },
    /// A setting has a value that makes no sense.
    #[error("{setting}: expected {expected}, got {got}")]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What would be right.
        expected: &'static str,
        /// What was given.
        got: String,
    },
    /// A layer could not be brought under its target.
    #[error(
        "layer {path}: proved upper {upper} is still above the target {target} after rescaling"
    )]
    Unreachable {
        /// Path of the layer in the model.
        path: String,
        /// The last proved bound.
        upper: f64,
        /// The target.
        target: f64,
    },
}

impl Error {
    pub(crate) fn layer(path: &str, reason: impl Into<String>) -> Self {
        Self::Layer {
            path: path.to_owned(),
            reason: reason.into(),
        }
    }

    pub(crate) fn core(path: &str, source: sigmax::Error) -> Self {
        Self::Core {
            path: path.to_owned(),
            source,
        }
    }
}

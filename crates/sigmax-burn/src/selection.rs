//! [`LayerSelection`]: which layers of a model, and what their geometry is.

use globset::{GlobBuilder, GlobMatcher};
use sigmax::{Conv, PaddingMode};

use crate::error::Error;
use crate::layer::{Layer, LayerKind};

/// Which layers of a model are meant, and the geometry of those where the user knows it.
///
/// Layers are named by their path in the module tree without the final `weight`:
/// `features.0.conv1`. Patterns are globs over that path; `*` also crosses the dots. All
/// convolutions are selected unless patterns say otherwise, linear layers only on request.
///
/// A walk over a Burn module sees weights, but not stride, padding or groups. Where no geometry is
/// given, stride 1, one group and zero padding are assumed, which bounds the layer from above
/// whatever its stride, dilation, groups and zero padding are: a stride keeps a part of the outputs
/// of stride 1 (T3), dilation and zero padding do not change the norm on the infinite lattice (T2,
/// T4), and the weights of one group are some rows of each reshape of the whole tensor, whose norm
/// is not smaller (T5).
///
/// # Example
/// ```
/// use sigmax::Conv;
/// use sigmax_burn::LayerSelection;
/// let layers = LayerSelection::new()
///     .with_exclude("*.shortcut")
///     .with_linear(true)
///     .with_geometry("stem", Conv::new(2).with_stride(&[2, 2]));
/// # let _ = layers;
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerSelection {
    include: Vec<String>,
    exclude: Vec<String>,
    linear: bool,
    geometry: Vec<(String, Conv)>,
}

impl LayerSelection {
    /// All convolutions, no linear layers, no geometry known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Selects only layers that match one of the patterns given with this method.
    #[must_use]
    pub fn with_include(mut self, pattern: impl Into<String>) -> Self {
        self.include.push(pattern.into());
        self
    }

    /// Leaves out layers that match.
    #[must_use]
    pub fn with_exclude(mut self, pattern: impl Into<String>) -> Self {
        self.exclude.push(pattern.into());
        self
    }

    /// Whether linear layers are selected too.
    #[must_use]
    pub fn with_linear(mut self, linear: bool) -> Self {
        self.linear = linear;
        self
    }

    /// Says what the geometry of the layers that match is; the last pattern that matches a layer
    /// counts. Whether the layer is transposed is known from the model.
    #[must_use]
    pub fn with_geometry(mut self, pattern: impl Into<String>, geometry: Conv) -> Self {
        self.geometry.push((pattern.into(), geometry));
        self
    }

    /// The selected layers among all layers of a model, in their order, with their geometry.
    pub(crate) fn select(&self, all: &[Layer]) -> Result<Vec<Layer>, Error> {
        let include = compile(self.include.iter(), all)?;
        let exclude = compile(self.exclude.iter(), all)?;
        let geometry = compile(self.geometry.iter().map(|(pattern, _)| pattern), all)?;
        let mut selected = Vec::new();
        for layer in all {
            let wanted = (include.is_empty() || include.iter().any(|g| g.is_match(&layer.path)))
                && !exclude.iter().any(|g| g.is_match(&layer.path))
                && (self.linear || layer.kind != LayerKind::Linear);
            if !wanted {
                continue;
            }
            let mut layer = layer.clone();
            let given = geometry
                .iter()
                .zip(&self.geometry)
                .rfind(|(glob, _)| glob.is_match(&layer.path));
            if let Some((_, (_, conv))) = given {
                let transposed = layer.conv.transposed;
                layer.conv = Conv {
                    transposed,
                    ..conv.clone()
                };
            }
            check(&layer)?;
            selected.push(layer);
        }
        if selected.is_empty() {
            return Err(Error::NoLayers { found: all.len() });
        }
        Ok(selected)
    }
}

/// Compiles patterns; one that matches no layer at all is a typing mistake.
fn compile<'a>(
    patterns: impl Iterator<Item = &'a String>,
    all: &[Layer],
) -> Result<Vec<GlobMatcher>, Error> {
    patterns
        .map(|pattern| {
            let wrong = |reason: String| Error::Pattern {
                pattern: pattern.clone(),
                reason,
            };
            let glob = GlobBuilder::new(pattern)
                .literal_separator(false)
                .build()
                .map_err(|error| wrong(error.to_string()))?
                .compile_matcher();
            if all.iter().any(|layer| glob.is_match(&layer.path)) {
                Ok(glob)
            } else {
                Err(wrong("matches no layer of the model".into()))
            }
        })
        .collect()
}

/// Checks a layer's geometry against its shape.
fn check(layer: &Layer) -> Result<(), Error> {
    if layer.conv.padding_mode != PaddingMode::Zeros {
        return Err(Error::layer(
            &layer.path,
            format!(
                "{} padding is not covered: Burn's convolutions pad with zeros",
                layer.conv.padding_mode.name()
            ),
        ));
    }
    layer.layout().map(|_| ())
}

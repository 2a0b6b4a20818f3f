//! What the core proves about the layers of a model, and how it is told.

use std::io::Write;

use rayon::prelude::*;
use sigmax::{Lower, Options, Upper};
use sigmax_burn::{LayerKind, LayerSelection, ProvedLayer};
use sigmax_formats::report::{Rounding, decimal};

use crate::error::Error;
use crate::model::Network;

/// All layers of a model, with their true stride, padding and input size.
fn selection<N: Network>(model: &N) -> LayerSelection {
    let layers = model.layers().into_iter();
    layers
        .filter(|layer| !layer.is_dense())
        .fold(LayerSelection::new().with_linear(true), |selection, l| {
            selection.with_geometry(l.path, l.conv)
        })
}

/// Brackets the norm of every layer to 1e-3, in the order of [`Network::layers`].
///
/// # Errors
/// A layer whose weight is not finite.
pub fn prove<N: Network>(model: &N) -> Result<Vec<ProvedLayer>, Error> {
    let proved = sigmax_burn::prove(model, &selection(model), &Options::default())?;
    in_order(model, proved, |proved| &proved.layer().path)
}

/// Proves the smallest of the four bounds of every layer, in the order of [`Network::layers`].
///
/// # Errors
/// As [`prove`].
pub fn bounds<N: Network>(model: &N) -> Result<Vec<Upper>, Error> {
    let kernels = sigmax_burn::kernels(model, &selection(model))?;
    in_order(model, kernels, |(layer, _)| &layer.path)?
        .par_iter()
        .map(|(layer, kernel)| {
            let bounds = sigmax::bound::four_bounds(kernel, &layer.conv);
            let bounds = bounds.map_err(|source| Error::Layer {
                path: layer.path.clone(),
                source,
            })?;
            Ok(bounds.min())
        })
        .collect()
}

/// Burn walks over the fields of a module, [`Network::layers`] goes from the input to the output.
fn in_order<N: Network, T>(
    model: &N,
    mut found: Vec<T>,
    path: impl Fn(&T) -> &String,
) -> Result<Vec<T>, Error> {
    let take = |layer: crate::model::Layer| {
        let place = found.iter().position(|item| *path(item) == layer.path);
        let place = place.ok_or_else(|| Error::Tensor {
            name: format!("{}.weight", layer.path),
            expected: "the weight of a layer".into(),
            found: "none".into(),
        })?;
        Ok(found.swap_remove(place))
    };
    model.layers().into_iter().map(take).collect()
}

/// The product of the proved upper ends, rounded up; `None` of no layers.
#[must_use]
pub fn product(layers: &[ProvedLayer]) -> Option<Upper> {
    let uppers = layers
        .iter()
        .map(|proved| proved.audit().norm().bracket().upper());
    uppers.reduce(Upper::times)
}

/// Five digits, rounded up.
pub(crate) fn at_most(upper: Upper) -> String {
    decimal(upper.get(), 5, Rounding::Up)
}

/// Five digits, rounded down.
pub(crate) fn at_least(lower: Lower) -> String {
    decimal(lower.get(), 5, Rounding::Down)
}

/// A layer as text: uppers rounded up, the lower end down.
pub(crate) struct Row<'a> {
    pub(crate) path: &'a str,
    /// Extents of the weight, output first.
    pub(crate) shape: String,
    /// Along the first axis; `None` for a dense layer.
    pub(crate) stride: Option<String>,
    pub(crate) four: String,
    pub(crate) weighted: String,
    pub(crate) lower: String,
    pub(crate) upper: String,
}

impl<'a> Row<'a> {
    pub(crate) fn new(proved: &'a ProvedLayer) -> Self {
        let (layer, audit) = (proved.layer(), proved.audit());
        let mut shape: Vec<String> = layer.shape.iter().map(usize::to_string).collect();
        if layer.kind == LayerKind::Linear {
            // Burn has the input first.
            shape.reverse();
        }
        let norm = audit.norm().bracket();
        Self {
            path: &layer.path,
            shape: shape.join("×"),
            stride: layer.conv.stride.first().map(usize::to_string),
            four: at_most(audit.four().min()),
            weighted: at_most(audit.weighted_four().upper()),
            lower: at_least(norm.lower()),
            upper: at_most(norm.upper()),
        }
    }
}

/// Which norm it is.
pub const NORM_NOTE: &str = "The norm of a convolution is that over all input sizes. At the model's \
    own size, zero padding may make it smaller: the upper ends hold there too.";

/// What a product of layer norms is, and what it is not.
pub const PRODUCT_NOTE: &str = "The product bounds the norm of the layers applied one after the \
    other, activations of slope at most 1 between them. It is not a Lipschitz constant of a model \
    with BatchNorm or shortcuts: it leaves out the scales of the first and the sums of the second.";

/// Prints a table, and the products: of this model, and of another one beside it.
///
/// # Errors
/// Where writing fails.
pub fn print(
    layers: &[ProvedLayer],
    other: Option<(&str, &[ProvedLayer])>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let rows: Vec<Row> = layers.iter().map(Row::new).collect();
    let width = rows
        .iter()
        .map(|row| row.path.len())
        .max()
        .unwrap_or(0)
        .max(5);
    writeln!(
        out,
        "{:<width$}  {:>14}  {:>6}  {:>9}  {:>9}  {:>19}",
        "layer", "shape", "stride", "four", "weighted", "norm (proved)"
    )?;
    for row in &rows {
        writeln!(
            out,
            "{:<width$}  {:>14}  {:>6}  {:>9}  {:>9}  [{:>8}, {:>8}]",
            row.path,
            row.shape,
            row.stride.as_deref().unwrap_or("-"),
            row.four,
            row.weighted,
            row.lower,
            row.upper,
        )?;
    }
    let show = |layers: &[ProvedLayer]| product(layers).map_or("-".to_owned(), at_most);
    writeln!(out, "product of the proved upper ends: {}", show(layers))?;
    if let Some((name, other)) = other {
        writeln!(out, "the same for {name}: {}", show(other))?;
    }
    writeln!(out, "{NORM_NOTE}\n{PRODUCT_NOTE}")?;
    Ok(())
}

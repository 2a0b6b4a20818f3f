//! What the core proves about the layers of a trained model.

use std::io::Write;

use rayon::prelude::*;
use sigmax::{Bracket, Kernel, Lower, Options, Upper};
use sigmax_formats::report::{Rounding, decimal};

use crate::error::Error;
use crate::model::Layer;
use crate::state::StateDict;

/// A layer's proved numbers.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The layer.
    pub layer: Layer,
    /// Shape of its weight, output first.
    pub shape: Vec<usize>,
    /// The smallest of the four bounds.
    pub four: Upper,
    /// The weighted four.
    pub weighted: Upper,
    /// The norm between two proved ends.
    pub norm: Bracket,
}

impl Certified {
    /// The extents of the weight, as text.
    pub(crate) fn shape_text(&self) -> String {
        let shape: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        shape.join("×")
    }

    /// The stride along the first axis, or `none` for a dense layer.
    pub(crate) fn stride_text(&self, none: &str) -> String {
        let stride = self.layer.conv.stride.first();
        stride.map_or(none.to_owned(), usize::to_string)
    }
}

fn kernel(layer: &Layer, state: &StateDict) -> Result<Kernel, Error> {
    let name = format!("{}.weight", layer.path);
    let array = state.get(&name).ok_or_else(|| Error::Tensor {
        name,
        expected: "the weight of a layer".into(),
        found: "none".into(),
    })?;
    Kernel::from_f32(&array.shape, &array.values).map_err(|source| Error::Layer {
        path: layer.path.clone(),
        source,
    })
}

/// Proves the smallest of the four bounds of every layer.
///
/// # Errors
/// A layer without weight, or whose weight is not finite.
pub fn bounds(layers: &[Layer], state: &StateDict) -> Result<Vec<Upper>, Error> {
    let bound = |layer: &Layer| {
        let bounds = sigmax::bound::four_bounds(&kernel(layer, state)?, &layer.conv);
        let bounds = bounds.map_err(|source| Error::Layer {
            path: layer.path.clone(),
            source,
        })?;
        Ok(bounds.min())
    };
    layers.par_iter().map(bound).collect()
}

/// Brackets the norm of every layer to 1e-3, with its true stride, padding and input size.
///
/// # Errors
/// As [`bounds`].
pub fn certify(layers: &[Layer], state: &StateDict) -> Result<Vec<Certified>, Error> {
    let one = |layer: &Layer| {
        let kernel = kernel(layer, state)?;
        let audit = sigmax::audit(&kernel, &layer.conv, &Options::default());
        let audit = audit.map_err(|source| Error::Layer {
            path: layer.path.clone(),
            source,
        })?;
        Ok(Certified {
            layer: layer.clone(),
            shape: kernel.shape().to_vec(),
            four: audit.four().min(),
            weighted: audit.weighted_four().upper(),
            norm: audit.norm().bracket(),
        })
    };
    layers.par_iter().map(one).collect()
}

/// The product of the proved upper ends, rounded up; `None` of no layers.
#[must_use]
pub fn product(layers: &[Certified]) -> Option<Upper> {
    let uppers = layers.iter().map(|c| c.norm.upper());
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
    layers: &[Certified],
    other: Option<(&str, &[Certified])>,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let width = layers
        .iter()
        .map(|c| c.layer.path.len())
        .max()
        .unwrap_or(0)
        .max(5);
    writeln!(
        out,
        "{:<width$}  {:>14}  {:>6}  {:>9}  {:>9}  {:>19}",
        "layer", "shape", "stride", "four", "weighted", "norm (proved)"
    )?;
    for c in layers {
        writeln!(
            out,
            "{:<width$}  {:>14}  {:>6}  {:>9}  {:>9}  [{:>8}, {:>8}]",
            c.layer.path,
            c.shape_text(),
            c.stride_text("-"),
            at_most(c.four),
            at_most(c.weighted),
            at_least(c.norm.lower()),
            at_most(c.norm.upper()),
        )?;
    }
    let show = |layers: &[Certified]| product(layers).map_or("-".to_owned(), at_most);
    writeln!(out, "product of the proved upper ends: {}", show(layers))?;
    if let Some((name, other)) = other {
        writeln!(out, "the same for {name}: {}", show(other))?;
    }
    writeln!(out, "{NORM_NOTE}\n{PRODUCT_NOTE}")?;
    Ok(())
}

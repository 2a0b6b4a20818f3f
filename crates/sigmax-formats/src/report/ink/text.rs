//! Names and numbers, fit for a page.

use sigmax::{Audit, Estimate};

use crate::model::layer::{GeometrySource, LayerSpec};
use crate::report::ink::decimal::{Rounding, decimal};
use crate::report::ink::printable::printable;
use crate::report::ink::svg::escape;

/// Text from a file: nothing in it marks up, is invisible, or reorders what stands around it.
pub(crate) fn name(text: &str) -> String {
    format!("<bdi>{}</bdi>", plain(text))
}

/// The same for an attribute.
pub(crate) fn plain(text: &str) -> String {
    escape(&printable(text))
}

/// A sentence that may quote a file.
pub(crate) fn sentence(text: &str) -> String {
    plain(text.trim_end_matches('.')) + "."
}

/// Names, and how many more there are.
pub(crate) fn names<T: AsRef<str>>(all: &[T]) -> String {
    const LISTED: usize = 12;
    let mut shown: Vec<String> = all.iter().take(LISTED).map(|n| name(n.as_ref())).collect();
    if all.len() > LISTED {
        shown.push(format!("and {} more", all.len() - LISTED));
    }
    shown.join(", ")
}

/// A proved upper end, rounded up.
pub(crate) fn up(x: f64, digits: usize) -> String {
    decimal(x, digits, Rounding::Up)
}

/// A proved lower end, rounded down.
pub(crate) fn down(x: f64, digits: usize) -> String {
    decimal(x, digits, Rounding::Down)
}

/// Whether the lower end may be above the norm of the real layer, whose geometry is not known.
pub(crate) fn is_assumed(layer: &LayerSpec) -> bool {
    layer.geometry == GeometrySource::Assumed && layer.conv.axes() > 0
}

/// What is proved of a layer's norm: "a to b", or "at most b".
pub(crate) fn norm(layer: &LayerSpec, audit: &Audit, digits: usize) -> String {
    let bracket = audit.norm().bracket();
    let upper = up(bracket.upper().get(), digits);
    if is_assumed(layer) {
        format!("at most {upper}")
    } else {
        format!("{} to {upper}", down(bracket.lower().get(), digits))
    }
}

/// An estimate, marked as one.
pub(crate) fn est(x: Estimate) -> String {
    format!("{}\u{a0}est.", decimal(x.get(), 4, Rounding::Nearest))
}

/// "1 layer", "2 layers".
pub(crate) use crate::report::ink::words::plural;

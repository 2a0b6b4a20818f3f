//! [`Column`]: what a column of the table holds, and how wide it is.

use crate::model::layer::LayerSpec;
use crate::report::audit::cells::{op, stride};
use crate::report::ink::printable::printable;
use crate::report::ink::words::by;
use crate::report::ink::wrap::width;

/// A column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Layer,
    Op,
    Shape,
    Stride,
    Lower,
    Upper,
    Four,
    Weighted,
    Reshape,
    Ratio,
    Time,
}

impl Column {
    /// The two lines above the cells.
    pub(crate) fn heads(self) -> (&'static str, &'static str) {
        match self {
            Self::Layer => ("", "layer"),
            Self::Op => ("", "op"),
            Self::Shape => ("", "shape"),
            Self::Stride => ("", "stride"),
            Self::Lower => ("norm", "at least"),
            Self::Upper => ("norm", "at most"),
            Self::Four => ("four", "at most"),
            Self::Weighted => ("weighted", "at most"),
            Self::Reshape => ("spectral_", "norm, est."),
            Self::Ratio => ("norm", "÷ est."),
            Self::Time => ("", "time"),
        }
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self, Self::Layer | Self::Op | Self::Shape | Self::Stride)
    }

    /// Columns of the terminal for head and cells.
    pub(crate) fn natural(self, layers: &[&LayerSpec], digits: usize) -> usize {
        let (first, second) = self.heads();
        let head = width(first).max(width(second));
        let widest = |cell: fn(&LayerSpec) -> String| {
            layers
                .iter()
                .map(|layer| width(&cell(layer)))
                .max()
                .unwrap_or(0)
        };
        let number = digits + 4;
        let cell = match self {
            Self::Layer => widest(|layer| printable(&layer.name)),
            Self::Op => widest(op),
            Self::Shape => widest(|layer| by(&layer.shape)),
            Self::Stride => widest(stride),
            Self::Lower | Self::Weighted | Self::Reshape => number,
            Self::Upper => number + 1,
            Self::Four => number + 3,
            Self::Ratio | Self::Time => 6,
        };
        cell.max(head)
    }
}

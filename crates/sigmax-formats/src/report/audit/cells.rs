//! What the table and the page say of a layer in the same words.

use sigmax::{Audit, Stop};

use crate::model::layer::{LayerKind, LayerSpec};
use crate::report::ink::printable::printable;
use crate::report::ink::words::by;

pub(crate) fn op(layer: &LayerSpec) -> String {
    match layer.op {
        LayerKind::ConvTranspose => "ConvT".to_owned(),
        _ => printable(&layer.op_type),
    }
}

pub(crate) fn stride(layer: &LayerSpec) -> String {
    if layer.conv.stride.is_empty() {
        "-".to_owned()
    } else {
        by(&layer.conv.stride)
    }
}

/// Whether the search ended before it met the tolerance.
pub(crate) fn is_early(audit: &Audit) -> bool {
    audit.norm().stop() != Stop::Tolerance
}

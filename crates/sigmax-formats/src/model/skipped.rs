//! [`Skipped`]: what a model holds besides the layers.

use std::collections::BTreeMap;

/// What is not audited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Skipped {
    /// Names by kind of what is not a convolution or dense layer: nodes by operator
    /// (`BatchNormalization`, …) in a graph, tensors by rank or element type elsewhere.
    pub others: BTreeMap<String, Vec<String>>,
    /// Layers, or what may be one, that cannot be audited.
    pub refused: Vec<Refused>,
}

/// A layer, or what may be one, that cannot be audited.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// The node or tensor.
    pub name: String,
    /// Its operator or kind.
    pub kind: String,
    /// Why it is not audited.
    pub reason: String,
}

impl Refused {
    /// A layer, or a node, that is not audited.
    #[must_use]
    pub fn new(name: &str, kind: &str, reason: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

impl Skipped {
    /// Counts per kind of [`Skipped::others`], in alphabetical order.
    pub fn counts(&self) -> impl Iterator<Item = (&str, usize)> {
        self.others
            .iter()
            .map(|(kind, names)| (kind.as_str(), names.len()))
    }

    pub(crate) fn other(&mut self, kind: impl Into<String>, name: impl Into<String>) {
        self.others
            .entry(kind.into())
            .or_default()
            .push(name.into());
    }

    pub(crate) fn refuse(
        &mut self,
        name: impl Into<String>,
        kind: impl Into<String>,
        reason: impl Into<String>,
    ) {
        self.refused.push(Refused {
            name: name.into(),
            kind: kind.into(),
            reason: reason.into(),
        });
    }
}

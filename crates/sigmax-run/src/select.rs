//! Which layers are picked.

use globset::{GlobBuilder, GlobMatcher};
use sigmax_formats::Model;
use sigmax_formats::report::printable;

use crate::error::Error;

/// Patterns of layer names; none picks everything.
pub(crate) struct Selection(Vec<(String, GlobMatcher)>);

impl Selection {
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, Error> {
        let parsed: Result<Vec<_>, _> = patterns
            .iter()
            .map(|pattern| {
                GlobBuilder::new(pattern)
                    .literal_separator(false)
                    .build()
                    .map(|glob| (pattern.clone(), glob.compile_matcher()))
                    .map_err(|error| Error::Pattern {
                        pattern: pattern.clone(),
                        reason: error.to_string(),
                    })
            })
            .collect();
        Ok(Self(parsed?))
    }

    fn matches(pattern: &(String, GlobMatcher), names: [&str; 2]) -> bool {
        names
            .iter()
            .any(|&name| name == pattern.0 || pattern.1.is_match(name))
    }

    fn picks(&self, name: &str, tensor: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|p| Self::matches(p, [name, tensor]))
    }

    /// Removes what is not picked from `model`: layers, and what the reader refused.
    pub(crate) fn apply(&self, model: &mut Model) -> Result<(), Error> {
        if model.layers.is_empty() && model.skipped.refused.is_empty() {
            let counts = model.skipped.counts();
            return Err(Error::NoLayers {
                file: model.file().to_owned(),
                skipped: counts
                    .map(|(kind, count)| (printable(kind), count))
                    .collect(),
            });
        }
        for pattern in &self.0 {
            let layers = model.layers.iter().map(|l| [&*l.name, &*l.tensor]);
            let refused = model.skipped.refused.iter().map(|r| [&*r.name; 2]);
            if !layers
                .chain(refused)
                .any(|names| Self::matches(pattern, names))
            {
                return Err(Error::NoMatch {
                    pattern: pattern.0.clone(),
                    layers: names(model),
                });
            }
        }
        model
            .layers
            .retain(|layer| self.picks(&layer.name, &layer.tensor));
        model
            .skipped
            .refused
            .retain(|refused| self.picks(&refused.name, &refused.name));
        Ok(())
    }
}

fn names(model: &Model) -> Vec<String> {
    let layers = model.layers.iter().map(|layer| &layer.name);
    layers
        .chain(model.skipped.refused.iter().map(|refused| &refused.name))
        .map(|name| printable(name))
        .collect()
}

//! Which layers are picked.

use globset::{GlobBuilder, GlobMatcher};
use sigmax_formats::Model;
use sigmax_formats::report::{Excluded, printable};

use crate::error::Error;

/// Patterns of layer names.
struct Patterns(Vec<(String, GlobMatcher)>);

/// What is picked: all that `only` names (everything, where it names nothing) and `exclude` does not.
pub(crate) struct Selection {
    only: Patterns,
    exclude: Patterns,
}

impl Patterns {
    fn parse(patterns: &[String]) -> Result<Self, Error> {
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

    fn any(&self, names: [&str; 2]) -> bool {
        self.0.iter().any(|p| Self::matches(p, names))
    }
}

impl Selection {
    pub(crate) fn parse(only: &[String], exclude: &[String]) -> Result<Self, Error> {
        Ok(Self {
            only: Patterns::parse(only)?,
            exclude: Patterns::parse(exclude)?,
        })
    }

    /// Removes what is not picked from `model`: layers, and what the reader refused. What is excluded of
    /// what would have been picked is returned by name, layers first.
    pub(crate) fn apply(&self, model: &mut Model) -> Result<Vec<Excluded>, Error> {
        if model.layers.is_empty() && model.skipped.refused.is_empty() {
            let counts = model.skipped.counts();
            return Err(Error::NoLayers {
                file: model.file().to_owned(),
                skipped: counts
                    .map(|(kind, count)| (printable(kind), count))
                    .collect(),
            });
        }
        for pattern in self.only.0.iter().chain(&self.exclude.0) {
            let layers = model.layers.iter().map(|l| [&*l.name, &*l.tensor]);
            let refused = model.skipped.refused.iter().map(|r| [&*r.name; 2]);
            if !layers
                .chain(refused)
                .any(|names| Patterns::matches(pattern, names))
            {
                return Err(Error::NoMatch {
                    pattern: pattern.0.clone(),
                    layers: names(model),
                });
            }
        }
        let all = names(model);
        let mut excluded = Vec::new();
        let mut stays = |name: &str, tensor: &str, kind: &str| {
            let names = [name, tensor];
            if !self.only.0.is_empty() && !self.only.any(names) {
                return false;
            }
            let out = self.exclude.any(names);
            if out {
                excluded.push(Excluded::new(name, kind));
            }
            !out
        };
        model
            .layers
            .retain(|layer| stays(&layer.name, &layer.tensor, &layer.op_type));
        model
            .skipped
            .refused
            .retain(|refused| stays(&refused.name, &refused.name, &refused.kind));
        // A gate about no layer at all would be passed by every model.
        if model.layers.is_empty() && model.skipped.refused.is_empty() {
            return Err(Error::NothingLeft { layers: all });
        }
        Ok(excluded)
    }
}

fn names(model: &Model) -> Vec<String> {
    let layers = model.layers.iter().map(|layer| &layer.name);
    layers
        .chain(model.skipped.refused.iter().map(|refused| &refused.name))
        .map(|name| printable(name))
        .collect()
}

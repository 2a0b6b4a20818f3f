//! Which layers `--only` picks.

use globset::{GlobBuilder, GlobMatcher};
use sigmax_formats::Model;
use sigmax_formats::report::printable;

use crate::failure::Failure;

/// Most names that an error lists.
const LISTED: usize = 20;

/// Patterns of layer names; none picks everything.
pub(crate) struct Selection(Vec<(String, GlobMatcher)>);

impl Selection {
    pub(crate) fn parse(patterns: &[String]) -> Result<Self, Failure> {
        let parsed: Result<Vec<_>, _> = patterns
            .iter()
            .map(|pattern| {
                GlobBuilder::new(pattern)
                    .literal_separator(false)
                    .build()
                    .map(|glob| (pattern.clone(), glob.compile_matcher()))
                    .map_err(|error| Failure::Input(format!("--only {pattern:?}: {error}")))
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
    pub(crate) fn apply(&self, model: &mut Model) -> Result<(), Failure> {
        if model.layers.is_empty() && model.skipped.refused.is_empty() {
            return Err(Failure::Input(format!(
                "{}: no convolution or dense layer found{}",
                model.file().display(),
                skipped(model)
            )));
        }
        for pattern in &self.0 {
            let layers = model.layers.iter().map(|l| [&*l.name, &*l.tensor]);
            let refused = model.skipped.refused.iter().map(|r| [&*r.name; 2]);
            if !layers
                .chain(refused)
                .any(|names| Self::matches(pattern, names))
            {
                return Err(Failure::Input(format!(
                    "--only {:?} matches no layer; there are:{}",
                    pattern.0,
                    names(model)
                )));
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

fn skipped(model: &Model) -> String {
    let counts: Vec<_> = model
        .skipped
        .counts()
        .map(|(kind, count)| format!("{count} {}", printable(kind)))
        .collect();
    if counts.is_empty() {
        String::new()
    } else {
        format!("; what is there is not a layer: {}", counts.join(", "))
    }
}

fn names(model: &Model) -> String {
    let layers = model.layers.iter().map(|layer| &layer.name);
    let all: Vec<_> = layers
        .chain(model.skipped.refused.iter().map(|refused| &refused.name))
        .collect();
    let mut text = String::new();
    for name in all.iter().take(LISTED) {
        text.push_str("\n  ");
        text.push_str(&printable(name));
    }
    if all.len() > LISTED {
        text.push_str(&format!("\n  and {} more", all.len() - LISTED));
    }
    text
}

//! [`Siblings`]: the tensors of a file by name and by module.

use std::collections::HashMap;

use crate::model::statedict::{Entry, Role};
use crate::model::tensor::Tensor;

/// Look-ups among the tensors that are no optimiser's.
pub(super) struct Siblings<'a> {
    pub(super) entries: &'a [Entry],
    by_name: HashMap<&'a str, usize>,
    modules: HashMap<&'a str, Vec<usize>>,
}

impl<'a> Siblings<'a> {
    pub(super) fn of(entries: &'a [Entry]) -> Self {
        let mut siblings = Self {
            entries,
            by_name: HashMap::new(),
            modules: HashMap::new(),
        };
        for (index, entry) in entries.iter().enumerate() {
            if entry.role != Role::Optimiser {
                siblings.by_name.entry(&entry.name).or_insert(index);
                let module = siblings.modules.entry(module(&entry.name));
                module.or_default().push(index);
            }
        }
        siblings
    }

    /// All tensors that are looked at, in the order of the file.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &'a Entry)> + use<'a> {
        let all = self.entries.iter().enumerate();
        all.filter(|(_, entry)| entry.role != Role::Optimiser)
    }

    /// The first tensor of that name.
    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The same, where it holds floats.
    pub(super) fn float(&self, name: &str) -> Option<&'a Tensor> {
        self.entries[self.find(name)?].float()
    }

    /// Tensors directly in a module (`""`: in none).
    pub(super) fn in_module(&self, module: &str) -> &[usize] {
        self.modules.get(module).map_or(&[], Vec::as_slice)
    }

    /// The modules, with the tensors directly in each.
    pub(super) fn modules(&self) -> impl Iterator<Item = (&'a str, &[usize])> {
        self.modules.iter().map(|(name, all)| (*name, &**all))
    }
}

/// A name without its last part.
pub(super) fn module(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(module, _)| module)
}

/// The last part of a name.
pub(super) fn last(name: &str) -> &str {
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

/// `module.name`.
pub(super) fn join(module: &str, name: &str) -> String {
    if module.is_empty() {
        name.to_owned()
    } else {
        format!("{module}.{name}")
    }
}

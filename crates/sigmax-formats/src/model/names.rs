//! [`Names`]: unique layer names.

use std::collections::{HashMap, HashSet};

/// The names given so far.
#[derive(Debug, Default)]
pub(crate) struct Names {
    taken: HashSet<String>,
    next: HashMap<String, usize>,
}

impl Names {
    /// `name`, or `name#2`, `name#3`, … if it is taken.
    pub(crate) fn unique(&mut self, name: &str) -> String {
        if self.taken.insert(name.to_owned()) {
            return name.to_owned();
        }
        let next = self.next.entry(name.to_owned()).or_insert(2);
        loop {
            let candidate = format!("{name}#{next}");
            *next += 1;
            if self.taken.insert(candidate.clone()) {
                return candidate;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_that_is_taken_is_passed_over() {
        let mut names = Names::default();
        let given: Vec<_> = ["a", "a#2", "a", "a", "b"].map(|n| names.unique(n)).into();
        assert_eq!(given, ["a", "a#2", "a#3", "a#4", "b"]);
    }
}

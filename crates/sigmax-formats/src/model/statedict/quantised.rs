//! Weights of quantised models: integers, and 8-bit floats with a scale.

use crate::model::statedict::siblings::{Siblings, last, module};
use crate::model::statedict::{Content, Entry, Group, Groups, Refusal};

/// What the name of a scale, an offset or a table of a quantised weight has in it.
const SCALES: [&str; 9] = [
    "scale",
    "zero_point",
    "qzeros",
    "absmax",
    "amax",
    "scb",
    "quant_map",
    "quant_state",
    "_extra_state",
];
/// Endings of the same that make any weight another.
const BESIDE: [&str; 5] = ["_scale", "_scale_inv", "_scale_2", "_scales", "_zero_point"];
const KIND: &str = "quantised weight";

/// Finds weights that are nothing without their scales.
pub(super) fn find(siblings: &Siblings<'_>, groups: &mut Groups) {
    // Once per module: it may hold all tensors of the file.
    let mut scales: std::collections::HashMap<&str, Vec<usize>> = siblings
        .modules()
        .map(|(name, all)| {
            let scale = |&&index: &&usize| is_scale(&siblings.entries[index]);
            (name, all.iter().filter(scale).copied().collect())
        })
        .filter(|(_, scales): &(_, Vec<usize>)| !scales.is_empty())
        .collect();
    let scaled: std::collections::HashSet<&str> = scales.keys().copied().collect();
    for (index, entry) in siblings.iter() {
        if !groups.is_free(index) || !entry.is_wide() || is_scale(entry) {
            continue;
        }
        let name = entry.name.as_str();
        let place = module(name);
        let narrow = match &entry.content {
            Content::Float(tensor) => tensor.element().is_eight_bit(),
            Content::Integer { .. } | Content::Other { .. } => true,
            Content::Unreadable { .. } => false,
        };
        let named = beside(siblings, name);
        let own = if narrow && (scaled.contains(place) || scaled.contains(name)) {
            let first = |module: &str| scales.get(module).and_then(|all| all.first()).copied();
            Some(first(place).or(first(name)))
        } else {
            named.map(Some)
        };
        let Some(scale) = own else {
            continue;
        };
        let with = scale.map_or(String::new(), |scale| {
            format!(" ({})", siblings.entries[scale].name)
        });
        let mut members = vec![index];
        members.extend(named);
        for module in [place, name] {
            members.extend(
                scales
                    .get_mut(module)
                    .map(std::mem::take)
                    .unwrap_or_default(),
            );
        }
        groups.add(Group {
            weight: name.to_owned(),
            members,
            verdict: Err(Refusal::new(
                KIND,
                format!(
                    "there is a scale beside it{with}, so this tensor alone is not the weight; save \
                     the model before quantisation"
                ),
            )),
        });
    }
}

/// A scale or an observer that makes the tensor of this name another weight, of whatever type it is.
pub(super) fn beside(siblings: &Siblings<'_>, name: &str) -> Option<usize> {
    let scale = |ending: &&str| siblings.find(&format!("{name}{ending}"));
    let observer = siblings.in_module(&format!("{name}_fake_quant")).first();
    BESIDE.iter().find_map(scale).or(observer.copied())
}

/// Why a tensor that holds no floats may be a weight: all but integers of 16 bits and more, and bytes
/// and truth values, that are not called so.
pub(super) fn refusal(entry: &Entry) -> Option<Refusal> {
    if !entry.is_wide() {
        return None;
    }
    let name = last(&entry.name).to_lowercase();
    match &entry.content {
        Content::Integer { dtype, .. } => {
            let signed_byte = matches!(dtype.as_str(), "int8" | "I8");
            let called = ["weight", "kernel", "packed", "w_q", "blocks"];
            let suspect = signed_byte || called.iter().any(|word| name.contains(word));
            suspect.then(|| {
                Refusal::new(
                    dtype,
                    "integers that may be a quantised weight; save the model before quantisation",
                )
            })
        }
        Content::Other { dtype, .. } => Some(Refusal::new(
            dtype,
            format!(
                "entries of this type are not read ({dtype}); save the weights as floats of 8 bits or \
                 more"
            ),
        )),
        Content::Float(_) | Content::Unreadable { .. } => None,
    }
}

fn is_scale(entry: &Entry) -> bool {
    let name = last(&entry.name).to_lowercase();
    SCALES.iter().any(|word| name.contains(word))
}

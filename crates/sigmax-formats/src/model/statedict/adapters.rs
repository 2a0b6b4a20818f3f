//! Low-rank adapters (LoRA) and others that stand beside the weight they change.

use std::collections::{BTreeMap, HashSet};

use crate::model::statedict::siblings::{Siblings, join, last, module};
use crate::model::statedict::{Group, Groups, Refusal};
use crate::model::tensor::{Tensor, count};
use crate::model::weight::{Alpha, Recipe};

/// Beginnings of the parts of names that adapters have.
const PARTS: [&str; 9] = [
    "lora_",
    "dora_",
    "hada_",
    "lokr_",
    "oft_",
    "boft_",
    "ia3_",
    "vera_",
    "randlora_",
];
const KIND: &str = "weight with an adapter";

/// What the metadata of a file state about low-rank adapters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Adapters {
    /// α.
    pub(crate) alpha: Option<f64>,
    /// r, where it is stated.
    pub(crate) rank: Option<usize>,
    /// Whether dense weights are stored as [in, out], where it is stated.
    pub(crate) fan_in_fan_out: Option<bool>,
    /// A key that makes the formula another one.
    pub(crate) other: Option<String>,
}

impl Adapters {
    /// Reads the keys of PEFT's configuration: of the metadata themselves, or of a JSON object in
    /// them.
    pub(crate) fn of(metadata: &BTreeMap<String, String>) -> Self {
        let mut found = Self::default();
        for (key, text) in metadata {
            found.key(key, text);
            if matches!(
                key.as_str(),
                "adapter_config" | "peft_config" | "lora_config"
            ) {
                match serde_json::from_str(text) {
                    Ok(serde_json::Value::Object(object)) => {
                        for (key, value) in &object {
                            found.key(key, &plain(value));
                        }
                    }
                    _ => found.other = Some(key.clone()),
                }
            }
        }
        found
    }

    fn key(&mut self, key: &str, text: &str) {
        let no = matches!(text, "" | "false" | "False" | "null" | "None" | "{}");
        match key {
            "lora_alpha" => self.alpha = text.parse().ok().filter(|alpha: &f64| alpha.is_finite()),
            "r" => self.rank = text.parse().ok(),
            "fan_in_fan_out" => self.fan_in_fan_out = Some(!no),
            "use_rslora" | "use_dora" | "use_qalora" | "alpha_pattern" | "rank_pattern"
            | "lora_bias" | "megatron_config"
                if !no =>
            {
                self.other = Some(key.to_owned());
            }
            _ => {}
        }
    }
}

fn plain(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a tensor is part of an adapter, by its name.
pub(super) fn is_adapter(name: &str) -> bool {
    name.split('.').any(is_part)
}

fn is_part(part: &str) -> bool {
    PARTS.iter().any(|beginning| part.starts_with(beginning))
}

/// Finds the groups.
pub(super) fn find(siblings: &Siblings<'_>, stated: &Adapters, groups: &mut Groups) {
    // By the module that is adapted.
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let wrapped: HashSet<&str> = siblings
        .iter()
        .filter(|(_, entry)| last(module(&entry.name)) == "base_layer")
        .map(|(_, entry)| module(module(&entry.name)))
        .collect();
    for (index, entry) in siblings.iter() {
        if let Some(adapted) = adapted(&entry.name, &wrapped) {
            members.entry(adapted).or_default().push(index);
        }
    }
    for (adapted, mut members) in members {
        let wide = |&index: &usize| siblings.entries[index].is_wide();
        if !members.iter().any(wide) && !wrapped.contains(adapted) {
            continue;
        }
        let base = [join(adapted, "base_layer.weight"), join(adapted, "weight")];
        let base = base.iter().find_map(|name| siblings.find(name));
        let free = base.filter(|&index| groups.is_free(index));
        // Names under which other programs keep further factors.
        let more = ["scalar", "scale", "scaling", "magnitude"];
        let more = more.map(|name| siblings.find(&join(adapted, name)));
        members.extend(more.into_iter().flatten());
        let verdict = match free {
            Some(index) => low_rank(siblings, stated, adapted, &members, index),
            None => Err(Refusal::new(
                KIND,
                "the weight that this adapter changes is not in the file as a tensor; merge the adapter \
                 before saving",
            )),
        };
        members.extend(free);
        let names = ["alpha", "lora_alpha"];
        let alpha = names.map(|name| siblings.find(&join(adapted, name)));
        members.extend(alpha.into_iter().flatten());
        groups.add(Group {
            weight: join(adapted, "weight"),
            members,
            verdict,
        });
    }
}

/// The module that the adapter with this tensor changes.
fn adapted<'a>(name: &'a str, wrapped: &HashSet<&str>) -> Option<&'a str> {
    let mut start = 0;
    for part in name.split('.') {
        let before = name.get(..start.max(1) - 1).unwrap_or_default();
        if is_part(part) || (wrapped.contains(before) && start > 0 && part != "base_layer") {
            return Some(before);
        }
        if part == "base_layer" && wrapped.contains(before) {
            return None;
        }
        start += part.len() + 1;
    }
    None
}

/// W + (α/r)·B·A.
fn low_rank(
    siblings: &Siblings<'_>,
    stated: &Adapters,
    adapted: &str,
    members: &[usize],
    base: usize,
) -> Result<Recipe, Refusal> {
    let refuse = |reason: String| Err(Refusal::new(KIND, reason));
    let merge = "merge the adapter before saving";
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for &index in members {
        let name = &siblings.entries[index].name;
        let rest = name[adapted.len()..].trim_start_matches('.');
        let part = rest.split('.').next().unwrap_or_default();
        match (part, last(name)) {
            ("lora_B" | "lora_up", "bias") => {} // changes no norm
            ("lora_A" | "lora_down", "weight" | "lora_A") => a.push(index),
            ("lora_B" | "lora_up", "weight" | "lora_B") => b.push(index),
            ("alpha" | "lora_alpha" | "bias", _) if rest == part => {}
            ("weight", _) if index == base => {}
            ("weight", _) if rest == part => {
                return refuse(format!(
                    "the file has two weights that it may change, {} and {name}; {merge}",
                    siblings.entries[base].name
                ));
            }
            _ => {
                return refuse(format!(
                    "{name} is part of an adapter whose rule is not known here; {merge}"
                ));
            }
        }
    }
    let ([a], [b]) = (&a[..], &b[..]) else {
        return refuse(format!(
            "it has {} matrices A and {} matrices B, and the file does not say which are used; {merge}",
            a.len(),
            b.len()
        ));
    };
    let floats = |index: usize| siblings.entries[index].float();
    let (Some(weight), Some(a), Some(b)) = (floats(base), floats(*a), floats(*b)) else {
        return refuse("the weight, A or B is no readable tensor of floats".to_owned());
    };
    let scale = super::quantised::beside(siblings, &weight.name);
    if weight.element().is_eight_bit() || scale.is_some() {
        return refuse("the weight is quantised; save the model before quantisation".to_owned());
    }
    let rank = a.shape().first().copied().unwrap_or(0);
    if !fit(weight, a, b) || stated.rank.is_some_and(|r| r != rank) {
        return refuse(format!(
            "W, A and B have the shapes {:?}, {:?} and {:?}, which do not make W + (α/r)·B·A{}; {merge}",
            weight.shape(),
            a.shape(),
            b.shape(),
            stated
                .rank
                .map_or(String::new(), |r| format!(" with r = {r}"))
        ));
    }
    if let Some(key) = &stated.other {
        return refuse(format!(
            "the metadata state {key:?}, with which it is another formula; {merge}"
        ));
    }
    let square = weight.shape().len() == 2 && weight.shape()[0] == weight.shape()[1];
    if stated.fan_in_fan_out == Some(true) || (square && stated.fan_in_fan_out.is_none()) {
        return refuse(format!(
            "the weight may be stored as [in, out] (fan_in_fan_out), where B·A is transposed, and the \
             file does not say that it is not; {merge}"
        ));
    }
    let tensor = ["lora_alpha", "alpha"]
        .into_iter()
        .find_map(|name| siblings.float(&join(adapted, name)))
        .filter(|tensor| count(tensor.shape()) == Some(1));
    let alpha = match (tensor, stated.alpha) {
        (Some(tensor), None) => Alpha::Tensor(tensor.clone()),
        (None, Some(alpha)) => Alpha::Stated(alpha),
        (None, None) => {
            return refuse(format!(
                "the weight is W + (α/r)·B·A, and the file does not state α; {merge}, or put lora_alpha \
                 into the metadata"
            ));
        }
        (Some(_), Some(_)) => {
            return refuse(format!(
                "α is stated by a tensor and by the metadata; {merge}"
            ));
        }
    };
    Ok(Recipe::LowRank {
        weight: weight.clone(),
        a: a.clone(),
        b: b.clone(),
        alpha,
    })
}

/// W [out, in, k…], A [r, in, k…], B [out, r] or [out, r, 1…].
fn fit(weight: &Tensor, a: &Tensor, b: &Tensor) -> bool {
    let (w, a, b) = (weight.shape(), a.shape(), b.shape());
    (2..=5).contains(&w.len())
        && !w.contains(&0)
        && a.len() == w.len()
        && a[1..] == w[1..]
        && a[0] > 0
        && b.len() >= 2
        && b[..2] == [w[0], a[0]]
        && b[2..].iter().all(|&n| n == 1)
}

//! Weights that are normalised, pruned or otherwise computed from tensors of their module.
//!
//! A state dict names no code: what a tensor is for is read off its name and those of its siblings, as
//! PyTorch (`torch.nn.utils`, with hooks and with parametrizations) and the old code for GANs give
//! them. What looks like a factor and has not the siblings that its rule needs is refused.

use std::collections::BTreeMap;

use sigmax::weight::Updates;

use crate::model::statedict::siblings::{Siblings, join, last, module};
use crate::model::statedict::{Group, Groups, Refusal, Role};
use crate::model::tensor::{Tensor, count};
use crate::model::weight::Recipe;

/// The kind of what is refused here.
const KIND: &str = "parametrised weight";

/// Finds the groups.
pub(super) fn find(siblings: &Siblings<'_>, groups: &mut Groups) {
    parametrizations(siblings, groups);
    for (index, entry) in siblings.iter() {
        if !groups.is_free(index) || !entry.is_wide() {
            continue;
        }
        let name = entry.name.as_str();
        let group = if let Some(weight) = name.strip_suffix("_orig") {
            Some(original(siblings, weight))
        } else if let Some(weight) = name.strip_suffix("_bar") {
            every_step(siblings, weight)
        } else if let Some(weight) = name.strip_suffix("_v") {
            weight_norm(siblings, weight)
        } else if last(name) == "weight" {
            beside(siblings, name)
        } else {
            None
        };
        if let Some(group) = group {
            groups.add(group.unless_changed(siblings));
        }
    }
}

impl Group {
    /// What is computed may be a factor of another weight, or masked after that: neither is passed over.
    fn unless_changed(mut self, siblings: &Siblings<'_>) -> Self {
        let Ok(recipe) = &self.verdict else {
            return self;
        };
        let inner = inner(siblings, &self.weight);
        let mask = siblings.find(&join(module(&self.weight), "mask"));
        let mask = mask.filter(|&index| {
            let shape = siblings.entries[index].content.shape();
            !self.members.contains(&index) && shape == Some(recipe.shape())
        });
        if let Some(others) = inner {
            self.members.extend(others);
            let reason = format!(
                "what is computed is {}, a factor of another weight; remove the parametrisations before saving",
                last(&self.weight)
            );
            self.verdict = Err(Refusal::new(KIND, reason));
        } else if let Some(index) = mask {
            self.members.push(index);
            self.verdict = Err(something_beside(&["mask"]));
        }
        self
    }
}

/// Endings of the names of factors.
const ENDINGS: [&str; 6] = ["_orig", "_bar", "_g", "_v", "_u", "_mask"];

/// Whether a name is that of a factor of a weight.
fn is_factor(name: &str) -> bool {
    let mut stems = ENDINGS
        .iter()
        .filter_map(|ending| last(name).strip_suffix(ending));
    stems.any(|stem| stem.contains("weight"))
}

/// Where what is computed is a factor of another weight, by its name or as others stand beside it: the others.
fn inner(siblings: &Siblings<'_>, weight: &str) -> Option<Vec<usize>> {
    let stems = ENDINGS
        .iter()
        .filter_map(|ending| weight.strip_suffix(ending));
    let others: Vec<usize> = stems
        .flat_map(|stem| ENDINGS.iter().map(move |ending| format!("{stem}{ending}")))
        .filter(|name| name != weight)
        .filter_map(|name| siblings.find(&name))
        .collect();
    (is_factor(weight) || !others.is_empty()).then_some(others)
}

/// Why a tensor that belongs to no group is not a layer, by its name alone.
pub(super) fn refusal(name: &str) -> Option<Refusal> {
    if is_flattened(name) {
        return Some(Refusal::new(
            "flattened weights",
            "it holds the weights of several layers in one row; save the state dict of the model itself",
        ));
    }
    let is_factor = last(name).ends_with("_orig")
        || is_factor(name)
        || name.split('.').any(|part| part == "parametrizations")
        || super::adapters::is_adapter(name);
    is_factor.then(|| {
        Refusal::new(
            KIND,
            "a weight is computed from this tensor and others, which are not all in the file; remove \
             the parametrisation (weight_norm, spectral_norm, pruning, adapters) before saving",
        )
    })
}

/// Whether a tensor is a row of all weights, as FSDP and ZeRO keep them.
pub(super) fn is_flattened(name: &str) -> bool {
    last(name).contains("flat_param")
}

/// `MODULE.parametrizations.NAME.…`.
fn parametrizations(siblings: &Siblings<'_>, groups: &mut Groups) {
    // By the prefix that ends in NAME, in alphabetical order: groups are placed by their members.
    let mut members: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, entry) in siblings.iter() {
        let name = entry.name.as_str();
        let word = "parametrizations.";
        let inside = name.find(".parametrizations.").map(|at| at + 1);
        let start = inside.or(name.starts_with(word).then_some(0));
        let Some(rest) = start.map(|at| at + word.len()) else {
            continue;
        };
        if let Some(length) = name[rest..].find('.') {
            members
                .entry(&name[..rest + length])
                .or_default()
                .push(index);
        }
    }
    for (prefix, members) in members {
        let wide = |&index: &usize| siblings.entries[index].is_wide();
        if members.iter().any(wide) {
            groups.add(parametrized(siblings, prefix, members).unless_changed(siblings));
        }
    }
}

fn parametrized(siblings: &Siblings<'_>, prefix: &str, members: Vec<usize>) -> Group {
    let of = |part: &str| siblings.float(&format!("{prefix}.{part}"));
    let mut parts: Vec<&str> = members
        .iter()
        .map(|&index| &siblings.entries[index].name[prefix.len() + 1..])
        .collect();
    parts.sort_unstable();
    let verdict = match parts[..] {
        ["0._u", "0._v", "original"] => match (of("original"), of("0._u"), of("0._v")) {
            (Some(weight), Some(u), Some(v)) => spectral(weight, u, v, Updates::None),
            _ => Err(not_floats()),
        },
        ["original0", "original1"] => match (of("original0"), of("original1")) {
            (Some(g), Some(v)) => normalised(g, v),
            _ => Err(not_floats()),
        },
        _ => Err(Refusal::new(
            KIND,
            format!(
                "only code knows how it is computed from {}; call \
                 torch.nn.utils.parametrize.remove_parametrizations before saving",
                listed(&parts)
            ),
        )),
    };
    // `MODULE.parametrizations.NAME` without the word.
    let (before, name) = (module(module(prefix)), last(prefix));
    Group {
        weight: join(before, name),
        members,
        verdict,
    }
}

/// `weight_orig` beside `weight_u` and `weight_v`, or `weight_mask`.
fn original(siblings: &Siblings<'_>, weight: &str) -> Group {
    let of = |ending: &str| siblings.float(&format!("{weight}{ending}"));
    let endings = ["_orig", "_u", "_v", "_mask", "_g", ""];
    let (found, members) = present(siblings, weight, &endings);
    let verdict = match (&found[..], of("_orig")) {
        (["_orig", "_u", "_v"], Some(original)) => match (of("_u"), of("_v")) {
            (Some(u), Some(v)) => spectral(original, u, v, Updates::None),
            _ => Err(not_floats()),
        },
        (["_orig", "_mask"], Some(original)) => match of("_mask") {
            Some(mask) if mask.shape() == original.shape() => rank(Recipe::Masked {
                weight: original.clone(),
                mask: mask.clone(),
            }),
            Some(_) => Err(Refusal::new(KIND, "weight and mask have different shapes")),
            None => Err(not_floats()),
        },
        _ => Err(siblings_do_not_say(weight, &found)),
    };
    Group {
        weight: weight.to_owned(),
        members,
        verdict,
    }
}

/// `weight_bar` beside `weight_u` and `weight_v`.
fn every_step(siblings: &Siblings<'_>, weight: &str) -> Option<Group> {
    let of = |ending: &str| siblings.float(&format!("{weight}{ending}"));
    let (found, members) = present(siblings, weight, &["_bar", "_u", "_v", "_orig", ""]);
    let verdict = match (&found[..], of("_bar"), of("_u"), of("_v")) {
        (["_bar", "_u", "_v"], Some(bar), Some(u), Some(v)) => spectral(bar, u, v, Updates::Every),
        // A name may end in `_bar` for other reasons.
        (["_bar"], ..) if !last(weight).contains("weight") => return None,
        _ => Err(siblings_do_not_say(weight, &found)),
    };
    Some(Group {
        weight: weight.to_owned(),
        members,
        verdict,
    })
}

/// `weight_v` beside `weight_g`.
fn weight_norm(siblings: &Siblings<'_>, weight: &str) -> Option<Group> {
    let of = |ending: &str| siblings.float(&format!("{weight}{ending}"));
    let (found, members) = present(siblings, weight, &["_g", "_v", "_mask", ""]);
    let is_weight = last(weight).contains("weight");
    let verdict = match (&found[..], of("_g"), of("_v")) {
        (["_g", "_v"], Some(g), Some(v)) => match normalised(g, v) {
            // Query, key, value and gate are called w_q, w_k, w_v and w_g.
            Err(_) if !is_weight => return None,
            verdict => verdict,
        },
        _ if !is_weight => return None,
        // Left to `refusal`, or to the rule that the weight itself has.
        (["_v"], ..) => return None,
        _ => Err(siblings_do_not_say(weight, &found)),
    };
    Some(Group {
        weight: weight.to_owned(),
        members,
        verdict,
    })
}

/// A tensor `weight` beside what changes it.
fn beside(siblings: &Siblings<'_>, weight: &str) -> Option<Group> {
    let place = module(weight);
    let near = |name: &str| siblings.find(&join(place, name));
    let own = siblings.float(weight)?;
    if let (Some(u), Some(sv)) = (near("u0"), near("sv0")) {
        // The vectors of smaller singular values, which are not used, come along.
        let more = (1..).map_while(|i| near(&format!("u{i}")).zip(near(&format!("sv{i}"))));
        let mut members: Vec<usize> = more.flat_map(|(u, sv)| [u, sv]).collect();
        members.extend(siblings.find(weight));
        members.extend([u, sv]);
        let verdict = match siblings.entries[u].float() {
            Some(u) if count(u.shape()) == own.shape().first().copied() => {
                rank(Recipe::PowerStep {
                    weight: own.clone(),
                    u: u.clone(),
                })
            }
            Some(_) => Err(Refusal::new(
                KIND,
                "u0 has not one entry per output channel",
            )),
            None => Err(not_floats()),
        };
        return Some(Group {
            weight: weight.to_owned(),
            members,
            verdict,
        });
    }
    let mut found: Vec<(String, usize)> = ["u", "u0", "sv0", "sigma", "mask"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), near(name)?)))
        .collect();
    for ending in ["_u", "_v", "_g", "_mask", "_bar", "_sigma"] {
        let name = format!("weight{ending}");
        found.extend(near(&name).map(|index| (name, index)));
    }
    // A mask that masks something else has another shape.
    found.retain(|(name, index)| {
        name != "mask" || siblings.entries[*index].content.shape() == Some(own.shape())
    });
    if found.is_empty() {
        return None;
    }
    let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
    let mut members: Vec<usize> = found.iter().map(|(_, index)| *index).collect();
    members.extend(siblings.find(weight));
    Some(Group {
        weight: weight.to_owned(),
        members,
        verdict: Err(something_beside(&names)),
    })
}

/// The endings of `stem` that name a tensor, and the tensors. A module that is saved whole may keep the
/// weight it computed last as an attribute: that is no factor, and no weight.
fn present<'e>(
    siblings: &Siblings<'_>,
    stem: &str,
    endings: &[&'e str],
) -> (Vec<&'e str>, Vec<usize>) {
    let (mut found, mut members) = (Vec::new(), Vec::new());
    for &ending in endings {
        if let Some(index) = siblings.find(&format!("{stem}{ending}")) {
            members.push(index);
            if !ending.is_empty() || siblings.entries[index].role == Role::Parameter {
                found.push(ending);
            }
        }
    }
    (found, members)
}

/// u and v have one entry per row and column, for some axis as rows.
fn spectral(weight: &Tensor, u: &Tensor, v: &Tensor, updates: Updates) -> Result<Recipe, Refusal> {
    let length = |tensor: &Tensor| count(tensor.shape()).unwrap_or(0);
    let entries = length(weight);
    let fits = |&axis: &usize| axis == length(u) && axis.checked_mul(length(v)) == Some(entries);
    let axes = match updates {
        Updates::None => weight.shape().len(),
        Updates::Every => 1,
    };
    if !weight.shape().iter().take(axes).any(fits) {
        return Err(Refusal::new(
            KIND,
            format!(
                "{} of shape {:?} does not fit vectors of {} and {} entries",
                weight.name,
                weight.shape(),
                length(u),
                length(v)
            ),
        ));
    }
    rank(Recipe::SpectralNorm {
        weight: weight.clone(),
        u: u.clone(),
        v: v.clone(),
        updates,
    })
}

/// g has the shape of v with every axis but one of length 1, or one entry.
fn normalised(g: &Tensor, v: &Tensor) -> Result<Recipe, Refusal> {
    let (one, all) = (g.shape(), v.shape());
    let wrong = || {
        Refusal::new(
            KIND,
            format!(
                "{} of shape {one:?} does not fit {} of shape {all:?}: expected one length per slice \
                 along an axis, or one in all",
                g.name, v.name
            ),
        )
    };
    let axis = if one.iter().all(|&n| n == 1) {
        // One length in all; with the rank of v only along an axis of length 1.
        let whole = one.len() < 2 || (one.len() == all.len() && all.contains(&1));
        if !whole {
            return Err(wrong());
        }
        None
    } else {
        let long = |&axis: &usize| one[axis] != 1;
        let axis = (0..one.len()).find(long).ok_or_else(wrong)?;
        let others = (0..one.len()).filter(|&other| other != axis);
        let mut others = others.map(|other| one[other]);
        if one.len() != all.len() || one[axis] != all[axis] || others.any(|n| n != 1) {
            return Err(wrong());
        }
        Some(axis)
    };
    rank(Recipe::WeightNorm {
        g: g.clone(),
        v: v.clone(),
        axis,
    })
}

/// A recipe for a weight of rank 2 to 5.
fn rank(recipe: Recipe) -> Result<Recipe, Refusal> {
    if recipe.main().element().is_eight_bit() {
        return Err(Refusal::new(
            "quantised weight",
            "it is computed from a tensor of 8-bit floats; save the model before quantisation",
        ));
    }
    let rank = recipe.shape().len();
    if (2..=5).contains(&rank) && !recipe.shape().contains(&0) {
        Ok(recipe)
    } else {
        Err(Refusal::new(
            &format!("rank {rank}"),
            format!(
                "a weight of shape {:?}; expected 2 to 5 axes, none of them empty",
                recipe.shape()
            ),
        ))
    }
}

fn not_floats() -> Refusal {
    Refusal::new(KIND, "one of its factors is no readable tensor of floats")
}

fn something_beside(names: &[&str]) -> Refusal {
    Refusal::new(
        KIND,
        format!(
            "beside it there is {}, so that what the layer computes with may be another weight; save the \
             weight that it computes with",
            listed(names)
        ),
    )
}

fn siblings_do_not_say(weight: &str, endings: &[&str]) -> Refusal {
    let name = last(weight);
    let names: Vec<String> = endings.iter().map(|e| format!("{name}{e}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    Refusal::new(
        KIND,
        format!(
            "the file holds {}, which is no parametrisation that is known here; remove it before saving",
            listed(&names)
        ),
    )
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}

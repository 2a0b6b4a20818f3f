//! From the values of a pickle to named tensors.
//!
//! A tensor is named by the keys that lead to it, joined with dots: in a state dict that is its
//! key, and a prefix such as `module.` in the key stays. Where everything that can be a layer is
//! inside one container of a larger dictionary (`{"state_dict": …, "epoch": …}`), the names start
//! there. Modules that were pickled whole have the names of their state dict.

use std::collections::HashSet;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::statedict::{Content, Role, StateDict};
use crate::model::tensor::{Tensor, count, span};
use crate::model::torch::heap::{Dtype, Heap, Id, TensorParts, Value};
use crate::model::torch::storage::Storages;

/// Deepest nesting of containers.
const MAX_DEPTH: u64 = 100;
/// Most tensors.
const MAX_TENSORS: u64 = 100_000;
/// Longest sum of all names.
const MAX_NAMES: u64 = 16 << 20;

/// The tensors that `top` leads to.
pub(super) fn state_dict(
    source: &Source,
    heap: &Heap,
    top: Id,
    storages: &Storages<'_>,
) -> Result<StateDict, Error> {
    let mut walk = Walk {
        source,
        heap,
        visited: vec![false; heap.len()],
        holders: vec![Holder {
            parent: 0,
            depth: 0,
            prefix: 0,
            named: false,
        }],
        found: Vec::new(),
        names: 0,
    };
    walk.visit(top, &mut String::new(), 0, Role::Parameter)?;
    let prefix = walk.common_prefix();
    let mut dict = StateDict::default();
    for found in &walk.found {
        let name = found.path.strip_prefix(&prefix).unwrap_or(&found.path);
        let name = if name.is_empty() { "tensor" } else { name };
        let content = match (found.role, heap.get(found.tensor)) {
            // Nobody reads it: where it is does not matter.
            (Role::Optimiser, _) => Content::Other {
                dtype: String::new(),
                shape: Vec::new(),
            },
            (_, Value::Tensor(parts)) => content(source, heap, storages, name, parts)?,
            (_, Value::Unreadable(maker)) => {
                let (kind, reason) = unreadable(heap.global(*maker).unwrap_or_default());
                Content::Unreadable { kind, reason }
            }
            _ => Content::Unreadable {
                kind: "no tensor",
                reason: "something that is no tensor stands where a weight, or a part of one, would be; \
                         save plain tensors: torch.save(model.state_dict(), …)"
                    .to_owned(),
            },
        };
        dict.add(name, found.role, content);
    }
    Ok(dict)
}

/// A container on the way to a tensor.
#[derive(Debug)]
struct Holder {
    parent: usize,
    depth: usize,
    /// Length of the path up to here, the last dot included.
    prefix: usize,
    /// A part of a module: what leads to it belongs to the names.
    named: bool,
}

#[derive(Debug)]
struct Found {
    path: String,
    holder: usize,
    tensor: Id,
    role: Role,
}

struct Walk<'a> {
    source: &'a Source,
    heap: &'a Heap,
    /// Containers that have been walked: what is shared is walked once, cycles end.
    visited: Vec<bool>,
    holders: Vec<Holder>,
    found: Vec<Found>,
    names: u64,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, id: Id, path: &mut String, holder: usize, role: Role) -> Result<(), Error> {
        let heap = self.heap;
        match heap.get(id) {
            Value::Tensor(_) | Value::Unreadable(_) => return self.find(id, path, holder, role),
            Value::Tuple(_) | Value::List(_) | Value::Dict(_) | Value::Object(_) => {}
            _ => return Ok(()),
        }
        if std::mem::replace(&mut self.visited[id.index()], true) {
            return Ok(());
        }
        match heap.get(id) {
            Value::Tuple(items) => self.sequence(items, path, holder, role),
            Value::List(items) => self.sequence(items, path, holder, role),
            Value::Dict(items) => self.dict(items, path, holder, role),
            Value::Object(object) => {
                let states = self.attributes(&object.states);
                if states
                    .iter()
                    .any(|&(key, _)| heap.text(key) == Some("_modules"))
                {
                    return self.module(&states, path, holder, role);
                }
                self.dict(&states, path, holder, role)?;
                self.dict(&object.items, path, holder, role)?;
                self.sequence(&object.list, path, holder, role)
            }
            _ => Ok(()),
        }
    }

    /// The attributes of an instance: BUILD takes a dict, or a pair of dicts.
    fn attributes(&mut self, states: &[Id]) -> Vec<(Id, Id)> {
        let mut attributes = Vec::new();
        for &state in states {
            match self.heap.get(state) {
                Value::Tuple(pair) if pair.len() == 2 => {
                    for &part in pair {
                        attributes.extend(self.members(part));
                    }
                }
                _ => attributes.extend(self.members(state)),
            }
        }
        attributes
    }

    /// A pickled `torch.nn.Module`: what `state_dict()` would list, then what it keeps besides (a
    /// tensor or a list of modules that is no registered part of it is computed with all the same).
    fn module(
        &mut self,
        attributes: &[(Id, Id)],
        path: &mut String,
        holder: usize,
        role: Role,
    ) -> Result<(), Error> {
        let heap = self.heap;
        for &(key, value) in attributes {
            match heap.text(key) {
                Some("_parameters") => {
                    let items = self.members(value);
                    self.dict(items, path, holder, role)?;
                }
                Some("_buffers") => {
                    let items = self.members(value);
                    self.dict(items, path, holder, role.unregistered())?;
                }
                Some("_modules") => {
                    let items = self.members(value);
                    let inner = self.enter(path, holder, true)?;
                    self.dict(items, path, inner, role)?;
                }
                _ => {}
            }
        }
        for &(key, value) in attributes {
            let Some(name) = heap.text(key) else {
                continue;
            };
            // The last is the list of a recurrent layer's parameters, in another order.
            let known = ["_parameters", "_buffers", "_modules", "_flat_weights"].contains(&name);
            // A tensor that has a name already.
            let seen = self.visited[value.index()];
            if !known && !seen && self.leads_on(value) {
                self.child(name, value, path, holder, role.unregistered())?;
            }
        }
        Ok(())
    }

    /// The items of a dict that has not been walked, which it has been after this.
    fn members(&mut self, id: Id) -> &'a [(Id, Id)] {
        let items: &'a [(Id, Id)] = match self.heap.get(id) {
            Value::Dict(items) => items,
            Value::Object(object) => &object.items,
            _ => return &[],
        };
        if std::mem::replace(&mut self.visited[id.index()], true) {
            return &[];
        }
        items
    }

    fn dict(
        &mut self,
        items: &[(Id, Id)],
        path: &mut String,
        holder: usize,
        role: Role,
    ) -> Result<(), Error> {
        let heap = self.heap;
        let has = |name| items.iter().any(|&(key, _)| heap.text(key) == Some(name));
        let role = if has("state") && has("param_groups") {
            Role::Optimiser
        } else {
            role
        };
        let mut keys = HashSet::new();
        for (position, &(key, value)) in items.iter().enumerate() {
            if !self.leads_on(value) {
                if let Some(name) = heap.text(key).filter(|name| is_of_a_weight(name)) {
                    let dot = if path.is_empty() { "" } else { "." };
                    self.find(value, &format!("{path}{dot}{name}"), holder, role)?;
                }
                continue;
            }
            let name = match heap.get(key) {
                Value::Text(text) => text.to_string(),
                Value::Int(number) => number.to_string(),
                _ => format!("[{position}]"),
            };
            if !keys.insert(name.clone()) {
                return Err(self.source.malformed(
                    0,
                    format!("the pickle has a dict with the key {name:?} twice, in {path:?}"),
                ));
            }
            let before = self.found.len();
            self.child(&name, value, path, holder, role)?;
            if self.found.len() == before && is_of_a_weight(&name) {
                let dot = if path.is_empty() { "" } else { "." };
                self.find(value, &format!("{path}{dot}{name}"), holder, role)?;
            }
        }
        Ok(())
    }

    fn sequence(
        &mut self,
        items: &[Id],
        path: &mut String,
        holder: usize,
        role: Role,
    ) -> Result<(), Error> {
        for (index, &value) in items.iter().enumerate() {
            let seen = role == Role::Buffer && self.visited[value.index()];
            if !seen && self.leads_on(value) {
                self.child(&index.to_string(), value, path, holder, role)?;
            }
        }
        Ok(())
    }

    /// Whether a value is a tensor, or a container that has not been walked.
    fn leads_on(&self, id: Id) -> bool {
        match self.heap.get(id) {
            Value::Tensor(_) | Value::Unreadable(_) => true,
            Value::Tuple(_) | Value::List(_) | Value::Dict(_) | Value::Object(_) => {
                !self.visited[id.index()]
            }
            _ => false,
        }
    }

    fn child(
        &mut self,
        name: &str,
        value: Id,
        path: &mut String,
        holder: usize,
        role: Role,
    ) -> Result<(), Error> {
        let length = path.len();
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let inner = match self.heap.get(value) {
            Value::Tensor(_) | Value::Unreadable(_) => holder,
            _ => self.enter(path, holder, self.holders[holder].named)?,
        };
        self.visit(value, path, inner, role)?;
        path.truncate(length);
        Ok(())
    }

    /// A new container at `path`.
    fn enter(&mut self, path: &str, parent: usize, named: bool) -> Result<usize, Error> {
        let depth = self.holders[parent].depth + 1;
        self.source.limit(
            "the nesting of values in the pickle",
            MAX_DEPTH,
            depth as u64,
        )?;
        let prefix = if path.is_empty() { 0 } else { path.len() + 1 };
        self.holders.push(Holder {
            parent,
            depth,
            prefix,
            named,
        });
        Ok(self.holders.len() - 1)
    }

    fn find(&mut self, tensor: Id, path: &str, holder: usize, role: Role) -> Result<(), Error> {
        self.visited[tensor.index()] = true;
        self.names += path.len() as u64;
        self.source
            .limit("the length of all names", MAX_NAMES, self.names)?;
        self.source.limit(
            "the number of tensors",
            MAX_TENSORS,
            self.found.len() as u64 + 1,
        )?;
        self.found.push(Found {
            path: path.to_owned(),
            holder,
            tensor,
            role,
        });
        Ok(())
    }

    /// The path of the innermost container that holds everything that can be a layer.
    fn common_prefix(&self) -> String {
        let layers: Vec<_> = self
            .found
            .iter()
            .filter(|found| self.may_be_layer(found))
            .collect();
        let Some(first) = layers.first() else {
            return String::new();
        };
        let mut common = first.holder;
        for found in &layers {
            let mut other = found.holder;
            while common != other {
                let deeper = if self.holders[common].depth >= self.holders[other].depth {
                    &mut common
                } else {
                    &mut other
                };
                *deeper = self.holders[*deeper].parent;
            }
        }
        // Inside a module, and where `weight` alone would be left, the way belongs to the name.
        let bare = |prefix: usize| {
            layers
                .iter()
                .any(|found| found.path.get(prefix..) == Some("weight"))
        };
        while common != 0 && (self.holders[common].named || bare(self.holders[common].prefix)) {
            common = self.holders[common].parent;
        }
        first
            .path
            .get(..self.holders[common].prefix)
            .unwrap_or_default()
            .to_owned()
    }

    fn may_be_layer(&self, found: &Found) -> bool {
        found.role == Role::Parameter
            && match self.heap.get(found.tensor) {
                Value::Tensor(parts) => self
                    .heap
                    .tuple(parts.size)
                    .is_some_and(|size| (2..=5).contains(&size.len())),
                _ => true,
            }
    }
}

/// Checks a tensor against its storage.
fn content(
    source: &Source,
    heap: &Heap,
    storages: &Storages<'_>,
    name: &str,
    parts: &TensorParts,
) -> Result<Content, Error> {
    let Value::Storage(storage) = heap.get(parts.storage) else {
        return Err(source.bad_tensor(name, "it has no storage"));
    };
    let shape = heap.sizes(parts.size);
    let dtype = match parts.dtype.map(|id| heap.global(id).unwrap_or_default()) {
        None => Ok(storage.dtype),
        Some(global) => Dtype::named(global)
            .ok_or_else(|| global.strip_prefix("torch.").unwrap_or("another type")),
    };
    let (dtype, element) = match dtype {
        Ok(dtype) => match dtype.element {
            Some(element) => (dtype, element),
            None => return Ok(other_type(dtype.name, shape)),
        },
        Err(name) => return Ok(other_type(name, shape)),
    };
    let overflow = || source.bad_tensor(name, "its size overflows");
    let (Some(shape), Some(strides), Some(offset)) =
        (shape, heap.sizes(parts.stride), heap.natural(parts.offset))
    else {
        return Err(overflow()); // more than usize holds: the machine has checked the rest
    };
    let strides = without_idle_strides(&shape, strides);
    let entries = count(&shape).ok_or_else(overflow)?;
    let reach = span(&shape, &strides).ok_or_else(overflow)?;
    let bytes = storages.find(source, heap, storage, name)?;
    let begin = offset.checked_mul(dtype.size).ok_or_else(overflow)?;
    let needed = u64::try_from(reach)
        .ok()
        .and_then(|reach| reach.checked_mul(dtype.size)?.checked_add(begin))
        .ok_or_else(overflow)?;
    if needed > bytes.end - bytes.start {
        return Err(source.bad_tensor(
            name,
            format!(
                "its shape {shape:?}, strides {strides:?} and offset {offset} need {needed} bytes \
                 of a storage of {}",
                bytes.end - bytes.start
            ),
        ));
    }
    if entries > reach {
        return Ok(Content::Unreadable {
            kind: "expanded tensor",
            reason: "some of its entries share memory; call .contiguous() on it before saving"
                .to_owned(),
        });
    }
    let tensor = Tensor::strided(name, element, bytes.start + begin, shape, strides);
    Ok(Content::Float(tensor.ok_or_else(overflow)?))
}

/// A tensor that holds no floats of a kind that is read.
fn other_type(dtype: &str, shape: Option<Vec<usize>>) -> Content {
    let dtype = dtype.to_owned();
    // Sizes beyond usize are those of no small tensor.
    let shape = shape.unwrap_or_else(|| vec![usize::MAX; 2]);
    if ["int", "uint", "bool"]
        .iter()
        .any(|kind| dtype.starts_with(kind))
    {
        Content::Integer { dtype, shape }
    } else {
        Content::Other { dtype, shape }
    }
}

/// Strides of axes of length 1 are never taken and may be anything: they become row-major ones.
fn without_idle_strides(shape: &[usize], mut strides: Vec<usize>) -> Vec<usize> {
    let mut next = Some(1usize);
    for (&length, stride) in shape.iter().zip(&mut strides).rev() {
        if length <= 1 {
            *stride = next.unwrap_or(0);
        }
        next = stride.checked_mul(length.max(1));
    }
    strides
}

/// Whether the key of a state dict is that of a weight or of what makes one: its scale, its factors.
fn is_of_a_weight(key: &str) -> bool {
    key.rsplit_once('.')
        .is_some_and(|(_, last)| last == "weight" || last.starts_with("weight_"))
}

/// Kind and reason of a tensor that is not read.
fn unreadable(maker: &str) -> (&'static str, String) {
    let has = |part: &str| maker.contains(part);
    if maker.starts_with("numpy.") {
        (
            "NumPy array",
            "convert it by torch.from_numpy before saving".to_owned(),
        )
    } else if has("_rebuild_qtensor") {
        (
            "quantised tensor",
            "save the model before quantisation".to_owned(),
        )
    } else if has("_rebuild_sparse") {
        (
            "sparse tensor",
            "call .to_dense() on it before saving".to_owned(),
        )
    } else if has("_rebuild_nested_tensor") {
        (
            "nested tensor",
            "it is several tensors; save them one by one".to_owned(),
        )
    } else if has("_rebuild_meta_tensor") {
        ("meta tensor", "it has a shape and no values".to_owned())
    } else if has("_load_from_bytes") || has("_rebuild_tensor") {
        (
            "pickled storage",
            "its values are inside a pickle of the pickle; save the model with torch.save"
                .to_owned(),
        )
    } else if has("device_tensor") || has("_rebuild_xla") {
        (
            "device tensor",
            "move the model to the CPU before saving".to_owned(),
        )
    } else {
        (
            "tensor of another class",
            format!(
                "{maker} makes it, and no code that a file names is run; save plain tensors: \
                 torch.save(model.state_dict(), …)"
            ),
        )
    }
}

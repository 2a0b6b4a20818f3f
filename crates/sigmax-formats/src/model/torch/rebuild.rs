//! What calls in a pickle stand for: a few functions by name, everything else an inert object.

use crate::model::torch::heap::{Dtype, Heap, Id, Object, Storage, TensorParts, Value};

/// Most axes of a tensor, as in PyTorch.
const MAX_RANK: usize = 64;
/// How many arguments of an unknown function are looked at for tensors.
const LOOKED_AT: usize = 16;

impl Heap {
    /// REDUCE: the value that `function(*arguments)` stands for. Nothing is called.
    pub(super) fn reduce(&mut self, function: Id, arguments: Id) -> Result<Id, String> {
        let Value::Tuple(items) = self.get(arguments) else {
            return Err("the arguments of a call are no tuple".to_owned());
        };
        let first = items.first().copied().unwrap_or(Id::OPAQUE);
        let Some(name) = self.global(function) else {
            return self.push(Value::Object(Box::default()));
        };
        match name {
            "collections.OrderedDict"
            | "collections.defaultdict"
            | "builtins.dict"
            | "__builtin__.dict" => self.dict(first),
            "builtins.set"
            | "__builtin__.set"
            | "builtins.frozenset"
            | "__builtin__.frozenset"
            | "builtins.list"
            | "torch.Size"
                if matches!(self.get(first), Value::Tuple(_) | Value::List(_)) =>
            {
                Ok(first)
            }
            "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => {
                self.tensor(function, arguments, None)
            }
            "torch._utils._rebuild_tensor_v3" => {
                let dtype = items.get(6).copied();
                self.tensor(function, arguments, dtype)
            }
            "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
                Ok(first)
            }
            "torch._tensor._rebuild_from_type_v2" | "torch._tensor._rebuild_from_type" => {
                // (function, class, arguments, state): what the function makes, as another class.
                let (class, inner) = match **items {
                    [_, class, inner, ..] => (class, inner),
                    _ => return Err("a tensor of another class without arguments".to_owned()),
                };
                match self.global(first) {
                    Some(inner_name) if inner_name.starts_with("torch._utils._rebuild_") => {
                        self.reduce(first, inner)
                    }
                    _ => self.push(Value::Unreadable(class)),
                }
            }
            "torch.storage._load_from_bytes" => self.push(Value::Unreadable(function)),
            // A NumPy array; what is built into it says its shape.
            "numpy.core.multiarray._reconstruct" | "numpy._core.multiarray._reconstruct" => {
                self.push(Value::Unreadable(function))
            }
            // (buffer, type, shape, order)
            "numpy.core.numeric._frombuffer" | "numpy._core.numeric._frombuffer" => {
                let shape = items.get(2).copied().unwrap_or(Id::OPAQUE);
                if self.is_short(shape) {
                    return Ok(Id::OPAQUE);
                }
                self.push(Value::Unreadable(function))
            }
            name if name.starts_with("torch._utils._rebuild_") => {
                self.push(Value::Unreadable(function))
            }
            _ => {
                let looked_at: Vec<_> = items.iter().copied().take(LOOKED_AT).collect();
                self.instantiate(function, &looked_at)
            }
        }
    }

    /// BUILD: the state of an instance. A NumPy array of rank 0 or 1 cannot be a weight.
    pub(super) fn build(&mut self, target: Id, state: Id) {
        match self.get(target) {
            Value::Object(_) => {
                if let Value::Object(object) = self.get_mut(target) {
                    object.states.push(state);
                }
            }
            // (version, shape, type, order, data)
            &Value::Unreadable(maker)
                if self
                    .global(maker)
                    .is_some_and(|name| name.starts_with("numpy."))
                    && self.tuple(state).is_some_and(|state| {
                        state.get(1).is_some_and(|&shape| self.is_short(shape))
                    }) =>
            {
                *self.get_mut(target) = Value::Opaque;
            }
            _ => {}
        }
    }

    /// Whether it is a shape of at most one axis.
    fn is_short(&self, shape: Id) -> bool {
        self.tuple(shape).is_some_and(|axes| axes.len() <= 1)
    }

    /// How many entries [`Heap::reduce`] would copy, in units of the machine's work.
    pub(super) fn copied_by(&self, function: Id, arguments: Id) -> u64 {
        let is_global = matches!(self.get(function), Value::Global(_));
        match self.tuple(arguments).and_then(<[Id]>::first) {
            Some(&first) if is_global => match self.get(first) {
                Value::List(items) => 4 * items.len() as u64,
                _ => 0,
            },
            _ => 0,
        }
    }

    /// An instance of a class: inert, or unreadable if a tensor is an argument.
    pub(super) fn instantiate(&mut self, class: Id, arguments: &[Id]) -> Result<Id, String> {
        let tensors = |id: &Id| matches!(self.get(*id), Value::Tensor(_) | Value::Unreadable(_));
        if arguments.iter().any(tensors) {
            return self.push(Value::Unreadable(class));
        }
        if self.global(class) == Some("collections.OrderedDict") {
            return self.push(Value::Dict(Vec::new()));
        }
        self.push(Value::Object(Box::<Object>::default()))
    }

    /// A dictionary from nothing or a list of pairs.
    fn dict(&mut self, pairs: Id) -> Result<Id, String> {
        let items = match self.get(pairs) {
            Value::List(pairs) => pairs
                .iter()
                .map(|&pair| match self.get(pair) {
                    Value::List(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    Value::Tuple(pair) if pair.len() == 2 => Ok((pair[0], pair[1])),
                    _ => Err("a dict is made of something that is no list of pairs".to_owned()),
                })
                .collect::<Result<_, _>>()?,
            // Nothing, or the factory of a defaultdict.
            _ => Vec::new(),
        };
        self.push(Value::Dict(items))
    }

    fn tensor(&mut self, function: Id, arguments: Id, dtype: Option<Id>) -> Result<Id, String> {
        let Some(&[storage, offset, size, stride, ..]) = self.tuple(arguments) else {
            return Err("a tensor is made from fewer than four arguments".to_owned());
        };
        match self.get(storage) {
            Value::Storage(_) => {}
            Value::Unreadable(_) | Value::Object(_) => {
                return self.push(Value::Unreadable(function));
            }
            _ => return Err("a tensor is made from something that is no storage".to_owned()),
        }
        if self.natural(offset).is_none() {
            return Err("the offset of a tensor in its storage is no natural number".to_owned());
        }
        let rank = |id| self.tuple(id).map_or(0, <[Id]>::len);
        if rank(size) > MAX_RANK {
            return Err(format!(
                "a tensor of {} axes; at most {MAX_RANK} are possible",
                rank(size)
            ));
        }
        if rank(size) != rank(stride) {
            return Err(format!(
                "a tensor with {} sizes and {} strides",
                rank(size),
                rank(stride)
            ));
        }
        for (what, id) in [("sizes", size), ("strides", stride)] {
            if self.sizes(id).is_none() {
                return Err(format!(
                    "the {what} of a tensor are no tuple of natural numbers"
                ));
            }
        }
        self.push(Value::Tensor(Box::new(TensorParts {
            storage,
            offset,
            size,
            stride,
            dtype,
        })))
    }

    /// What a persistent id stands for: a storage, or in old files a class with its source text.
    pub(super) fn persistent(&mut self, id: Id) -> Result<Id, String> {
        let items = self.tuple(id).ok_or("a persistent id that is no tuple")?;
        let kind = items.first().and_then(|&id| self.text(id));
        match (kind, items) {
            (Some("module"), &[_, class, ..]) => Ok(class),
            (Some("storage"), &[_, class, key, _, entries, ref rest @ ..]) => {
                let class = self
                    .global(class)
                    .ok_or("the class of a storage is no class")?;
                let dtype = Dtype::of_storage(class)
                    .ok_or_else(|| format!("storages of class {class:?} are not read"))?;
                self.text(key)
                    .ok_or("the key of a storage is no short text")?;
                let entries = self
                    .natural(entries)
                    .ok_or("the length of a storage is no natural number")?;
                let part = match rest.first().and_then(|&view| self.tuple(view)) {
                    Some(&[_, start, length]) => {
                        let part = self.natural(start).zip(self.natural(length));
                        Some(part.ok_or("a part of a storage is no pair of natural numbers")?)
                    }
                    Some(_) => return Err("a part of a storage is no triple".to_owned()),
                    None => None,
                };
                let storage = Storage {
                    key,
                    dtype,
                    entries,
                    part,
                };
                self.push(Value::Storage(Box::new(storage)))
            }
            _ => Err("a persistent id that is neither a storage nor a module".to_owned()),
        }
    }
}

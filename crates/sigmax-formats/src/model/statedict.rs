//! Named tensors without a graph: which of them are layers.
//!
//! All names are there before any tensor is judged, because its siblings tell what it is: `weight_v`
//! beside `weight_g` is a factor, and so is an 8-bit `weight` beside its scale.

mod adapters;
mod factors;
mod quantised;
mod siblings;

use crate::model::layer::LayerSpec;
use crate::model::names::Names;
use crate::model::skipped::Skipped;
use crate::model::tensor::Tensor;
use crate::model::weight::Recipe;
pub(crate) use adapters::Adapters;
use siblings::Siblings;

/// The tensors of a file, in its order.
#[derive(Debug, Default)]
pub(crate) struct StateDict {
    entries: Vec<Entry>,
    /// What the file states about low-rank adapters.
    adapters: Adapters,
}

/// A tensor and its name.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    role: Role,
    content: Content,
}

/// What a tensor is for, as far as the container that holds it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Parameter,
    /// A buffer of a module that was saved whole, or another attribute of it.
    Buffer,
    /// The state of an optimiser.
    Optimiser,
}

impl Role {
    /// The same of what a module holds and does not list among its parameters.
    pub(crate) fn unregistered(self) -> Self {
        match self {
            Self::Parameter => Self::Buffer,
            other => other,
        }
    }
}

/// What a tensor holds.
#[derive(Debug)]
pub(crate) enum Content {
    /// Floats.
    Float(Tensor),
    /// Integers or truth values.
    Integer { dtype: String, shape: Vec<usize> },
    /// Another type: complex, packed, or not known.
    Other { dtype: String, shape: Vec<usize> },
    /// It cannot be read, for this reason.
    Unreadable { kind: &'static str, reason: String },
}

/// What came of the tensors.
#[derive(Debug, Default)]
pub(crate) struct Sorted {
    pub(crate) layers: Vec<LayerSpec>,
    pub(crate) skipped: Skipped,
    /// Every tensor of a float type, layer or not.
    pub(crate) tensors: Vec<Tensor>,
}

/// Tensors that make one weight.
struct Group {
    /// The name the weight would have as one tensor.
    weight: String,
    members: Vec<usize>,
    verdict: Result<Recipe, Refusal>,
}

/// Why a weight is not audited.
struct Refusal {
    kind: String,
    reason: String,
}

impl Refusal {
    fn new(kind: &str, reason: impl Into<String>) -> Self {
        Self {
            kind: kind.to_owned(),
            reason: reason.into(),
        }
    }
}

impl Content {
    /// Length per axis, where it is known.
    fn shape(&self) -> Option<&[usize]> {
        match self {
            Self::Float(tensor) => Some(tensor.shape()),
            Self::Integer { shape, .. } | Self::Other { shape, .. } => Some(shape),
            Self::Unreadable { .. } => None,
        }
    }
}

impl Entry {
    /// Whether this can be a weight by its rank, where that is known.
    fn is_wide(&self) -> bool {
        self.content
            .shape()
            .is_none_or(|shape| shape.len() >= 2 && !shape.contains(&0))
    }

    fn float(&self) -> Option<&Tensor> {
        match &self.content {
            Content::Float(tensor) => Some(tensor),
            _ => None,
        }
    }
}

impl StateDict {
    /// No tensors, of a file that states this.
    pub(crate) fn new(adapters: Adapters) -> Self {
        Self {
            entries: Vec::new(),
            adapters,
        }
    }

    /// Adds a tensor.
    pub(crate) fn add(&mut self, name: &str, role: Role, content: Content) {
        self.entries.push(Entry {
            name: name.to_owned(),
            role,
            content,
        });
    }

    /// Sorts the tensors into layers and others.
    ///
    /// Every float tensor of rank 2 (dense) to 5 (3D convolution) that is no factor is a layer: nothing
    /// in such a file tells an embedding table from a dense layer. What may be a weight and cannot be
    /// audited is refused by name; skipped is only what cannot be one.
    pub(crate) fn sort(self) -> Sorted {
        let siblings = Siblings::of(&self.entries);
        let mut groups = Groups {
            all: Vec::new(),
            owner: vec![None; self.entries.len()],
        };
        factors::find(&siblings, &mut groups);
        adapters::find(&siblings, &self.adapters, &mut groups);
        quantised::find(&siblings, &mut groups);
        let mut sorted = Sorted::default();
        let mut names = Names::default();
        for (index, entry) in self.entries.iter().enumerate() {
            if let (Content::Float(tensor), Role::Parameter) = (&entry.content, entry.role) {
                sorted.tensors.push(tensor.clone());
            }
            match groups.owner[index] {
                None => sorted.judge(entry, &mut names),
                Some(owner) => {
                    if let Some(group) = groups.all[owner].take() {
                        sorted.finish(group, &mut names);
                    }
                }
            }
        }
        sorted
    }
}

/// The groups found so far, and which entry belongs to which.
struct Groups {
    /// `None` once a group has been dealt with.
    all: Vec<Option<Group>>,
    owner: Vec<Option<usize>>,
}

impl Groups {
    fn is_free(&self, index: usize) -> bool {
        self.owner[index].is_none()
    }

    /// Adds a group of those `members` that belong to no other. A refusal is not lost where all of them
    /// do: it takes the place of one of the others.
    fn add(&mut self, group: Group) {
        let place = self.all.len();
        let mut own = false;
        for &member in &group.members {
            if self.owner[member].is_none() {
                self.owner[member] = Some(place);
                own = true;
            }
        }
        let taken = group.members.first().and_then(|&member| self.owner[member]);
        match taken.filter(|_| !own && group.verdict.is_err()) {
            Some(other) => self.all[other] = Some(group),
            None => self.all.push(Some(group)),
        }
    }
}

impl Sorted {
    fn finish(&mut self, group: Group, names: &mut Names) {
        let name = layer_name(&group.weight);
        match group.verdict {
            Ok(recipe) => {
                let name = names.unique(name);
                let layer = LayerSpec::computed(name, group.weight, recipe);
                self.layers.push(layer);
            }
            Err(refusal) => self.skipped.refuse(name, refusal.kind, refusal.reason),
        }
    }

    /// A tensor that belongs to no group.
    fn judge(&mut self, entry: &Entry, names: &mut Names) {
        let name = &entry.name;
        if entry.role == Role::Optimiser {
            return self.skipped.other("optimiser state", name);
        }
        let narrow = |rank: usize| match entry.role {
            Role::Buffer => "buffer".to_owned(),
            _ => format!("rank {rank}"),
        };
        match &entry.content {
            Content::Unreadable { kind, reason } => self.skipped.refuse(name, *kind, reason),
            Content::Float(tensor) => {
                let rank = tensor.shape().len();
                if rank < 2 && !factors::is_flattened(name) {
                    self.skipped.other(narrow(rank), name);
                } else if tensor.shape().contains(&0) {
                    self.skipped.other("empty", name);
                } else if let Some(refusal) = factors::refusal(name) {
                    self.skipped.refuse(name, refusal.kind, refusal.reason);
                } else if rank > 5 {
                    self.skipped.refuse(
                        name,
                        format!("rank {rank}"),
                        "convolutions have 3 spatial axes or fewer, and nothing says what this tensor \
                         is; leave it out with --only if it is no weight",
                    );
                } else {
                    let name = names.unique(layer_name(name));
                    self.layers.push(LayerSpec::assumed(name, tensor.clone()));
                }
            }
            Content::Integer { dtype, .. } | Content::Other { dtype, .. } => {
                match quantised::refusal(entry) {
                    Some(refusal) => self.skipped.refuse(name, refusal.kind, refusal.reason),
                    None if entry.role == Role::Buffer => self.skipped.other("buffer", name),
                    None => self.skipped.other(dtype, name),
                }
            }
        }
    }
}

/// The name of the module that a weight belongs to.
fn layer_name(weight: &str) -> &str {
    weight.strip_suffix(".weight").unwrap_or(weight)
}

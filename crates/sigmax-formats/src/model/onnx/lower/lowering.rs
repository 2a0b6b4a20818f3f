//! [`Lowering`]: a network while it is built from a graph.

use std::collections::{BTreeMap, HashMap, HashSet};

use sigmax::Kernel;
use sigmax::network::{Affine, NetworkBuilder, NodeId, Op, PerEntry, Pick};
use sigmax::weight::Weight;

use crate::error::Error;
use crate::model::layer::LayerId;
use crate::model::names::Names;
use crate::model::network::{NO_BATCH, NetworkError, NetworkModel, NoNetwork, Precision};
use crate::model::tensor::Tensor;

use super::super::arguments;
use super::super::draft::NoLayer;
use super::super::facts::Context;
use super::super::parsed::Node;
use super::super::size::{self, Dims, Size};

/// Why a node is not lowered.
#[derive(Debug)]
pub(super) enum Halt {
    /// The file cannot be read.
    Fail(Error),
    /// There is no rule for it: why.
    Refuse(String),
}

/// Said of everything that would couple the samples of a batch.
pub(super) const MIXES: &str = "it mixes the samples of a batch";

pub(super) const JUMPS: &str = "its result jumps: not Lipschitz";
pub(super) const PRODUCT: &str = "product of two branches, and none that is known to be an \
                                  activation function: in general not globally Lipschitz";
pub(super) const QUOTIENT: &str =
    "divides by a value that depends on the input: in general not globally Lipschitz";

/// One sample of the input.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) shape: Vec<usize>,
    /// Whether there is no batch beside it, or one of length 1.
    pub(super) whole: bool,
    /// Axes of the input that its shape lacks.
    pub(super) hidden: usize,
}

/// Entries that all picks, windows and matrices along axes may have together.
const MAX_INDICES: usize = 1 << 27;
/// Entries of one axis that they go along.
const MAX_AXIS: usize = 1 << 22;
/// Entries of weights that are read once more.
const MAX_COPIES: usize = 1 << 24;

pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, Halt> {
    Err(Halt::Refuse(reason.into()))
}

impl From<String> for Halt {
    fn from(reason: String) -> Self {
        Self::Refuse(reason)
    }
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Fail(error)
    }
}

impl From<sigmax::Error> for Halt {
    fn from(error: sigmax::Error) -> Self {
        Self::Refuse(match error {
            sigmax::Error::Node { reason, .. } => reason.to_string(),
            sigmax::Error::Layer { source, .. } => source.to_string(),
            error => error.to_string(),
        })
    }
}

impl From<NoLayer> for Halt {
    fn from(stop: NoLayer) -> Self {
        Self::Refuse(match stop {
            NoLayer::Fail(reason) | NoLayer::Refuse(reason) => reason,
            NoLayer::Other => "it does not act on the model's input".to_owned(),
        })
    }
}

/// A network while it is built.
#[derive(Debug)]
pub(super) struct Lowering<'a> {
    pub(super) context: Context<'a>,
    /// Length of axis 0 of the input, and of every value of the network.
    pub(super) batch: Size,
    /// Whether all axes are of the one sample that there is: axis 0 is no batch, or one of length 1.
    pub(super) whole: bool,
    /// Axes in front that the values of the network lack beside those of the graph, for the node that is
    /// lowered: 1, the batch; 0 where every axis is of the sample.
    pub(super) hidden: usize,
    net: NetworkBuilder,
    /// The node of every value, by how many axes it lacks.
    values: [HashMap<usize, NodeId>; 2],
    names: Names,
    /// Whether no step of the node that is lowered has its name yet.
    fresh: bool,
    layers: BTreeMap<LayerId, NodeId>,
    notes: Vec<String>,
    read: HashSet<String>,
    indices: usize,
    copies: usize,
    /// Whether a constant is computed with roundings that no bound of executions counts.
    pub(super) rounds: bool,
}

impl<'a> Lowering<'a> {
    /// A network of its input alone.
    pub(super) fn new(
        context: Context<'a>,
        input: usize,
        sample: &Sample,
    ) -> Result<Self, NoNetwork> {
        let wrong = |error: sigmax::Error| {
            NoNetwork::one(&context.parsed.names[input], "input", error.to_string())
        };
        let net = NetworkBuilder::new(&sample.shape).map_err(wrong)?;
        let batch = match sample.whole {
            true => Some(Size::Known(1)),
            false => {
                let dims = context.facts[input].dims.as_ref();
                dims.and_then(|dims| dims.first().copied())
            }
        };
        let mut values = [HashMap::new(), HashMap::new()];
        values[sample.hidden].insert(input, net.input());
        let mut names = Names::default();
        names.unique("input");
        Ok(Self {
            batch: batch.unwrap_or(Size::Unknown),
            whole: sample.whole,
            hidden: 1,
            values,
            net,
            names,
            fresh: true,
            context,
            layers: BTreeMap::new(),
            notes: match sample.whole {
                true => vec![NO_BATCH.to_owned()],
                false => Vec::new(),
            },
            read: HashSet::new(),
            indices: 0,
            copies: 0,
            rounds: false,
        })
    }

    /// From here on steps belong to another node of the graph.
    pub(super) fn begin(&mut self) {
        self.fresh = true;
    }

    /// Enters the node of a value, and what is known of its shape now.
    pub(super) fn made(&mut self, value: usize, id: NodeId) -> Result<(), Halt> {
        let shape = self.net.shape(id);
        let fact = &mut self.context.facts[value];
        if let Some(stated) = &fact.dims {
            let rest = stated.get(self.hidden..).unwrap_or_default();
            let same = stated.len() == shape.len() + self.hidden
                && (!self.whole || self.hidden == 0 || stated[0].known().is_none_or(|n| n == 1))
                && rest
                    .iter()
                    .zip(shape)
                    .all(|(stated, n)| stated.known().is_none_or(|stated| stated == *n));
            if !same {
                return refuse(format!(
                    "its output has shape {shape:?} beside the batch, where the graph has {stated:?}"
                ));
            }
        }
        let front = &[self.batch][..self.hidden];
        fact.dims = Some([front, &size::dims(shape)[..]].concat());
        self.values[self.hidden].insert(value, id);
        Ok(())
    }

    /// How many axes of the graph the values that a node reads lack: where there is no batch, none, but
    /// where the operator knows one (`batched`), or all values have a first axis of length 1 and the
    /// operator acts entry by entry, or on rows (`each`).
    pub(super) fn lacks(&self, node: &Node, inputs: &[usize], batched: bool, each: bool) -> usize {
        if !self.whole || batched {
            return 1;
        }
        let ready = |value: &usize| self.values[1].contains_key(value);
        let rank = |value: &usize| {
            self.values[1]
                .get(value)
                .map(|&id| self.net.shape(id).len())
        };
        let most = inputs.iter().filter_map(rank).max().unwrap_or(0);
        let below = |value: &usize| {
            let fact = &self.context.facts[*value];
            let one = |dims: &Dims| dims.len() == most + 1 && dims[0] == Size::Known(1);
            let fits = |dims: &Dims| dims.len() <= most || one(dims);
            !fact.is_constant() || fact.dims.as_ref().is_some_and(fits)
        };
        let all = inputs.iter().all(ready) && node.inputs.iter().flatten().all(below);
        usize::from(each && all)
    }

    /// Has the node of a value without as many axes as those that are read now.
    pub(super) fn prepared(&mut self, name: &str, value: usize) -> Result<(), Halt> {
        let [wanted, other] = [self.hidden, 1 - self.hidden];
        if !self.whole || self.values[wanted].contains_key(&value) {
            return Ok(());
        }
        let Some(&id) = self.values[other].get(&value) else {
            return Ok(());
        };
        let shape = self.shape(id);
        let shape = match (wanted, &shape[..]) {
            (0, shape) => [&[1], shape].concat(),
            (_, [1, rest @ ..]) if !rest.is_empty() => rest.to_vec(),
            _ => {
                return refuse(format!(
                    "it takes axis 0 of {:?}, of shape {shape:?}, for the batch, which has to be 1 long \
                     in a model that is read without one",
                    self.context.parsed.names[value]
                ));
            }
        };
        let id = self.reshaped(name, id, &shape)?;
        self.values[wanted].insert(value, id);
        Ok(())
    }

    /// Says what is along axis 0 where that may be no batch.
    pub(super) fn explained(&self, halt: Halt) -> Halt {
        match (halt, self.batch) {
            (Halt::Refuse(reason), Size::Known(n)) if reason == MIXES && n > 1 => {
                Halt::Refuse(format!(
                    "it acts along axis 0 of the input, of {n} entries, which is taken for the \
                     batch; if the model has no batch axis, say so (--no-batch)"
                ))
            }
            (Halt::Refuse(reason), Size::Known(n))
                if n > 1 && !self.whole && reason.contains("the batch axis") =>
            {
                Halt::Refuse(format!(
                    "{reason}; if the model has no batch axis, say so (--no-batch)"
                ))
            }
            (halt, _) => halt,
        }
    }

    /// The node of a value.
    pub(super) fn value(&self, value: usize) -> Result<NodeId, Halt> {
        match self.values[self.hidden].get(&value) {
            Some(&id) => Ok(id),
            None => refuse(format!(
                "its input {:?} is not a value of the network",
                self.context.parsed.names[value]
            )),
        }
    }

    /// The node in input `place`, which has to depend on the data.
    pub(super) fn data(&self, node: &Node, place: usize) -> Result<NodeId, Halt> {
        match self.context.varying(node, place) {
            Some(value) => self.value(value),
            None => refuse(format!("its input {place} is missing or constant")),
        }
    }

    /// That something in input `place` of a node is not known, and why.
    pub(super) fn unknown(&self, node: &Node, place: usize, what: &str) -> String {
        match self.context.open(node, place) {
            Some(reason) => format!("{what}: {reason}"),
            None => format!("{what}: not a few known integers"),
        }
    }

    /// The shape of one sample of a node.
    pub(super) fn shape(&self, id: NodeId) -> Vec<usize> {
        self.net.shape(id).to_vec()
    }

    /// The axes of a value in the graph.
    pub(super) fn rank(&self, id: NodeId) -> usize {
        self.net.shape(id).len() + self.hidden
    }

    /// An axis that is not the batch, batch left out.
    pub(super) fn axis(&self, axis: i64, id: NodeId) -> Result<usize, Halt> {
        let rank = self.rank(id);
        match arguments::axis(axis, rank) {
            Some(axis) if axis < self.hidden => refuse(MIXES),
            Some(axis) => Ok(axis - self.hidden),
            None => refuse(format!("axis = {axis} of an input of {rank} axes")),
        }
    }

    /// Adds a node under the name of the one that is lowered.
    pub(super) fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, Halt> {
        let what = op.name();
        self.step(name, what, op, inputs)
    }

    /// Adds a convolution or a dense layer, whose weight may be known to within an error.
    pub(super) fn layer_step(
        &mut self,
        name: &str,
        weight: &Weight,
        layer: impl FnOnce(Kernel) -> Op,
        input: NodeId,
    ) -> Result<NodeId, Halt> {
        let name = if self.fresh {
            self.names.unique(name)
        } else {
            self.names.unique(&format!("{name}/product"))
        };
        self.fresh = false;
        Ok(self.net.add_weighted(&name, weight, layer, &[input])?)
    }

    /// The same for a node that may be one of several: the first has the name alone.
    pub(super) fn step(
        &mut self,
        name: &str,
        what: &str,
        op: Op,
        inputs: &[NodeId],
    ) -> Result<NodeId, Halt> {
        let name = if self.fresh {
            self.names.unique(name)
        } else {
            self.names.unique(&format!("{name}/{what}"))
        };
        self.fresh = false;
        Ok(self.net.add(&name, op, inputs)?)
    }

    /// Counts the entries of an index or a sparse matrix that is about to be made.
    pub(super) fn room(&mut self, lengths: &[usize]) -> Result<(), Halt> {
        if lengths.iter().any(|&n| n > MAX_AXIS) {
            return refuse(format!(
                "an axis of more than {MAX_AXIS} entries that are moved or pooled"
            ));
        }
        let entries = lengths
            .iter()
            .try_fold(1usize, |product, &n| product.checked_mul(n));
        match entries.and_then(|n| self.indices.checked_add(n)) {
            Some(total) if total <= MAX_INDICES => {
                self.indices = total;
                Ok(())
            }
            _ => refuse(format!(
                "shapes up to here have more than {MAX_INDICES} entries that are moved or pooled"
            )),
        }
    }

    /// Counts the entries of a constant that is about to be read.
    pub(super) fn reads(&mut self, tensor: &Tensor) -> Result<(), Halt> {
        if self.read.insert(tensor.name.clone()) {
            return Ok(());
        }
        let entries = crate::model::tensor::count(tensor.shape()).unwrap_or(usize::MAX);
        self.copies = self.copies.saturating_add(entries);
        if self.copies > MAX_COPIES {
            return refuse(format!(
                "weights that several nodes share come to more than {MAX_COPIES} entries"
            ));
        }
        Ok(())
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Adds a reshape, if it changes anything.
    pub(super) fn reshaped(
        &mut self,
        name: &str,
        id: NodeId,
        shape: &[usize],
    ) -> Result<NodeId, Halt> {
        if self.net.shape(id) == shape {
            return Ok(id);
        }
        let pick = Pick::reshape(self.net.shape(id), shape)?;
        self.step(name, "reshape", Op::Pick(pick), &[id])
    }

    /// Adds a transpose.
    pub(super) fn transposed(
        &mut self,
        name: &str,
        id: NodeId,
        axes: &[usize],
    ) -> Result<NodeId, Halt> {
        let shape = self.shape(id);
        self.room(&shape)?;
        self.room(&shape)?;
        let pick = Pick::transpose(&shape, axes)?;
        self.step(name, "transpose", Op::Pick(pick), &[id])
    }

    /// Entries of every axis, in this order; `None` for all of them.
    pub(super) fn picked(
        &mut self,
        name: &str,
        id: NodeId,
        along: Vec<Option<Vec<usize>>>,
    ) -> Result<NodeId, Halt> {
        if along.iter().all(Option::is_none) {
            return Ok(id);
        }
        let shape = self.shape(id);
        let lengths: Vec<usize> = along
            .iter()
            .zip(&shape)
            .map(|(list, &n)| list.as_ref().map_or(n, Vec::len))
            .collect();
        self.room(&shape)?;
        self.room(&lengths)?;
        let lists: Vec<Vec<Option<usize>>> = along
            .into_iter()
            .zip(&shape)
            .map(|(list, &n)| match list {
                Some(list) => list.into_iter().map(Some).collect(),
                None => (0..n).map(Some).collect(),
            })
            .collect();
        let pick = Pick::along(&shape, &lists, 0.0)?;
        self.step(name, "pick", Op::Pick(pick), &[id])
    }

    /// Adds a multiplication with one number, exactly known.
    pub(super) fn scaled(&mut self, name: &str, id: NodeId, factor: f64) -> Result<NodeId, Halt> {
        let rank = self.net.shape(id).len();
        let factor = PerEntry::uniform(rank, factor)?;
        let affine = Affine::exact(factor, PerEntry::uniform(rank, 0.0)?);
        self.step(name, "scale", Op::Affine(affine), &[id])
    }

    /// Enters that a node computes the layer of the graph's node at `index`.
    pub(super) fn computes(&mut self, index: usize, node: NodeId) {
        self.layers.insert(LayerId(index), node);
    }

    /// The network.
    pub(super) fn finish(mut self, precision: Precision) -> Result<NetworkModel, NetworkError> {
        let precision = match precision {
            Precision::Single | Precision::Double if self.rounds => Precision::Constants,
            precision => precision,
        };
        if self.rounds {
            self.note(
                "constants that the graph computes are taken as those of real arithmetic, where a \
                 runtime rounds"
                    .to_owned(),
            );
        }
        if let Some(note) = precision.note() {
            self.note(note.to_owned());
        }
        let parsed = self.context.parsed;
        let mut outputs = Vec::new();
        for output in &parsed.outputs {
            let ways = [1, 0].into_iter();
            let Some(&id) = ways.filter_map(|n| self.values[n].get(output)).next() else {
                let reason = "it is not a value of the network".to_owned();
                return Err(NoNetwork::one(&parsed.names[*output], "output", reason).into());
            };
            outputs.push(id);
        }
        let network = self
            .net
            .finish(&outputs)
            .map_err(|error| NoNetwork::one("outputs", "output", error.to_string()))?;
        Ok(NetworkModel {
            precision,
            network,
            notes: self.notes,
            layers: self.layers,
        })
    }
}

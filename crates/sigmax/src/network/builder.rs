//! [`NetworkBuilder`]: nodes are added in order, and checked when they are.

use std::sync::Arc;

use crate::error::{Error, Misfit};
use crate::kernel::Kernel;
use crate::network::graph::{Network, Node, NodeId};
use crate::network::op::Op;
use crate::network::op::affine::Affine;
use crate::network::op::channels::Channels;
use crate::weight::Weight;

/// Most entries of one sample of a node, and most nodes.
const MAX_ENTRIES: usize = 1 << 28;
const MAX_NODES: usize = 1 << 20;

/// Builds a [`Network`] node by node; see there for an example.
#[derive(Clone, Debug)]
pub struct NetworkBuilder {
    nodes: Vec<Node>,
}

impl NetworkBuilder {
    /// Starts with an input of this shape, batch axis left out: `[channels, n_1, …]` or `[n]`.
    ///
    /// # Errors
    /// [`Error::Node`] for an empty or huge shape.
    pub fn new(shape: &[usize]) -> Result<Self, Error> {
        check_size("input", shape)?;
        Ok(Self {
            nodes: vec![Node {
                name: "input".to_owned(),
                op: Op::Input,
                inputs: Vec::new(),
                shape: shape.to_vec(),
                inexact: 0.0,
            }],
        })
    }

    /// The input.
    #[must_use]
    pub fn input(&self) -> NodeId {
        NodeId(0)
    }

    /// The shape of a node that was added.
    ///
    /// # Panics
    /// If the id is of another, larger network.
    #[must_use]
    pub fn shape(&self, id: NodeId) -> &[usize] {
        &self.nodes[id.0].shape
    }

    /// What a node that was added computes.
    ///
    /// # Panics
    /// If the id is of another, larger network.
    #[must_use]
    pub fn op(&self, id: NodeId) -> &Op {
        &self.nodes[id.0].op
    }

    /// Number of nodes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node; there is always the input.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Adds a node that reads `inputs` and infers its shape.
    ///
    /// # Errors
    /// [`Error::Node`] where the operation does not fit its inputs.
    pub fn add(&mut self, name: &str, op: Op, inputs: &[NodeId]) -> Result<NodeId, Error> {
        let wrong = |reason| Err(Error::node(name, reason));
        if self.nodes.len() >= MAX_NODES {
            return wrong(Misfit::TooManyNodes { most: MAX_NODES });
        }
        if inputs.iter().any(|input| input.0 >= self.nodes.len()) {
            return wrong(Misfit::UnknownInput);
        }
        let shapes: Vec<&[usize]> = inputs.iter().map(|&id| self.shape(id)).collect();
        let (op, shape) = op.fitted(&shapes).map_err(|unfit| unfit.at(name))?;
        check_size(name, &shape)?;
        self.nodes.push(Node {
            name: name.to_owned(),
            op,
            inputs: inputs.to_vec(),
            shape,
            inexact: 0.0,
        });
        Ok(NodeId(self.nodes.len() - 1))
    }

    /// Adds a convolution or a dense layer of `channels` biases, or none, whose weight is one that is
    /// computed: the same as [`NetworkBuilder::add`] with its kernel, but for its error (T40).
    ///
    /// # Errors
    /// [`Error::Node`] as [`NetworkBuilder::add`], or where the weight has a factor.
    pub fn add_weighted(
        &mut self,
        name: &str,
        weight: &Weight,
        layer: impl FnOnce(Kernel) -> Op,
        inputs: &[NodeId],
    ) -> Result<NodeId, Error> {
        let Some(error) = weight.error_alone() else {
            return Err(Error::node(name, Misfit::Inexact));
        };
        let id = self.add(name, layer(weight.kernel().clone()), inputs)?;
        let node = &mut self.nodes[id.0];
        if matches!(node.op, Op::Conv { .. } | Op::Dense { .. }) {
            node.inexact = error;
        }
        Ok(id)
    }

    /// The network with these outputs.
    ///
    /// # Errors
    /// [`Error::Node`] without an output.
    pub fn finish(self, outputs: &[NodeId]) -> Result<Network, Error> {
        if outputs.is_empty() || outputs.iter().any(|id| id.0 >= self.nodes.len()) {
            return Err(Error::node("output", Misfit::NoOutput));
        }
        Ok(Network {
            nodes: Arc::new(self.nodes),
            outputs: Arc::new(outputs.to_vec()),
        })
    }
}

impl Network {
    /// This network behind the input normalisation `(x − mean)/std`, one value for all or one per
    /// channel, where `layout` says that the channels are: its input is then in the units of x
    /// (pixels).
    ///
    /// Every node moves one place back.
    ///
    /// # Errors
    /// [`Error::Geometry`] for values that are not finite, not as many as there are channels, or a
    /// standard deviation ≤ 0.
    pub fn normalised(&self, layout: Channels, mean: &[f64], std: &[f64]) -> Result<Self, Error> {
        let shape = self.nodes[0].shape.clone();
        let affine = Affine::normalisation(&shape, layout, mean, std)?;
        let mut builder = NetworkBuilder::new(&shape)?;
        let first = builder.add("normalisation", Op::Affine(affine), &[NodeId(0)])?;
        let moved = |id: NodeId| NodeId(id.0 + 1);
        let mut nodes = builder.nodes;
        debug_assert_eq!(nodes.len(), first.0 + 1);
        for node in &self.nodes[1..] {
            let mut node = node.clone();
            node.inputs.iter_mut().for_each(|id| *id = moved(*id));
            nodes.push(node);
        }
        Ok(Self {
            nodes: Arc::new(nodes),
            outputs: Arc::new(self.outputs.iter().copied().map(moved).collect()),
        })
    }
}

fn check_size(name: &str, shape: &[usize]) -> Result<(), Error> {
    let entries = shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n));
    match entries {
        Some(1..=MAX_ENTRIES) => Ok(()),
        _ => Err(Error::node(
            name,
            Misfit::Entries {
                shape: shape.to_vec(),
                most: MAX_ENTRIES,
            },
        )),
    }
}

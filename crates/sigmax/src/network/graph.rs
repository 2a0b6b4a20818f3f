//! [`Network`]: nodes, each after those it reads.

use std::sync::Arc;

use crate::error::{Error, Misfit};
use crate::network::op::Op;

/// A node of a [`Network`]: its place in the order of the nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub(crate) usize);

impl NodeId {
    /// The node at a place in [`Network::nodes`].
    #[must_use]
    pub fn new(index: usize) -> Self {
        Self(index)
    }

    /// The place in [`Network::nodes`].
    #[must_use]
    pub fn index(self) -> usize {
        self.0
    }
}

/// A node: what it computes, from which nodes, and the shape of one sample of its output.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// Its name, for reports.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// The nodes it reads, each earlier than itself.
    pub inputs: Vec<NodeId>,
    /// Shape of its value for one sample: the batch axis is left out.
    pub shape: Vec<usize>,
    /// Its weight is the kernel of the operation plus E with S(E) at most this (T40); 0 for any other node.
    pub(crate) inexact: f64,
}

impl Node {
    /// Whether its weight, if it has one, is the kernel of its operation and nothing beside (T40).
    #[must_use]
    pub fn is_exact(&self) -> bool {
        self.inexact <= 0.0
    }

    /// Number of entries of one sample.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Products that one evaluation of a convolution or dense layer takes; for any other node, its
    /// number of entries.
    #[must_use]
    pub fn products(&self) -> usize {
        match &self.op {
            Op::Conv { kernel, conv, .. } => {
                let taps: usize = kernel.spatial().iter().product();
                let inner = if conv.transposed {
                    kernel.shape()[0] / conv.groups
                } else {
                    kernel.shape()[1]
                };
                self.len().saturating_mul(inner).saturating_mul(taps)
            }
            Op::Dense { kernel, .. } => self.len().saturating_mul(kernel.shape()[1]),
            _ => self.len(),
        }
    }

    /// Whether its value has no entry (no node of a network has none).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A graph of layers with one input, checked when it was built.
///
/// Shapes leave out the batch axis: every sample is mapped alone, and no operation mixes samples.
/// A clone shares the nodes.
///
/// # Example
/// ```
/// use sigmax::{Conv, Kernel, Options};
/// use sigmax::network::{Activation, NetworkBuilder, Op, lipschitz};
/// let blur = Kernel::new(&[1, 1, 3], vec![0.25, 0.5, 0.25])?;
/// let conv = Conv::new(1).with_padding(&[(1, 1)]);
/// let mut net = NetworkBuilder::new(&[1, 8])?;
/// let x = net.input();
/// let y = net.add("blur", Op::conv(blur, conv), &[x])?;
/// let y = net.add("relu", Op::Activation(Activation::Relu), &[y])?;
/// let sum = net.add("residual", Op::Add, &[x, y])?;
/// let net = net.finish(&[sum])?;
/// let bound = lipschitz(&net, &Options::default())?.upper();
/// assert!((2.0..2.01).contains(&bound.get())); // 1 for the shortcut, 1 for the branch
/// # Ok::<(), sigmax::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    pub(crate) nodes: Arc<Vec<Node>>,
    pub(crate) outputs: Arc<Vec<NodeId>>,
}

impl Network {
    /// The nodes, each after those it reads; the first is the input.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The outputs.
    #[must_use]
    pub fn outputs(&self) -> &[NodeId] {
        &self.outputs
    }

    /// The node with this id.
    ///
    /// # Panics
    /// If the id is of another, larger network.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// The input.
    #[must_use]
    pub fn input(&self) -> &Node {
        &self.nodes[0]
    }

    /// The first node whose weight is known to within an error only (T40): its constant is bounded, and
    /// certificates, curvature and gradients are not.
    #[must_use]
    pub fn inexact(&self) -> Option<&Node> {
        self.nodes.iter().find(|node| node.inexact > 0.0)
    }

    /// Refuses a network with such a node.
    pub(crate) fn check_exact(&self) -> Result<(), Error> {
        match self.inexact() {
            Some(node) => Err(Error::node(&node.name, Misfit::Inexact)),
            None => Ok(()),
        }
    }
}

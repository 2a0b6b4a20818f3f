//! [`Lipschitz`]: what is proved of every node of a network.

use crate::claim::Upper;
use crate::network::graph::{Network, NodeId};

/// Which theorem a bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// The input itself: 1.
    Input,
    /// The norm of a convolution or matrix (T1 to T17).
    Norm,
    /// The norm of this node taken together with those before it, back to and with this one (T24).
    Fused(NodeId),
    /// The product of the norms of the layers back to and with this node, scaled between them (T37).
    Scaled(NodeId),
    /// The largest factor of a diagonal map (T24).
    Diagonal,
    /// √(most copies of one entry) (T22).
    Copies,
    /// A product of norms along axes (T23).
    Kronecker,
    /// √(most windows that hold one pixel) (T23).
    Windows,
    /// The largest slope (T26).
    Slope,
    /// Softmax or its logarithm (T26).
    Softmax,
    /// One over the root of the ε that keeps a standard deviation from 0 (T41).
    Spread,
    /// A residual whose branch starts with this node: what is subtracted is monotone (T42).
    Residual(NodeId),
    /// The sum over the branches (T21).
    Sum,
    /// The root of the sum of squares over the branches (T21).
    RootSumSquare,
    /// Branches that pick entries of one node: √(most copies in all of them) (T22).
    Parts,
    /// Entries in the order of size, or the larger and the smaller of two branches side by side (T21).
    Sorted,
    /// Functions of entries that the branches share, and the largest and the smallest of groups of them
    /// (T43).
    Shared,
}

impl Rule {
    /// A short text; `name` gives the name of a node.
    #[must_use]
    pub fn text<'a>(self, name: impl Fn(NodeId) -> &'a str) -> String {
        match self {
            Self::Input => "input".into(),
            Self::Norm => "norm".into(),
            Self::Fused(from) => format!("norm together with {}", name(from)),
            Self::Scaled(from) => format!("scaled between layers, from {}", name(from)),
            Self::Diagonal => "largest factor".into(),
            Self::Copies => "copies".into(),
            Self::Kronecker => "norms along axes".into(),
            Self::Windows => "overlapping windows".into(),
            Self::Slope => "slope".into(),
            Self::Softmax => "softmax".into(),
            Self::Spread => "1/√ε".into(),
            Self::Residual(from) => format!("monotone residual from {}", name(from)),
            Self::Sum => "sum of branches".into(),
            Self::RootSumSquare => "branches side by side".into(),
            Self::Parts => "parts of one node".into(),
            Self::Sorted => "sorted entries".into(),
            Self::Shared => "functions of shared entries".into(),
        }
    }
}

/// What is proved of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NodeBound {
    pub(crate) own: Upper,
    pub(crate) through: Upper,
    pub(crate) rule: Rule,
}

impl NodeBound {
    /// Lipschitz constant of the node alone, as a map from all its inputs together.
    #[must_use]
    pub fn own(self) -> Upper {
        self.own
    }

    /// Lipschitz constant of the map from the input of the network to this node.
    #[must_use]
    pub fn through(self) -> Upper {
        self.through
    }

    /// The theorem that gives [`NodeBound::through`] from that of earlier nodes.
    #[must_use]
    pub fn rule(self) -> Rule {
        self.rule
    }
}

/// Bounds for every node of a network, which goes with them: nothing can take them for those of
/// another one.
#[derive(Clone, Debug, PartialEq)]
pub struct Lipschitz {
    network: Network,
    nodes: Vec<NodeBound>,
    upper: Upper,
}

impl Lipschitz {
    /// The network.
    #[must_use]
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// One per node, in the order of [`Network::nodes`].
    #[must_use]
    pub fn nodes(&self) -> &[NodeBound] {
        &self.nodes
    }

    /// What is proved of a node.
    ///
    /// # Panics
    /// If the id is of another, larger network.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &NodeBound {
        &self.nodes[id.0]
    }

    pub(crate) fn of(network: &Network, nodes: Vec<NodeBound>) -> Self {
        let outputs: Vec<Upper> = network.outputs.iter().map(|o| nodes[o.0].through).collect();
        Self {
            network: network.clone(),
            upper: Upper::root_sum_square(&outputs),
            nodes,
        }
    }

    /// The constant of the map from the input to all outputs together.
    #[must_use]
    pub fn upper(&self) -> Upper {
        self.upper
    }
}

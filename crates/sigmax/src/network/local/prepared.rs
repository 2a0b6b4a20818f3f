//! [`Prepared`]: what local bounds need of a network, whatever the image.

use crate::network::eval::apply::Map;
use crate::network::eval::forward::Forward;
use crate::network::eval::linear::is_affine;
use crate::network::eval::rounds::norm_up;
use crate::network::graph::{Node, NodeId};
use crate::network::local::scatter::Scatter;
use crate::network::op::Op;
use crate::network::op::pool::entries;
use crate::rounding::{add_up, gamma, mul_up, scale_up};

/// How small a bound becomes for every node whose box is narrowed, at best: of trained networks about 0.77.
const NARROWING: f64 = 0.4;

/// A network made ready for bounds around images.
///
/// The largest parts are a copy of the kernels and the windows of max-pools.
pub(crate) struct Prepared {
    /// Whether the logits depend on a node.
    pub(super) used: Vec<bool>,
    /// Whether a node is read where the network bends, so that its box matters.
    pub(super) wanted: Vec<bool>,
    /// Whether a node lies behind such a place: only then a pass back says more than a row's length, if
    /// the input may be anything within the radius.
    pub(super) behind: Vec<bool>,
    /// The share of a bound that may be missing before boxes are narrowed, if that is to be of use.
    pub(super) hope: f64,
    /// The most entries of a node.
    pub(super) widest: usize,
    pub(super) scatters: Vec<Option<Scatter>>,
    /// For convolutions and dense layers, ‖row‖₂ from above of every channel of the output.
    pub(super) lengths: Vec<Vec<f64>>,
    /// For max-pools, the entries of every window.
    pub(super) windows: Vec<Vec<Vec<u32>>>,
}

/// Whether a node is more than affine.
pub(super) fn bends(op: &Op) -> bool {
    !is_affine(op) && !matches!(op, Op::Input)
}

impl Prepared {
    pub(super) fn new(forward: &Forward, logits: NodeId) -> Self {
        let network = forward.network();
        let nodes = network.nodes();
        let mut used = vec![false; nodes.len()];
        used[logits.0] = true;
        let mut behind = vec![false; nodes.len()];
        for i in 1..nodes.len() {
            behind[i] = bends(&nodes[i].op) || nodes[i].inputs.iter().any(|id| behind[id.0]);
        }
        let mut wanted = vec![false; nodes.len()];
        for i in (1..=logits.0).rev() {
            if !used[i] {
                continue;
            }
            for input in &nodes[i].inputs {
                used[input.0] = true;
                wanted[input.0] |= matches!(
                    nodes[i].op,
                    Op::Activation(_) | Op::PRelu(_) | Op::MaxPool(_)
                ) && is_affine(&nodes[input.0].op);
            }
        }
        let layers = (0..nodes.len())
            .filter(|&i| {
                used[i] && (wanted[i] && behind[i] || matches!(nodes[i].op, Op::Max | Op::Min))
            })
            .count();
        let scatters = (0..nodes.len())
            .map(|i| match forward.map(i) {
                Map::Conv(map, _) => Scatter::new(map),
                _ => None,
            })
            .collect();
        let lengths = nodes.iter().map(|node| lengths(&node.op)).collect();
        let windows = (0..nodes.len())
            .map(|i| match forward.map(i) {
                Map::MaxPool(windows) => entries(windows, &network.node(nodes[i].inputs[0]).shape),
                _ => Vec::new(),
            })
            .collect();
        Self {
            used,
            wanted,
            hope: 1.0 - NARROWING.powi(layers as i32),
            behind,
            widest: nodes.iter().map(Node::len).max().unwrap_or(1).max(1),
            scatters,
            lengths,
            windows,
        }
    }
}

/// ‖row‖₂ from above: of a convolution that of all taps of a channel, times what padding repeats.
fn lengths(op: &Op) -> Vec<f64> {
    let (kernel, padding) = match op {
        Op::Conv { kernel, conv, .. } if !conv.transposed => (kernel, conv.padding_factor()),
        Op::Dense { kernel, .. } => (kernel, 1.0),
        _ => return Vec::new(),
    };
    let values = kernel.values();
    let lost = scale_up(kernel.lost(), kernel.exponent());
    values
        .chunks(values.len() / kernel.shape()[0])
        .map(|row| {
            // Values of a kernel may have been rounded once.
            let norm = mul_up(norm_up(row), 1.0 + 2.0 * gamma(1));
            mul_up(add_up(norm, lost), padding)
        })
        .collect()
}

//! [`Prepared`]: what local bounds need of a network, whatever the image.

use crate::network::eval::apply::Map;
use crate::network::eval::forward::Forward;
use crate::network::eval::linear::is_affine;
use crate::network::eval::rounds::norm_up;
use crate::network::graph::NodeId;
use crate::network::local::scatter::Scatter;
use crate::network::op::Op;
use crate::network::op::pool::Windows;
use crate::rounding::{add_up, gamma, mul_up, scale_up};

/// A network made ready for bounds around images.
///
/// The largest parts are a copy of the kernels and the windows of max-pools.
pub(crate) struct Prepared {
    /// Whether the logits depend on a node.
    pub(super) used: Vec<bool>,
    /// Whether a node is read where the network bends, and lies behind another such place: boxes of it
    /// are worth a pass back.
    pub(super) wanted: Vec<bool>,
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
        for i in (1..=logits.0).rev().filter(|&i| i > 0) {
            if !used[i] {
                continue;
            }
            for input in &nodes[i].inputs {
                used[input.0] = true;
                wanted[input.0] |= matches!(
                    nodes[i].op,
                    Op::Activation(_) | Op::PRelu(_) | Op::MaxPool(_)
                ) && behind[input.0]
                    && is_affine(&nodes[input.0].op);
            }
        }
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

/// The entries of every window.
pub(super) fn entries(windows: &[Windows], input: &[usize]) -> Vec<Vec<u32>> {
    let mut shape = input.to_vec();
    let count = input.iter().product::<usize>() as u32;
    let mut all: Vec<Vec<u32>> = (0..count).map(|i| vec![i]).collect();
    for (axis, windows) in windows.iter().enumerate() {
        let outer: usize = shape[..=axis].iter().product();
        let inner: usize = shape[axis + 2..].iter().product();
        let n = shape[axis + 1];
        let mut next = Vec::with_capacity(outer * windows.len() * inner);
        for block in 0..outer {
            for window in windows {
                for offset in 0..inner {
                    let pixels = window
                        .iter()
                        .map(|i| &all[(block * n + i) * inner + offset]);
                    next.push(pixels.flatten().copied().collect());
                }
            }
        }
        shape[axis + 1] = windows.len();
        all = next;
    }
    all
}

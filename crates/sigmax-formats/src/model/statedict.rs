//! Named tensors without a graph: which of them are layers.

use crate::model::layer::LayerSpec;
use crate::model::names::Names;
use crate::model::skipped::Skipped;
use crate::model::tensor::Tensor;

/// Endings of tensors from which a weight is computed (`torch.nn.utils`' `weight_norm`,
/// `spectral_norm`, `prune` and their `parametrizations`): none of them is the layer's weight.
const FACTORS: [&str; 4] = ["weight_g", "weight_v", "weight_orig", "weight_mask"];

/// Tensors sorted into layers and others.
///
/// Every float tensor of rank 2 (dense) to 5 (3D convolution) is a layer: nothing in such a file
/// tells an embedding table from a dense layer.
#[derive(Debug, Default)]
pub(crate) struct StateDict {
    pub(crate) layers: Vec<LayerSpec>,
    pub(crate) skipped: Skipped,
    /// Every tensor of a float type, layer or not.
    pub(crate) tensors: Vec<Tensor>,
    names: Names,
}

impl StateDict {
    /// Adds a tensor of a float type.
    pub(crate) fn add(&mut self, tensor: Tensor) {
        self.tensors.push(tensor.clone());
        let rank = tensor.shape().len();
        if !(2..=5).contains(&rank) {
            self.skipped.other(format!("rank {rank}"), tensor.name);
        } else if tensor.shape().contains(&0) {
            self.skipped.other("empty", tensor.name);
        } else if is_factor(&tensor.name) {
            self.skipped.refuse(
                tensor.name,
                "parametrised weight",
                "the layer's weight is computed from this tensor and others; remove the \
                 parametrisation (weight_norm, spectral_norm, pruning) before saving",
            );
        } else {
            let name = tensor.name.strip_suffix(".weight").unwrap_or(&tensor.name);
            let name = self.names.unique(name);
            self.layers.push(LayerSpec::assumed(name, tensor));
        }
    }

    /// Counts a tensor that is not of a float type.
    pub(crate) fn skip(&mut self, kind: &str, name: &str) {
        self.skipped.other(kind, name);
    }
}

fn is_factor(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    FACTORS.contains(&last)
        || name.contains(".parametrizations.")
        || name.starts_with("parametrizations.")
}

//! [`Held`]: a model that a program holds in memory, instead of a file.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::PathBuf;

use sigmax::Conv;
use sigmax::network::{Network, NodeId};
use sigmax::weight::Weight;

use crate::bytes::source::Source;
use crate::model::Model;
use crate::model::format::Format;
use crate::model::layer::{GeometrySource, LayerId, LayerKind, LayerSpec};
use crate::model::network::{NetworkModel, NoNetwork, Precision};
use crate::model::skipped::{Refused, Skipped};
use crate::model::weight::Stored;

/// What a reader finds in a file, of a model that a program holds: see [`Model::held`].
#[derive(Clone, Debug)]
pub struct Held {
    /// The layers, in the order in which they are reported; their names differ.
    pub layers: Vec<HeldLayer>,
    /// What is not a layer, and layers that cannot be audited.
    pub skipped: Skipped,
    /// The network, or what stands between the model and one.
    pub network: Result<HeldNetwork, Vec<Refused>>,
}

/// A layer of a model in memory.
#[derive(Clone, Debug)]
pub struct HeldLayer {
    /// The name of the layer.
    pub name: String,
    /// The name of its weight.
    pub tensor: String,
    /// The weight.
    pub weight: Weight,
    /// The geometry.
    pub conv: Conv,
    /// What a reader of the audit should know, one sentence each.
    pub notes: Vec<String>,
    /// The node of the network that computes this layer without its bias and nothing else, with its
    /// weight as the node's kernel.
    pub node: Option<NodeId>,
}

/// The network of a model in memory.
#[derive(Clone, Debug)]
pub struct HeldNetwork {
    /// The network, for one sample.
    pub network: Network,
    /// In which floating-point types it is executed.
    pub precision: Precision,
    /// What a reader of the results should know, one sentence each.
    pub notes: Vec<String>,
}

impl Model {
    /// A model in memory; `name` stands for its file in errors and reports.
    #[must_use]
    pub fn held(name: &str, held: Held) -> Self {
        let nodes = held.layers.iter().enumerate();
        let nodes = nodes.filter_map(|(place, layer)| Some((LayerId(place), layer.node?)));
        let layers: BTreeMap<LayerId, NodeId> = nodes.collect();
        let network = held.network.map(|found| {
            let precision = found.precision.note().map(str::to_owned);
            Box::new(NetworkModel {
                network: found.network,
                precision: found.precision,
                notes: precision.into_iter().chain(found.notes).collect(),
                layers,
            })
        });
        let specs = held.layers.into_iter().enumerate();
        Self {
            format: Format::TorchModule,
            layers: specs.map(|(place, layer)| layer.spec(place)).collect(),
            skipped: held.skipped,
            source: Source::new(PathBuf::from(name), 0, Cursor::new(Vec::new())),
            graph: None,
            held: Some(network.map_err(|blockers| NoNetwork { blockers })),
            tensors: Vec::new(),
        }
    }
}

impl HeldLayer {
    fn spec(self, place: usize) -> LayerSpec {
        let op = match (self.conv.axes(), self.conv.transposed) {
            (0, _) => LayerKind::Dense,
            (_, true) => LayerKind::ConvTranspose,
            (_, false) => LayerKind::Conv,
        };
        LayerSpec {
            name: self.name,
            tensor: self.tensor,
            op,
            op_type: op.name().to_owned(),
            shape: self.weight.kernel().shape().to_vec(),
            conv: self.conv,
            geometry: GeometrySource::Graph,
            scale: 1.0,
            notes: self.notes,
            id: LayerId(place),
            weight: Stored::Held(Box::new(self.weight)),
        }
    }
}

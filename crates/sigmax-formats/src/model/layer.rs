//! [`LayerSpec`]: everything about a layer but its values.

use sigmax::weight::Weight;
use sigmax::{Audit, Conv, Options};

use crate::model::tensor::Tensor;
use crate::model::weight::{Recipe, Stored};

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerKind {
    /// A convolution (cross-correlation, as the frameworks mean it).
    Conv,
    /// A transposed convolution.
    ConvTranspose,
    /// A matrix.
    Dense,
}

impl LayerKind {
    /// The name of the kind of layer.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Conv => "Conv",
            Self::ConvTranspose => "ConvTranspose",
            Self::Dense => "Dense",
        }
    }
}

/// Where a layer's geometry comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GeometrySource {
    /// The file states it.
    Graph,
    /// The file does not state it. The layer is treated as stride 1, one group and zero padding;
    /// an upper bound of that is valid for any stride, dilation, groups and zero padding.
    Assumed,
    /// A geometry file states it ([`crate::GeometryFile`]).
    Given,
}

impl GeometrySource {
    /// The name in the output: `graph`, `assumed` or `given`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Graph => "graph",
            Self::Assumed => "assumed",
            Self::Given => "given",
        }
    }
}

/// Which layer of a model file: the same from the file to the report, whatever is selected of the
/// layers in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerId(pub(crate) usize);

/// A layer of a model: its name, shape and geometry, and privately where its weight is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LayerSpec {
    /// The node's name, or that of the module in a state dict; unique in the model.
    pub name: String,
    /// The name of the weight tensor; of a weight that is computed from several, the name that it has
    /// in its module.
    pub tensor: String,
    /// What the layer computes.
    pub op: LayerKind,
    /// The operator as the file names it: `Conv`, `ConvTranspose`, `Gemm`, `MatMul` in ONNX,
    /// otherwise [`LayerKind::name`].
    pub op_type: String,
    /// The weight's shape as [`sigmax::Kernel`] wants it: `[c_out, c_in/groups, k…]`, transposed
    /// `[c_in, c_out/groups, k…]`, dense `[out, in]`.
    pub shape: Vec<usize>,
    /// The geometry.
    pub conv: Conv,
    /// Where the geometry comes from.
    pub geometry: GeometrySource,
    /// The layer is this factor (Gemm's `alpha`, an f32) times the kernel; 1 for all others. It is
    /// not multiplied into the kernel because that would round: multiply bounds by |scale|, outward.
    pub scale: f64,
    /// What a reader of the audit should know, one sentence each: a Pad node that is part of the
    /// layer, padding that depends on an unknown input size, …
    pub notes: Vec<String>,
    /// The place of its node in the graph; without a graph, its place among the layers.
    pub(crate) id: LayerId,
    pub(crate) weight: Stored,
}

impl LayerSpec {
    /// Which layer of its file it is.
    #[must_use]
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// Audits the layer, whose weight [`Model::read_weight`](crate::Model::read_weight) has read:
    /// [`LayerSpec::conv`] is its geometry, and [`LayerSpec::scale`] is multiplied in.
    ///
    /// # Errors
    /// As [`sigmax::audit`].
    pub fn audit(&self, weight: &Weight, options: &Options) -> Result<Audit, sigmax::Error> {
        Ok(weight.audit(&self.conv, options)?.scaled(self.scale))
    }

    /// A dense layer (rank 2) or a convolution with the default geometry.
    pub(crate) fn assumed(name: String, weight: Tensor) -> Self {
        let (tensor, shape) = (weight.name.clone(), weight.shape().to_vec());
        Self::stored(name, tensor, shape, Stored::Whole(weight))
    }

    /// The same with a weight that is computed.
    pub(crate) fn computed(name: String, tensor: String, recipe: Recipe) -> Self {
        let (shape, note) = (recipe.shape().to_vec(), recipe.note());
        let mut layer = Self::stored(name, tensor, shape, Stored::Factors(Box::new(recipe)));
        layer.notes.push(note);
        layer
    }

    fn stored(name: String, tensor: String, shape: Vec<usize>, weight: Stored) -> Self {
        let op = if shape.len() > 2 {
            LayerKind::Conv
        } else {
            LayerKind::Dense
        };
        Self {
            name,
            tensor,
            op,
            op_type: op.name().to_owned(),
            conv: Conv::new(shape.len().saturating_sub(2)),
            shape,
            geometry: GeometrySource::Assumed,
            scale: 1.0,
            notes: Vec::new(),
            id: LayerId(0),
            weight,
        }
    }
}

//! [`Layer`]: the convolution and linear layers of a Burn module, found by walking it.

use std::fmt;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};
use sigmax::Conv;
use sigmax::layout::Layout;

use crate::error::Error;

/// What kind of layer a weight belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LayerKind {
    /// `Conv1d`, `Conv2d`, `Conv3d`; weight `[c_out, c_in/groups, k…]`.
    Conv,
    /// `ConvTranspose1d`, `ConvTranspose2d`, `ConvTranspose3d`; weight `[c_in, c_out/groups, k…]`.
    ConvTranspose,
    /// `Linear`; a matrix.
    Linear,
}

impl LayerKind {
    /// The kind, from the name of the struct that holds the weight and the rank of the weight.
    fn of(container: &str, rank: usize) -> Option<Self> {
        match (container, rank) {
            ("Struct:Linear", 2) => Some(Self::Linear),
            ("Struct:Conv1d", 3) | ("Struct:Conv2d", 4) | ("Struct:Conv3d", 5) => Some(Self::Conv),
            ("Struct:ConvTranspose1d", 3)
            | ("Struct:ConvTranspose2d", 4)
            | ("Struct:ConvTranspose3d", 5) => Some(Self::ConvTranspose),
            _ => None,
        }
    }
}

/// `convolution`, `transposed convolution`, `linear`.
impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conv => "convolution",
            Self::ConvTranspose => "transposed convolution",
            Self::Linear => "linear",
        })
    }
}

/// A convolution or linear layer of a model.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Layer {
    /// Path in the module tree, without the final `weight`.
    pub path: String,
    /// What kind of layer it is.
    pub kind: LayerKind,
    /// Shape of its weight.
    pub shape: Vec<usize>,
    /// Its geometry, as given or as assumed (see [`LayerSelection`](crate::LayerSelection)).
    pub conv: Conv,
}

impl Layer {
    /// The layer as stride-1 kernels; checks that shape and geometry fit.
    pub(crate) fn layout(&self) -> Result<Layout, Error> {
        Layout::new(&self.shape, &self.conv).map_err(|source| Error::core(&self.path, source))
    }

    /// Kind and shape, for error texts.
    pub(crate) fn describe(&self) -> String {
        format!("{} {:?}", self.kind, self.shape)
    }
}

/// The layers of a model, in the order of its fields.
///
/// Layers are recognised by the name of the struct that holds them (`Conv2d`, …) and the rank of
/// its `weight`: a struct of your own with such a name and a `weight` counts too.
#[must_use]
pub fn layers<M: Module>(model: &M) -> Vec<Layer> {
    let mut walk = Walk::new(|_: &Layer, _: WeightRef| ());
    model.visit(&mut walk);
    walk.layers
}

/// A weight on its way out of the model: `[rows, cols, taps]`, on the model's graph.
pub(crate) struct WeightRef<'a> {
    tensor: &'a dyn Fn() -> Tensor<3>,
}

impl WeightRef<'_> {
    pub(crate) fn tensor(&self) -> Tensor<3> {
        (self.tensor)()
    }
}

/// Calls `f` for every layer and its weight, and returns the layers.
pub(crate) fn visit_weights<M: Module>(
    model: &M,
    f: impl FnMut(&Layer, WeightRef<'_>),
) -> Vec<Layer> {
    let mut walk = Walk::new(f);
    model.visit(&mut walk);
    walk.layers
}

struct Walk<F> {
    /// (name, container type) of every level.
    levels: Vec<(String, String)>,
    layers: Vec<Layer>,
    f: F,
}

impl<F: FnMut(&Layer, WeightRef<'_>)> Walk<F> {
    fn new(f: F) -> Self {
        Self {
            levels: Vec::new(),
            layers: Vec::new(),
            f,
        }
    }
}

/// The path and kind of the layer that the weight at this place belongs to, if it is one.
pub(crate) fn place(levels: &[(String, String)], rank: usize) -> Option<(String, LayerKind)> {
    let (name, container) = levels.last()?;
    let kind = LayerKind::of(container, rank)?;
    if name != "weight" {
        return None;
    }
    let parents: Vec<&str> = levels[..levels.len() - 1]
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    Some((parents.join("."), kind))
}

/// The layer without given geometry.
pub(crate) fn assumed(path: String, kind: LayerKind, shape: Vec<usize>) -> Layer {
    let mut conv = Conv::new(shape.len().saturating_sub(2));
    conv.transposed = kind == LayerKind::ConvTranspose;
    Layer {
        path,
        kind,
        shape,
        conv,
    }
}

impl<F: FnMut(&Layer, WeightRef<'_>)> ModuleVisitor for Walk<F> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.levels
            .push((name.to_owned(), container_type.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.levels.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Some((path, kind)) = place(&self.levels, D) else {
            return;
        };
        let shape = param.lazy_shape().to_vec();
        let taps = shape[2..].iter().product::<usize>();
        let flat = [shape[0], shape[1], taps];
        let layer = assumed(path, kind, shape);
        let tensor = || param.val().reshape(flat);
        (self.f)(&layer, WeightRef { tensor: &tensor });
        self.layers.push(layer);
    }
}

/// The type to compute in: f64 for f64 weights, f32 for all others.
pub(crate) fn working_type(weight: DType) -> DType {
    if weight == DType::F64 {
        DType::F64
    } else {
        DType::F32
    }
}

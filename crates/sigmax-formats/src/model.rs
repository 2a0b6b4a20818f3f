//! [`Model`]: a model file that is open.

mod codes;
mod computed;
pub(crate) mod format;
pub(crate) mod geometry;
pub(crate) mod held;
pub(crate) mod layer;
mod names;
pub(crate) mod network;
mod onnx;
mod repeated;
mod safetensors;
pub(crate) mod skipped;
mod statedict;
mod tensor;
mod torch;
mod weight;

use std::path::{Path, PathBuf};

use sigmax::Kernel;
use sigmax::enclosed::Enclosed;
use sigmax::weight::Weight;

use crate::bytes::gzip::decompress;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::format::{Content, Format, recognise, unknown};
use crate::model::geometry::GeometryFile;
use crate::model::layer::{GeometrySource, LayerId, LayerSpec};
use crate::model::network::{NetworkError, NetworkModel, NoNetwork};
use crate::model::onnx::Graph;
use crate::model::skipped::Skipped;
use crate::model::statedict::Sorted;
use crate::model::tensor::Tensor;
use crate::model::weight::Stored;

/// The layers of a model file, with the file kept open to read their weights.
#[derive(Debug)]
#[non_exhaustive]
pub struct Model {
    /// The format of the file.
    pub format: Format,
    /// The layers, in the order of the graph or of the file.
    pub layers: Vec<LayerSpec>,
    /// What is not a layer, and layers that cannot be audited.
    pub skipped: Skipped,
    source: Source,
    graph: Option<Graph>,
    /// The network of a model that is held in memory.
    held: Option<Result<Box<NetworkModel>, NoNetwork>>,
    tensors: Vec<Tensor>,
}

/// A tensor of a file without a graph, with its values.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct NamedTensor {
    /// Its name in the file.
    pub name: String,
    /// Length per axis.
    pub shape: Vec<usize>,
    /// The entries in row-major order, widened exactly.
    pub values: Vec<f64>,
}

impl Model {
    /// Opens a model file and reads its structure, not its weights.
    ///
    /// # Errors
    /// [`Error`] where the file is missing, of an unknown format, damaged, or of a kind that is not
    /// read (TorchScript, ONNX before opset 7).
    pub fn open(path: &Path) -> Result<Self, Error> {
        let folder = match path.parent() {
            Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
            Some(parent) => parent.to_owned(),
            None => PathBuf::from("."),
        };
        Self::from_source(Source::open(path)?, Some(&folder))
    }

    /// The same for a file in memory; `name` stands for it in errors. External data is refused.
    ///
    /// # Errors
    /// As [`Model::open`].
    pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<Self, Error> {
        Self::from_source(Source::from_bytes(Path::new(name), bytes)?, None)
    }

    fn from_source(mut source: Source, folder: Option<&Path>) -> Result<Self, Error> {
        let mut content = recognise(&source)?;
        if content == Content::Gzip {
            source = decompress(&source)?;
            content = recognise(&source)?;
        }
        match content {
            Content::Gzip => Err(unknown(&source, "gzip inside gzip".to_owned())),
            Content::Model(Format::Onnx) => {
                let graph = Graph::read(&source, folder)?;
                let mut model = Self::new(Format::Onnx, source, Sorted::default());
                model.layers_of(graph)?;
                Ok(model)
            }
            Content::Model(format) => {
                let dict = match format {
                    Format::Safetensors => safetensors::read(&source)?,
                    Format::TorchZip => {
                        let (dict, plain) = torch::read_zip(&source)?;
                        source = plain.unwrap_or(source);
                        dict
                    }
                    Format::TorchLegacy | Format::Onnx | Format::TorchModule => {
                        torch::read_legacy(&source)?
                    }
                };
                Ok(Self::new(format, source, dict.sort()))
            }
        }
    }

    fn new(format: Format, source: Source, mut dict: Sorted) -> Self {
        for (place, layer) in dict.layers.iter_mut().enumerate() {
            layer.id = LayerId(place);
        }
        Self {
            format,
            layers: dict.layers,
            skipped: dict.skipped,
            source,
            graph: None,
            held: None,
            tensors: dict.tensors,
        }
    }

    fn layers_of(&mut self, mut graph: Graph) -> Result<(), Error> {
        let (layers, skipped) = onnx::layers(&self.source, &mut graph)?;
        self.layers = layers;
        self.skipped = skipped;
        self.graph = Some(graph);
        Ok(())
    }

    /// The file, as it was named when it was opened.
    #[must_use]
    pub fn file(&self) -> &Path {
        self.source.file()
    }

    /// The files beside the model that hold weights (ONNX external data): names relative to the
    /// folder of the model, and paths.
    #[must_use]
    pub fn external_files(&self) -> Vec<(String, PathBuf)> {
        self.graph.as_ref().map_or_else(Vec::new, Graph::external)
    }

    /// Reads the weight of one layer: as it is stored, or computed from the factors that the file holds
    /// instead, with the error of that enclosed.
    ///
    /// [`LayerSpec::scale`] is not multiplied in.
    ///
    /// # Errors
    /// [`Error`] where the file cannot be read (any more), the values are not finite, the factors do not
    /// make a weight, or shape and geometry do not fit. [`Error::Mask`] where the file has no graph, nobody
    /// has stated the geometry of the layer, and some values are −∞, all others finite.
    pub fn read_weight(&self, layer: &LayerSpec) -> Result<Weight, Error> {
        let wrong = |source: sigmax::Error| self.wrong_kernel(layer, source);
        let weight = match &layer.weight {
            Stored::Whole(tensor) => {
                let (values, errors) = tensor.read_enclosed(&self.source)?;
                self.no_mask(layer, &values)?;
                if errors.is_empty() {
                    Weight::exact(Kernel::new(&layer.shape, values).map_err(wrong)?)
                } else {
                    Weight::enclosed(&layer.shape, &enclosed(&values, &errors)).map_err(wrong)?
                }
            }
            Stored::Factors(recipe) => recipe.read(&self.source)?.map_err(wrong)?,
            Stored::Held(weight) => weight.as_ref().clone(),
        };
        layer.conv.check(weight.kernel()).map_err(wrong)?;
        Ok(weight)
    }

    /// Reads the weight of one layer that is stored as it is, widened exactly to f64.
    ///
    /// [`LayerSpec::scale`] is not multiplied in.
    ///
    /// # Errors
    /// As [`Model::read_weight`], and where the weight is computed from factors: no kernel is it exactly.
    pub fn read_kernel(&self, layer: &LayerSpec) -> Result<Kernel, Error> {
        if !matches!(layer.weight, Stored::Whole(_)) {
            let reason = "the weight may be computed from factors, and no kernel is it exactly then; read \
                          it with Model::read_weight";
            return Err(self.source.bad_tensor(&layer.tensor, reason));
        }
        let weight = self.read_weight(layer)?;
        match weight.as_exact() {
            Some(kernel) => Ok(kernel.clone()),
            None => Err(self.source.bad_tensor(
                &layer.tensor,
                "the weight is computed from constants of the graph and known to within its rounding \
                 only, and no kernel is it exactly; read it with Model::read_weight",
            )),
        }
    }

    /// Refuses what is a layer by its shape alone and has the entries of a mask.
    fn no_mask(&self, layer: &LayerSpec, values: &[f64]) -> Result<(), Error> {
        let finite = values.iter().filter(|value| value.is_finite()).count();
        let below = |value: &&f64| value.is_infinite() && value.is_sign_negative();
        let count = values.iter().filter(below).count();
        let assumed = layer.geometry == GeometrySource::Assumed;
        if !assumed || finite == 0 || count == 0 || finite + count < values.len() {
            return Ok(());
        }
        Err(Error::Mask {
            file: self.file().to_owned(),
            layer: layer.name.clone(),
            tensor: layer.tensor.clone(),
            count,
            entries: values.len(),
        })
    }

    fn wrong_kernel(&self, layer: &LayerSpec, source: sigmax::Error) -> Error {
        Error::Kernel {
            file: self.file().to_owned(),
            layer: layer.name.clone(),
            tensor: layer.tensor.clone(),
            source: Box::new(source),
        }
    }

    /// Whether there is a graph, which tells how the layers follow one another: the file is ONNX, or
    /// the model is held in memory.
    #[must_use]
    pub fn has_graph(&self) -> bool {
        self.graph.is_some() || self.held.is_some()
    }

    /// The network of an ONNX model, with all its weights: for one sample, the batch axis left out.
    ///
    /// Sizes have to be known: see [`Model::set_input_size`].
    ///
    /// # Errors
    /// [`NetworkError::NoRule`] where the graph has operators without a rule, or where there is no
    /// graph; [`NetworkError::File`] where the file cannot be read (any more).
    pub fn network(&self) -> Result<NetworkModel, NetworkError> {
        match (&self.graph, &self.held) {
            (Some(graph), _) => onnx::network(&self.source, graph),
            (None, Some(Ok(network))) => Ok(network.as_ref().clone()),
            (None, Some(Err(reason))) => Err(reason.clone().into()),
            (None, None) => Err(NoNetwork::one(
                &self.file().display().to_string(),
                self.format.name(),
                format!(
                    "a {} file has no graph that would tell how its layers follow one another; \
                     export the model to ONNX",
                    self.format.name()
                ),
            )
            .into()),
        }
    }

    /// Reads every tensor of a float type, layer or not, in the order of the file.
    ///
    /// The buffers of a PyTorch module that was saved whole are not among them; those of a state
    /// dict are.
    ///
    /// # Errors
    /// [`Error`] where the file cannot be read (any more), or is ONNX, whose tensors belong to nodes.
    pub fn read_tensors(&self) -> Result<Vec<NamedTensor>, Error> {
        if self.graph.is_some() {
            let hint = "save the weights as a state dict (safetensors or PyTorch)";
            return Err(self.source.unsupported("an ONNX graph", hint));
        }
        let read = |tensor: &Tensor| {
            Ok(NamedTensor {
                name: tensor.name.clone(),
                shape: tensor.shape().to_vec(),
                values: tensor.read(&self.source)?,
            })
        };
        self.tensors.iter().map(read).collect()
    }

    /// States the geometry of layers in a file that has none.
    ///
    /// # Errors
    /// [`Error::Geometry`] where the model states its own geometry, a pattern matches no layer, or
    /// a value does not fit a layer it matches. Nothing is changed then.
    pub fn apply_geometry(&mut self, geometry: &GeometryFile) -> Result<(), Error> {
        if self.has_graph() {
            return Err(geometry.error(format!(
                "{} states the geometry of its layers itself; use a geometry file with \
                 safetensors and PyTorch files only",
                self.file().display()
            )));
        }
        let mut layers = self.layers.clone();
        geometry.apply(&mut layers)?;
        self.layers = layers;
        Ok(())
    }

    /// Says that the input of the graph has no batch axis: every axis is of the one input that it takes. Its
    /// lengths all have to be known then. Nothing changes for a model that is held in memory, and none is
    /// needed where the input has one axis, or where axis 0 is 1 long and acted along.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no graph.
    pub fn set_no_batch(&mut self) -> Result<(), Error> {
        match &mut self.graph {
            Some(graph) => {
                graph.set_no_batch();
                Ok(())
            }
            None => Err(self.source.unsupported(
                format!("a {} file has no graph with an input", self.format.name()),
                "leave --no-batch out",
            )),
        }
    }

    /// Sets the spatial size of the graph's input and returns how many layers have a known input
    /// size after that.
    ///
    /// # Errors
    /// [`Error::InputSize`] where the graph fixes another size, has no input with that many spatial
    /// axes, or where there is no graph: then one number does not tell the input sizes of the
    /// layers, and a geometry file has to.
    pub fn set_input_size(&mut self, size: &[usize]) -> Result<usize, Error> {
        let refuse = |file: &Path, reason: String| Error::InputSize {
            file: file.to_owned(),
            size: size.to_vec(),
            reason,
        };
        let Some(graph) = &self.graph else {
            return Err(refuse(
                self.file(),
                format!(
                    "a {} file has no graph that would lead from the input of the model to the \
                     inputs of its layers; state input_size per layer in a geometry file",
                    self.format.name()
                ),
            ));
        };
        let mut graph = graph.clone();
        graph
            .set_input_size(size)
            .map_err(|reason| refuse(self.file(), reason))?;
        self.layers_of(graph)?;
        let known = |layer: &&LayerSpec| layer.conv.axes() > 0 && layer.conv.input_size.is_some();
        Ok(self.layers.iter().filter(known).count())
    }
}

/// Entries with their errors.
pub(crate) fn enclosed(values: &[f64], errors: &[f64]) -> Vec<Enclosed> {
    let pairs = values.iter().zip(errors);
    pairs
        .map(|(&value, &error)| Enclosed::new(value, error))
        .collect()
}

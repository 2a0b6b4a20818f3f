//! [`Builder`]: a model out of layers and operations, for lowerings from Python.

use pyo3::prelude::*;
use sigmax::network::{
    Activation, Affine, AxisMatrix, Filter, Interpolation, NetworkBuilder, NodeId, Normalisation,
    Op, PerEntry, Pick, Pool, Separable,
};
use sigmax::{Conv, PaddingMode};
use sigmax_formats::{Held, HeldLayer, HeldNetwork, Precision, Refused, Skipped};

use crate::arrays::floats;
use crate::fault::Fault;
use crate::model::Model;
use crate::options::Geometry;
use crate::weight::{Steps, Weight};

/// Builds a model: layers, and the network that they make. Nodes are numbers, the input is 0; shapes
/// are those of one sample.
#[pyclass(module = "sigmax._core")]
pub(crate) struct Builder {
    /// None: only layers.
    network: Option<NetworkBuilder>,
    nodes: Vec<NodeId>,
    layers: Vec<HeldLayer>,
    skipped: Skipped,
    blockers: Vec<Refused>,
}

impl Builder {
    fn network(&self) -> Result<&NetworkBuilder, Fault> {
        let network = self.network.as_ref();
        network.ok_or_else(|| Fault::Input("this model has layers only".to_owned()))
    }

    fn node(&self, place: usize) -> Result<NodeId, Fault> {
        let node = self.nodes.get(place).copied();
        node.ok_or_else(|| Fault::Input(format!("there is no node {place}")))
    }

    fn shape_of(&self, place: usize) -> Result<Vec<usize>, Fault> {
        Ok(self.network()?.shape(self.node(place)?).to_vec())
    }

    fn add(&mut self, name: &str, op: Op, inputs: &[usize]) -> Result<usize, Fault> {
        let inputs: Result<Vec<NodeId>, Fault> = inputs.iter().map(|&i| self.node(i)).collect();
        let inputs = inputs?;
        let Some(network) = &mut self.network else {
            return Err(Fault::Input("this model has layers only".to_owned()));
        };
        self.nodes.push(network.add(name, op, &inputs)?);
        Ok(self.nodes.len() - 1)
    }

    /// The node that a layer is, and what comes after it: its factor and its bias.
    fn layer_nodes(
        &mut self,
        name: &str,
        input: usize,
        weight: &Weight,
        bias: Option<Vec<f64>>,
        op: impl FnOnce(sigmax::Kernel, Option<Vec<f64>>) -> Op,
        axis: impl FnOnce(usize) -> usize,
    ) -> Result<(usize, Option<NodeId>), Fault> {
        let kernel = match &weight.steps {
            Steps::None => {
                let node = self.add(name, op(weight.audited.kernel().clone(), bias), &[input])?;
                return Ok((node, Some(self.node(node)?)));
            }
            Steps::Factor(kernel, ..) | Steps::PerChannel(kernel, ..) => kernel.clone(),
            Steps::Unknown(reason) => return Err(Fault::Input((*reason).to_owned())),
        };
        let product = self.add(&format!("{name}/product"), op(kernel, None), &[input])?;
        let shape = self.shape_of(product)?;
        let axis = axis(shape.len());
        let per_channel = |values: Vec<f64>| {
            let mut of = vec![1; shape.len()];
            of[axis] = values.len();
            PerEntry::new(&of, values)
        };
        let factor = match &weight.steps {
            Steps::PerChannel(_, scale, k) => Affine::rounded(per_channel(scale.clone())?, *k),
            Steps::Factor(_, factor, k) => {
                Affine::rounded(PerEntry::uniform(shape.len(), *factor)?, *k)
            }
            Steps::None | Steps::Unknown(_) => unreachable!("these returned above"),
        };
        let mut node = self.add(&format!("{name}/factor"), Op::Affine(factor), &[product])?;
        if let Some(bias) = bias {
            let one = PerEntry::uniform(shape.len(), 1.0)?;
            let affine = Affine::exact(one, per_channel(bias)?);
            node = self.add(&format!("{name}/bias"), Op::Affine(affine), &[node])?;
        }
        Ok((node, None))
    }

    fn record(
        &mut self,
        name: &str,
        tensor: &str,
        weight: &Weight,
        conv: Conv,
        notes: Vec<String>,
    ) {
        self.layers.push(HeldLayer {
            name: name.to_owned(),
            tensor: tensor.to_owned(),
            weight: weight.audited.clone(),
            conv,
            notes,
            node: None,
        });
    }

    /// Places the node of the layer that was recorded last.
    fn placed(&mut self, node: Option<NodeId>) {
        if let Some(layer) = self.layers.last_mut() {
            layer.node = node;
        }
    }
}

fn values(array: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Vec<f64>>> {
    array.map(|array| Ok(floats(array)?.1)).transpose()
}

fn per_entry(array: &Bound<'_, PyAny>) -> PyResult<PerEntry> {
    let (shape, values) = floats(array)?;
    Ok(PerEntry::new(&shape, values).map_err(Fault::from)?)
}

/// Errors of the core before there is a node.
fn core<T>(result: Result<T, sigmax::Error>) -> Result<T, Fault> {
    result.map_err(Fault::from)
}

#[pymethods]
impl Builder {
    /// A network with an input of this shape, or layers only.
    #[new]
    #[pyo3(signature = (shape=None))]
    fn new(shape: Option<Vec<usize>>) -> PyResult<Self> {
        let network = shape
            .map(|shape| core(NetworkBuilder::new(&shape)))
            .transpose()?;
        Ok(Self {
            nodes: network.iter().map(NetworkBuilder::input).collect(),
            network,
            layers: Vec::new(),
            skipped: Skipped::default(),
            blockers: Vec::new(),
        })
    }

    /// The shape of a node.
    fn shape(&self, x: usize) -> PyResult<Vec<usize>> {
        Ok(self.shape_of(x)?)
    }

    /// A convolution; without an input only a layer.
    #[pyo3(signature = (name, tensor, x, weight, bias, geometry, notes=Vec::new()))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn conv(
        &mut self,
        name: &str,
        tensor: &str,
        x: Option<usize>,
        weight: &Weight,
        bias: Option<&Bound<'_, PyAny>>,
        geometry: Geometry,
        notes: Vec<String>,
    ) -> PyResult<Option<usize>> {
        let bias = values(bias)?;
        let mut conv = geometry.conv()?;
        if let Some(x) = x {
            conv.input_size = self.shape_of(x)?.get(1..).map(<[usize]>::to_vec);
        }
        self.record(name, tensor, weight, conv.clone(), notes);
        let Some(x) = x else {
            return Ok(None);
        };
        conv.input_size = None;
        let op = |kernel, bias| Op::Conv { kernel, conv, bias };
        let (node, layer) = self.layer_nodes(name, x, weight, bias, op, |_| 0)?;
        self.placed(layer);
        Ok(Some(node))
    }

    /// A dense layer along the last axis; without an input only a layer.
    #[pyo3(signature = (name, tensor, x, weight, bias, notes=Vec::new()))]
    fn dense(
        &mut self,
        name: &str,
        tensor: &str,
        x: Option<usize>,
        weight: &Weight,
        bias: Option<&Bound<'_, PyAny>>,
        notes: Vec<String>,
    ) -> PyResult<Option<usize>> {
        let bias = values(bias)?;
        self.record(name, tensor, weight, Conv::new(0), notes);
        let Some(x) = x else {
            return Ok(None);
        };
        let op = |kernel, bias| Op::Dense { kernel, bias };
        let (node, layer) = self.layer_nodes(name, x, weight, bias, op, |rank| rank - 1)?;
        self.placed(layer);
        Ok(Some(node))
    }

    /// BatchNorm at inference, per entry of the first axis.
    #[allow(clippy::too_many_arguments, reason = "they are those of the layer")]
    fn batch_norm(
        &mut self,
        name: &str,
        x: usize,
        gamma: &Bound<'_, PyAny>,
        beta: &Bound<'_, PyAny>,
        mean: &Bound<'_, PyAny>,
        variance: &Bound<'_, PyAny>,
        epsilon: f64,
    ) -> PyResult<usize> {
        let rank = self.shape_of(x)?.len();
        let of = [
            floats(gamma)?.1,
            floats(beta)?.1,
            floats(mean)?.1,
            floats(variance)?.1,
        ];
        let of = [&of[0][..], &of[1][..], &of[2][..], &of[3][..]];
        let affine = core(Affine::batch_norm(rank, of, epsilon))?;
        Ok(self.add(name, Op::Affine(affine), &[x])?)
    }

    /// scale·x + shift, arrays that are repeated along axes on which they are 1 long.
    fn affine(
        &mut self,
        name: &str,
        x: usize,
        scale: &Bound<'_, PyAny>,
        shift: &Bound<'_, PyAny>,
    ) -> PyResult<usize> {
        let affine = Affine::exact(per_entry(scale)?, per_entry(shift)?);
        Ok(self.add(name, Op::Affine(affine), &[x])?)
    }

    /// x divided by an array.
    fn quotient(&mut self, name: &str, x: usize, by: &Bound<'_, PyAny>) -> PyResult<usize> {
        let (shape, values) = floats(by)?;
        let reciprocal: Vec<f64> = values.iter().map(|v| 1.0 / v).collect();
        if !reciprocal.iter().all(|v| v.is_normal()) {
            return Err(
                Fault::Input("it divides by 0, or by what is out of range".to_owned()).into(),
            );
        }
        let affine = Affine::rounded(core(PerEntry::new(&shape, reciprocal))?, 1);
        Ok(self.add(name, Op::Affine(affine), &[x])?)
    }

    /// The same entries under another shape.
    fn reshape(&mut self, name: &str, x: usize, shape: Vec<usize>) -> PyResult<usize> {
        let pick = core(Pick::reshape(&self.shape_of(x)?, &shape))?;
        Ok(self.add(name, Op::Pick(pick), &[x])?)
    }

    /// Axis i of the result is axis `axes[i]`.
    fn transpose(&mut self, name: &str, x: usize, axes: Vec<usize>) -> PyResult<usize> {
        let pick = core(Pick::transpose(&self.shape_of(x)?, &axes))?;
        Ok(self.add(name, Op::Pick(pick), &[x])?)
    }

    /// Per axis the entries that are taken, or none for `fill`.
    fn pick(
        &mut self,
        name: &str,
        x: usize,
        along: Vec<Vec<Option<usize>>>,
        fill: f64,
    ) -> PyResult<usize> {
        let pick = core(Pick::along(&self.shape_of(x)?, &along, fill))?;
        Ok(self.add(name, Op::Pick(pick), &[x])?)
    }

    /// Padding before and after each axis, negative: cut off.
    fn pad(
        &mut self,
        name: &str,
        x: usize,
        amounts: Vec<(isize, isize)>,
        mode: &str,
        fill: f64,
    ) -> PyResult<usize> {
        let mode: PaddingMode = core(mode.parse())?;
        let pick = core(Pick::pad(&self.shape_of(x)?, &amounts, mode, fill))?;
        Ok(self.add(name, Op::Pick(pick), &[x])?)
    }

    /// Max-pooling.
    #[allow(clippy::too_many_arguments, reason = "they are those of the layer")]
    fn max_pool(
        &mut self,
        name: &str,
        x: usize,
        kernel: Vec<usize>,
        stride: Vec<usize>,
        padding: Vec<usize>,
        dilation: Vec<usize>,
        ceil: bool,
    ) -> PyResult<usize> {
        let pool = pool(&kernel, &stride, &padding, ceil).with_dilation(&dilation);
        Ok(self.add(name, Op::MaxPool(pool), &[x])?)
    }

    /// Average pooling.
    #[allow(clippy::too_many_arguments, reason = "they are those of the layer")]
    fn average_pool(
        &mut self,
        name: &str,
        x: usize,
        kernel: Vec<usize>,
        stride: Vec<usize>,
        padding: Vec<usize>,
        ceil: bool,
        count_padding: bool,
    ) -> PyResult<usize> {
        let pool = pool(&kernel, &stride, &padding, ceil);
        let pooled = core(Separable::average_pool(
            &self.shape_of(x)?,
            &pool,
            count_padding,
        ))?;
        Ok(self.add(name, Op::Separable(pooled), &[x])?)
    }

    /// Means over groups of entries along axes: of every output entry, which input entries.
    fn means(&mut self, name: &str, x: usize, groups: Vec<Option<Groups>>) -> PyResult<usize> {
        let shape = self.shape_of(x)?;
        if groups.len() != shape.len() {
            return Err(
                Fault::Input("one list of groups for each axis is needed".to_owned()).into(),
            );
        }
        let matrix = |(groups, &n): (Groups, &usize)| core(AxisMatrix::means(n, &groups));
        let axes = groups.into_iter().zip(&shape);
        let axes: Result<Vec<_>, Fault> = axes
            .map(|(groups, n)| groups.map(|groups| matrix((groups, n))).transpose())
            .collect();
        Ok(self.add(name, Op::Separable(Separable::new(axes?)), &[x])?)
    }

    /// The mean over axes, which stay 1 long.
    fn mean(&mut self, name: &str, x: usize, axes: Vec<usize>) -> PyResult<usize> {
        let mean = core(Separable::mean(&self.shape_of(x)?, &axes))?;
        Ok(self.add(name, Op::Separable(mean), &[x])?)
    }

    /// The sum over axes, which stay 1 long.
    fn sum(&mut self, name: &str, x: usize, axes: Vec<usize>) -> PyResult<usize> {
        let sum = core(Separable::sum(&self.shape_of(x)?, &axes))?;
        Ok(self.add(name, Op::Separable(sum), &[x])?)
    }

    /// Interpolation of all axes but the first to a size: linear, cubic with this coefficient, or antialiased,
    /// where only entries inside of the image count.
    #[pyo3(signature = (name, x, size, align_corners, cubic=None, antialias=false))]
    fn interpolate(
        &mut self,
        name: &str,
        x: usize,
        size: Vec<usize>,
        align_corners: bool,
        cubic: Option<f64>,
        antialias: bool,
    ) -> PyResult<usize> {
        let shape = self.shape_of(x)?;
        let how = match align_corners {
            true => Interpolation::AlignCorners,
            false => Interpolation::HalfPixel,
        };
        let mut axes = vec![None];
        for (&n, &m) in shape.iter().skip(1).zip(&size) {
            let scale = m as f64 / n.max(1) as f64;
            let matrix = match (cubic, antialias) {
                (None, false) => AxisMatrix::linear(n, m, scale, how),
                _ => {
                    let filter = Filter {
                        cubic,
                        antialias,
                        exclude_outside: antialias,
                    };
                    AxisMatrix::filtered(n, m, scale, how, filter)
                }
            };
            axes.push(Some(core(matrix)?));
        }
        Ok(self.add(name, Op::Separable(Separable::new(axes)), &[x])?)
    }

    /// An activation function with its parameters.
    #[pyo3(signature = (name, x, function, parameters=Vec::new()))]
    fn activation(
        &mut self,
        name: &str,
        x: usize,
        function: &str,
        parameters: Vec<f64>,
    ) -> PyResult<usize> {
        let activation = match (function, &parameters[..]) {
            ("relu", []) => Activation::Relu,
            ("leaky_relu", &[alpha]) => Activation::LeakyRelu { alpha },
            ("elu", &[alpha]) => Activation::Elu { alpha },
            ("celu", &[alpha]) => Activation::Celu { alpha },
            ("selu", &[alpha, gamma]) => Activation::Selu { alpha, gamma },
            ("sigmoid", []) => Activation::Sigmoid,
            ("tanh", []) => Activation::Tanh,
            ("softplus", []) => Activation::Softplus,
            ("softsign", []) => Activation::Softsign,
            ("gelu", []) => Activation::Gelu,
            ("gelu_tanh", []) => Activation::GeluTanh,
            ("silu", []) => Activation::Silu,
            ("mish", []) => Activation::Mish,
            ("hardsigmoid", &[alpha, beta]) => Activation::HardSigmoid { alpha, beta },
            ("hardswish", []) => Activation::HardSwish,
            ("clip", &[low, high]) => Activation::Clip { low, high },
            ("softshrink", &[lambd]) => Activation::SoftShrink { lambd },
            ("abs", []) => Activation::Abs,
            ("erf", []) => Activation::Erf,
            ("atan", []) => Activation::Atan,
            ("asinh", []) => Activation::Asinh,
            ("sin", []) => Activation::Sin,
            ("cos", []) => Activation::Cos,
            _ => {
                let text = format!(
                    "no activation {function:?} with {} parameters",
                    parameters.len()
                );
                return Err(Fault::Input(text).into());
            }
        };
        Ok(self.add(name, Op::Activation(activation), &[x])?)
    }

    /// x where it is positive, slopes·x elsewhere.
    fn prelu(&mut self, name: &str, x: usize, slopes: &Bound<'_, PyAny>) -> PyResult<usize> {
        let slopes = per_entry(slopes)?;
        Ok(self.add(name, Op::PRelu(slopes), &[x])?)
    }

    /// Less its mean, where it is centred, and divided by the root of the mean of squares plus epsilon, along an axis.
    fn normalise(
        &mut self,
        name: &str,
        x: usize,
        axis: usize,
        centred: bool,
        epsilon: f64,
    ) -> PyResult<usize> {
        let op = core(match centred {
            true => Normalisation::centred(axis, epsilon),
            false => Normalisation::root_mean_square(axis, epsilon),
        })?;
        Ok(self.add(name, Op::Normalisation(op), &[x])?)
    }

    /// Softmax along an axis, or its logarithm.
    fn softmax(&mut self, name: &str, x: usize, axis: usize, logarithm: bool) -> PyResult<usize> {
        let op = match logarithm {
            true => Op::LogSoftmax { axis },
            false => Op::Softmax { axis },
        };
        Ok(self.add(name, op, &[x])?)
    }

    /// The sum, the largest or the smallest of nodes of one shape, entry by entry.
    fn combine(&mut self, name: &str, inputs: Vec<usize>, how: &str) -> PyResult<usize> {
        let op = match how {
            "sum" => Op::Add,
            "max" => Op::Max,
            "min" => Op::Min,
            _ => return Err(Fault::Input(format!("{how:?} combines nothing")).into()),
        };
        Ok(self.add(name, op, &inputs)?)
    }

    /// Nodes side by side along an axis.
    fn concat(&mut self, name: &str, inputs: Vec<usize>, axis: usize) -> PyResult<usize> {
        Ok(self.add(name, Op::Concat { axis }, &inputs)?)
    }

    /// Something that is not a layer.
    fn skip(&mut self, kind: String, name: String) {
        self.skipped.others.entry(kind).or_default().push(name);
    }

    /// A layer that cannot be audited.
    fn refuse(&mut self, name: &str, kind: &str, reason: &str) {
        self.skipped.refused.push(Refused::new(name, kind, reason));
    }

    /// Something that stands between the model and a network.
    fn block(&mut self, name: &str, kind: &str, reason: &str) {
        self.blockers.push(Refused::new(name, kind, reason));
    }

    /// The model. `precision` is 16, 32 or 64: the floats that it computes in.
    fn model(
        &self,
        name: String,
        outputs: Vec<usize>,
        precision: u32,
        notes: Vec<String>,
    ) -> PyResult<Model> {
        let network = match &self.network {
            Some(network) if self.blockers.is_empty() => {
                let outputs: Result<Vec<_>, _> = outputs.iter().map(|&x| self.node(x)).collect();
                Ok(HeldNetwork {
                    network: core(network.clone().finish(&outputs?))?,
                    precision: match precision {
                        64 => Precision::Double,
                        32 => Precision::Single,
                        _ => Precision::Sixteen,
                    },
                    notes,
                })
            }
            _ => Err(self.blockers.clone()),
        };
        let held = Held {
            layers: self.layers.clone(),
            skipped: self.skipped.clone(),
            network,
        };
        Ok(Model::held(name, held))
    }
}

/// Of every output entry, which input entries.
type Groups = Vec<Vec<usize>>;

fn pool(kernel: &[usize], stride: &[usize], padding: &[usize], ceil: bool) -> Pool {
    let padding: Vec<(usize, usize)> = padding.iter().map(|&n| (n, n)).collect();
    let pool = Pool::new(kernel).with_stride(stride).with_padding(&padding);
    match ceil {
        true => pool.with_ceil(),
        false => pool,
    }
}

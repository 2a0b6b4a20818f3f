//! [`prove`] and [`finish`]: from estimates to proved bounds.

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Shape, Tensor, TensorData};
use sigmax::{Audit, Kernel, Options};

use crate::error::Error;
use crate::layer::{Layer, layers, place, visit_weights};
use crate::selection::LayerSelection;

/// A layer and what the core proves about it. Only [`prove`] and [`finish`] make one: neither can be
/// exchanged for that of another layer.
#[derive(Clone, Debug, PartialEq)]
pub struct ProvedLayer {
    layer: Layer,
    audit: Audit,
}

impl ProvedLayer {
    /// The layer, with the geometry that the proof is for.
    #[must_use]
    pub fn layer(&self) -> &Layer {
        &self.layer
    }

    /// The proved bounds.
    #[must_use]
    pub fn audit(&self) -> &Audit {
        &self.audit
    }
}

/// Audits the selected layers of a model, in the model's order.
///
/// # Guarantee
/// The bounds are proved for the stored weights (f16, bf16, f32 and f64 widen exactly), and for the
/// given geometry; where none is given, for any stride, dilation, groups and zero padding.
/// Reparametrised weights are taken at their value in evaluation (`valid`).
///
/// # Errors
/// [`Error`] for patterns that match nothing, geometry that does not fit, and weights that are not
/// finite.
pub fn prove<M: Module>(
    model: &M,
    selection: &LayerSelection,
    options: &Options,
) -> Result<Vec<ProvedLayer>, Error> {
    each_kernel(model, selection, |layer, kernel| {
        audit(layer, &kernel, options)
    })
}

/// The selected layers of a model with their weights as the core takes them, in the model's order:
/// for whatever the core computes beside [`prove`].
///
/// # Errors
/// As [`prove`].
///
/// # Example
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use sigmax_burn::{LayerSelection, kernels};
/// let conv = Conv2dConfig::new([3, 8], [3, 3]).init(&Default::default());
/// let (layer, kernel) = &kernels(&conv, &LayerSelection::new())?[0];
/// assert_eq!(kernel.shape(), [8, 3, 3, 3]);
/// assert_eq!(layer.conv.axes(), 2);
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
pub fn kernels<M: Module>(
    model: &M,
    selection: &LayerSelection,
) -> Result<Vec<(Layer, Kernel)>, Error> {
    each_kernel(model, selection, |layer, kernel| Ok((layer, kernel)))
}

/// Takes one kernel after the other out of the model.
fn each_kernel<M: Module, T>(
    model: &M,
    selection: &LayerSelection,
    take: impl Fn(Layer, Kernel) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let model = model.valid().materialize();
    let selected = selection.select(&layers(&model))?;
    let mut wanted = selected.into_iter().peekable();
    let mut taken = Vec::new();
    visit_weights(&model, |layer, weight| {
        if let Some(layer) = wanted.next_if(|next| next.path == layer.path) {
            let kernel = kernel(&layer, &weight.tensor().into_data());
            taken.push(kernel.and_then(|kernel| take(layer, kernel)));
        }
    });
    all_reached(wanted)?;
    taken.into_iter().collect()
}

/// A layer that the walk did not come to has no proof: a module of the user's own may visit in one
/// order and map in another.
fn all_reached(mut left: impl Iterator<Item = Layer>) -> Result<(), Error> {
    match left.next() {
        None => Ok(()),
        Some(layer) => Err(Error::layer(
            &layer.path,
            "expected where the order of the model's layers puts it, found elsewhere or not at all",
        )),
    }
}

fn audit(layer: Layer, kernel: &Kernel, options: &Options) -> Result<ProvedLayer, Error> {
    let audit = sigmax::audit(kernel, &layer.conv, options)
        .map_err(|source| Error::core(&layer.path, source))?;
    Ok(ProvedLayer { layer, audit })
}

/// The weights as the core takes them.
fn kernel(layer: &Layer, weights: &TensorData) -> Result<Kernel, Error> {
    Kernel::new(&layer.shape, values(layer, weights)?)
        .map_err(|source| Error::core(&layer.path, source))
}

/// Every float type widens exactly.
fn values(layer: &Layer, weights: &TensorData) -> Result<Vec<f64>, Error> {
    weights
        .clone()
        .convert_dtype(DType::F64)
        .try_to_vec()
        .map_err(|error| Error::layer(&layer.path, format!("{error:?}")))
}

/// Brings every selected layer to a norm of at most `target`, for certain: a layer whose proved
/// upper bound exceeds it is multiplied by target/upper, rounded in the weights' own type, and proved
/// again.
///
/// Reparametrisations are folded into the weights first. The model that comes back is in
/// evaluation mode (`valid`); the proofs are for its weights, in the model's order.
///
/// # Guarantee
/// `audit().upper() ≤ target` for every returned layer, rounding of the weights included.
///
/// # Errors
/// As [`prove`]; [`Error::Setting`] for a target that is not positive and finite;
/// [`Error::Unreachable`] where the type of the weights cannot hold the rescaled values.
///
/// # Example
/// ```
/// use burn::nn::conv::Conv2dConfig;
/// use sigmax::Options;
/// use sigmax_burn::{LayerSelection, finish};
/// let conv = Conv2dConfig::new([3, 8], [3, 3]).init(&Default::default());
/// let (conv, proved) = finish(conv, &LayerSelection::new(), 0.5, &Options::default())?;
/// assert!(proved[0].audit().upper().get() <= 0.5);
/// # let _ = conv;
/// # Ok::<(), sigmax_burn::Error>(())
/// ```
pub fn finish<M: Module>(
    model: M,
    selection: &LayerSelection,
    target: f64,
    options: &Options,
) -> Result<(M, Vec<ProvedLayer>), Error> {
    if !(target > 0.0 && target.is_finite()) {
        return Err(Error::Setting {
            setting: "target",
            expected: "a positive finite number",
            got: target.to_string(),
        });
    }
    let model = model.valid().materialize();
    let selected = selection.select(&layers(&model))?;
    let mut rescale = Rescale {
        levels: Vec::new(),
        wanted: selected.into_iter().peekable(),
        target,
        options,
        proved: Vec::new(),
    };
    let model = model.map(&mut rescale);
    all_reached(rescale.wanted)?;
    let proved = rescale.proved.into_iter().collect::<Result<_, _>>()?;
    Ok((model, proved))
}

struct Rescale<'a> {
    levels: Vec<(String, String)>,
    wanted: std::iter::Peekable<std::vec::IntoIter<Layer>>,
    target: f64,
    options: &'a Options,
    proved: Vec<Result<ProvedLayer, Error>>,
}

impl ModuleMapper for Rescale<'_> {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.levels
            .push((name.to_owned(), container_type.to_owned()));
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.levels.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some((path, _)) = place(&self.levels, D) else {
            return param;
        };
        let Some(layer) = self.wanted.next_if(|next| next.path == path) else {
            return param;
        };
        let mut outcome = Ok(None);
        let param = param.map(|weight| {
            outcome = self.rescale(&layer, &weight);
            match &outcome {
                Ok(Some((_, data))) => {
                    Tensor::from_data(data.clone(), (&weight.device(), weight.dtype()))
                }
                _ => weight,
            }
        });
        match outcome {
            Ok(Some((proved, _))) => self.proved.push(Ok(proved)),
            Ok(None) => {}
            Err(error) => self.proved.push(Err(error)),
        }
        param
    }
}

impl Rescale<'_> {
    /// The proof, and the weights that it is for.
    fn rescale<const D: usize>(
        &self,
        layer: &Layer,
        weight: &Tensor<D>,
    ) -> Result<Option<(ProvedLayer, TensorData)>, Error> {
        const ATTEMPTS: usize = 8;
        let dtype = weight.dtype();
        let mut data = weight.to_data();
        let original = values(layer, &data)?;
        let mut proved = audit(layer.clone(), &kernel(layer, &data)?, self.options)?;
        // Relative room for the rounding of the rescaled weights; grows until it suffices.
        let (mut factor, mut room) = (1.0, f64::EPSILON);
        for _ in 0..ATTEMPTS {
            let upper = proved.audit.upper().get();
            if upper <= self.target {
                return Ok(Some((proved, data)));
            }
            factor *= self.target / upper * (1.0 - room);
            data = scaled(&original, factor, data.shape().clone(), dtype);
            proved = audit(layer.clone(), &kernel(layer, &data)?, self.options)?;
            room *= 64.0;
        }
        let upper = proved.audit.upper().get();
        if upper <= self.target {
            return Ok(Some((proved, data)));
        }
        Err(Error::Unreachable {
            path: layer.path.clone(),
            upper,
            target: self.target,
        })
    }
}

/// The values times `factor`, in f64, rounded to `dtype`.
fn scaled(values: &[f64], factor: f64, shape: Shape, dtype: DType) -> TensorData {
    let values: Vec<f64> = values.iter().map(|v| v * factor).collect();
    TensorData::new(values, shape).convert_dtype(dtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{LayerKind, assumed};

    #[test]
    fn a_layer_that_was_not_reached_is_an_error_with_its_path() {
        let layer = assumed("blocks.1".into(), LayerKind::Linear, vec![2, 3]);
        let error = all_reached(std::iter::once(layer)).unwrap_err();
        assert!(error.to_string().contains("blocks.1"));
        assert!(all_reached(std::iter::empty()).is_ok());
    }
}

//! [`Group`]: the layers of one shape, computed together.

use burn::tensor::{DType, Device, Tensor};
use sigmax::layout::Layout;

use crate::error::Error;
use crate::layer::{Layer, LayerKind, working_type};
use crate::measure::Measure;
use crate::operator::Operators;
use crate::reshapes::Reshapes;
use crate::state::{State, fingerprint};
use crate::tracked::Tracked;
use crate::unfolding::Unfolding;

/// Layers whose weights have one shape, layout, type and device.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) layers: Vec<Layer>,
    /// Of every layer, as they are stored with the state.
    pub(crate) fingerprints: Vec<f32>,
    pub(crate) unfolding: Unfolding,
    method: Method,
}

/// How the numbers are computed.
#[derive(Clone, Debug)]
enum Method {
    Reshapes(Reshapes),
    Tracked(Tracked),
    Operators(Operators),
}

/// A layer with what decides whether it shares a group with another one.
pub(crate) struct Member {
    pub(crate) layer: Layer,
    pub(crate) layout: Layout,
    pub(crate) dtype: DType,
    pub(crate) device: Device,
}

impl Member {
    fn joins(&self, other: &Self, measure: &Measure) -> bool {
        let (a, b) = (&self.layer, &other.layer);
        let geometry = if *measure == Measure::TrackedOperator {
            a.conv == b.conv
        } else {
            self.layout == other.layout
        };
        geometry
            && a.kind == b.kind
            && a.shape == b.shape
            && self.dtype == other.dtype
            && self.device == other.device
    }
}

/// Sorts members into groups, in order of first appearance: indices into `members`.
pub(crate) fn partition(members: &[Member], measure: &Measure) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (i, member) in members.iter().enumerate() {
        match groups
            .iter_mut()
            .find(|g| members[g[0]].joins(member, measure))
        {
            Some(group) => group.push(i),
            None => groups.push(vec![i]),
        }
    }
    groups
}

impl Group {
    pub(crate) fn new(layers: Vec<Layer>, measure: &Measure) -> Result<Self, Error> {
        let layer = &layers[0];
        let unfolding = Unfolding::new(layer)?;
        let method = match measure {
            Measure::TrackedNorm => Method::Tracked(Tracked::new(&unfolding)),
            Measure::TrackedOperator if layer.kind != LayerKind::Linear => {
                Method::Operators(Operators::new(layer)?)
            }
            // The operator of a linear layer is its one reshape.
            Measure::TrackedOperator => {
                Method::Reshapes(Reshapes::new(&Measure::Four, &unfolding, layer)?)
            }
            _ => Method::Reshapes(Reshapes::new(measure, &unfolding, layer)?),
        };
        Ok(Self {
            fingerprints: layers.iter().map(fingerprint).collect(),
            layers,
            unfolding,
            method,
        })
    }

    /// Fresh vectors, then `steps` power steps. `weights` is `[L, n]` without autodiff.
    pub(crate) fn refresh(&self, state: &mut State, weights: Tensor<2>, steps: usize, seed: u64) {
        let dtype = working_type(weights.dtype());
        let weights = weights.cast(dtype);
        match &self.method {
            Method::Reshapes(method) => {
                let kernels = self.unfolding.unfold(weights);
                method.start(state, &self.unfolding, &self.layers, seed, &kernels);
                for _ in 0..steps {
                    method.step(&kernels, &self.unfolding, state, true);
                }
            }
            Method::Tracked(method) => {
                let kernels = self.unfolding.unfold(weights);
                method.start(state, &self.unfolding, &self.layers, seed, &kernels);
                method.rescan(&kernels, &self.unfolding, state);
                for _ in 0..steps {
                    method.advance(&kernels, &self.unfolding, state);
                }
            }
            Method::Operators(method) => {
                method.start(state, &self.layers, seed, &weights);
                for _ in 0..steps {
                    method.power(&weights, state);
                }
            }
        }
    }

    /// One step. `weights` is `[L, n]` without autodiff; the result G is `[L, n]`, of the same type, and
    /// ⟨W_l, G_l⟩ is the number of layer l, G_l its gradient.
    pub(crate) fn step(
        &self,
        state: &State,
        weights: Tensor<2>,
        keep: bool,
        rescan: bool,
    ) -> Tensor<2> {
        let dtype = weights.dtype();
        let weights = weights.cast(working_type(dtype));
        let gradient = match &self.method {
            Method::Reshapes(method) => {
                let kernels = self.unfolding.unfold(weights);
                self.unfolding
                    .fold(method.step(&kernels, &self.unfolding, state, keep))
            }
            Method::Tracked(method) => {
                let kernels = self.unfolding.unfold(weights);
                if rescan {
                    method.rescan(&kernels, &self.unfolding, state);
                }
                self.unfolding
                    .fold(method.step(&kernels, &self.unfolding, state, keep))
            }
            Method::Operators(method) => method.step(&weights, state, keep),
        };
        gradient.cast(dtype)
    }
}

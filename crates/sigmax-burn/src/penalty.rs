//! [`SpectralPenalty`]: the penalty, its state, and one step of it.

use std::collections::HashMap;

use burn::module::Module;
use burn::store::ModuleRecord;
use burn::tensor::{Device, Tensor};
use sigmax::Estimate;
use sigmax::layout::Layout;

use crate::config::SpectralPenaltyConfig;
use crate::error::Error;
use crate::group::{Group, Member, partition};
use crate::layer::{Layer, WeightRef, visit_weights};
use crate::state::State;

/// A penalty on the norms of a model's layers, with power iterations that stay warm between steps.
///
/// It is a Burn module without trainable parameters: its state is saved by `into_record` or
/// `save_file`, loaded by [`SpectralPenalty::restore`] (or `load_record`; a state of other layers is
/// then found at the next step), moved by `to_device`, and copied by `clone`. It may be a field of
/// a larger module. `valid`, `train`, `no_grad` and `freeze` change nothing about it.
#[derive(Module, Debug)]
pub struct SpectralPenalty {
    groups: Vec<State>,
    #[module(skip)]
    plan: Plan,
}

/// What does not change, and the number of steps.
#[derive(Clone, Debug)]
struct Plan {
    config: SpectralPenaltyConfig,
    groups: Vec<Group>,
    /// Every layer of the model, and the slot (group, index) of the selected ones.
    all: Vec<(Layer, Option<(usize, usize)>)>,
    steps: u32,
}

/// The penalty of one step and the numbers behind it.
#[derive(Clone, Debug)]
pub struct SpectralLoss {
    loss: Tensor<1>,
    values: Vec<(Vec<String>, Tensor<1>)>,
}

/// The estimate of one layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerEstimate {
    /// Path of the layer in the model.
    pub path: String,
    /// The measure that the penalty was configured with, from power iteration: not a bound.
    pub estimate: Estimate,
}

impl SpectralLoss {
    /// The penalty, β included, on the graph of the model's weights: add it to the loss.
    #[must_use]
    pub fn loss(&self) -> Tensor<1> {
        self.loss.clone()
    }

    /// The number of every layer, read back from the device, in the order of the layers' groups.
    #[must_use]
    pub fn layers(&self) -> Vec<LayerEstimate> {
        let mut layers = Vec::new();
        for (paths, values) in &self.values {
            let values = crate::linalg::read(values);
            layers.extend(paths.iter().zip(values).map(|(path, value)| LayerEstimate {
                path: path.clone(),
                estimate: Estimate::new(value),
            }));
        }
        layers
    }

    /// The layer with the largest number.
    #[must_use]
    pub fn largest(&self) -> Option<LayerEstimate> {
        self.layers()
            .into_iter()
            .max_by(|a, b| a.estimate.get().total_cmp(&b.estimate.get()))
    }
}

impl SpectralPenaltyConfig {
    /// Finds the layers of `model`, groups them by shape, and starts the power iterations.
    ///
    /// # Errors
    /// [`Error`] for patterns that are invalid or match nothing, geometry that does not fit a
    /// layer, a reshape or an input size that a layer lacks, and settings out of range.
    pub fn init<M: Module>(&self, model: &M) -> Result<SpectralPenalty, Error> {
        self.check()?;
        SpectralPenalty::start(self.clone(), model)
    }
}

impl SpectralPenalty {
    fn start<M: Module>(config: SpectralPenaltyConfig, model: &M) -> Result<Self, Error> {
        let found = crate::layer::layers(model);
        let selected = config.layers.select(&found)?;
        let mut by_path: HashMap<&str, (&Layer, Layout)> = HashMap::new();
        for layer in &selected {
            by_path.insert(&layer.path, (layer, layer.layout()?));
        }
        let mut members = Vec::new();
        let mut weights = Vec::new();
        visit_weights(model, |layer, weight| {
            if let Some((layer, layout)) = by_path.get(layer.path.as_str()) {
                let tensor = flat(&weight).without_autodiff();
                members.push(Member {
                    layer: (*layer).clone(),
                    layout: layout.clone(),
                    dtype: tensor.dtype(),
                    device: tensor.device(),
                });
                weights.push(tensor);
            }
        });
        let mut groups = Vec::new();
        let mut states = Vec::new();
        let mut slots = HashMap::new();
        for (g, indices) in partition(&members, &config.measure).into_iter().enumerate() {
            let layers: Vec<Layer> = indices.iter().map(|&i| members[i].layer.clone()).collect();
            for (slot, layer) in layers.iter().enumerate() {
                slots.insert(layer.path.clone(), (g, slot));
            }
            let group = Group::new(layers, &config.measure)?;
            let mut state = State::new(&group.fingerprints, &members[indices[0]].device);
            let stacked = Tensor::cat(indices.iter().map(|&i| weights[i].clone()).collect(), 0);
            group.refresh(&mut state, stacked, config.initial_steps, config.seed);
            groups.push(group);
            states.push(state);
        }
        let all = found
            .into_iter()
            .map(|layer| {
                let slot = slots.get(&layer.path).copied();
                (layer, slot)
            })
            .collect();
        Ok(Self {
            groups: states,
            plan: Plan {
                config,
                groups,
                all,
                steps: 0,
            },
        })
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &SpectralPenaltyConfig {
        &self.plan.config
    }

    /// The penalised layers, in the order of [`SpectralLoss::layers`].
    pub fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.plan.groups.iter().flat_map(|group| &group.layers)
    }

    /// Steps taken since the start (modulo 2²⁴).
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.plan.steps
    }

    /// Sets β, for schedules.
    pub fn set_beta(&mut self, beta: f64) {
        self.plan.config.beta = beta;
    }

    /// One power step on every layer, kept for the next one, and the penalty at the new vectors.
    ///
    /// The gradient of the returned loss is that of the estimate with the singular vectors held
    /// fixed; at converged vectors it is the gradient of the bound (T11). Layers whose weights do
    /// not require gradients count in the value alone.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the model, or the state loaded from a record, is not the one that
    /// this penalty was initialised with.
    pub fn step<M: Module>(&mut self, model: &M) -> Result<SpectralLoss, Error> {
        self.check_state()?;
        if let Some(steps) = self.recorded_steps() {
            self.plan.steps = steps;
        }
        let rescan = self.plan.steps > 0
            && (self.plan.steps as usize).is_multiple_of(self.plan.config.rescan_every);
        let loss = self.run(model, true, rescan)?;
        self.plan.steps = self.plan.steps.wrapping_add(1) & 0xff_ffff;
        for (state, group) in self.groups.iter().zip(&self.plan.groups) {
            state.write_ledger(self.plan.steps, &group.fingerprints);
        }
        Ok(loss)
    }

    /// The penalty of `model` without changing the state: what [`SpectralPenalty::step`] would
    /// return, without a new search for peaks.
    ///
    /// # Errors
    /// As [`SpectralPenalty::step`].
    pub fn evaluate<M: Module>(&self, model: &M) -> Result<SpectralLoss, Error> {
        self.check_state()?;
        self.run(model, false, false)
    }

    /// Forgets the vectors and starts the power iterations anew, with `steps` steps.
    ///
    /// # Errors
    /// [`Error::Mismatch`] where the model is not the one of this penalty.
    pub fn refresh<M: Module>(&mut self, model: &M, steps: usize) -> Result<(), Error> {
        let weights = self.collect(model)?;
        let seed = self.plan.config.seed;
        for ((state, group), weights) in self.groups.iter_mut().zip(&self.plan.groups).zip(weights)
        {
            group.refresh(state, weights.without_autodiff(), steps, seed);
        }
        Ok(())
    }

    /// Loads a record that was made from the penalty of a model with the same layers.
    ///
    /// # Errors
    /// [`Error::Record`] or [`Error::Mismatch`] where it was not.
    pub fn restore(self, record: ModuleRecord) -> Result<Self, Error> {
        let plan = self.plan.clone();
        let mut restored = self.try_load_record(record).map_err(|error| {
            let reason = error.to_string();
            // Burn names tensors by field; the user knows layers.
            let group = (0..plan.groups.len())
                .find(|g| reason.contains(&format!("groups.{g}.")))
                .unwrap_or(0);
            let layers = &plan.groups[group].layers;
            let paths: Vec<&str> = layers.iter().map(|layer| layer.path.as_str()).collect();
            Error::Record {
                layers: paths.join(", "),
                reason,
            }
        })?;
        restored.check_state()?;
        if let Some(steps) = restored.recorded_steps() {
            restored.plan.steps = steps;
        }
        Ok(restored)
    }

    /// The number of steps in the state, where a record was loaded since the last look.
    fn recorded_steps(&self) -> Option<u32> {
        let mut steps = None;
        for state in &self.groups {
            if state.ledger.take_mapped() {
                steps = state.read_ledger().first().map(|&steps| steps as u32);
            }
        }
        steps
    }

    /// Checks the fingerprints, where a record was loaded since the last look.
    fn check_state(&self) -> Result<(), Error> {
        for (state, group) in self.groups.iter().zip(&self.plan.groups) {
            if !state.ledger.is_mapped() {
                continue;
            }
            let ledger = state.read_ledger();
            for (i, (layer, expected)) in group.layers.iter().zip(&group.fingerprints).enumerate() {
                let found = ledger.get(i + 1).copied();
                if found.is_none_or(|found| (found - expected).abs() > 0.0) {
                    return Err(Error::Mismatch {
                        path: layer.path.clone(),
                        expected: format!("the state of {}", layer.describe()),
                        found: "the state of another layer".into(),
                    });
                }
            }
        }
        Ok(())
    }

    fn run<M: Module>(&self, model: &M, keep: bool, rescan: bool) -> Result<SpectralLoss, Error> {
        let weights = self.collect(model)?;
        let mut total: Option<Tensor<1>> = None;
        let mut values = Vec::new();
        let mut home: Option<Device> = None;
        for ((state, group), weights) in self.groups.iter().zip(&self.plan.groups).zip(weights) {
            let gradient = group.step(state, weights.clone().without_autodiff(), keep, rescan);
            // The value and, through autodiff, its gradient: two operations per group.
            let numbers = (weights * gradient).sum_dim(1).squeeze_dim::<1>(1);
            let paths = group
                .layers
                .iter()
                .map(|layer| layer.path.clone())
                .collect();
            values.push((paths, numbers.clone().without_autodiff()));
            let term = self.plan.config.form.apply(numbers);
            let term = match &home {
                Some(home) if *home != term.device() => term.to_device(home),
                _ => term,
            };
            home.get_or_insert_with(|| term.device());
            total = Some(match total {
                None => term,
                Some(total) => total + term,
            });
        }
        let loss = total.ok_or(Error::NoLayers { found: 0 })?;
        Ok(SpectralLoss {
            loss: loss.mul_scalar(self.plan.config.beta),
            values,
        })
    }

    /// The weights of every group, `[L, n]`, on the model's graph.
    fn collect<M: Module>(&self, model: &M) -> Result<Vec<Tensor<2>>, Error> {
        let mut collected: Vec<Vec<Tensor<2>>> = vec![Vec::new(); self.plan.groups.len()];
        let mut expected = self.plan.all.iter();
        let mut mismatch = None;
        visit_weights(model, |layer, weight| {
            let next = expected.next();
            match next {
                Some((known, Some((group, _)))) if known == layer => {
                    collected[*group].push(flat(&weight));
                }
                Some((known, None)) if known == layer => {}
                _ if mismatch.is_none() => {
                    mismatch = Some(Error::Mismatch {
                        path: layer.path.clone(),
                        expected: next.map_or("no further layer".into(), |(known, _)| {
                            format!("{} at {}", known.describe(), known.path)
                        }),
                        found: layer.describe(),
                    });
                }
                _ => {}
            }
        });
        if let Some(mismatch) = mismatch {
            return Err(mismatch);
        }
        if let Some((missing, _)) = expected.next() {
            return Err(Error::Mismatch {
                path: missing.path.clone(),
                expected: missing.describe(),
                found: "no such layer".into(),
            });
        }
        Ok(collected
            .into_iter()
            .map(|group| Tensor::cat(group, 0))
            .collect())
    }
}

/// A weight as one row.
fn flat(weight: &WeightRef<'_>) -> Tensor<2> {
    let tensor = weight.tensor();
    let len = tensor.shape().num_elements();
    tensor.reshape([1, len])
}

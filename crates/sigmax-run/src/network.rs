//! The network section of an audit.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use sigmax::network::{
    Forward, Lipschitz, Network, hessian, hessian_norms, jacobian_norm, lipschitz_with_audits,
};
use sigmax::{Kernel, Options};
use sigmax_formats::report::{CurvatureReport, NetworkBounds, NetworkReport, Row};
use sigmax_formats::{LayerId, Model, NetworkError, NetworkModel, Refused};

use crate::error::Error;
use crate::share::per_node;

/// Inputs at which the Jacobian is looked at, and steps of power iteration at each.
const INPUTS: usize = 2;
const STEPS: usize = 8;
/// Products that the estimate of the Jacobian may take, and entries it may keep; it is left out
/// beyond.
const MOST_PRODUCTS: f64 = 2e10;
const MOST_ENTRIES: usize = 1 << 24;

/// The network before its layers are audited.
#[derive(Debug)]
pub(crate) struct Section {
    outcome: Result<NetworkModel, Vec<Refused>>,
}

impl Section {
    /// Reads the network of a model.
    pub(crate) fn read(model: &Model) -> Result<Self, Error> {
        let outcome = match model.network() {
            Ok(network) => Ok(network),
            Err(NetworkError::NoRule(reason)) => Err(reason.blockers),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { outcome })
    }

    /// The weight of every layer that a node of the network computes.
    pub(crate) fn kernels(&self) -> HashMap<LayerId, Kernel> {
        let Ok(model) = &self.outcome else {
            return HashMap::new();
        };
        let kernel = |(layer, _)| Some((layer, model.kernel(layer)?.clone()));
        model.layers().filter_map(kernel).collect()
    }

    /// Bounds the network with the norms of the layers that were audited.
    pub(crate) fn bound(
        self,
        file: &Path,
        rows: &[Row],
        tolerance: f64,
        deadline: Option<Instant>,
    ) -> Result<NetworkReport, Error> {
        let model = match self.outcome {
            Ok(model) => model,
            Err(blockers) => {
                return Ok(NetworkReport {
                    bounds: Err(blockers),
                });
            }
        };
        let network = &model.network;
        let mut audits = Vec::new();
        let mut places = vec![None; rows.len()];
        for (place, row) in rows.iter().enumerate() {
            let node = model.node(row.layer.id());
            places[place] = node;
            audits.extend(node.zip(row.audit()));
        }
        let options = Options {
            tolerance,
            budget: per_node(deadline, network, 1),
        };
        let core = |source: sigmax::Error| Error::Core {
            file: file.to_owned(),
            source,
        };
        let bounds = lipschitz_with_audits(network, &options, &audits).map_err(core)?;
        let mut report = NetworkBounds::new(&bounds, &places, &model.notes);
        if is_small(network) {
            let forward = Forward::new(&bounds).map_err(core)?;
            let inputs = inputs(network);
            let at = format!("the larger of {INPUTS} random inputs in [0, 1]");
            let norm = jacobian_norm(&forward, &inputs, STEPS).map_err(core)?;
            report.jacobian = Some(norm);
            report.curvature =
                curvature(&bounds, &forward, &options, &inputs, &at).map_err(core)?;
            report.jacobian_at = at;
        }
        Ok(NetworkReport { bounds: Ok(report) })
    }
}

/// The Hessians of the logits, or why nothing is proved of them; none of what is no classifier.
fn curvature(
    bounds: &Lipschitz,
    forward: &Forward,
    options: &Options,
    inputs: &[f64],
    at: &str,
) -> Result<Option<Result<CurvatureReport, String>>, sigmax::Error> {
    let found = match hessian(bounds, options) {
        Ok(found) => found,
        Err(sigmax::Error::NotAClassifier { .. }) => return Ok(None),
        Err(error @ sigmax::Error::NoCurvature { .. }) => return Ok(Some(Err(error.to_string()))),
        Err(error) => return Err(error),
    };
    let reached = hessian_norms(forward, inputs, STEPS)?;
    Ok(Some(Ok(CurvatureReport::new(&found, &reached, at))))
}

/// Inputs at which estimates are made.
fn inputs(network: &Network) -> Vec<f64> {
    let mut state = 1u64;
    (0..INPUTS * network.input().len())
        .map(|_| {
            // A linear congruential generator (Knuth): any spread of numbers will do.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        })
        .collect()
}

/// Whether the Jacobian is looked at.
fn is_small(network: &Network) -> bool {
    let products: f64 = network.nodes().iter().map(|n| n.products() as f64).sum();
    let entries: usize = network.nodes().iter().map(sigmax::network::Node::len).sum();
    let evaluations = (2 * STEPS + 1) * INPUTS;
    products * evaluations as f64 <= MOST_PRODUCTS && entries <= MOST_ENTRIES
}

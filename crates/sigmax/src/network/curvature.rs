//! [`Curvature`]: how far differences of logits are from convex (T34, T35).

pub(crate) mod kappa;
mod units;

use rayon::prelude::*;

use crate::bound::options::Options;
use crate::claim::Upper;
use crate::error::Error;
use crate::network::bounds::Lipschitz;
use crate::network::curvature::units::{Units, factors};
use crate::network::eval::forward::Forward;
use crate::network::eval::gradient::Path;
use crate::network::graph::{Network, NodeId};
use crate::network::logits::logits;
use crate::network::op::Op;

/// Which theorem a curvature bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CurvatureRule {
    /// No activation: 0.
    Affine,
    /// One layer of activations: the eigenvalue of the matrix that bounds the Hessian (T34).
    Units,
}

/// For every ordered pair of classes (y, t) a number m such that z_y − z_t + (m/2)·‖x‖² is convex: an
/// upper bound of minus the least eigenvalue of the Hessian, over all inputs.
#[derive(Clone, Debug)]
pub struct Curvature {
    classes: usize,
    pairs: Vec<Upper>,
    rule: CurvatureRule,
}

impl Curvature {
    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// m for z_y − z_t; 0 for y = t.
    ///
    /// # Panics
    /// If a class does not exist.
    #[must_use]
    pub fn pair(&self, y: usize, t: usize) -> Upper {
        assert!(
            y < self.classes && t < self.classes,
            "classes below {}",
            self.classes
        );
        self.pairs[y * self.classes + t]
    }

    /// The theorem.
    #[must_use]
    pub fn rule(&self) -> CurvatureRule {
        self.rule
    }
}

/// Bounds the curvature of every difference of logits of a classifier.
///
/// # Guarantee
/// Every number is proved, rounding included, for the network with real arithmetic and the given
/// parameters, for all inputs.
///
/// # Errors
/// [`Error::NotAClassifier`]; [`Error::NoCurvature`] where the logits depend on a node whose
/// derivative is not Lipschitz, or is not covered.
///
/// # Source
/// T31, T34, T35.
pub fn curvature(bounds: &Lipschitz, options: &Options) -> Result<Curvature, Error> {
    options.check()?;
    let forward = Forward::new(bounds)?;
    of_forward(&forward, options)
}

/// The same where the network is ready to be evaluated.
pub(crate) fn of_forward(forward: &Forward, _options: &Options) -> Result<Curvature, Error> {
    let network = forward.network();
    let (logits, classes) = logits(network)?;
    let path = Path::new(forward, logits).map_err(|id| no_curvature(network, id))?;
    let zero = vec![Upper::claim(0.0); classes * classes];
    if path.activations().next().is_none() {
        return Ok(Curvature {
            classes,
            pairs: zero,
            rule: CurvatureRule::Affine,
        });
    }
    if has_one_layer(network, &path) {
        let factors = factors(&path, classes);
        if let Some(units) = Units::new(network, &path, factors) {
            let pairs = (0..classes * classes)
                .into_par_iter()
                .map(|pair| match (pair / classes, pair % classes) {
                    (y, t) if y == t => Upper::claim(0.0),
                    (y, t) => Upper::claim(units.concavity(y, Some(t), 1.0)),
                })
                .collect();
            return Ok(Curvature {
                classes,
                pairs,
                rule: CurvatureRule::Units,
            });
        }
    }
    Err(Error::NoCurvature {
        node: network.node(logits).name.clone(),
        reason: "more than one layer of activations".to_owned(),
    })
}

/// Whether no activation reads another one.
fn has_one_layer(network: &Network, path: &Path<'_>) -> bool {
    let mut curved = vec![false; network.nodes().len()];
    for (i, node) in network.nodes().iter().enumerate() {
        curved[i] =
            matches!(node.op, Op::Activation(_)) || node.inputs.iter().any(|id| curved[id.0]);
    }
    path.activations()
        .all(|id| !curved[network.node(id).inputs[0].0])
}

fn no_curvature(network: &Network, id: NodeId) -> Error {
    let node = network.node(id);
    let reason = match &node.op {
        Op::Activation(activation) => match activation.curvature() {
            Err(reason) => reason.to_string(),
            Ok(_) => unreachable!("a path takes it"),
        },
        op => {
            format!("no bound of the curvature of a {op} is known: only first-order certificates")
        }
    };
    Error::NoCurvature {
        node: node.name.clone(),
        reason,
    }
}

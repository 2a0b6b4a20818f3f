//! [`Curvature`]: how far differences of logits are from convex (T34, T35).

pub(crate) mod kappa;
mod layers;
mod units;

use std::time::Instant;

use rayon::prelude::*;

use crate::bound::options::Options;
use crate::claim::Upper;
use crate::error::{Error, Misfit};
use crate::network::bounds::Lipschitz;
use crate::network::curvature::layers::{Layers, Norms};
use crate::network::curvature::units::{Units, factors};
use crate::network::eval::forward::Forward;
use crate::network::eval::gradient::Path;
use crate::network::graph::{Network, NodeId};
use crate::network::logits::logits;
use crate::network::op::Op;
use crate::rounding::mul_up;

/// By how much the curvature that certificates state is larger than what was proved: two proofs of an
/// eigenvalue, each within 1 + 5·10⁻⁷ of it (T32), differ by less.
const CURVATURE_SLACK: f64 = 1.0 / (1u64 << 20) as f64;

/// The same layer by layer, where squares of norms differ by less than twice the usual tolerance.
const LAYERS_SLACK: f64 = 1.0 / (1u64 << 8) as f64;

/// Which theorem a curvature bound comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CurvatureRule {
    /// No activation: 0.
    Affine,
    /// One layer of activations: the eigenvalue of the matrix that bounds the Hessian (T34).
    Units,
    /// Layer by layer: ranges of the derivatives behind each activation, and weighted norms of what it
    /// reads (T35).
    Layers,
    /// The same by the four bounds and the largest derivative, as Singla & Feizi publish it (T35).
    FourBounds,
}

impl CurvatureRule {
    /// A short text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Affine => "the logits are affine",
            Self::Units => "one layer of activations",
            Self::Layers => "layer by layer",
            Self::FourBounds => "layer by layer, by the four bounds",
        }
    }
}

/// Most classes for which every pair is bounded.
const MAX_CLASSES: usize = 256;

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

    /// Enlarged, so that another proof confirms it.
    pub(crate) fn enlarged(mut self) -> Self {
        let slack = match self.rule {
            CurvatureRule::Affine | CurvatureRule::Units => CURVATURE_SLACK,
            CurvatureRule::Layers | CurvatureRule::FourBounds => LAYERS_SLACK,
        };
        for m in &mut self.pairs {
            *m = Upper::claim(mul_up(m.get(), 1.0 + slack));
        }
        self
    }

    /// What is stated for every pair in its place, or the first pair for which it is not at least what is
    /// proved here.
    pub(crate) fn replaced(mut self, stated: &[f64]) -> Result<Self, [usize; 2]> {
        for (pair, (m, &stated)) in self.pairs.iter_mut().zip(stated).enumerate() {
            let [y, t] = [pair / self.classes, pair % self.classes];
            // Never for a NaN.
            let holds = stated >= m.get() && (y != t || stated <= 0.0);
            if !holds {
                return Err([y, t]);
            }
            *m = Upper::claim(stated);
        }
        Ok(self)
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
/// derivative is not Lipschitz, or is not covered, where there are more than 256 classes, or no number is
/// finite; [`Error::OutOfTime`] where `options.budget.time` is over before all pairs are bounded.
///
/// # Source
/// T31, T34, T35, T37.
pub fn curvature(bounds: &Lipschitz, options: &Options) -> Result<Curvature, Error> {
    of_forward(bounds, &Forward::new(bounds)?, options, Ways::Scaled)
}

/// The same by the four bounds of kernels, as published for one layer: looser, for comparisons. Before
/// later layers the constants are those of `bounds`.
///
/// # Errors
/// As [`curvature`].
pub fn curvature_by_four_bounds(bounds: &Lipschitz, options: &Options) -> Result<Curvature, Error> {
    of_forward(bounds, &Forward::new(bounds)?, options, Ways::FourBounds)
}

/// Which theorems may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ways {
    /// All of them.
    Scaled,
    /// Those of which another proof gives nearly the same: no factors between layers.
    Best,
    FourBounds,
}

/// The same where the network is ready to be evaluated.
pub(crate) fn of_forward(
    bounds: &Lipschitz,
    forward: &Forward,
    options: &Options,
    ways: Ways,
) -> Result<Curvature, Error> {
    let bounded = Bounded::new(bounds, forward, options, ways)?;
    let classes = bounded.classes;
    let started = Instant::now();
    let in_time = || match options.budget.time {
        Some(most) if started.elapsed() >= most => Err(Error::OutOfTime),
        _ => Ok(()),
    };
    let pairs = (0..classes)
        .into_par_iter()
        .map(|y| {
            let mut prover = bounded.prover()?;
            let mut pair = |t| match t == y {
                true => Ok(Upper::claim(0.0)),
                false => {
                    in_time()?;
                    Ok(Upper::claim(prover.concavity(y, Some(t), 1.0)?))
                }
            };
            (0..classes).map(&mut pair).collect()
        })
        .collect::<Result<Vec<Vec<Upper>>, Error>>()?
        .concat();
    // What the time cut short is a bound, but not one that another proof confirms.
    in_time()?;
    let finite = |pair: &Upper| pair.get().is_finite();
    if !(0..classes * classes).any(|i| i / classes != i % classes && finite(&pairs[i])) {
        return Err(bounded.too_large(bounds.network()));
    }
    Ok(Curvature {
        classes,
        pairs,
        rule: bounded.rule(),
    })
}

/// A network whose logits, and differences of logits, are bounded one by one.
pub(crate) struct Bounded<'f> {
    classes: usize,
    way: Way<'f>,
}

enum Way<'f> {
    Affine,
    Units(Units),
    Layers(Layers<'f>, CurvatureRule),
}

impl<'f> Bounded<'f> {
    pub(crate) fn new(
        bounds: &'f Lipschitz,
        forward: &'f Forward,
        options: &Options,
        ways: Ways,
    ) -> Result<Self, Error> {
        options.check()?;
        let network = bounds.network();
        let (logits, classes) = logits(network)?;
        if let Some(node) = network.inexact() {
            return Err(Error::NoCurvature {
                node: node.name.clone(),
                reason: Misfit::Inexact.to_string(),
            });
        }
        let path = Path::new(forward, logits).map_err(|id| no_curvature(network, id))?;
        if classes > MAX_CLASSES {
            return Err(Error::NoCurvature {
                node: network.node(logits).name.clone(),
                reason: format!(
                    "curvature is bounded for up to {MAX_CLASSES} classes, it has {classes}: only \
                     first-order certificates"
                ),
            });
        }
        let way = if path.activations().next().is_none() {
            Way::Affine
        } else if let Some(units) = one_layer(network, &path, classes, ways) {
            Way::Units(units)
        } else {
            let (norms, rule) = match ways {
                Ways::Scaled => (Norms::Scaled, CurvatureRule::Layers),
                Ways::Best => (Norms::Tight, CurvatureRule::Layers),
                Ways::FourBounds => (Norms::Four, CurvatureRule::FourBounds),
            };
            Way::Layers(Layers::new(bounds, forward, &path, options, norms)?, rule)
        };
        Ok(Self { classes, way })
    }

    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Why nothing follows from bounds that are all infinite.
    pub(crate) fn too_large(&self, network: &Network) -> Error {
        let name = logits(network).map(|(id, _)| network.node(id).name.clone());
        Error::NoCurvature {
            node: name.unwrap_or_default(),
            reason: "its curvature leaves the range of f64: only first-order certificates"
                .to_owned(),
        }
    }

    pub(crate) fn rule(&self) -> CurvatureRule {
        match self.way {
            Way::Affine => CurvatureRule::Affine,
            Way::Units(_) => CurvatureRule::Units,
            Way::Layers(_, rule) => rule,
        }
    }

    /// Ready for proofs, one after the other.
    pub(crate) fn prover(&self) -> Result<Prover<'_>, Error> {
        Ok(match &self.way {
            Way::Affine => Prover::Affine,
            Way::Units(units) => Prover::Units(units.prover()?),
            Way::Layers(layers, _) => Prover::Layers(layers),
        })
    }
}

/// Proofs, one after the other.
pub(crate) enum Prover<'b> {
    Affine,
    Units(units::Prover<'b>),
    Layers(&'b Layers<'b>),
}

impl Prover<'_> {
    /// An upper bound of λ_max(−∇²f) over all x, f = z_plus − z_minus (or z_plus alone); with `sign` −1,
    /// of −f.
    pub(crate) fn concavity(
        &mut self,
        plus: usize,
        minus: Option<usize>,
        sign: f64,
    ) -> Result<f64, Error> {
        match self {
            Self::Affine => Ok(0.0),
            Self::Units(prover) => Ok(prover.concavity(plus, minus, sign)),
            Self::Layers(layers) => layers.concavity(plus, minus, sign),
        }
    }
}

/// The units, where no activation reads another one and their matrix is affordable.
fn one_layer(network: &Network, path: &Path<'_>, classes: usize, ways: Ways) -> Option<Units> {
    if ways == Ways::FourBounds || !has_one_layer(network, path) {
        return None;
    }
    Units::new(network, path, factors(path, classes))
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

/// Why a node has no derivative with a bound of its quotients.
pub(crate) fn no_curvature(network: &Network, id: NodeId) -> Error {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn proved(above: f64, below: f64) -> Curvature {
        Curvature {
            classes: 2,
            pairs: [0.0, above, below, 0.0].map(Upper::claim).to_vec(),
            rule: CurvatureRule::Units,
        }
    }

    #[test]
    fn a_stated_curvature_is_at_least_what_is_proved() {
        let stated = |m: [f64; 4]| proved(2.0, 3.0).replaced(&m).map(|c| c.pair(0, 1).get());
        assert_eq!(stated([0.0, 2.5, 3.0, 0.0]), Ok(2.5));
        assert_eq!(stated([0.0, f64::INFINITY, 3.0, 0.0]), Ok(f64::INFINITY));
        // The pairs are ordered.
        assert_eq!(stated([0.0, 3.0, 2.0, 0.0]), Err([1, 0]));
        assert_eq!(stated([0.0, 1.999, 3.0, 0.0]), Err([0, 1]));
        assert_eq!(stated([0.0, f64::NAN, 3.0, 0.0]), Err([0, 1]));
        assert_eq!(stated([0.0, -2.0, 3.0, 0.0]), Err([0, 1]));
        assert_eq!(stated([0.0, 2.0, 3.0, 1.0]), Err([1, 1]));
        assert_eq!(stated([f64::NAN, 2.0, 3.0, 0.0]), Err([0, 0]));
        let unknown = proved(f64::INFINITY, f64::NAN);
        assert_eq!(unknown.replaced(&[0.0, 9.0, 9.0, 0.0]).err(), Some([0, 1]));
    }

    #[test]
    fn what_is_published_is_confirmed_by_another_proof() {
        let published = proved(2.0, 3.0).enlarged();
        let stated: Vec<f64> = published.pairs.iter().map(|m| m.get()).collect();
        // A proof that found a little more.
        let other = proved(2.0 * (1.0 + 9e-7), 3.0 * (1.0 + 9e-7));
        assert!(other.replaced(&stated).is_ok());
        assert!(proved(2.0 * (1.0 + 1e-6), 3.0).replaced(&stated).is_err());
    }
}

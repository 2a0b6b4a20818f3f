//! [`Hessian`]: the eigenvalues of the Hessian of single logits, bounded over all inputs, and estimated at
//! some.

use rayon::prelude::*;

use crate::bound::options::Options;
use crate::claim::{Estimate, Upper};
use crate::error::Error;
use crate::krylov::{self, dot};
use crate::network::bounds::Lipschitz;
use crate::network::curvature::{Bounded, CurvatureRule, Ways, no_curvature};
use crate::network::eval::forward::{Forward, Inexact};
use crate::network::eval::gradient::{Path, Seed};
use crate::network::logits::logits;

/// What is proved of the Hessian of a logit: its eigenvalues lie in [−`most_negative`, `largest`] at every
/// input. Where it does not exist everywhere, the same holds of second differences.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct LogitHessian {
    /// An upper bound of minus the least eigenvalue.
    pub most_negative: Upper,
    /// An upper bound of the largest eigenvalue.
    pub largest: Upper,
}

/// The Hessians of all logits of a classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Hessian {
    logits: Vec<LogitHessian>,
    rule: CurvatureRule,
}

impl Hessian {
    /// Per class.
    #[must_use]
    pub fn logits(&self) -> &[LogitHessian] {
        &self.logits
    }

    /// The theorem that the bounds follow from.
    #[must_use]
    pub fn rule(&self) -> CurvatureRule {
        self.rule
    }
}

/// Bounds the eigenvalues of the Hessian of every logit of a classifier, over all inputs.
///
/// # Guarantee
/// Every number is proved, rounding included, for the network with real arithmetic and the given
/// parameters.
///
/// # Errors
/// As [`curvature`](crate::network::curvature).
///
/// # Source
/// T31, T34, T35, T37.
pub fn hessian(bounds: &Lipschitz, options: &Options) -> Result<Hessian, Error> {
    let forward = Forward::new(bounds)?;
    let bounded = Bounded::new(bounds, &forward, options, Ways::Scaled)?;
    let logits = (0..bounded.classes())
        .into_par_iter()
        .map(|class| {
            let mut prover = bounded.prover()?;
            Ok(LogitHessian {
                most_negative: Upper::claim(prover.concavity(class, None, 1.0)?),
                largest: Upper::claim(prover.concavity(class, None, -1.0)?),
            })
        })
        .collect::<Result<Vec<LogitHessian>, Error>>()?;
    let infinite = |bound: Upper| bound.get().is_infinite();
    if logits
        .iter()
        .all(|logit| infinite(logit.most_negative) && infinite(logit.largest))
    {
        return Err(bounded.too_large(bounds.network()));
    }
    Ok(Hessian {
        logits,
        rule: bounded.rule(),
    })
}

/// Estimates, per class, the largest magnitude of an eigenvalue of the Hessian of its logit over the given
/// inputs, by `steps` steps of power iteration on differences of gradients at each.
///
/// It shows from below, without proof, how loose a proved bound may be.
///
/// # Errors
/// As [`Forward::evaluate`], and [`Error::NoCurvature`].
pub fn hessian_norms(
    forward: &Forward,
    inputs: &[f64],
    steps: usize,
) -> Result<Vec<Estimate>, Error> {
    let network = forward.network();
    let (logits, classes) = logits(network)?;
    let path = Path::new(forward, logits).map_err(|id| no_curvature(network, id))?;
    forward.check_images(inputs)?;
    let length = network.input().len();
    let norms = (0..classes).into_par_iter().map(|class| {
        let mut largest = 0.0f64;
        for x in inputs.chunks(length) {
            let step = 1e-4 * (1.0 + dot(x, x).sqrt() / (length as f64).sqrt());
            let mut v = krylov::quasi_random(length, 5);
            let mut norm = 0.0;
            for _ in 0..steps {
                if !krylov::normalise(&mut v) {
                    break;
                }
                let at = |sign: f64| x.iter().zip(&v).map(move |(x, v)| x + sign * step * v);
                let points: Vec<f64> = at(1.0).chain(at(-1.0)).collect();
                let seed = |sample| Seed {
                    sample,
                    plus: class,
                    minus: None,
                };
                let points = path.points(&points, Inexact::Relative(0.0), &[]);
                let found = path.gradients(&points, &[seed(0), seed(1)]);
                let pairs = found[0].values.iter().zip(&found[1].values);
                v = pairs.map(|(a, b)| (a - b) / (2.0 * step)).collect();
                norm = dot(&v, &v).sqrt();
            }
            largest = largest.max(norm);
        }
        Estimate::new(largest)
    });
    Ok(norms.collect())
}

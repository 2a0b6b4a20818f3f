//! [`Certifier`]: radii inside which the classification of an image cannot change (T28, T29).

use std::sync::OnceLock;

use crate::bound::options::Options;
use crate::claim::{Lower, Upper};
use crate::error::{Error, Misfit};
use crate::named::named;
use crate::network::bounds::Lipschitz;
use crate::network::certificate::{Certificate, Method, NOTHING, Proved};
use crate::network::curvature::Curvature;
use crate::network::eval::forward::{Evaluated, Forward, Inexact};
use crate::network::eval::rounds::{Linear, SINGLE_MOST};
use crate::network::graph::{Network, NodeId};
use crate::network::last_layer::LastLayer;
use crate::network::lipschitz::analysis;
use crate::network::local::prepared::Prepared;
use crate::network::logits::logits;
use crate::network::op::Op;
use crate::network::rule::slack::Slack;
use crate::network::tangent::{Parabola, Tangent};
use crate::rounding::{U, add_up, div_down, mul_down, mul_up, sqrt_int_up, sub_down};

/// By how much radii and margins are made smaller, for the same reason.
pub(crate) const RADIUS_SLACK: f64 = 1.0 / (1u64 << 20) as f64;

/// The arithmetic that a certificate speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// Real numbers: the network as the file's parameters define it.
    Real,
    /// Real numbers, and also any execution in float32 that forms inner products by sums of
    /// products in any order (T29).
    Float32,
}

impl Arithmetic {
    /// A short name: `real`, `float32`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::Float32 => "float32",
        }
    }
}

named!(Arithmetic, "arithmetic", [Real, Float32]);

/// Certifies the classifications of a network.
///
/// The class of an image is the largest entry of the *logits*: of the output, or of what a final
/// softmax reads.
pub struct Certifier {
    pub(crate) forward: Forward,
    bounds: Lipschitz,
    arithmetic: Arithmetic,
    /// What the last layer reads; the logits themselves where that is no dense layer.
    pub(crate) features: NodeId,
    pub(crate) logits: NodeId,
    pub(crate) classes: usize,
    last: Option<LastLayer>,
    /// An upper bound of the Lipschitz constant of z_y − z_t for every pair (y, t).
    pairs: Vec<f64>,
    pub(crate) curvature: Option<Curvature>,
    /// Between which the entries of the input are, where nothing is said of others.
    pub(crate) range: Option<[f64; 2]>,
    /// What bounds around images need, once they were asked for.
    pub(crate) prepared: OnceLock<Prepared>,
}

/// The values at an image.
pub(crate) struct AtImage {
    pub(crate) label: usize,
    pub(crate) prediction: usize,
    pub(crate) features: Evaluated,
    pub(crate) logits: Evaluated,
}

/// What a point says of a class, to be published and to be compared with what was.
#[derive(Clone, Copy)]
pub(crate) struct Evidence {
    pub(crate) rival: usize,
    pub(crate) published: Parabola,
    pub(crate) proved: Parabola,
}

/// z_y − z_t at an image.
struct Difference {
    /// Rounded down.
    computed: f64,
    /// The factor of errors of the features in it.
    spread: f64,
    /// A bound of the error of the two logits in it.
    error: f64,
}

/// How often the error of the evaluation is subtracted from a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errors {
    /// As often as the proof needs.
    Once,
    /// Such that any other evaluation whose error bound is no larger confirms it: its values may lie
    /// on the other side, two bounds away, and it subtracts one more.
    Thrice,
}

impl Errors {
    pub(crate) fn times(self) -> f64 {
        match self {
            Self::Once => 1.0,
            Self::Thrice => 3.0,
        }
    }
}

/// Without the weights.
impl std::fmt::Debug for Certifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Certifier")
            .field("arithmetic", &self.arithmetic)
            .field("classes", &self.classes)
            .finish_non_exhaustive()
    }
}

impl Certifier {
    /// Bounds the network and prepares it. Norms are proved to `options.tolerance` and enlarged by
    /// [`CERTIFICATE_SLACK`](crate::network::CERTIFICATE_SLACK).
    ///
    /// # Errors
    /// [`Error::NotAClassifier`] where the network has not one output with 2 to 4096 entries, and as
    /// [`lipschitz`](crate::network::lipschitz).
    pub fn new(
        network: &Network,
        options: &Options,
        arithmetic: Arithmetic,
    ) -> Result<Self, Error> {
        let bounds = analysis(network, options, &[], Slack::Certificate)?;
        Self::with_bounds(bounds, arithmetic)
    }

    /// The same with bounds that are known.
    ///
    /// # Errors
    /// [`Error::NotAClassifier`] where the network has not one output with 2 to 4096 entries;
    /// [`Error::Node`] for float32 where the rounding of a node is not bounded (T23, T41, T44).
    pub fn with_bounds(bounds: Lipschitz, arithmetic: Arithmetic) -> Result<Self, Error> {
        let network = bounds.network();
        network.check_exact()?;
        let (logits, classes) = logits(network)?;
        if arithmetic == Arithmetic::Float32 {
            let mut nodes = network.nodes().iter();
            let unbounded = |op: &Op| match op {
                Op::Normalisation(_) | Op::Fold(_) => true,
                Op::Separable(separable) => separable.single_terms().is_none(),
                _ => false,
            };
            if let Some(node) = nodes.find(|node| unbounded(&node.op)) {
                let op = node.op.name();
                return Err(Error::node(&node.name, Misfit::NoSingle { op }));
            }
        }
        let node = network.node(logits);
        let (features, last) = match &node.op {
            Op::Dense { kernel, bias } if node.shape.len() == 1 => {
                (node.inputs[0], Some(LastLayer::new(kernel, bias.as_ref())))
            }
            _ => (logits, None),
        };
        let whole = mul_up(sqrt_int_up(2), bounds.node(logits).through.get());
        let before = bounds.node(features).through.get();
        let pairs = match &last {
            Some(last) => last
                .differences
                .iter()
                .map(|&d| mul_up(d, before).min(whole))
                .collect(),
            None => vec![whole; classes * classes],
        };
        Ok(Self {
            forward: Forward::new(&bounds)?,
            bounds,
            arithmetic,
            features,
            logits,
            classes,
            last,
            pairs,
            curvature: None,
            range: None,
            prepared: OnceLock::new(),
        })
    }

    /// Certificates that speak only of inputs whose entries lie between two numbers, as those of pictures do:
    /// bounds around an image make use of that. An image that lies elsewhere counts too.
    ///
    /// # Errors
    /// [`Error::Range`] for what is not two finite numbers, the smaller one first.
    pub fn within(mut self, range: [f64; 2]) -> Result<Self, Error> {
        let [least, most] = range;
        if !(least.is_finite() && most.is_finite() && least < most) {
            return Err(Error::Range { least, most });
        }
        self.range = Some(range);
        Ok(self)
    }

    /// Between which the entries of the inputs lie that the certificates speak of; `None`: of all inputs.
    #[must_use]
    pub fn range(&self) -> Option<[f64; 2]> {
        self.range
    }

    /// What the certificates speak of.
    #[must_use]
    pub fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// The bounds of the network's nodes, enlarged by [`CERTIFICATE_SLACK`](crate::network::CERTIFICATE_SLACK).
    #[must_use]
    pub fn bounds(&self) -> &Lipschitz {
        &self.bounds
    }

    /// The node whose entries are compared.
    #[must_use]
    pub fn logits(&self) -> NodeId {
        self.logits
    }

    /// Number of classes.
    #[must_use]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// An upper bound of the Lipschitz constant of z_y − z_t.
    ///
    /// # Panics
    /// If a class does not exist.
    #[must_use]
    pub fn pair(&self, y: usize, t: usize) -> Upper {
        Upper::claim(self.pairs[y * self.classes + t])
    }

    /// Certifies images, one after the other, with their labels. `exact` says that the pixels are
    /// given exactly; otherwise each has a relative error of at most 2⁻⁵³ (a quotient that was
    /// rounded).
    ///
    /// # Errors
    /// As [`Forward::evaluate`]; [`Error::Label`] for a label that is no class, [`Error::Labels`]
    /// where there is not one for every image.
    pub fn certify(
        &self,
        images: &[f64],
        labels: &[usize],
        exact: bool,
    ) -> Result<Vec<Certificate>, Error> {
        Ok(self
            .at_images(images, labels, exact)?
            .into_iter()
            .map(|at| self.certificate(at, &[], Vec::new()))
            .collect())
    }

    /// The values at images, with their labels.
    pub(crate) fn at_images(
        &self,
        images: &[f64],
        labels: &[usize],
        exact: bool,
    ) -> Result<Vec<AtImage>, Error> {
        if let Some(&label) = labels.iter().find(|&&label| label >= self.classes) {
            return Err(Error::Label {
                label,
                classes: self.classes,
            });
        }
        let inexact = Inexact::Relative(inexactness(exact));
        let all = self
            .forward
            .run(images, inexact, &[self.features, self.logits])?;
        if all.len() != labels.len() {
            return Err(Error::Labels {
                labels: labels.len(),
                images: all.len(),
            });
        }
        Ok(all
            .into_iter()
            .zip(labels)
            .map(|(mut kept, &label)| {
                // In the order in which they were asked for; the same node twice is kept twice.
                let logits = kept.pop();
                let features = kept.pop();
                match (features, logits) {
                    (Some(features), Some(logits)) => AtImage {
                        label,
                        prediction: largest(&logits.values),
                        features,
                        logits,
                    },
                    _ => unreachable!("both nodes are kept"),
                }
            })
            .collect())
    }

    /// What follows for an image, with evidence against the other classes than its prediction.
    pub(crate) fn certificate(
        &self,
        at: AtImage,
        evidence: &[Evidence],
        tangents: Vec<Tangent>,
    ) -> Certificate {
        let (prediction, right) = (at.prediction, at.prediction == at.label);
        let (published, rival) = self.against_all(&at, evidence, Errors::Thrice);
        let (proved, _) = self.against_all(&at, evidence, Errors::Once);
        let (global, _) = self.against_all(&at, &[], Errors::Thrice);
        let less = |bound: f64| {
            if bound.is_finite() {
                mul_down(bound, 1.0 - RADIUS_SLACK)
            } else {
                bound
            }
        };
        let method = match published.radius > global.radius {
            true => Method::Curvature,
            false => Method::Global,
        };
        let published = Proved {
            radius: less(published.radius),
            margin: less(published.margin),
        };
        let of_label = if right { published } else { NOTHING };
        // Another class is proved at the image itself, in real arithmetic.
        let wrong = (0..self.classes).filter(|&t| t != at.label).any(|t| {
            let (computed, error) = self.margin(&at.features, &at.logits, [t, at.label]);
            sub_down(computed, error) > 0.0
        });
        Certificate {
            label: at.label,
            prediction,
            radius: Lower::claim(of_label.radius),
            by_constants: Lower::claim(if right { less(global.radius) } else { 0.0 }),
            by_network: Lower::claim(of_label.radius),
            rival: rival.filter(|_| right),
            margin: Lower::claim(of_label.margin),
            class: (published.radius > 0.0).then_some(prediction),
            error: at.logits.error,
            logits: at.logits.values,
            method,
            tangents,
            slopes: Vec::new(),
            range: None,
            adversarial: wrong.then(|| Upper::claim(0.0)),
            proved,
        }
    }

    /// The smallest radius and the smallest margin over all other classes, and the class that limits
    /// the radius.
    fn against_all(
        &self,
        at: &AtImage,
        evidence: &[Evidence],
        errors: Errors,
    ) -> (Proved, Option<usize>) {
        let mut least = Proved {
            radius: f64::INFINITY,
            margin: f64::INFINITY,
        };
        let mut rival = None;
        // A NaN counts as nothing proved.
        let proved = |bound: f64| if bound > 0.0 { bound } else { 0.0 };
        for t in (0..self.classes).filter(|&t| t != at.prediction) {
            let found = self.against(at, t, evidence, errors);
            least.margin = least.margin.min(proved(found.margin));
            if proved(found.radius) < least.radius {
                least.radius = proved(found.radius);
                rival = Some(t);
            }
        }
        (least, rival)
    }

    /// z_y − z_t as computed, and a bound of its error.
    pub(crate) fn margin(
        &self,
        features: &Evaluated,
        logits: &Evaluated,
        [y, t]: [usize; 2],
    ) -> (f64, f64) {
        let difference = self.difference(features, logits, [y, t]);
        let computed = difference.computed;
        // Rounding the difference, downwards, moved it by at most 3u of it.
        let rounding = mul_up(4.0 * U, computed.abs());
        (computed, add_up(difference.error, rounding))
    }

    fn difference(
        &self,
        features: &Evaluated,
        logits: &Evaluated,
        [y, t]: [usize; 2],
    ) -> Difference {
        let (spread, local) = match &self.last {
            None => (sqrt_int_up(2), 0.0),
            Some(last) => (
                last.differences[y * self.classes + t],
                add_up(last.local(y, features.size), last.local(t, features.size)),
            ),
        };
        Difference {
            computed: sub_down(logits.values[y], logits.values[t]),
            spread,
            error: add_up(mul_up(spread, features.error.get()), local),
        }
    }

    /// How far z_y − z_t of a float32 execution may be from the exact one.
    fn single(&self, features: &Evaluated, [y, t]: [usize; 2], spread: f64) -> Linear {
        let single = features.single.times(spread);
        let Some(last) = &self.last else {
            return single;
        };
        let through = self.bounds.node(self.features).through.get();
        let exact = Linear::new(add_up(features.size, features.error.get()), through);
        let reach = exact.plus(features.single);
        single
            .plus(last.local_single(y, reach))
            .plus(last.local_single(t, reach))
    }

    /// Whether y stays larger than t within `radius` of an image where z_y − z_t ≥ `margin` in real
    /// arithmetic, in the arithmetic of the certificates.
    pub(crate) fn survives(
        &self,
        features: &Evaluated,
        logits: &Evaluated,
        pair: [usize; 2],
        margin: f64,
        radius: f64,
    ) -> bool {
        if self.arithmetic == Arithmetic::Real {
            return margin > 0.0;
        }
        let single = self.single(
            features,
            pair,
            self.difference(features, logits, pair).spread,
        );
        let off = add_up(single.at, mul_up(single.per, radius));
        sub_down(margin, off) > 0.0 && room(logits) >= radius
    }

    /// The radius against one other class than the prediction, and the proved margin at the image (T28,
    /// T29, T36).
    pub(crate) fn against(
        &self,
        at: &AtImage,
        t: usize,
        evidence: &[Evidence],
        errors: Errors,
    ) -> Proved {
        let (features, logits, y) = (&at.features, &at.logits, at.prediction);
        let pair = self.pairs[y * self.classes + t];
        let Difference {
            computed,
            spread,
            error,
        } = self.difference(features, logits, [y, t]);
        let margin = sub_down(computed, mul_up(errors.times(), error));
        let parabolas = evidence
            .iter()
            .filter(|evidence| evidence.rival == t)
            .map(|evidence| match errors {
                Errors::Once => evidence.proved,
                Errors::Thrice => evidence.published,
            });
        if self.arithmetic == Arithmetic::Real {
            let first = quotient(margin, pair);
            let radius = parabolas.map(Parabola::radius).fold(first, larger_known);
            return Proved { radius, margin };
        }
        let single = self.single(features, [y, t], spread);
        let left = sub_down(margin, single.at);
        // Nothing may overflow on the way.
        let inside = room(logits);
        let first = quotient(left, add_up(pair, single.per));
        let radius = parabolas
            .map(|parabola| parabola.less(single).radius())
            .fold(first, larger_known);
        Proved {
            // A NaN counts as nothing proved.
            radius: if inside >= radius { radius } else { inside },
            margin,
        }
    }
}

/// How far an input may be away before a float32 execution may overflow.
fn room(logits: &Evaluated) -> f64 {
    quotient(sub_down(SINGLE_MOST, logits.peak.at), logits.peak.per)
}

/// The larger of two radii, of which the first may be NaN: nothing proved.
fn larger_known(first: f64, second: f64) -> f64 {
    if first >= second { first } else { second }
}

/// Where the largest logit is.
pub(crate) fn largest(z: &[f64]) -> usize {
    (1..z.len()).fold(0, |best, t| if z[t] > z[best] { t } else { best })
}

/// The relative error of pixels.
pub(crate) fn inexactness(exact: bool) -> f64 {
    if exact { 0.0 } else { U }
}

/// `margin / slope` from below and strictly below; +∞ where nothing moves.
fn quotient(margin: f64, slope: f64) -> f64 {
    if margin > 0.0 && slope <= 0.0 {
        return f64::INFINITY;
    }
    div_down(margin, slope)
}

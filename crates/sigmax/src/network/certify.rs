//! [`Certifier`]: radii inside which the classification of an image cannot change (T28, T29).

use crate::bound::options::Options;
use crate::claim::{Lower, Upper};
use crate::error::Error;
use crate::kernel::Kernel;
use crate::named::named;
use crate::network::bounds::Lipschitz;
use crate::network::eval::forward::{Evaluated, Forward};
use crate::network::eval::rounds::{
    Linear, SINGLE_MOST, SINGLE_TINY, norm_up, single_gamma, single_loss,
};
use crate::network::graph::{Network, NodeId};
use crate::network::lipschitz::analysis;
use crate::network::op::Op;
use crate::network::rule::slack::Slack;
use crate::rounding::{
    U, add_up, div_down, gamma, mul_down, mul_up, scale_up, sqrt_int_up, sub_down,
};

/// By how much radii and margins are made smaller, for the same reason.
const RADIUS_SLACK: f64 = 1.0 / (1u64 << 20) as f64;

/// What is added to the error of logits, relative to these.
const DIGITS: f64 = 1.0 / (1u64 << 60) as f64;

/// Most classes.
const MAX_CLASSES: usize = 1 << 12;

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
    forward: Forward,
    bounds: Lipschitz,
    arithmetic: Arithmetic,
    /// What the last layer reads; the logits themselves where that is no dense layer.
    features: NodeId,
    logits: NodeId,
    classes: usize,
    last: Option<LastLayer>,
    /// An upper bound of the Lipschitz constant of z_y − z_t for every pair (y, t).
    pairs: Vec<f64>,
}

/// What is needed of the last layer.
struct LastLayer {
    terms: usize,
    /// What float32 may leave out of a row.
    flushed: f64,
    /// ‖w_t‖₂ from above.
    rows: Vec<f64>,
    /// |b_t|.
    bias: Vec<f64>,
    /// ‖w_y − w_t‖₂ from above.
    differences: Vec<f64>,
}

/// What is proved of one image.
///
/// For every x with ‖x − image‖₂ ≤ radius, in the units of the network's input, the largest logit
/// of x is that of the label. Nothing is claimed where the radius is 0.
///
/// ```compile_fail,E0616
/// fn forge(certificate: &mut sigmax::network::Certificate) {
///     certificate.label = 7; // the claim is of one class: this does not compile
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    label: usize,
    prediction: usize,
    radius: Lower,
    rival: Option<usize>,
    margin: Lower,
    class: Option<usize>,
    logits: Vec<f64>,
    error: Upper,
    /// What is proved of the prediction, before it was made smaller so that others can confirm it.
    proved: Proved,
}

impl Certificate {
    /// The true class.
    #[must_use]
    pub fn label(&self) -> usize {
        self.label
    }

    /// The largest logit as evaluated.
    #[must_use]
    pub fn prediction(&self) -> usize {
        self.prediction
    }

    /// A lower bound of the distance to an image of another class; 0 for a wrong prediction, a tie,
    /// or logits that are not known well enough.
    #[must_use]
    pub fn radius(&self) -> Lower {
        self.radius
    }

    /// The class that limits the radius; `None` where no other class does.
    #[must_use]
    pub fn rival(&self) -> Option<usize> {
        self.rival
    }

    /// A lower bound of z_label − z_t at the image itself, for every other class t; 0 if none is
    /// proved.
    #[must_use]
    pub fn margin(&self) -> Lower {
        self.margin
    }

    /// The class that the image itself is proved to have, in the arithmetic of the certificate.
    #[must_use]
    pub fn class(&self) -> Option<usize> {
        self.class
    }

    /// The logits as evaluated.
    #[must_use]
    pub fn logits(&self) -> &[f64] {
        &self.logits
    }

    /// An upper bound of their distance from the exact logits, in ℓ₂.
    #[must_use]
    pub fn error(&self) -> Upper {
        self.error
    }

    /// Whether a radius that another evaluation, of the same image and label, states follows from
    /// this one.
    #[must_use]
    pub fn confirms_radius(&self, stated: f64) -> bool {
        stated <= self.of_label().radius
    }

    /// Whether a margin against all other classes that somebody states follows.
    #[must_use]
    pub fn confirms_margin(&self, stated: f64) -> bool {
        // 0 states nothing.
        stated <= self.of_label().margin.max(0.0)
    }

    /// Whether it follows that the image itself has the class that somebody states.
    #[must_use]
    pub fn confirms_class(&self, stated: usize) -> bool {
        stated == self.prediction && self.proved.radius > 0.0
    }

    /// Whether it follows that the exact logits are within a distance `error` of those stated.
    #[must_use]
    pub fn confirms_logits(&self, stated: &[f64], error: f64) -> bool {
        if stated.len() != self.logits.len() {
            return false;
        }
        let apart: Vec<f64> = stated
            .iter()
            .zip(&self.logits)
            .map(|(&a, &b)| add_up(a.max(b), -a.min(b)))
            .collect();
        add_up(norm_up(&apart), self.error.get()) <= error
    }

    /// An error to state with the logits, such that any other evaluation whose error bound is no
    /// larger confirms it: its values may lie two bounds away, and it adds its own. The fourth is
    /// for the rounding of that comparison. What is added is for an evaluation in more digits, where
    /// this one happens to be exact.
    #[must_use]
    pub fn stated_error(&self) -> Upper {
        let digits = add_up(mul_up(norm_up(&self.logits), DIGITS), 1e-50);
        Upper::claim(add_up(mul_up(4.0, self.error.get()), digits))
    }

    fn of_label(&self) -> Proved {
        if self.label == self.prediction {
            self.proved
        } else {
            NOTHING
        }
    }
}

/// What an evaluation proves of a class, against all others or one.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Proved {
    radius: f64,
    margin: f64,
}

const NOTHING: Proved = Proved {
    radius: 0.0,
    margin: 0.0,
};

/// How often the error of the evaluation is subtracted from a margin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errors {
    /// As often as the proof needs.
    Once,
    /// Such that any other evaluation whose error bound is no larger confirms it: its values may lie
    /// on the other side, two bounds away, and it subtracts one more.
    Thrice,
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
    /// [`Error::NotAClassifier`] where the network has not one output with 2 to 4096 entries.
    pub fn with_bounds(bounds: Lipschitz, arithmetic: Arithmetic) -> Result<Self, Error> {
        let network = bounds.network();
        let outputs = network.outputs();
        let not_a_classifier = || Error::NotAClassifier {
            outputs: outputs
                .iter()
                .map(|&id| network.node(id).shape.clone())
                .collect(),
        };
        let &[output] = outputs else {
            return Err(not_a_classifier());
        };
        let logits = order_source(network, output);
        let classes = network.node(logits).len();
        if !(2..=MAX_CLASSES).contains(&classes) {
            return Err(not_a_classifier());
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
        })
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
        if let Some(&label) = labels.iter().find(|&&label| label >= self.classes) {
            return Err(Error::Label {
                label,
                classes: self.classes,
            });
        }
        let inexact = if exact { 0.0 } else { U };
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
                    (Some(features), Some(logits)) => self.certificate(&features, logits, label),
                    _ => unreachable!("both nodes are kept"),
                }
            })
            .collect())
    }

    fn certificate(&self, features: &Evaluated, logits: Evaluated, label: usize) -> Certificate {
        let z = &logits.values;
        let prediction = (1..z.len()).fold(0, |best, t| if z[t] > z[best] { t } else { best });
        let (published, rival) = self.against_all(features, &logits, prediction, Errors::Thrice);
        let (proved, _) = self.against_all(features, &logits, prediction, Errors::Once);
        let less = |bound: f64| {
            if bound.is_finite() {
                mul_down(bound, 1.0 - RADIUS_SLACK)
            } else {
                bound
            }
        };
        let right = prediction == label;
        let published = Proved {
            radius: less(published.radius),
            margin: less(published.margin),
        };
        let of_label = if right { published } else { NOTHING };
        Certificate {
            label,
            prediction,
            radius: Lower::claim(of_label.radius),
            rival: rival.filter(|_| right),
            margin: Lower::claim(of_label.margin),
            class: (published.radius > 0.0).then_some(prediction),
            error: logits.error,
            logits: logits.values,
            proved,
        }
    }

    /// The smallest radius and the smallest margin over all other classes, and the class that limits
    /// the radius.
    fn against_all(
        &self,
        features: &Evaluated,
        logits: &Evaluated,
        label: usize,
        errors: Errors,
    ) -> (Proved, Option<usize>) {
        let mut least = Proved {
            radius: f64::INFINITY,
            margin: f64::INFINITY,
        };
        let mut rival = None;
        // A NaN counts as nothing proved.
        let proved = |bound: f64| if bound > 0.0 { bound } else { 0.0 };
        for t in (0..self.classes).filter(|&t| t != label) {
            let found = self.against(features, logits, [label, t], errors);
            least.margin = least.margin.min(proved(found.margin));
            if proved(found.radius) < least.radius {
                least.radius = proved(found.radius);
                rival = Some(t);
            }
        }
        (least, rival)
    }

    /// The radius against one other class, and the proved margin at the image (T28, T29).
    fn against(
        &self,
        features: &Evaluated,
        logits: &Evaluated,
        [y, t]: [usize; 2],
        errors: Errors,
    ) -> Proved {
        let pair = self.pairs[y * self.classes + t];
        let computed = sub_down(logits.values[y], logits.values[t]);
        let (spread, local) = match &self.last {
            None => (sqrt_int_up(2), 0.0),
            Some(last) => (
                last.differences[y * self.classes + t],
                add_up(last.local(y, features.size), last.local(t, features.size)),
            ),
        };
        let error = add_up(mul_up(spread, features.error.get()), local);
        let error = match errors {
            Errors::Once => error,
            Errors::Thrice => mul_up(3.0, error),
        };
        let margin = sub_down(computed, error);
        if self.arithmetic == Arithmetic::Real {
            return Proved {
                radius: quotient(margin, pair),
                margin,
            };
        }
        let mut single = features.single.times(spread);
        if let Some(last) = &self.last {
            let through = self.bounds.node(self.features).through.get();
            let exact = Linear::new(add_up(features.size, features.error.get()), through);
            let reach = exact.plus(features.single);
            single = single
                .plus(last.local_single(y, reach))
                .plus(last.local_single(t, reach));
        }
        let left = sub_down(margin, single.at);
        // Nothing may overflow on the way.
        let room = sub_down(SINGLE_MOST, logits.peak.at);
        let inside = quotient(room, logits.peak.per);
        let radius = quotient(left, add_up(pair, single.per));
        Proved {
            // A NaN counts as nothing proved.
            radius: if inside >= radius { radius } else { inside },
            margin,
        }
    }
}

/// `margin / slope` from below and strictly below; +∞ where nothing moves.
fn quotient(margin: f64, slope: f64) -> f64 {
    if margin > 0.0 && slope <= 0.0 {
        return f64::INFINITY;
    }
    div_down(margin, slope)
}

/// Follows the output back over nodes that keep the order of its entries.
fn order_source(network: &Network, output: NodeId) -> NodeId {
    let mut id = output;
    loop {
        let node = network.node(id);
        let keeps = match &node.op {
            Op::Softmax { axis } | Op::LogSoftmax { axis } => node.shape[*axis] == node.len(),
            Op::Pick(pick) => pick.is_reshape(),
            Op::Affine(affine) => affine.keeps_order(),
            _ => false,
        };
        if !keeps {
            return id;
        }
        id = node.inputs[0];
    }
}

impl LastLayer {
    fn new(kernel: &Kernel, bias: Option<&Vec<f64>>) -> Self {
        let (classes, inputs) = (kernel.shape()[0], kernel.shape()[1]);
        let values = kernel.values();
        let row = |t: usize| &values[t * inputs..][..inputs];
        let mut differences = vec![0.0; classes * classes];
        for y in 0..classes {
            for t in 0..y {
                let difference: Vec<f64> = row(y).iter().zip(row(t)).map(|(a, b)| a - b).collect();
                // Each entry has one rounding.
                let norm = mul_up(norm_up(&difference), 1.0 + 2.0 * gamma(2));
                // What a kernel leaves out is below 2⁻¹⁰⁷⁴ of its scale, and nothing if that is ≤ 1.
                let lossless = kernel.exponent() <= 0;
                let norm = if lossless && row(y) == row(t) {
                    0.0
                } else if lossless {
                    norm
                } else {
                    add_up(norm, scale_up(inputs as f64 * 1e-323, kernel.exponent()))
                };
                differences[y * classes + t] = norm;
                differences[t * classes + y] = norm;
            }
        }
        Self {
            terms: inputs + 2,
            flushed: single_loss(kernel),
            rows: (0..classes).map(|t| norm_up(row(t))).collect(),
            bias: match bias {
                Some(bias) => bias.iter().map(|b| b.abs()).collect(),
                None => vec![0.0; classes],
            },
            differences,
        }
    }

    fn spread(&self, t: usize, reach: Linear) -> Linear {
        reach
            .times(self.rows[t])
            .plus(Linear::new(self.bias[t], 0.0))
    }

    /// Rounding of logit t in f64, for features of this size.
    fn local(&self, t: usize, size: f64) -> f64 {
        let spread = self.spread(t, Linear::new(size, 0.0)).at;
        add_up(
            mul_up(gamma(self.terms), spread),
            self.terms as f64 * 1e-322,
        )
    }

    /// The same in float32; weights and results below 2⁻¹²⁶ may be flushed to zero.
    fn local_single(&self, t: usize, reach: Linear) -> Linear {
        self.spread(t, reach)
            .times(single_gamma(self.terms))
            .plus(reach.times(self.flushed))
            .plus(Linear::new(mul_up(self.terms as f64, SINGLE_TINY), 0.0))
    }
}

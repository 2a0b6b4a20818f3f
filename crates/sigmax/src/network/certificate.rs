//! [`Certificate`]: what is proved of one image.

use crate::claim::{Lower, Upper};
use crate::named::named;
use crate::network::eval::rounds::norm_up;
use crate::network::local::slopes::Slopes;
use crate::network::tangent::Tangent;
use crate::rounding::{add_up, mul_up};

/// What is added to the error of logits, relative to these.
const DIGITS: f64 = 1.0 / (1u64 << 60) as f64;

/// What a radius follows from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// The Lipschitz constants of differences of logits (T28).
    Global,
    /// Their curvature, and gradients (T36).
    Curvature,
    /// Bounds around the image (T38).
    Local,
}

impl Method {
    /// A short name: `global`, `curvature`, `local`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Curvature => "curvature",
            Self::Local => "local",
        }
    }
}

named!(Method, "method", [Global, Curvature, Local]);

/// What is proved of one image.
///
/// For every x with ‖x − image‖₂ ≤ radius, in the units of the network's input, the largest logit
/// of x is that of the label; where there is a [range](Certificate::range), for every such x whose entries
/// lie there. Nothing is claimed where the radius is 0.
///
/// ```compile_fail,E0616
/// fn forge(certificate: &mut sigmax::network::Certificate) {
///     certificate.label = 7; // the claim is of one class: this does not compile
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    pub(crate) label: usize,
    pub(crate) prediction: usize,
    pub(crate) radius: Lower,
    pub(crate) by_constants: Lower,
    pub(crate) by_network: Lower,
    pub(crate) rival: Option<usize>,
    pub(crate) margin: Lower,
    pub(crate) class: Option<usize>,
    pub(crate) logits: Vec<f64>,
    pub(crate) error: Upper,
    pub(crate) method: Method,
    pub(crate) tangents: Vec<Tangent>,
    pub(crate) slopes: Vec<Slopes>,
    /// That of the certifier whose bounds around the image the radius follows from.
    pub(crate) range: Option<[f64; 2]>,
    pub(crate) adversarial: Option<Upper>,
    /// What is proved of the prediction, before it was made smaller so that others can confirm it.
    pub(crate) proved: Proved,
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

    /// A lower bound of the distance to an input of another class, within [`Certificate::range`]; 0 for a
    /// wrong prediction, a tie, or logits that are not known well enough.
    #[must_use]
    pub fn radius(&self) -> Lower {
        self.radius
    }

    /// Between which the entries of the inputs lie that the radius speaks of; `None`: it speaks of all inputs.
    #[must_use]
    pub fn range(&self) -> Option<[f64; 2]> {
        self.range
    }

    /// The part of the radius that follows from Lipschitz constants alone.
    #[must_use]
    pub fn radius_by_constants(&self) -> Lower {
        self.by_constants
    }

    /// The part of the radius that follows from bounds of the whole network: its constants, and its
    /// curvature.
    #[must_use]
    pub fn radius_by_network(&self) -> Lower {
        self.by_network
    }

    /// The class that limits the radius that follows from these; `None` where no other class does.
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

    /// What the radius follows from.
    #[must_use]
    pub fn method(&self) -> Method {
        self.method
    }

    /// The points that the radius follows from, against classes where the image itself says too little.
    #[must_use]
    pub fn tangents(&self) -> &[Tangent] {
        &self.tangents
    }

    /// The slopes that the radius follows from, where bounds around the image need others than a rule gives.
    #[must_use]
    pub fn slopes(&self) -> &[Slopes] {
        &self.slopes
    }

    /// An upper bound of the distance to the nearest input of another class than the label, where one
    /// is known: 0 where the image itself is proved to be one, in real arithmetic.
    #[must_use]
    pub fn adversarial(&self) -> Option<Upper> {
        self.adversarial
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
pub(crate) struct Proved {
    pub(crate) radius: f64,
    pub(crate) margin: f64,
}

pub(crate) const NOTHING: Proved = Proved {
    radius: 0.0,
    margin: 0.0,
};

//! [`Comparison`]: two models layer by layer.

mod json;
mod text;

use sigmax::{Bracket, Upper};

/// Two models layer by layer.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// The two files.
    pub files: [String; 2],
    /// The layers, in the order of the first file, then those that only the second one has.
    pub pairs: Vec<Pair>,
    /// The proved Lipschitz constants of the two networks, or why there is none.
    pub lipschitz: [Result<Upper, String>; 2],
}

/// A layer of either model.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Its name.
    pub name: String,
    /// Its norm in each model, or why there is none.
    pub norms: [Result<Bracket, Missing>; 2],
    /// Its shape in each model that has it.
    pub shapes: [Option<Vec<usize>>; 2],
    /// What its lower ends are of.
    pub lower: LowerEnd,
}

/// What the lower ends of a pair are lower bounds of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LowerEnd {
    /// The norm that the upper ends bound.
    Norm,
    /// The norm with stride 1 and one group, because a file does not state the geometry.
    Stride1,
    /// Different things, or the norm without padding that copies pixels: no quotient follows.
    Incomparable,
}

/// Why a model has no norm of a layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It does not have the layer.
    Absent,
    /// The layer is not audited, for this reason.
    Refused(String),
}

impl Missing {
    fn text(&self) -> &str {
        match self {
            Self::Absent => "it is not there",
            Self::Refused(reason) => reason,
        }
    }
}

impl Pair {
    /// The second norm over the first, between two proved ends: of the norms over all input sizes
    /// (or of those with stride 1 and one group, [`LowerEnd::Stride1`]). `None` where either is
    /// missing, or where the lower ends do not tell.
    #[must_use]
    pub fn quotient(&self) -> Option<(f64, f64)> {
        let [Ok(a), Ok(b)] = &self.norms else {
            return None;
        };
        if a.lower().get() <= 0.0 || self.lower == LowerEnd::Incomparable {
            return None;
        }
        // A quotient is rounded to nearest: one float further is outward.
        let low = (b.lower().get() / a.upper().get()).next_down().max(0.0);
        let high = (b.upper().get() / a.lower().get()).next_up();
        Some((low, high))
    }
}

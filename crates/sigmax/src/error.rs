//! [`Error`], the one error type of the crate, and the reasons that its variants give.

mod misfit;
mod not_covered;

pub use misfit::Misfit;
pub use not_covered::{Expected, NotCovered};

/// Why a kernel, a geometry or a node was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An entry is NaN or infinite.
    #[error(
        "the kernel has {value} at index {index:?} (flat index {flat}); every entry must be finite"
    )]
    NotFinite {
        /// Index per axis.
        index: Vec<usize>,
        /// Index into the flat, row-major values.
        flat: usize,
        /// The entry: NaN, +∞ or −∞.
        value: f64,
    },
    /// A range of inputs is none.
    #[error(
        "inputs between {least} and {most}: expected two finite numbers, the smaller one first"
    )]
    Range {
        /// The lower end as given.
        least: f64,
        /// The upper end as given.
        most: f64,
    },
    /// The shape is not that of a layer's weight.
    #[error("kernel shape {shape:?}: {reason}")]
    Shape {
        /// The shape as given.
        shape: Vec<usize>,
        /// What is wrong with it.
        reason: WrongShape,
    },
    /// Shape and number of values disagree.
    #[error("kernel shape {shape:?} needs {expected} values, got {got}")]
    Length {
        /// The shape as given.
        shape: Vec<usize>,
        /// The product of the shape.
        expected: usize,
        /// The number of values given.
        got: usize,
    },
    /// A geometry field does not fit the kernel or another field. What tells these apart is `field`;
    /// the two others are for people.
    #[error("{field}: expected {expected}, got {got}")]
    Geometry {
        /// The field: `stride`, `padding`, …
        field: &'static str,
        /// What would be right.
        expected: String,
        /// What was given.
        got: String,
    },
    /// A node that does not fit into its network.
    #[error("node {node:?}: {reason}")]
    Node {
        /// The node, or what would make one.
        node: String,
        /// What is wrong, and what was expected.
        reason: Misfit,
    },
    /// A node that is no layer, whatever network it is in.
    #[error("node {node:?}: {source}")]
    Layer {
        /// The node.
        node: String,
        /// Why its kernel, geometry or parameters were refused.
        source: Box<Error>,
    },
    /// A combination that sigmax does not cover.
    #[error("not covered: {0}")]
    NotCovered(NotCovered),
    /// The processor is not in the state that proofs rely on.
    #[error(
        "this thread does not round to nearest with ties to even, or flushes subnormal numbers to \
         zero, so no bound can be proved in it: restore the default floating-point environment"
    )]
    Arithmetic,
    /// A network that is none of a classifier.
    #[error(
        "a classifier has one output of 2 to 4096 classes, this network has outputs of shapes {outputs:?}"
    )]
    NotAClassifier {
        /// The shapes of the outputs.
        outputs: Vec<Vec<usize>>,
    },
    /// A network whose logits have no bound of their curvature.
    #[error("{node:?}: {reason}")]
    NoCurvature {
        /// The node.
        node: String,
        /// Why.
        reason: String,
    },
    /// A label that is no class.
    #[error("label {label}; the network has {classes} classes")]
    Label {
        /// The label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Not one label for every image.
    #[error("{labels} labels for {images} images")]
    Labels {
        /// Number of labels.
        labels: usize,
        /// Number of images.
        images: usize,
    },
    /// A confirmation that did not end in its time.
    #[error("it was not confirmed in the time that was given")]
    OutOfTime,
    /// A request too large to answer; what it is and what is answered are for people.
    #[error("too large: {what}; at most {most}")]
    TooLarge {
        /// What was asked for.
        what: String,
        /// What is answered.
        most: &'static str,
    },
}

/// What is wrong with the shape of a weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrongShape {
    /// Too few axes, or too many.
    #[error("expected 2 channel axes and 0 to 3 spatial axes")]
    Rank,
    /// An axis of length 0.
    #[error("every axis must be at least 1 long")]
    Empty,
    /// More entries than can be counted.
    #[error("the number of entries does not fit in memory")]
    TooLarge,
}

impl From<NotCovered> for Error {
    fn from(what: NotCovered) -> Self {
        Self::NotCovered(what)
    }
}

impl Error {
    /// [`Error::TooLarge`].
    pub(crate) fn too_large(what: impl Into<String>, most: &'static str) -> Self {
        Self::TooLarge {
            what: what.into(),
            most,
        }
    }

    /// [`Error::Node`], also before the node has its name.
    pub(crate) fn node(what: &str, reason: Misfit) -> Self {
        Self::Node {
            node: what.to_owned(),
            reason,
        }
    }
}

//! [`Misfit`]: why a node does not fit into its network.

/// Why a node does not fit into its network, or what is stated of it is not confirmed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Misfit {
    /// One node too many.
    #[error("more than {most} nodes")]
    TooManyNodes {
        /// Most nodes of a network.
        most: usize,
    },
    /// A node reads one that is not there.
    #[error("an input that is not a node of this network")]
    UnknownInput,
    /// A node without entries, or with too many.
    #[error("its shape {shape:?} must have 1 to {most} entries")]
    Entries {
        /// Its shape.
        shape: Vec<usize>,
        /// Most entries of a node.
        most: usize,
    },
    /// A network without output, or with one that is not there.
    #[error("expected at least one node of this network as output")]
    NoOutput,
    /// A node that would be a second input.
    #[error("a network has one input, which is there already")]
    SecondInput,
    /// A node of a certificate for float32 whose rounding there is not bounded.
    #[error(
        "no bound of the rounding of a {op} in float32 is known; a certificate in real arithmetic \
         is possible"
    )]
    NoSingle {
        /// The operation.
        op: &'static str,
    },
    /// An operation with too many or too few inputs.
    #[error("expected {expected} inputs, got {got}")]
    Inputs {
        /// How many it reads.
        expected: usize,
        /// How many are given.
        got: usize,
    },
    /// Inputs of different shapes.
    #[error("its inputs have shapes {first:?} and {other:?}; expected one shape")]
    Shapes {
        /// The shape of the first.
        first: Vec<usize>,
        /// Another one.
        other: Vec<usize>,
    },
    /// Inputs that differ beside the axis along which they are put together.
    #[error("inputs of shapes {first:?} and {other:?} do not go side by side along axis {axis}")]
    SideBySide {
        /// The shape of the first.
        first: Vec<usize>,
        /// The one that does not fit.
        other: Vec<usize>,
        /// The axis.
        axis: usize,
    },
    /// An axis that the input does not have.
    #[error("axis {axis} of an input of shape {input:?}")]
    Axis {
        /// The axis.
        axis: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// An output beyond what can be counted.
    #[error("its output is too large")]
    OutputTooLarge,
    /// A kernel whose axes are not those of the input.
    #[error(
        "its kernel has shape {kernel:?} and its input {input:?}; expected channels and {axes} \
         spatial axes"
    )]
    SpatialAxes {
        /// The shape of the kernel.
        kernel: Vec<usize>,
        /// The shape of the input.
        input: Vec<usize>,
        /// The spatial axes that would fit.
        axes: usize,
    },
    /// A kernel for another number of channels.
    #[error("its input has {got} channels; its weight needs {expected}")]
    Channels {
        /// Those of the input.
        got: usize,
        /// Those of the kernel.
        expected: usize,
    },
    /// A dense layer whose weight has spatial axes.
    #[error("its kernel has shape {shape:?}; expected a matrix")]
    NoMatrix {
        /// The shape of the kernel.
        shape: Vec<usize>,
    },
    /// A dense layer of an input without axes.
    #[error("its input is a single number")]
    SingleNumber,
    /// A dense layer for another length of the last axis.
    #[error("its input has {got} entries on the last axis; its weight needs {expected}")]
    LastAxis {
        /// The length of the axis.
        got: usize,
        /// The columns of the weight.
        expected: usize,
    },
    /// A bias of the wrong length.
    #[error("its bias has {got} entries; expected {expected}")]
    BiasEntries {
        /// Its entries.
        got: usize,
        /// The outputs of the layer.
        expected: usize,
    },
    /// A bias with an entry that is NaN or infinite.
    #[error("its bias has {value} at index {index}; every entry must be finite")]
    BiasNotFinite {
        /// The entry.
        value: f64,
        /// Its place.
        index: usize,
    },
    /// Numbers per entry that do not fit the input.
    #[error("its {what} of shape {shape:?} does not fit an input of shape {input:?}")]
    PerEntry {
        /// What they are: scale, shift or slope.
        what: &'static str,
        /// Their shape.
        shape: Vec<usize>,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// Entries picked from an input of another shape.
    #[error("made for an input of shape {expected:?}, got {got:?}")]
    PickInput {
        /// The shape that the pick is of.
        expected: Vec<usize>,
        /// The shape of the input.
        got: Vec<usize>,
    },
    /// A reshape that changes the number of entries.
    #[error("{input:?} and {shape:?} have different numbers of entries, or too many")]
    Reshape {
        /// The shape of the input.
        input: Vec<usize>,
        /// The shape of the result.
        shape: Vec<usize>,
    },
    /// A transpose that is none.
    #[error("{axes:?} is no permutation of the axes of {input:?}")]
    NoPermutation {
        /// The order that is given.
        axes: Vec<usize>,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// Not one list of indices per axis.
    #[error("{lists} lists of indices for the axes of {input:?}")]
    IndexLists {
        /// How many there are.
        lists: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// An index beyond its axis.
    #[error("an index beyond axis {axis} of {input:?}")]
    Index {
        /// The axis.
        axis: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// A pick of too many entries, or with a constant that is no number.
    #[error("{input:?} to {shape:?} with fill {fill}: too large or not finite")]
    Pick {
        /// The shape of the input.
        input: Vec<usize>,
        /// The shape of the result.
        shape: Vec<usize>,
        /// The constant.
        fill: f64,
    },
    /// An input of too many entries to pick from.
    #[error("an input of shape {input:?}: too large")]
    PickFrom {
        /// Its shape.
        input: Vec<usize>,
    },
    /// Not one amount of padding per axis.
    #[error("{amounts} amounts for the axes of {input:?}")]
    PaddedAxes {
        /// How many there are.
        amounts: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// Padding that leaves nothing, or makes too much.
    #[error("amounts {amounts:?} leave nothing of {input:?}, or make more than {most} entries")]
    Padding {
        /// Before and after, per axis.
        amounts: Vec<(isize, isize)>,
        /// The shape of the input.
        input: Vec<usize>,
        /// Most entries.
        most: usize,
    },
    /// More padding than its mode can take from the pixels.
    #[error("{mode} padding of {pixels} pixels by {by}; at most {most}")]
    PaddingMode {
        /// The mode.
        mode: &'static str,
        /// The pixels along the axis.
        pixels: usize,
        /// The padding on one side.
        by: isize,
        /// How much it may be.
        most: isize,
    },
    /// A matrix along an axis that is none.
    #[error("expected finite weights in columns below {cols} and at least one row")]
    AxisMatrix {
        /// Its columns.
        cols: usize,
    },
    /// A linear interpolation that is none, or too large.
    #[error("from {from} to {to} entries at scale {scale}")]
    Interpolation {
        /// Entries of the input.
        from: usize,
        /// Entries of the result.
        to: usize,
        /// The scale.
        scale: f64,
    },
    /// Not one matrix, or none, per axis.
    #[error("{axes} axes; its input has shape {input:?}")]
    SeparableAxes {
        /// The axes for which there is one.
        axes: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// A matrix for another length of its axis.
    #[error("a matrix for {expected} entries on an axis of {got}")]
    SeparableAxis {
        /// Its columns.
        expected: usize,
        /// The length of the axis.
        got: usize,
    },
    /// Windows whose axes are not those of the input.
    #[error(
        "windows {kernel:?} over an input of shape {input:?}; expected channels and as many \
         spatial axes"
    )]
    Windows {
        /// Their extent.
        kernel: Vec<usize>,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// A window with a number that is 0 or too large.
    #[error(
        "extent {extent}, stride {stride}, dilation {dilation} or padding {}+{} on axis {axis} is \
         0 or too large",
        padding.0,
        padding.1
    )]
    Window {
        /// Its extent.
        extent: usize,
        /// From one window to the next.
        stride: usize,
        /// From one pixel of a window to the next.
        dilation: usize,
        /// Before and after.
        padding: (usize, usize),
        /// The spatial axis.
        axis: usize,
    },
    /// An image smaller than a window.
    #[error("{pixels} pixels on axis {axis} give no window of {extent}")]
    NoWindow {
        /// The pixels along the axis.
        pixels: usize,
        /// The spatial axis.
        axis: usize,
        /// The extent of a window.
        extent: usize,
    },
    /// More windows than are evaluated.
    #[error("{count} windows of {extent} on axis {axis} are too many")]
    TooManyWindows {
        /// How many.
        count: usize,
        /// Their extent.
        extent: usize,
        /// The spatial axis.
        axis: usize,
    },
    /// A window in the padding.
    #[error("window {window} on axis {axis} holds no pixel of the image")]
    EmptyWindow {
        /// Its place.
        window: usize,
        /// The spatial axis.
        axis: usize,
    },
    /// Average pooling whose divisor is not the same in all releases of ONNX.
    #[error(
        "an incomplete last window that counts its padding: releases of ONNX differ in what they \
         divide by"
    )]
    IncompleteWindow,
    /// Not one stated bound per node.
    #[error("bounds are stated for {stated} nodes; the network has {nodes}")]
    StatedNodes {
        /// How many are stated.
        stated: usize,
        /// How many nodes there are.
        nodes: usize,
    },
    /// A weight that is known to within an error, where it has to be known.
    #[error(
        "its weight is computed from others and known to within its rounding only, which bounds of \
         the constant hold and this does not; store the weight: fold the constants of the model in \
         float32 first (onnxsim, or the optimised model that onnxruntime saves)"
    )]
    Inexact,
    /// A stated constant that is not confirmed.
    #[error("{what} is stated as {value}, which is not confirmed")]
    NotConfirmed {
        /// Which constant.
        what: &'static str,
        /// What is stated.
        value: f64,
    },
    /// Not one stated curvature per ordered pair of classes.
    #[error("curvature is stated by {stated} numbers; the ordered pairs of classes are {pairs}")]
    StatedPairs {
        /// How many are stated.
        stated: usize,
        /// How many pairs there are.
        pairs: usize,
    },
    /// A stated curvature that is not confirmed.
    #[error("the curvature of classes {y} and {t} is stated as {value}, which is not confirmed")]
    Curvature {
        /// The class whose logit counts.
        y: usize,
        /// The class whose logit is subtracted.
        t: usize,
        /// What is stated.
        value: f64,
    },
}

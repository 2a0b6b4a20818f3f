//! Limits of the ONNX reader: far beyond real models, small enough that a hostile file of a few
//! megabytes cannot ask for gigabytes.

/// Most nodes, and most tensors.
pub(super) const NODES: u64 = 1 << 18;
/// Most named values.
pub(super) const VALUES: u64 = 1 << 20;
/// Most inputs, outputs, attributes and declared shapes in all.
pub(super) const PARTS: u64 = 1 << 22;
/// Most bytes in a name.
pub(super) const NAME: u64 = 1 << 14;
/// Most bytes of a text attribute that is kept; no operator that is understood has longer ones.
pub(super) const TEXT: u64 = 256;
/// Most axes of a tensor.
pub(super) const RANK: usize = 16;
/// Most integers of a constant, or of an attribute, that are kept: shapes, axes, padding.
pub(super) const INTEGERS: usize = 64;
/// Deepest nesting of subgraphs.
pub(super) const DEPTH: usize = 32;
/// Most nodes and values of subgraphs and functions, each counted as often as it is used.
pub(super) const INSIDE: u64 = 1 << 20;
/// Most Reshape, Transpose and Cast nodes between a constant and the layer it is the weight of.
pub(super) const CHAIN: u8 = 32;
/// Most operations that all weights together take which are computed.
pub(super) const WORK: u64 = 1 << 35;
/// Largest stride, dilation, padding and input size, that of [`sigmax::Conv`].
pub(super) const EXTENT: usize = 1 << 24;

//! The one error type of the crate.

use std::path::PathBuf;

/// Why a model file, a tensor in it, a geometry file or a set of images was refused.
///
/// Every variant names the file; the text says where in it, what was expected and what to do. What a
/// program can tell apart are the variants and the places they name. `reason`, `found`, `expected` and
/// `advice` are texts, because the readers have hundreds of them, each of one place in one format, and
/// the answer to all of one variant is the same: another file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {}: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// What was tried: `open`, `read`, …
        action: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The content is none of the formats that are read.
    #[error(
        "{}: found {found}; expected an ONNX model (plain or gzip), a safetensors file, or a \
         PyTorch file that torch.save wrote",
        file.display()
    )]
    UnknownFormat {
        /// The file.
        file: PathBuf,
        /// What the content looks like.
        found: String,
    },
    /// Something in the file points past its end, or the file was cut.
    #[error(
        "{}: {expected} bytes are needed at offset {offset}, but only {got} are there; \
         the file is cut short or damaged",
        file.display()
    )]
    Truncated {
        /// The file.
        file: PathBuf,
        /// Where the bytes should begin.
        offset: u64,
        /// How many bytes are needed.
        expected: u64,
        /// How many bytes there are.
        got: u64,
    },
    /// The bytes do not follow the format; the reason is a text of whichever reader it is.
    #[error("{}: malformed at offset {offset}: {reason}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Where.
        offset: u64,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A well-formed file of a kind that is not read; what it is and what helps are texts of its reader.
    #[error("{}: {reason}; {advice}", file.display())]
    Unsupported {
        /// The file.
        file: PathBuf,
        /// What it is.
        reason: String,
        /// What to do instead.
        advice: String,
    },
    /// A file that asks for more than a limit of this crate.
    #[error("{}: {what} is {got}, more than the limit of {limit}", file.display())]
    TooLarge {
        /// The file.
        file: PathBuf,
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What the file asks for.
        got: u64,
    },
    /// A tensor whose description is wrong; the reason is a text of the format's reader.
    #[error("{}: tensor {tensor:?}: {reason}", file.display())]
    Tensor {
        /// The file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// A node whose attributes or inputs do not make a layer; the reason is a text, one or several for
    /// every operator.
    #[error("{}: node {node:?} ({op}): {reason}", file.display())]
    Node {
        /// The file.
        file: PathBuf,
        /// The node.
        node: String,
        /// Its operator.
        op: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// External data that is missing, too short or outside the model's folder; which, is a text.
    #[error("{}: tensor {tensor:?}: external data {location:?}: {reason}", file.display())]
    ExternalData {
        /// The model file.
        file: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the model says the data is.
        location: String,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// The weight is read, and is not one that sigmax can bound.
    #[error("{}: layer {layer:?} (tensor {tensor:?}): {source}", file.display())]
    Kernel {
        /// The file.
        file: PathBuf,
        /// The layer.
        layer: String,
        /// Its weight tensor.
        tensor: String,
        /// Why the core refused.
        source: Box<sigmax::Error>,
    },
    /// A tensor that nothing but its shape makes a layer, with entries −∞ among finite ones: a mask, as
    /// attention has, and no weight that trains.
    #[error(
        "{}: layer {layer:?} (tensor {tensor:?}): {count} of its {entries} entries are -inf and all others \
         finite, as in the mask of an attention, and nothing in the file says that it is no weight; a layer \
         has no norm then; leave it out by name (--exclude) if it is a mask",
        file.display()
    )]
    Mask {
        /// The file.
        file: PathBuf,
        /// The layer, as far as its shape tells.
        layer: String,
        /// Its tensor.
        tensor: String,
        /// How many entries are −∞.
        count: usize,
        /// How many there are.
        entries: usize,
    },
    /// A geometry file that does not parse or that does not fit the model; the reason is a text, as that
    /// of the TOML parser is.
    #[error("{}: {reason}", file.display())]
    Geometry {
        /// The geometry file.
        file: PathBuf,
        /// What is wrong, and what was expected.
        reason: String,
    },
    /// Images or labels that are not what is read, or that do not fit each other; a text for each of six
    /// formats.
    #[error("{}: expected {expected}, found {found}", file.display())]
    Images {
        /// The file or folder.
        file: PathBuf,
        /// What is read.
        expected: String,
        /// What is there.
        found: String,
    },
    /// An input size that the model cannot take; the reason is a text, as any node may give it.
    #[error("{}: input size {size:?}: {reason}", file.display())]
    InputSize {
        /// The model file.
        file: PathBuf,
        /// The size that was asked for.
        size: Vec<usize>,
        /// Why it does not fit.
        reason: String,
    },
    /// A file of certificates of which something is not confirmed; what, is a text: nothing but the line
    /// matters to a program.
    #[error("{}: line {line}: {reason}", file.display())]
    NotConfirmed {
        /// The file of certificates.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is not confirmed.
        reason: String,
    },
    /// A file that is not one of certificates; the reason may be a text of the JSON parser.
    #[error(
        "{}: line {line}: {reason}; expected certificates that `sigmax certify` wrote",
        file.display()
    )]
    NoCertificate {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Certificates that are not those of parts of one set of images.
    #[error("{}: line {line}: {reason}", file.display())]
    NotOfOneSet {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// Why not.
        reason: String,
    },
}

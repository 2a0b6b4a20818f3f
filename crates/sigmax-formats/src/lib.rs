//! Model files in: the convolution and dense layers of ONNX, safetensors and PyTorch files.
//! Labelled images in ([`Images`]).
//! Reports out: tables, JSON and CSV ([`report`]).
//!
//! [`Model::open`] reads the structure of a file, not its weights; [`Model::read_weight`] reads the
//! weight of one layer, or computes it from its factors. Formats are recognised by content. Files are not
//! trusted: no pickle is executed, every size is checked against the bytes that are there before
//! anything is allocated, and external data outside the model's folder is refused.
//!
//! ```no_run
//! use sigmax_formats::Model;
//! let model = Model::open("resnet32.onnx".as_ref())?;
//! for layer in &model.layers {
//!     let weight = model.read_weight(layer)?;
//!     let audit = layer.audit(&weight, &sigmax::Options::default());
//! }
//! # Ok::<(), sigmax_formats::Error>(())
//! ```
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::cast_possible_truncation,
        reason = "a panic is how a test fails"
    )
)]

mod bytes;
pub mod certificate;
mod error;
pub mod images;
mod model;
pub mod report;

pub use bytes::digest::{sha256, sha256_of};
pub use error::Error;
pub use images::Images;
pub use model::format::Format;
pub use model::geometry::GeometryFile;
pub use model::held::{Held, HeldLayer, HeldNetwork};
pub use model::layer::{GeometrySource, LayerId, LayerKind, LayerSpec};
pub use model::network::{NetworkError, NetworkModel, NoNetwork, Precision};
pub use model::skipped::{Refused, Skipped};
pub use model::{Model, NamedTensor};

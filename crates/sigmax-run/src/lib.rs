//! Runs: an audit of a model, a certification of images, a comparison of two models, with everything around the mathematics that a
//! command, a binding or a service has in common: which layers, in which order, on how many threads,
//! within what time, and how to stop.
//!
//! [`AuditRun`], [`CertifyRun`] and [`compare`] return reports of `sigmax_formats::report`. [`Resources`] says what they
//! may use; [`Watch`] sees rows as they come. Nothing here makes a bound.
//!
//! ```no_run
//! use sigmax_formats::Model;
//! use sigmax_formats::report::Request;
//! use sigmax_run::{AuditRun, NetworkPart, Resources};
//! let model = Model::open("resnet32.onnx".as_ref())?;
//! let run = AuditRun::new(model, Request::default(), NetworkPart::Included)?;
//! let report = run.run::<sigmax_run::Error>(&Resources::default(), &mut ())?;
//! for (layer, audit) in report.audited() {
//!     println!("{}: at most {}", layer.name, audit.upper().get());
//! }
//! # Ok::<(), sigmax_run::Error>(())
//! ```
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a panic is how a test fails")
)]

mod audit;
mod certify;
mod compare;
mod error;
mod inputs;
mod layers;
mod ledger;
mod network;
mod request;
mod resources;
mod select;
mod share;
mod spectra;
mod watch;

pub use audit::{AuditRun, NetworkPart};
pub use certify::CertifyRun;
pub use compare::compare;
pub use error::Error;
pub use request::{CertificateFile, CertifyRequest, Existing, Methods, Radii, Shard};
pub use resources::{Cancel, Resources};
pub use spectra::spectra_of_worst;
pub use watch::Watch;

//! Training recipes with a spectral penalty: MNIST, Fashion-MNIST and CIFAR-10 in Burn.
//!
//! The binary `sigmax-train` is a thin shell around this library: [`data`] reads the official
//! files, [`model`] has the networks, [`train`](train::train) trains one by a
//! [`Recipe`](recipe::Recipe), [`norms`] lets the core prove what came out.
#![cfg_attr(
    test,
    allow(clippy::unwrap_used, reason = "a panic is how a test fails")
)]

pub mod checkpoint;
pub mod cli;
pub mod command;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod files;
pub mod metrics;
pub mod model;
pub mod norms;
pub mod overhead;
pub mod penalty;
pub mod progress;
pub mod recipe;
pub mod report;
pub mod rng;
pub mod schedule;
pub mod sgd;
pub mod state;
pub mod tightness;
pub mod train;

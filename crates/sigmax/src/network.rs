//! Networks of layers and activations.
#![allow(dead_code, reason = "the networks that use them follow")]

mod activation;

pub use activation::Activation;

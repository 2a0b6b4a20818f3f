//! The readers on real files, on files that the tests make, and on hostile ones, in one binary.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a panic is how a test fails"
)]

mod build;
mod certificates;
mod content;
mod factors;
mod float8;
mod geometry;
mod html;
mod images;
mod inspect;
mod layouts;
mod onnx;
mod pickles;
mod proto;
mod safetensors;
mod torch;
mod zips;

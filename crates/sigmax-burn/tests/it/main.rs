//! Integration tests of sigmax-burn, on the CPU.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod curvature;
mod geometries;
mod gradients;
mod reparam;
mod selection;
mod state;
mod support;
mod tracked;
mod training;
mod values;

//! The binary, run on small files that the tests write.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod certify;
mod curvature;
mod errors;
mod gate;
mod graph;
mod layouts;
mod local;
mod network;
mod output;
mod precision;
mod report;
mod run;
mod shards;
mod table;

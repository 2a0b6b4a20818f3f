//! Integration tests on data that they make themselves, in the official formats.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod checkpoints;
mod formats;
mod models;
mod pages;
mod recipes;
mod tables;

use std::path::Path;

use clap::Parser;
use sigmax_train::cli::Cli;
use sigmax_train::command;
use sigmax_train::data::{Source, synthetic};

/// Runs the program with these arguments and returns what it printed.
fn program(arguments: &[&str]) -> Result<String, String> {
    let all = std::iter::once("sigmax-train").chain(arguments.iter().copied());
    let cli = Cli::try_parse_from(all).map_err(|error| error.to_string())?;
    let mut out = Vec::new();
    command::run(&cli, &mut out).map_err(|error| error.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

/// Writes a small data set.
fn data(source: Source, folder: &Path, train: usize, test: usize) {
    let train = synthetic::images(source, train, 1);
    let test = synthetic::images(source, test, 2);
    synthetic::write(source, folder, &train, &test).unwrap();
}

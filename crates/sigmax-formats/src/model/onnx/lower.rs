//! The network of a graph: every node on a path from the data input to an output is lowered to
//! nodes of [`Network`](sigmax::network::Network), for one sample.
//!
//! [`plan`] finds these nodes, [`rules`] says which of them have no rule, [`lowering`] carries what
//! is built, [`operators`] is the table of operators, and one file per group of them builds it. Axis 0 of every value is the batch; what
//! would mix or move it is refused. Where there is no batch, or one of 1, every axis is of the sample.

mod activation;
mod arithmetic;
mod blocks;
mod constant;
mod linear;
mod lowering;
mod normalisation;
mod operators;
mod pattern;
mod plan;
mod pooling;
mod precision;
mod product;
mod reduce;
mod resize;
mod rules;
mod select;
mod shape;

use crate::model::network::{NetworkError, NetworkModel, NoNetwork};

use super::facts::Context;
use super::parsed::Parsed;
use lowering::{Halt, Lowering};
use plan::Plan;

/// The network of a graph: without a batch where that is stated, or where axis 0 of the input can only be
/// one of the sample (there is no other), or is 1 long and what acts along it has no rule beside a batch. A
/// model that takes nothing but a batch of 1 is a function of the one sample in it either way.
pub(super) fn network(context: Context<'_>, no_batch: bool) -> Result<NetworkModel, NetworkError> {
    let plan = Plan::new(&context)?;
    let blockers = rules::blockers(&context, &plan);
    if !blockers.is_empty() {
        return Err(NoNetwork { blockers }.into());
    }
    let one = plan.is_one(&context);
    let flat = one
        && context.facts[plan.input]
            .dims
            .as_ref()
            .is_some_and(|dims| dims.len() == 1);
    if no_batch || flat {
        return lowered(context, &plan, true);
    }
    if !one {
        return lowered(context, &plan, false);
    }
    let again = context.clone();
    match lowered(context, &plan, false) {
        Err(NetworkError::NoRule(reason)) if reason.is_about_the_batch() => {
            lowered(again, &plan, true).map_err(|_| reason.into())
        }
        found => found,
    }
}

/// The network with or without a batch.
fn lowered(context: Context<'_>, plan: &Plan, whole: bool) -> Result<NetworkModel, NetworkError> {
    let parsed = context.parsed;
    let sample = plan.sample(&context, whole)?;
    let precision = precision::precision(&context, plan);
    let mut lowering = Lowering::new(context, plan.input, &sample)?;
    for &index in &plan.nodes {
        if let Err(halt) = operators::lower(&mut lowering, plan, index) {
            return Err(refusal(parsed, index, lowering.explained(halt)));
        }
    }
    lowering.finish(precision)
}

fn refusal(parsed: &Parsed, index: usize, halt: Halt) -> NetworkError {
    match halt {
        Halt::Fail(error) => error.into(),
        Halt::Refuse(reason) => NoNetwork {
            blockers: vec![rules::refused(parsed, index, reason)],
        }
        .into(),
    }
}

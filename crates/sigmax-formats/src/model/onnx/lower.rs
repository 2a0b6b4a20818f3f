//! The network of a graph: every node on a path from the data input to an output is lowered to
//! nodes of [`Network`](sigmax::network::Network), for one sample.
//!
//! [`plan`] finds these nodes, [`rules`] says which of them have no rule, [`lowering`] carries what
//! is built, [`operators`] is the table of operators, and one file per group of them builds it. Axis 0 of every value is the batch; what
//! would mix or move it is refused.

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

/// The network of a graph.
pub(super) fn network(context: Context<'_>) -> Result<NetworkModel, NetworkError> {
    let parsed = context.parsed;
    let plan = Plan::new(&context)?;
    let blockers = rules::blockers(&context, &plan);
    if !blockers.is_empty() {
        return Err(NoNetwork { blockers }.into());
    }
    let shape = plan.input_shape(&context)?;
    let precision = precision::precision(&context, &plan);
    let mut lowering = Lowering::new(context, plan.input, &shape)?;
    for &index in &plan.nodes {
        if let Err(halt) = operators::lower(&mut lowering, &plan, index) {
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

//! The values of a network: forward, with a proved error, and backward.

pub(crate) mod apply;
pub(crate) mod backward;
pub(crate) mod forward;
pub(crate) mod gradient;
pub(crate) mod linear;
pub(crate) mod rounds;

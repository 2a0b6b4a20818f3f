//! One file per method; every function returns [`Upper`](crate::Upper) or
//! [`Bracket`](crate::Bracket).

pub(crate) mod bracket;
mod cell;
pub(crate) mod circular;
pub(crate) mod dense;
pub(crate) mod four;
pub(crate) mod gram;
pub(crate) mod norm;
pub(crate) mod options;
pub(crate) mod weighted;

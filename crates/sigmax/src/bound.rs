//! One file per method; every function returns [`Upper`](crate::Upper) or
//! [`Bracket`](crate::Bracket).

pub(crate) mod circular;
pub(crate) mod dense;
pub(crate) mod four;
pub(crate) mod gram;
pub(crate) mod norm;
pub(crate) mod options;
mod search;
pub(crate) mod weighted;

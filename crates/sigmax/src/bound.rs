//! One file per method; every function returns [`Upper`](crate::Upper) or
//! [`Bracket`](crate::Bracket).

pub(crate) mod circular;
pub(crate) mod dense;
pub(crate) mod four;
pub(crate) mod gram;
pub(crate) mod norm;
pub(crate) mod options;
pub(crate) mod search;
pub(crate) mod sized;
pub(crate) mod weighted;

pub use crate::reshape::Reshape;
pub use circular::circular_norm;
pub use dense::dense_norm;
pub use four::{Differential, FourBounds, four_bounds, four_gradient};
pub use gram::gram_iteration;
pub use norm::{NormBracket, Quantity, norm_bracket};
pub use sized::norm_at_size;
pub use weighted::{GroupWeights, WeightedFour, weighted_four};

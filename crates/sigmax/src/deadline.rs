//! Points in time at which work is given up.

use std::time::Instant;

/// Whether a point in time is over; none never is.
pub(crate) fn is_past(deadline: Option<Instant>) -> bool {
    deadline.is_some_and(|deadline| Instant::now() >= deadline)
}

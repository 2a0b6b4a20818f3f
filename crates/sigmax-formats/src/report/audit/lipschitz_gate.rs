//! [`LipschitzGate`]: the answer to "is the constant of the network at most this?".

use crate::report::ink::decimal::{Rounding, decimal, most};
use crate::report::{NetworkReport, Report};

/// The answer to "is the Lipschitz constant of the network at most `limit`?".
#[derive(Clone, Debug, PartialEq)]
pub struct LipschitzGate {
    /// The largest constant allowed, as a decimal number ([`most`]).
    pub limit: f64,
    /// Whether the constant is proved to be within the limit.
    pub passed: bool,
    /// Why it is not, without a full stop; `None` where the gate is passed.
    pub reason: Option<String>,
}

impl Report {
    /// The gate on the network's constant, where there is one.
    #[must_use]
    pub fn lipschitz_gate(&self) -> Option<LipschitzGate> {
        let limit = self.request.max_lipschitz?;
        let constant = self.network.as_ref().and_then(NetworkReport::constant);
        let passed = constant.is_some_and(|upper| upper.get() <= most(limit));
        let reason = match (&self.network, constant) {
            _ if passed => None,
            (_, Some(upper)) => {
                let upper = decimal(upper.get(), 7, Rounding::Up);
                Some(format!("the proved upper end is {upper}"))
            }
            (None, None) => Some("the network as a whole was not looked at".to_owned()),
            (Some(network), None) => network.reason(),
        };
        Some(LipschitzGate {
            limit,
            passed,
            reason,
        })
    }
}

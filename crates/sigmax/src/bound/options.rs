//! How far to go, and why a method stopped.

use std::time::{Duration, Instant};

use crate::error::Error;
use crate::named::named;

/// Tolerance and budget of a bracket.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Relative width aimed at: upper ≤ (1 + tolerance)·lower. Default 1e-3.
    pub tolerance: f64,
    /// When to stop short of it. Default: after about 10¹³ operations.
    pub budget: Budget,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tolerance: 1e-3,
            budget: Budget::default(),
        }
    }
}

impl Options {
    /// Refuses a tolerance that is not a positive number.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.tolerance > 0.0 && self.tolerance.is_finite() {
            Ok(())
        } else {
            Err(Error::Geometry {
                field: "tolerance",
                expected: "a positive, finite number".into(),
                got: self.tolerance.to_string(),
            })
        }
    }
}

impl Options {
    /// The tolerances that a branch and bound with symbols of the given order works through. Where the
    /// work may be cut short, or is large, coarse passes come first, so that a valid upper end
    /// exists early; what one pass proves is kept for the next.
    pub(crate) fn passes(&self, order: usize, taps: usize) -> Vec<f64> {
        const LARGE: usize = 192;
        const MANY: usize = 1 << 10;
        let mut passes = Vec::new();
        if !self.budget.is_unlimited() || order >= LARGE || taps >= MANY {
            passes.extend([0.3, 0.1, 0.03, 0.01, 0.003]);
            passes.retain(|&pass| pass > 2.0 * self.tolerance);
        }
        passes.push(self.tolerance);
        passes
    }
}

impl Budget {
    /// The same with what time is left until a deadline.
    pub(crate) fn until(self, deadline: Option<Instant>) -> Self {
        Self {
            time: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
            ..self
        }
    }
}

/// Limits on the work of one bracket; whatever is reached first ends it. The bracket so far is
/// returned: still proved, only wider.
///
/// Without a limit, a bracket ends at the tolerance or after about 10¹³ operations, a quarter of an hour
/// of one core, with [`Stop::Work`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Budget {
    /// Most frequencies to test. The result is then reproducible bit for bit.
    pub tests: Option<u64>,
    /// Most time to take. The result then depends on the machine.
    pub time: Option<Duration>,
}

impl Budget {
    /// Whether `tests` and the time since `started` are still within the budget.
    pub(crate) fn check(&self, tests: u64, started: Instant) -> Result<(), Stop> {
        if self.tests.is_some_and(|most| tests >= most) {
            Err(Stop::Work)
        } else if self.time.is_some_and(|most| started.elapsed() >= most) {
            Err(Stop::Time)
        } else {
            Ok(())
        }
    }

    /// Whether no limit is set.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.tests.is_none() && self.time.is_none()
    }
}

/// Why a bracket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// The tolerance was met.
    Tolerance,
    /// The budget of tests was used up; without a budget, about 10¹³ operations were; or the set-up
    /// alone would take more than that, or 8 GiB (kernels with very many taps and channels).
    Work,
    /// The time was used up.
    Time,
    /// The tolerance is below what f64 arithmetic can prove for this kernel.
    Precision,
}

impl Stop {
    /// A short name: `tolerance`, `work`, `time`, `precision`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Tolerance => "tolerance",
            Self::Work => "work",
            Self::Time => "time",
            Self::Precision => "precision",
        }
    }
}

named!(Stop, "stop", [Tolerance, Work, Time, Precision]);

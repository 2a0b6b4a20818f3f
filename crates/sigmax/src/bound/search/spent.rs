//! What a search has used of its budget, and the work after which it ends without one.

use std::time::Instant;

use crate::bound::options::{Options, Stop};

/// Operations after which a search without a budget ends: about a quarter of an hour of one core.
const DEFAULT_WORK: f64 = (1u64 << 43) as f64;
/// Operations of one step that cannot be interrupted.
const MAX_STEP: f64 = (1u64 << 43) as f64;
/// What a search has used of its budget.
pub(crate) struct Spent<'a> {
    pub(crate) options: &'a Options,
    started: Instant,
    /// Frequencies tested.
    pub(crate) tests: u64,
    /// Floating-point operations, approximately.
    pub(crate) operations: f64,
}

impl<'a> Spent<'a> {
    pub(crate) fn new(options: &'a Options) -> Self {
        Self {
            options,
            started: Instant::now(),
            tests: 0,
            operations: 0.0,
        }
    }

    /// Whether the search may go on.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        self.options.budget.check(self.tests, self.started)?;
        if self.options.budget.is_unlimited() && self.operations > DEFAULT_WORK {
            return Err(Stop::Work);
        }
        Ok(())
    }

    /// Refuses a step that alone would take more work or time than there is.
    pub(crate) fn afford(&self, operations: f64) -> Result<(), Stop> {
        /// A rate that any machine reaches.
        const PER_SECOND: f64 = 1e9;
        self.check()?;
        if operations > MAX_STEP {
            return Err(Stop::Work);
        }
        match self.options.budget.time {
            Some(time) => {
                let left = time.saturating_sub(self.started.elapsed()).as_secs_f64();
                if operations > PER_SECOND * left {
                    Err(Stop::Time)
                } else {
                    Ok(())
                }
            }
            None => Ok(()),
        }
    }
}

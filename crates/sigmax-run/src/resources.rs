//! [`Resources`]: what a run may use, and how to stop it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::Error;

/// What a run may use. The numbers of its report depend on none of it but the budget.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Resources {
    /// Threads to compute with; all cores where there is no number.
    pub threads: Option<NonZeroUsize>,
    /// Time for the whole run: what is not finished then is proved, only wider. Reading and the
    /// cheapest bounds are done in any case.
    pub budget: Option<Duration>,
    /// Stops the run.
    pub cancel: Cancel,
}

impl Resources {
    /// The same with another number of threads; `None`: all cores.
    #[must_use]
    pub fn with_threads(mut self, threads: Option<NonZeroUsize>) -> Self {
        self.threads = threads;
        self
    }

    /// The same with another budget.
    #[must_use]
    pub fn with_budget(mut self, budget: Option<Duration>) -> Self {
        self.budget = budget;
        self
    }

    /// Runs `work` with these threads.
    ///
    /// # Errors
    /// [`Error::Threads`] where they cannot be started.
    pub fn install<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, Error> {
        Ok(self.pool()?.install(work))
    }

    pub(crate) fn pool(&self) -> Result<ThreadPool, Error> {
        let threads = self.threads();
        ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .map_err(|error| Error::Threads {
                threads,
                reason: error.to_string(),
            })
    }

    pub(crate) fn threads(&self) -> usize {
        self.threads
            .or_else(|| available_parallelism().ok())
            .map_or(1, NonZeroUsize::get)
    }

    /// When the budget ends, for a run that begins now.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.budget
            .and_then(|budget| Instant::now().checked_add(budget))
    }
}

/// Stops a run from another thread. Clones stop the same run.
///
/// A run looks at it between layers, not within one; a layer that is being computed when its run
/// stops is computed to its end in the background.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Stops every run that has this flag: it returns [`Error::Cancelled`].
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            Err(Error::Cancelled)
        } else {
            Ok(())
        }
    }
}

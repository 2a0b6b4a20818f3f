//! The threads and the time that a command may use.

use std::num::NonZeroUsize;
use std::time::Duration;

use sigmax_run::Resources;

/// What the options say; all cores, if there is no number of threads.
pub(crate) fn of(threads: Option<u16>, budget: Option<Duration>) -> Resources {
    let threads = threads.and_then(|n| NonZeroUsize::new(usize::from(n)));
    Resources::default()
        .with_threads(threads)
        .with_budget(budget)
}

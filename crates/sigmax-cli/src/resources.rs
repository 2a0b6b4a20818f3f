//! The threads and the time that a command may use.

use std::num::NonZeroUsize;
use std::time::Duration;

use sigmax_run::Resources;

use crate::failure::Failure;

/// What the options say; all cores, if there is no number of threads.
pub(crate) fn of(threads: Option<u16>, budget: Option<Duration>) -> Resources {
    let threads = threads.and_then(|n| NonZeroUsize::new(usize::from(n)));
    Resources::default()
        .with_threads(threads)
        .with_budget(budget)
}

/// Runs `work` with `threads` threads; all cores, if there is no number.
pub(crate) fn install<T: Send>(
    threads: Option<u16>,
    work: impl FnOnce() -> Result<T, Failure> + Send,
) -> Result<T, Failure> {
    let mut builder = rayon::ThreadPoolBuilder::new();
    if let Some(threads) = threads {
        builder = builder.num_threads(usize::from(threads));
    }
    let pool = builder
        .build()
        .map_err(|error| Failure::Input(format!("cannot start threads: {error}")))?;
    pool.install(work)
}

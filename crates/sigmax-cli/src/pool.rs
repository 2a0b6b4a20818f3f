//! The threads that a command computes with.

use crate::failure::Failure;

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

//! Ranges of a file in memory, with a limit.

use std::path::Path;

use crate::bytes::source::Source;
use crate::error::Error;

/// Most bytes of all images together.
const MAX_BYTES: u64 = 16 << 30;

/// The `count` entries of `size` bytes at `offset`.
pub(super) fn entries(
    source: &Source,
    offset: u64,
    count: usize,
    size: usize,
) -> Result<Vec<u8>, Error> {
    source.read(offset, total(source.file(), count, size)?)
}

/// How many bytes these entries are, if they may be held in memory.
pub(super) fn total(file: &Path, count: usize, size: usize) -> Result<u64, Error> {
    let total = (count as u64).saturating_mul(size as u64);
    if total > MAX_BYTES {
        return Err(Error::TooLarge {
            file: file.to_owned(),
            what: "the size of all images in bytes",
            limit: MAX_BYTES,
            got: total,
        });
    }
    Ok(total)
}

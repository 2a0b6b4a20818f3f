//! The binary version of CIFAR-10: records of one label byte and 3×32×32 pixel bytes.

use std::path::Path;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::{bad, bytes, open};

/// Bytes of one record.
pub(super) const RECORD: u64 = 1 + 3 * 32 * 32;
/// Channels, height and width.
pub(super) const SHAPE: [usize; 3] = [3, 32, 32];
const CLASSES: u8 = 10;
/// Records read at a time.
const BLOCK: usize = 256;

/// One file of CIFAR-10 records, plain or gzip, read on demand.
#[derive(Debug)]
pub struct Cifar10 {
    source: Source,
    records: usize,
}

impl Cifar10 {
    /// Opens a file.
    ///
    /// # Errors
    /// A file that cannot be read, is empty, or has an incomplete record.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::new(open::file(path, "CIFAR-10 records")?)
    }

    pub(super) fn new(source: Source) -> Result<Self, Error> {
        let len = source.len();
        if len == 0 || !len.is_multiple_of(RECORD) {
            let expected = format!("one or more records of {RECORD} bytes");
            return Err(bad(&source, expected, format!("{len} bytes")));
        }
        let records = usize::try_from(len / RECORD).unwrap_or(usize::MAX);
        Ok(Self { source, records })
    }

    pub(super) fn file(&self) -> &Path {
        self.source.file()
    }

    /// Number of records, at least 1.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "there is at least one record")]
    pub fn len(&self) -> usize {
        self.records
    }

    /// Labels and pixels of the first `count` records, or of all if there are fewer.
    ///
    /// # Errors
    /// A file that cannot be read, or a label above 9.
    pub fn read(&self, count: usize) -> Result<(Vec<u8>, Vec<u8>), Error> {
        let (count, record) = (count.min(self.records), 1 + SHAPE.iter().product::<usize>());
        bytes::total(self.source.file(), count, record)?;
        let mut labels = Vec::with_capacity(count);
        let mut pixels = Vec::with_capacity(count * (record - 1));
        for start in (0..count).step_by(BLOCK) {
            let records = BLOCK.min(count - start);
            let block = bytes::entries(&self.source, start as u64 * RECORD, records, record)?;
            for record in block.chunks_exact(record) {
                if record[0] >= CLASSES {
                    let found = format!("{} for image {}", record[0], labels.len());
                    return Err(bad(&self.source, "labels from 0 to 9", found));
                }
                labels.push(record[0]);
                pixels.extend_from_slice(&record[1..]);
            }
        }
        Ok((labels, pixels))
    }
}

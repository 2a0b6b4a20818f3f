//! [`Cursor`]: sequential reading of a range of a [`Source`], in small blocks.

use std::ops::Range;

use crate::bytes::source::Source;
use crate::error::Error;

/// Bytes fetched at a time: what is skipped is mostly not read.
const BLOCK: u64 = 4096;

/// A position inside a range of a source.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    source: &'a Source,
    position: u64,
    end: u64,
    block: Vec<u8>,
    block_start: u64,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `range`, which has to be inside the source.
    pub(crate) fn new(source: &'a Source, range: Range<u64>) -> Result<Self, Error> {
        source.check(range.start, range.end.saturating_sub(range.start))?;
        Ok(Self {
            source,
            position: range.start,
            end: range.end,
            block: Vec::new(),
            block_start: 0,
        })
    }

    /// What is read.
    pub(crate) fn source(&self) -> &'a Source {
        self.source
    }

    /// Offset of the next byte in the source.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes left in the range.
    pub(crate) fn left(&self) -> u64 {
        self.end - self.position
    }

    /// The next byte.
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        self.need(1)?;
        let inside = self
            .position
            .checked_sub(self.block_start)
            .and_then(|i| usize::try_from(i).ok())
            .and_then(|i| self.block.get(i).copied());
        let byte = match inside {
            Some(byte) => byte,
            None => {
                let available = self.source.len() - self.position;
                self.block = self.source.read(self.position, available.min(BLOCK))?;
                self.block_start = self.position;
                self.block[0]
            }
        };
        self.position += 1;
        Ok(byte)
    }

    /// The next `N` bytes.
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte()?;
        }
        Ok(bytes)
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: u64) -> Result<Vec<u8>, Error> {
        self.need(len)?;
        if len <= BLOCK {
            return (0..len).map(|_| self.byte()).collect();
        }
        let bytes = self.source.read(self.position, len)?;
        self.position += len;
        Ok(bytes)
    }

    /// Passes over the next `len` bytes and returns their range.
    pub(crate) fn skip(&mut self, len: u64) -> Result<Range<u64>, Error> {
        self.need(len)?;
        let start = self.position;
        self.position += len;
        Ok(start..self.position)
    }

    /// Runs `read` on a range, then comes back.
    pub(crate) fn inside<T>(
        &mut self,
        range: Range<u64>,
        read: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.source
            .check(range.start, range.end.saturating_sub(range.start))?;
        let saved = (self.position, self.end);
        (self.position, self.end) = (range.start, range.end);
        let result = read(self);
        (self.position, self.end) = saved;
        result
    }

    fn need(&self, len: u64) -> Result<(), Error> {
        if len > self.left() {
            return Err(Error::Truncated {
                file: self.source.file().to_owned(),
                offset: self.position,
                expected: len,
                got: self.left(),
            });
        }
        Ok(())
    }
}

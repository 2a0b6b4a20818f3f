//! The idx format of MNIST: a magic number, sizes, and the entries.

use std::path::Path;

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::pixels::{Pixels, Stack};
use crate::images::{Axes, bad, bytes, open};

/// More entries than any set in this format has; a header that states more is not believed.
const MOST: usize = 1_000_000;
/// The type of unsigned bytes, the only one that is read.
const UNSIGNED_BYTE: u8 = 8;

/// One file in the idx format, plain or gzip, of unsigned bytes: its sizes, and its entries on
/// demand.
#[derive(Debug)]
pub struct Idx {
    source: Source,
    sizes: Vec<usize>,
}

impl Idx {
    /// Reads the header of a file with this number of axes. The first is the number of entries.
    ///
    /// # Errors
    /// A file that cannot be read; another magic number; no entries or more than a million.
    pub fn open(path: &Path, axes: u8) -> Result<Self, Error> {
        Self::new(open::file(path, "an idx file")?, &[axes])
    }

    /// Reads the header; `axes` are the numbers of axes that may be there.
    pub(super) fn new(source: Source, axes: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&source, 0..source.len())?;
        let word = |cursor: &mut Cursor<'_>, axes: u8| {
            if cursor.left() < 4 {
                let expected = format!("an idx header of {} bytes", 4 * (u32::from(axes) + 1));
                return Err(bad(&source, expected, "a shorter file"));
            }
            cursor.array().map(u32::from_be_bytes)
        };
        let found = word(&mut cursor, axes[0])?;
        let magic = |&axes: &u8| u32::from_be_bytes([0, 0, UNSIGNED_BYTE, axes]);
        let Some(&axes) = axes.iter().find(|&axes| magic(axes) == found) else {
            let known: Vec<_> = axes
                .iter()
                .map(|axes| format!("{:#010x} (unsigned bytes, {axes} axes)", magic(axes)))
                .collect();
            let expected = format!("the magic number {}", known.join(" or "));
            return Err(bad(&source, expected, format!("{found:#010x}")));
        };
        let mut sizes = Vec::new();
        for _ in 0..axes {
            sizes.push(word(&mut cursor, axes)? as usize);
        }
        // Without axes there is one entry, and nothing to count.
        let entries = sizes.first().copied().unwrap_or(0);
        if !(1..=MOST).contains(&entries) {
            let expected = format!("1 to {MOST} entries");
            return Err(bad(&source, expected, entries.to_string()));
        }
        Ok(Self { source, sizes })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// The sizes of the axes.
    #[must_use]
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// The first `count` entries, or all if there are fewer.
    ///
    /// # Errors
    /// A file whose length does not follow from its sizes.
    pub fn read(&self, count: usize) -> Result<Vec<u8>, Error> {
        let start = 4 * (self.sizes.len() as u64 + 1);
        let got = self.source.len() - start;
        let size = product(&self.sizes);
        if size != Some(got) {
            let expected = match size {
                Some(size) => format!("{size} bytes after the header"),
                None => format!("sizes {:?} of a file that can be", self.sizes),
            };
            let found = match size {
                Some(size) if size < got => format!("{} more", got - size),
                _ => format!("{got} bytes"),
            };
            return Err(bad(&self.source, expected, found));
        }
        let entry = self.sizes[1..].iter().product();
        bytes::entries(&self.source, start, count.min(self.sizes[0]), entry)
    }

    /// The first images of the file.
    pub(super) fn images(&self, limit: Option<usize>) -> Result<Stack, Error> {
        let [total, shape @ ..] = &self.sizes[..] else {
            unreachable!("the header has at least one size");
        };
        if shape.contains(&0) {
            let found = format!("sizes {:?}", self.sizes);
            return Err(bad(&self.source, "images of at least one pixel", found));
        }
        let pixels = self.read(limit.unwrap_or(*total))?;
        Ok(Stack {
            file: self.source.file().to_owned(),
            total: *total,
            take: limit.map_or(*total, |limit| limit.min(*total)),
            axes: match *shape {
                [height, width] => Axes::Picture([1, height, width]),
                _ => Axes::Array(shape.to_vec()),
            },
            pixels: Pixels::Bytes(pixels),
        })
    }
}

fn product(sizes: &[usize]) -> Option<u64> {
    sizes
        .iter()
        .try_fold(1u64, |product, &size| product.checked_mul(size as u64))
}

/// Whether a file that begins with `head` may be idx, of any type.
pub(super) fn begins(head: &[u8]) -> bool {
    matches!(head[..], [0, 0, 8 | 9 | 11..=14, 1..=8, ..])
}

/// Whether a file of unsigned bytes that begins with `head` has just this length.
pub(super) fn fits(head: &[u8], len: u64) -> bool {
    let axes = usize::from(head[3]);
    let (words, _) = head[4..].as_chunks::<4>();
    let sizes = words
        .iter()
        .take(axes)
        .map(|&word| u32::from_be_bytes(word) as usize);
    let sizes: Vec<_> = sizes.collect();
    sizes.len() == axes
        && head[2] == UNSIGNED_BYTE
        && product(&sizes).and_then(|size| size.checked_add(4 * (axes as u64 + 1))) == Some(len)
}

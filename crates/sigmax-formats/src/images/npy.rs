//! [`Array`]: an array in NumPy's format.

mod dtype;
mod literal;

use dtype::{Dtype, Kind};
use literal::Value;

use crate::bytes::cursor::Cursor;
use crate::bytes::element::Element;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::pixels::{Pixels, Stack};
use crate::images::{Axes, bad, bytes};

/// Most bytes of the text that describes the array; NumPy writes about a hundred.
const MAX_HEADER: u64 = 1 << 16;
/// Bytes of a Fortran-ordered array that are read at a time.
const BLOCK: usize = 1 << 20;

/// An array whose header is read.
#[derive(Debug)]
pub(super) struct Array {
    source: Source,
    dtype: Dtype,
    fortran: bool,
    shape: Vec<usize>,
    /// Where the entries begin.
    start: u64,
}

impl Array {
    /// Reads the header, and checks that the entries are there and that nothing follows.
    pub(super) fn read(source: Source) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&source, 0..source.len())?;
        if cursor.array()? != *b"\x93NUMPY" {
            return Err(bad(&source, "a NumPy array", "another magic number"));
        }
        let [major, minor] = cursor.array()?;
        let length = match (major, minor) {
            (1, 0) => u64::from(u16::from_le_bytes(cursor.array()?)),
            (2 | 3, 0) => u64::from(u32::from_le_bytes(cursor.array()?)),
            _ => {
                let found = format!("{major}.{minor}");
                return Err(bad(&source, "version 1.0, 2.0 or 3.0 of the format", found));
            }
        };
        source.limit("the header's length in bytes", MAX_HEADER, length)?;
        let text_start = cursor.position();
        let text = cursor.bytes(length)?;
        let start = cursor.position();
        let [mut descr, mut fortran, mut shape] = [const { None }; 3];
        for (key, value) in literal::dict(&text)
            .map_err(|(at, reason)| source.malformed(text_start + at as u64, reason))?
        {
            let place = match key.as_str() {
                "descr" => &mut descr,
                "fortran_order" => &mut fortran,
                "shape" => &mut shape,
                _ => {
                    return Err(bad(
                        &source,
                        "descr, fortran_order and shape",
                        format!("{key:?}"),
                    ));
                }
            };
            if place.replace(value).is_some() {
                return Err(bad(&source, "every key once", format!("{key:?} twice")));
            }
        }
        let (dtype, fortran, shape) = match (descr, fortran, shape) {
            (Some(Value::Text(d)), Some(Value::Truth(f)), Some(Value::Sizes(s))) => (d, f, s),
            (Some(Value::List), ..) => {
                return Err(bad(
                    &source,
                    "an array of numbers",
                    "one with several fields",
                ));
            }
            _ => {
                let expected = "a header {'descr': '…', 'fortran_order': …, 'shape': (…)}";
                return Err(bad(
                    &source,
                    expected,
                    String::from_utf8_lossy(&text).trim_end(),
                ));
            }
        };
        let dtype =
            Dtype::parse(&dtype).map_err(|(expected, found)| bad(&source, expected, found))?;
        let array = Self {
            source,
            dtype,
            fortran,
            shape,
            start,
        };
        array.check()?;
        Ok(array)
    }

    fn check(&self) -> Result<(), Error> {
        let size = self
            .shape
            .iter()
            .try_fold(self.dtype.size, |size, &axis| size.checked_mul(axis))
            .map(|size| size as u64);
        let got = self.source.len() - self.start;
        if size == Some(got) {
            return Ok(());
        }
        let expected = match size {
            Some(size) => format!("{size} bytes after the header"),
            None => "sizes of a file that can be".to_owned(),
        };
        let found = format!("{got} for shape {:?} and dtype {}", self.shape, self.dtype);
        Err(bad(&self.source, expected, found))
    }

    /// Whether the array may be images.
    pub(super) fn may_be_images(&self) -> bool {
        (2..=4).contains(&self.shape.len()) && self.dtype.pixels().is_some()
    }

    /// The first images.
    pub(super) fn images(&self, limit: Option<usize>) -> Result<Stack, Error> {
        if !(2..=4).contains(&self.shape.len()) {
            let expected = "images of shape [n, h, w], [n, c, h, w], [n, h, w, c] or [n, d]";
            return Err(bad(&self.source, expected, format!("{:?}", self.shape)));
        }
        if self.shape.contains(&0) {
            let found = format!("shape {:?}", self.shape);
            return Err(bad(&self.source, "at least one image of one pixel", found));
        }
        let Some(kind) = self.dtype.pixels() else {
            let expected = "images of dtype u1, f2, f4 or f8";
            return Err(bad(&self.source, expected, self.dtype.to_string()));
        };
        let total = self.shape[0];
        let take = limit.map_or(total, |limit| limit.min(total));
        let entries = self.leading(take)?;
        let pixels = match kind {
            None => Pixels::Bytes(entries),
            Some(element) => Pixels::Floats {
                range: self.range(element, &entries)?,
                element,
                bytes: entries,
            },
        };
        Ok(Stack {
            file: self.source.file().to_owned(),
            total,
            take,
            axes: Axes::Array(self.shape[1..].to_vec()),
            pixels,
        })
    }

    /// The first `take` labels, after `check` has seen how many there are.
    pub(super) fn labels(
        &self,
        check: impl FnOnce(&Source, usize) -> Result<(), Error>,
        take: usize,
    ) -> Result<Vec<usize>, Error> {
        let ([count] | [count, 1]) = self.shape[..] else {
            let expected = "labels of shape [n] or [n, 1]";
            return Err(bad(&self.source, expected, format!("{:?}", self.shape)));
        };
        if !matches!(self.dtype.kind, Kind::Signed | Kind::Unsigned) {
            return Err(bad(&self.source, "integer labels", self.dtype.to_string()));
        }
        check(&self.source, count)?;
        let entries = self.leading(take.min(count))?;
        let label = |(i, entry): (usize, &[u8])| {
            let value = self.dtype.integer(entry);
            usize::try_from(value).map_err(|_| {
                let found = format!("{value} for image {i}");
                bad(&self.source, "labels of at least 0", found)
            })
        };
        let entries = entries.chunks_exact(self.dtype.size).enumerate();
        entries.map(label).collect()
    }

    /// The entries with a first index below `take`, little-endian and in C order.
    fn leading(&self, take: usize) -> Result<Vec<u8>, Error> {
        let size = self.dtype.size;
        let inner: usize = self.shape[1..].iter().product();
        let mut entries = if self.fortran && self.shape.len() > 1 {
            self.transposed(take, inner)?
        } else {
            bytes::entries(&self.source, self.start, take, inner * size)?
        };
        if self.dtype.big_endian {
            entries.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(entries)
    }

    /// The same for Fortran order, where the first index runs fastest.
    fn transposed(&self, take: usize, inner: usize) -> Result<Vec<u8>, Error> {
        let size = self.dtype.size;
        let column = self.shape[0] * size;
        let total = bytes::total(self.source.file(), take, inner * size)?;
        let mut entries = vec![0; usize::try_from(total).unwrap_or(usize::MAX)];
        let columns = (BLOCK / column).max(1);
        for first in (0..inner).step_by(columns) {
            let columns = columns.min(inner - first);
            let offset = self.start + (first * column) as u64;
            let block = bytes::entries(&self.source, offset, columns, column)?;
            for (k, column) in block.chunks_exact(column).enumerate() {
                let place = self.c_order(first + k);
                for (i, entry) in column.chunks_exact(size).take(take).enumerate() {
                    entries[(i * inner + place) * size..][..size].copy_from_slice(entry);
                }
            }
        }
        Ok(entries)
    }

    /// Where the entry that is at `k` in Fortran order is in C order, in one image.
    fn c_order(&self, mut k: usize) -> usize {
        let axes = &self.shape[1..];
        let mut index = Vec::with_capacity(axes.len());
        for &axis in axes {
            index.push(k % axis);
            k /= axis;
        }
        std::iter::zip(axes, index).fold(0, |place, (axis, i)| place * axis + i)
    }

    /// The smallest and the largest value; refuses NaN and infinities.
    fn range(&self, element: Element, entries: &[u8]) -> Result<[f64; 2], Error> {
        let inner: usize = self.shape[1..].iter().product();
        let mut values = Vec::new();
        let mut range = [f64::INFINITY, f64::NEG_INFINITY];
        for (image, entries) in entries.chunks_exact(inner * element.size()).enumerate() {
            values.clear();
            element.widen(entries, &mut values);
            if let Some(mut k) = values.iter().position(|value| !value.is_finite()) {
                let value = values[k];
                let mut index = vec![0; self.shape.len()];
                index[0] = image;
                for axis in (1..self.shape.len()).rev() {
                    index[axis] = k % self.shape[axis];
                    k /= self.shape[axis];
                }
                let found = format!("{value} at index {index:?}");
                return Err(bad(&self.source, "finite values", found));
            }
            for &value in &values {
                range = [range[0].min(value), range[1].max(value)];
            }
        }
        Ok(range)
    }
}

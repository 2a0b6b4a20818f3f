//! [`Codes`]: a tensor of integers or 8-bit floats, as quantised weights are stored.

use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bytes::cursor::Cursor;
use crate::bytes::float8::Float8;
use crate::bytes::source::Source;
use crate::bytes::wire::Payload;
use crate::error::Error;

/// Largest integer that is told from its neighbours as a float.
const LARGEST: f64 = ((1u64 << 53) - 1) as f64;

/// The type of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Int4,
    Uint4,
    Int8,
    Uint8,
    Int16,
    Uint16,
    Int32,
    Int64,
    Float8(Float8),
}

/// Where the codes are.
#[derive(Clone, Debug)]
pub(crate) enum CodesPlace {
    /// In the model file, from this offset.
    Raw(u64),
    /// In another file, from this offset.
    External(PathBuf, u64),
    /// In a repeated protobuf field, one integer each (4-bit types: two codes), of the message at this
    /// range of the model file.
    Field(u64, Range<u64>),
}

/// A tensor of codes that has not been read yet.
#[derive(Clone, Debug)]
pub(crate) struct Codes {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    pub(crate) code: Code,
    pub(crate) place: CodesPlace,
}

impl Code {
    /// Bytes that so many codes take; two of 4 bits share one.
    pub(crate) fn bytes(self, count: usize) -> Option<usize> {
        match self {
            Self::Int4 | Self::Uint4 => Some(count.div_ceil(2)),
            Self::Int8 | Self::Uint8 | Self::Float8(_) => Some(count),
            Self::Int16 | Self::Uint16 => count.checked_mul(2),
            Self::Int32 => count.checked_mul(4),
            Self::Int64 => count.checked_mul(8),
        }
    }

    /// Appends the numbers of little-endian bytes, the first of two 4-bit codes in the lower bits.
    fn widen(self, bytes: &[u8], values: &mut Vec<f64>) {
        match self {
            Self::Int4 => {
                let signed = |code: u8| f64::from((code << 4).cast_signed() >> 4);
                values.extend(bytes.iter().flat_map(|&b| [signed(b & 15), signed(b >> 4)]));
            }
            Self::Uint4 => {
                values.extend(bytes.iter().flat_map(|&b| [b & 15, b >> 4].map(f64::from)));
            }
            Self::Int8 => values.extend(bytes.iter().map(|&b| f64::from(b.cast_signed()))),
            Self::Uint8 => values.extend(bytes.iter().map(|&b| f64::from(b))),
            Self::Float8(format) => values.extend(bytes.iter().map(|&b| format.widen(b))),
            Self::Int16 => {
                let (entries, _) = bytes.as_chunks();
                values.extend(entries.iter().map(|&b| f64::from(i16::from_le_bytes(b))));
            }
            Self::Uint16 => {
                let (entries, _) = bytes.as_chunks();
                values.extend(entries.iter().map(|&b| f64::from(u16::from_le_bytes(b))));
            }
            Self::Int32 => {
                let (entries, _) = bytes.as_chunks();
                values.extend(entries.iter().map(|&b| f64::from(i32::from_le_bytes(b))));
            }
            Self::Int64 => {
                let (entries, _) = bytes.as_chunks();
                values.extend(entries.iter().map(|&b| i64::from_le_bytes(b) as f64));
            }
        }
    }

    /// An integer of a repeated field as the bytes that it stands for; `None` where it is beyond the type.
    fn packed(self, value: i64) -> Option<([u8; 8], usize)> {
        let inside = |least: i64, most: i64| (least..=most).contains(&value);
        let fits = match self {
            Self::Int8 => inside(-128, 127),
            Self::Int4 | Self::Uint4 | Self::Uint8 | Self::Float8(_) => inside(0, 255),
            Self::Int16 => inside(-32768, 32767),
            Self::Uint16 => inside(0, 65535),
            Self::Int32 => i32::try_from(value).is_ok(),
            Self::Int64 => true,
        };
        let length = self.bytes(1).filter(|_| fits)?;
        Some((value.to_le_bytes(), length))
    }
}

impl Codes {
    /// The file beside the model that holds them, if there is one.
    pub(crate) fn external(&self) -> Option<&Path> {
        match &self.place {
            CodesPlace::External(path, _) => Some(path),
            CodesPlace::Raw(_) | CodesPlace::Field(..) => None,
        }
    }

    /// Their numbers, exactly.
    pub(crate) fn read(&self, source: &Source) -> Result<Vec<f64>, Error> {
        let wrong = |reason: String| source.bad_tensor(&self.name, reason);
        let count = crate::model::tensor::count(&self.shape);
        let sizes = count.and_then(|count| Some((count, self.code.bytes(count)?)));
        let (count, bytes) = sizes.ok_or_else(|| wrong("its size overflows".to_owned()))?;
        let raw = |source: &Source, offset: u64| {
            source.check(offset, bytes as u64)?;
            let mut data = vec![0; bytes];
            source.read_into(offset, &mut data)?;
            Ok::<_, Error>(data)
        };
        let data = match &self.place {
            CodesPlace::Raw(offset) => raw(source, *offset)?,
            CodesPlace::External(path, offset) => raw(&Source::open(path)?, *offset)?,
            CodesPlace::Field(field, range) => self.field(source, *field, range)?,
        };
        if data.len() != bytes {
            return Err(wrong(format!(
                "its shape {:?} needs {bytes} bytes, the file has {}",
                self.shape,
                data.len()
            )));
        }
        let mut values = Vec::with_capacity(count + 1);
        self.code.widen(&data, &mut values);
        values.truncate(count);
        // What an i64 beyond that has become is not exact.
        if let Some(value) = values.iter().find(|value| value.abs() > LARGEST) {
            return Err(wrong(format!("{value}: integers are read up to 2^53 − 1")));
        }
        Ok(values)
    }

    /// The bytes that the integers of a repeated field stand for.
    fn field(&self, source: &Source, field: u64, range: &Range<u64>) -> Result<Vec<u8>, Error> {
        let mut data = Vec::new();
        let mut push = |value: u64| {
            let value = value.cast_signed();
            let Some((bytes, length)) = self.code.packed(value) else {
                let reason = format!("{value} is no {:?}", self.code);
                return Err(source.bad_tensor(&self.name, reason));
            };
            data.extend_from_slice(&bytes[..length]);
            Ok(())
        };
        let mut cursor = Cursor::new(source, range.clone())?;
        cursor.message(range.clone(), |cursor, number, payload| {
            if number != field {
                return Ok(());
            }
            match payload {
                Payload::Varint(value) => push(value),
                Payload::Bytes(range) => cursor.inside(range, |cursor| {
                    while cursor.left() > 0 {
                        push(cursor.varint()?)?;
                    }
                    Ok(())
                }),
                Payload::Fixed32(_) | Payload::Fixed64(_) => {
                    Err(source.bad_tensor(&self.name, "floats where integers belong"))
                }
            }
        })?;
        Ok(data)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "codes are small integers")]
mod tests {
    use super::*;

    #[test]
    fn codes_widen() {
        let read = |code: Code, bytes: &[u8]| {
            let mut values = Vec::new();
            code.widen(bytes, &mut values);
            values
        };
        assert_eq!(read(Code::Int4, &[0x8f, 0x70]), [-1.0, -8.0, 0.0, 7.0]);
        assert_eq!(read(Code::Uint4, &[0x8f]), [15.0, 8.0]);
        assert_eq!(read(Code::Int8, &[0x80, 0x7f]), [-128.0, 127.0]);
        assert_eq!(read(Code::Uint8, &[0x80]), [128.0]);
        assert_eq!(read(Code::Int16, &[0, 0x80]), [-32768.0]);
        assert_eq!(read(Code::Uint16, &[0, 0x80]), [32768.0]);
        assert_eq!(read(Code::Int32, &[0, 0, 0, 0x80]), [-2147483648.0]);
        assert_eq!(read(Code::Int64, &(-5i64).to_le_bytes()), [-5.0]);
    }

    #[test]
    fn integers_beyond_their_type() {
        for (code, value) in [
            (Code::Int8, 128),
            (Code::Int8, -129),
            (Code::Uint8, -1),
            (Code::Uint8, 256),
            (Code::Int16, 1 << 15),
            (Code::Uint16, 1 << 16),
            (Code::Int32, 1 << 31),
            (Code::Uint4, 256),
        ] {
            assert_eq!(code.packed(value), None, "{code:?} {value}");
        }
        assert_eq!(Code::Int8.packed(-1), Some(([255; 8], 1)));
    }
}

//! The protobuf wire format, read field by field without loading what is not looked at.
//!
//! Hand-written instead of generated: a generated decoder holds the whole message, weights
//! included, and the ONNX messages need a dozen fields. Groups (wire types 3 and 4) do not occur in
//! ONNX and are refused.

use std::ops::Range;

use crate::bytes::cursor::Cursor;
use crate::error::Error;

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// An integer, enum or bool.
    Varint(u64),
    /// An f32 or fixed 32-bit integer, little-endian.
    Fixed32([u8; 4]),
    /// An f64 or fixed 64-bit integer, little-endian.
    Fixed64([u8; 8]),
    /// Where a message, string, byte string or packed list is.
    Bytes(Range<u64>),
}

impl Payload {
    /// A signed 64-bit field; `None` if the payload is of another kind.
    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Varint(value) => Some(value.cast_signed()),
            _ => None,
        }
    }
}

impl Cursor<'_> {
    /// A base-128 integer.
    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let start = self.position();
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self
            .source()
            .malformed(start, "a protobuf integer has more than 64 bits"))
    }

    /// The next field of a message with its number; `None` at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Payload)>, Error> {
        if self.left() == 0 {
            return Ok(None);
        }
        let start = self.position();
        let tag = self.varint()?;
        let number = tag >> 3;
        if number == 0 || number > 0x1fff_ffff {
            return Err(self
                .source()
                .malformed(start, format!("{number} is not a protobuf field number")));
        }
        let payload = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed64(self.array()?),
            2 => {
                let len = self.varint()?;
                Payload::Bytes(self.skip(len)?)
            }
            5 => Payload::Fixed32(self.array()?),
            other => {
                return Err(self.source().malformed(
                    start,
                    format!("wire type {other} of protobuf field {number} is not used by ONNX"),
                ));
            }
        };
        Ok(Some((number, payload)))
    }

    /// Calls `visit` for every field of the message at `range`.
    pub(crate) fn message(
        &mut self,
        range: Range<u64>,
        mut visit: impl FnMut(&mut Self, u64, Payload) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.inside(range, |cursor| {
            while let Some((number, payload)) = cursor.field()? {
                visit(cursor, number, payload)?;
            }
            Ok(())
        })
    }

    /// The text at `range`, at most `limit` bytes of UTF-8.
    pub(crate) fn text(&mut self, range: Range<u64>, limit: u64) -> Result<String, Error> {
        let start = range.start;
        self.source()
            .limit("the length of a name", limit, range.end - start)?;
        let bytes = self.inside(range, |cursor| cursor.bytes(cursor.left()))?;
        String::from_utf8(bytes)
            .map_err(|_| self.source().malformed(start, "a name is not UTF-8 text"))
    }
}

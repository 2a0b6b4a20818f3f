//! Weights that are stored as a repeated protobuf field instead of raw bytes.

use std::ops::Range;

use half::{bf16, f16};

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::bytes::wire::Payload;
use crate::error::Error;

/// Which field of a message holds the entries, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated {
    /// The field's number.
    pub(crate) number: u64,
    /// How one entry is stored.
    pub(crate) entry: Entry,
}

/// How one entry is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Four little-endian bytes.
    F32,
    /// Eight little-endian bytes.
    F64,
    /// The bits of an f16 in an integer.
    F16Bits,
    /// The bits of a bf16 in an integer.
    Bf16Bits,
}

/// Reads `expected` entries, packed or not, of the message at `range`.
///
/// The list grows with the bytes that are read: a message cannot ask for more than it holds.
pub(crate) fn read_repeated(
    source: &Source,
    range: Range<u64>,
    field: Repeated,
    expected: usize,
    tensor: &str,
) -> Result<Vec<f64>, Error> {
    let mut values = Vec::new();
    let mut cursor = Cursor::new(source, range.clone())?;
    cursor.message(range, |cursor, number, payload| {
        if number != field.number {
            return Ok(());
        }
        let value = match (payload, field.entry) {
            (Payload::Bytes(range), entry) => {
                return cursor.inside(range, |cursor| {
                    while cursor.left() > 0 {
                        let value = packed(cursor, entry, tensor)?;
                        push(source, &mut values, value, expected, tensor)?;
                    }
                    Ok(())
                });
            }
            (Payload::Fixed32(bytes), Entry::F32) => f64::from(f32::from_le_bytes(bytes)),
            (Payload::Fixed64(bytes), Entry::F64) => f64::from_le_bytes(bytes),
            (Payload::Varint(bits), entry) => from_bits(source, entry, bits, tensor)?,
            _ => {
                return Err(source.bad_tensor(
                    tensor,
                    format!(
                        "protobuf field {number} does not hold {:?} entries",
                        field.entry
                    ),
                ));
            }
        };
        push(source, &mut values, value, expected, tensor)
    })?;
    if values.len() != expected {
        return Err(source.bad_tensor(
            tensor,
            format!("its shape needs {expected} values, got {}", values.len()),
        ));
    }
    Ok(values)
}

fn push(
    source: &Source,
    values: &mut Vec<f64>,
    value: f64,
    expected: usize,
    tensor: &str,
) -> Result<(), Error> {
    if values.len() == expected {
        return Err(source.bad_tensor(
            tensor,
            format!("its shape needs {expected} values, the file has more"),
        ));
    }
    values.push(value);
    Ok(())
}

fn packed(cursor: &mut Cursor<'_>, entry: Entry, tensor: &str) -> Result<f64, Error> {
    Ok(match entry {
        Entry::F32 => f64::from(f32::from_le_bytes(cursor.array()?)),
        Entry::F64 => f64::from_le_bytes(cursor.array()?),
        Entry::F16Bits | Entry::Bf16Bits => {
            let bits = cursor.varint()?;
            from_bits(cursor.source(), entry, bits, tensor)?
        }
    })
}

fn from_bits(source: &Source, entry: Entry, bits: u64, tensor: &str) -> Result<f64, Error> {
    let bits = u16::try_from(bits)
        .map_err(|_| source.bad_tensor(tensor, format!("{bits} is not a 16-bit float")))?;
    match entry {
        Entry::F16Bits => Ok(f16::from_bits(bits).to_f64()),
        Entry::Bf16Bits => Ok(bf16::from_bits(bits).to_f64()),
        Entry::F32 | Entry::F64 => Err(source.bad_tensor(tensor, "integers where floats belong")),
    }
}

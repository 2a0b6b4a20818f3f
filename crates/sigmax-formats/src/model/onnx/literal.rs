//! [`Literal`]: a TensorProto, with its values left in the file.

use std::ops::Range;
use std::sync::Arc;

use crate::bytes::cursor::Cursor;
use crate::bytes::element::Element;
use crate::bytes::float8::Float8;
use crate::bytes::wire::Payload;
use crate::error::Error;
use crate::model::codes::{Code, Codes, CodesPlace};
use crate::model::repeated::{Entry, Repeated};
use crate::model::tensor::{Place, Tensor, count};

use super::external;
use super::integers::{Integers, Whole};
use super::limits;
use super::state::{State, integers};

/// A constant tensor.
#[derive(Clone, Debug)]
pub(super) struct Literal {
    /// Its name; empty in most attributes.
    pub(super) name: String,
    /// Length per axis.
    pub(super) dims: Vec<usize>,
    /// What it holds.
    pub(super) content: Content,
}

/// What a constant tensor holds.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// Floats, not read yet.
    Float(Tensor),
    /// A few integers.
    Integers(Integers),
    /// Integers or 8-bit floats, not read yet, and why they are no weight by themselves.
    Codes(Arc<Codes>, String),
    /// Something that cannot be a weight, and why.
    Opaque(String),
}

/// The fields of a TensorProto.
#[derive(Debug, Default)]
struct Fields {
    dims: Vec<i64>,
    data_type: u64,
    name: String,
    raw: Option<Range<u64>>,
    segment: bool,
    external: bool,
    entries: Vec<Range<u64>>,
    /// Bytes of packed `float_data` and `double_data`, and whether there are unpacked ones.
    packed: u64,
    unpacked: bool,
}

/// Reads the TensorProto at `range`, called `fallback` if it has no name.
pub(super) fn literal(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
    fallback: &str,
) -> Result<Literal, Error> {
    let mut fields = Fields::default();
    let mut too_long = false;
    cursor.message(range.clone(), |cursor, number, payload| {
        match (number, payload) {
            (1, payload) => {
                too_long |= !integers(cursor, payload, limits::RANK, &mut fields.dims)?;
            }
            (2, Payload::Varint(data_type)) => fields.data_type = data_type,
            (3, _) => fields.segment = true,
            (4 | 10, Payload::Bytes(range)) => fields.packed += range.end - range.start,
            (4 | 10, _) => fields.unpacked = true,
            (8, Payload::Bytes(range)) => fields.name = cursor.text(range, limits::NAME)?,
            (9, Payload::Bytes(range)) => fields.raw = Some(range),
            (13, Payload::Bytes(range)) => {
                state.part()?;
                fields.entries.push(range);
            }
            // DEFAULT or EXTERNAL; what readers make of other numbers differs.
            (14, Payload::Varint(location @ 0..=1)) => fields.external = location == 1,
            (14, _) => {
                return Err(state.source.malformed(
                    range.start,
                    "a tensor whose data_location is neither DEFAULT nor EXTERNAL",
                ));
            }
            _ => {}
        }
        Ok(())
    })?;
    if fields.name.is_empty() {
        fallback.clone_into(&mut fields.name);
    }
    let name = fields.name.clone();
    let wrong = |reason: String| state.source.bad_tensor(&name, reason);
    if too_long {
        return Err(wrong(format!("it has more than {} axes", limits::RANK)));
    }
    let dims: Vec<usize> = fields
        .dims
        .iter()
        .map(|&n| usize::try_from(n))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong(format!("its shape {:?} has a negative axis", fields.dims)))?;
    let entries =
        count(&dims).ok_or_else(|| wrong(format!("the size of its shape {dims:?} overflows")))?;
    let size = element_size(fields.data_type);
    let bytes = match size {
        Some(size) => Some(
            entries
                .checked_mul(size)
                .and_then(|n| u64::try_from(n).ok())
                .ok_or_else(|| wrong(format!("the size of its shape {dims:?} overflows")))?,
        ),
        None => None,
    };
    let place = place(state, cursor, &range, &fields, entries, bytes)?;
    let content = content(cursor, &range, &fields, &dims, place)?;
    Ok(Literal {
        name,
        dims,
        content,
    })
}

/// Where the entries are; `None` in fields of the message, or where the type has no fixed size.
fn place(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: &Range<u64>,
    fields: &Fields,
    entries: usize,
    bytes: Option<u64>,
) -> Result<Place, Error> {
    if fields.external {
        let (path, offset) =
            external::resolve(state, cursor, &fields.name, &fields.entries, bytes)?;
        return Ok(Place::External(path, offset));
    }
    let wrong = |reason: String| Err(state.source.bad_tensor(&fields.name, reason));
    if let Some(raw) = &fields.raw {
        let got = raw.end - raw.start;
        return match bytes {
            Some(bytes) if bytes != got => wrong(format!(
                "its shape {:?} of {} needs {bytes} bytes, raw_data has {got}",
                fields.dims,
                type_name(fields.data_type)
            )),
            _ => Ok(Place::Raw(raw.start)),
        };
    }
    let Some(field) = repeated(fields.data_type) else {
        return Ok(Place::Raw(range.start));
    };
    let size = match field.entry {
        Entry::F32 => 4,
        Entry::F64 => 8,
        Entry::F16Bits | Entry::Bf16Bits => 0,
    };
    if size > 0 && !fields.unpacked && Some(fields.packed) != (entries as u64).checked_mul(size) {
        return wrong(format!(
            "its shape {:?} needs {entries} values, the file has {}",
            fields.dims,
            fields.packed / size
        ));
    }
    Ok(Place::Field(range.clone(), field))
}

fn content(
    cursor: &mut Cursor<'_>,
    range: &Range<u64>,
    fields: &Fields,
    dims: &[usize],
    place: Place,
) -> Result<Content, Error> {
    let kind = type_name(fields.data_type);
    if fields.segment {
        return Ok(Content::Opaque("is stored in segments".to_owned()));
    }
    if let Some(element) = element(fields.data_type) {
        let tensor = Tensor::row_major(&fields.name, element, place, dims.to_vec());
        return tensor.map(Content::Float).ok_or_else(|| {
            cursor.source().bad_tensor(
                &fields.name,
                format!("the size of its shape {dims:?} overflows"),
            )
        });
    }
    let few = count(dims).is_some_and(|n| n <= limits::INTEGERS);
    if matches!(fields.data_type, 6 | 7) && few && !fields.external {
        let values = read_integers(cursor, range, fields, dims)?;
        let element = match fields.data_type {
            7 => Whole::Int64,
            _ => Whole::Int32,
        };
        if element == Whole::Int32
            && let Some(value) = values.iter().find(|&&value| i32::try_from(value).is_err())
        {
            return Err(cursor
                .source()
                .bad_tensor(&fields.name, format!("{value} is no int32")));
        }
        return Ok(Content::Integers(Integers {
            dims: dims.to_vec(),
            element,
            entries: values.into_iter().map(Ok).collect(),
        }));
    }
    let reason = format!("has element type {kind}; expected float16, bfloat16, float32 or float64");
    match codes(cursor, range, fields, dims, place)? {
        Some(codes) => Ok(Content::Codes(Arc::new(codes), reason)),
        None => Ok(Content::Opaque(reason)),
    }
}

/// The integers or 8-bit floats of a tensor, if it holds such.
fn codes(
    cursor: &Cursor<'_>,
    range: &Range<u64>,
    fields: &Fields,
    dims: &[usize],
    place: Place,
) -> Result<Option<Codes>, Error> {
    let Some(code) = code(fields.data_type) else {
        return Ok(None);
    };
    let place = match (place, &fields.raw) {
        // How many bytes there are of 4 bits per entry nobody has checked.
        (Place::External(..), _) if element_size(fields.data_type).is_none() => return Ok(None),
        (Place::External(path, offset), _) => CodesPlace::External(path, offset),
        (_, Some(raw)) => {
            let (needs, got) = (count(dims).and_then(|n| code.bytes(n)), raw.end - raw.start);
            if needs.and_then(|n| u64::try_from(n).ok()) != Some(got) {
                let reason = format!(
                    "its shape {dims:?} of {} needs another number of bytes than the {got} of raw_data",
                    type_name(fields.data_type)
                );
                return Err(cursor.source().bad_tensor(&fields.name, reason));
            }
            CodesPlace::Raw(raw.start)
        }
        (_, None) => CodesPlace::Field(if fields.data_type == 7 { 7 } else { 5 }, range.clone()),
    };
    Ok(Some(Codes {
        name: fields.name.clone(),
        shape: dims.to_vec(),
        code,
        place,
    }))
}

/// The integer or 8-bit float of a TensorProto.DataType.
fn code(data_type: u64) -> Option<Code> {
    Some(match data_type {
        2 => Code::Uint8,
        3 => Code::Int8,
        4 => Code::Uint16,
        5 => Code::Int16,
        6 => Code::Int32,
        7 => Code::Int64,
        17 => Code::Float8(Float8::E4m3Fn),
        18 => Code::Float8(Float8::E4m3Fnuz),
        19 => Code::Float8(Float8::E5m2),
        20 => Code::Float8(Float8::E5m2Fnuz),
        21 => Code::Uint4,
        22 => Code::Int4,
        _ => return None,
    })
}

/// The entries of an int32 or int64 tensor.
fn read_integers(
    cursor: &mut Cursor<'_>,
    range: &Range<u64>,
    fields: &Fields,
    dims: &[usize],
) -> Result<Vec<i64>, Error> {
    let expected = count(dims).unwrap_or(0);
    let mut values = Vec::new();
    let mut all = true;
    if let Some(raw) = &fields.raw {
        cursor.inside(raw.clone(), |cursor| {
            for _ in 0..expected {
                values.push(if fields.data_type == 7 {
                    i64::from_le_bytes(cursor.array()?)
                } else {
                    i64::from(i32::from_le_bytes(cursor.array()?))
                });
            }
            Ok(())
        })?;
    } else {
        let number = if fields.data_type == 7 { 7 } else { 5 };
        cursor.message(range.clone(), |cursor, found, payload| {
            if found == number {
                all &= integers(cursor, payload, expected, &mut values)?;
            }
            Ok(())
        })?;
    }
    if values.len() != expected || !all {
        return Err(cursor.source().bad_tensor(
            &fields.name,
            format!(
                "its shape {dims:?} needs {expected} values, the file has {}",
                if all {
                    values.len().to_string()
                } else {
                    "more".to_owned()
                }
            ),
        ));
    }
    Ok(values)
}

/// The float type of a TensorProto.DataType.
pub(super) fn element(data_type: u64) -> Option<Element> {
    Some(match data_type {
        1 => Element::F32,
        10 => Element::F16,
        11 => Element::F64,
        16 => Element::Bf16,
        _ => return None,
    })
}

fn repeated(data_type: u64) -> Option<Repeated> {
    let (number, entry) = match data_type {
        1 => (4, Entry::F32),
        10 => (5, Entry::F16Bits),
        11 => (10, Entry::F64),
        16 => (5, Entry::Bf16Bits),
        _ => return None,
    };
    Some(Repeated { number, entry })
}

/// Bytes per entry, where they are whole.
fn element_size(data_type: u64) -> Option<usize> {
    Some(match data_type {
        2 | 3 | 9 | 17..=20 => 1,
        4 | 5 | 10 | 16 => 2,
        1 | 6 | 12 => 4,
        7 | 11 | 13 | 14 => 8,
        15 => 16,
        _ => return None,
    })
}

/// The name of a TensorProto.DataType.
pub(super) fn type_name(data_type: u64) -> String {
    const NAMES: [&str; 24] = [
        "undefined",
        "float32",
        "uint8",
        "int8",
        "uint16",
        "int16",
        "int32",
        "int64",
        "string",
        "bool",
        "float16",
        "float64",
        "uint32",
        "uint64",
        "complex64",
        "complex128",
        "bfloat16",
        "float8e4m3fn",
        "float8e4m3fnuz",
        "float8e5m2",
        "float8e5m2fnuz",
        "uint4",
        "int4",
        "float4e2m1",
    ];
    usize::try_from(data_type)
        .ok()
        .and_then(|index| NAMES.get(index))
        .map_or_else(|| format!("number {data_type}"), |&name| name.to_owned())
}

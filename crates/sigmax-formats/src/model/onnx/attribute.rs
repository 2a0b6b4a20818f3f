//! [`Attribute`]: what a node's attributes say.

use std::ops::Range;

use crate::bytes::cursor::Cursor;
use crate::bytes::wire::Payload;
use crate::error::Error;

use super::limits;
use super::literal::{Literal, literal};
use super::parsed::Parsed;
use super::proto::body;
use super::state::{State, integers, once};

/// The value of an attribute.
#[derive(Clone, Debug)]
pub(super) enum Attribute {
    Float(f32),
    Int(i64),
    Text(String),
    Tensor(Box<Literal>),
    /// `floats`: the message they are in, and how many there are.
    Floats(Range<u64>, u64),
    Ints(Vec<i64>),
    /// Of another kind, or too long to be one of those that are looked at.
    Other,
}

/// Operators with weights, those that are audited and those that are not.
pub(super) const LAYERS: [&str; 14] = [
    "Conv",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "QLinearConv",
    "ConvInteger",
    "QLinearMatMul",
    "MatMulInteger",
    "DeformConv",
    "LSTM",
    "GRU",
    "RNN",
    "Einsum",
    "Attention",
];

/// The fields of an AttributeProto.
#[derive(Debug, Default)]
struct Fields {
    kind: u64,
    float: Option<f32>,
    int: Option<i64>,
    text: Option<Range<u64>>,
    tensor: Option<Range<u64>>,
    floats: u64,
    ints: Vec<i64>,
    many: bool,
    graph: bool,
    other: bool,
    /// Whether it stands for an attribute of a function that it is in.
    reference: bool,
}

/// Reads the AttributeProto at `range`; its graphs go to `bodies`, each with the name of the attribute.
pub(super) fn attribute(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
    bodies: &mut Vec<(String, Parsed)>,
) -> Result<(String, Attribute), Error> {
    let mut name = String::new();
    let mut graphs = Vec::new();
    let mut fields = Fields::default();
    cursor.message(range.clone(), |cursor, number, payload| {
        match (number, payload) {
            (1, Payload::Bytes(range)) => name = cursor.text(range, limits::NAME)?,
            (2, Payload::Fixed32(bytes)) => fields.float = Some(f32::from_le_bytes(bytes)),
            (3, Payload::Varint(value)) => fields.int = Some(value.cast_signed()),
            (4, Payload::Bytes(range)) => fields.text = Some(range),
            (5, Payload::Bytes(range)) => once(cursor, &mut fields.tensor, range)?,
            (6 | 11, Payload::Bytes(range)) => {
                fields.graph = true;
                graphs.push(body(state, cursor, range)?);
            }
            (7, Payload::Bytes(range)) => fields.floats += (range.end - range.start) / 4,
            (7, _) => fields.floats += 1,
            (8, payload) => {
                let all = integers(cursor, payload, limits::INTEGERS, &mut fields.ints)?;
                fields.many |= !all;
            }
            (20, Payload::Varint(kind)) => fields.kind = kind,
            (21, _) => (fields.other, fields.reference) = (true, true),
            (9 | 10 | 14 | 15 | 22 | 23, _) => fields.other = true,
            _ => {}
        }
        Ok(())
    })?;
    let several = graphs.len() > 1;
    for (place, graph) in graphs.into_iter().enumerate() {
        let title = match several {
            true => format!("{name}.{place}"),
            false => name.clone(),
        };
        bodies.push((title, graph));
    }
    let value = value(state, cursor, range, fields)?;
    Ok((name, value))
}

/// The value, by the stated kind, or by what is there if no kind is stated.
fn value(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
    fields: Fields,
) -> Result<Attribute, Error> {
    if fields.reference {
        return Ok(Attribute::Other);
    }
    let kind = match fields.kind {
        0 if fields.float.is_some() => 1,
        0 if fields.int.is_some() => 2,
        0 if fields.text.is_some() => 3,
        0 if fields.tensor.is_some() => 4,
        0 if fields.floats > 0 => 6,
        0 if fields.graph || fields.other => 0,
        0 => 7,
        kind => kind,
    };
    Ok(match (kind, fields.text, fields.tensor) {
        // Writers may leave out a value that is zero or empty.
        (1, ..) => Attribute::Float(fields.float.unwrap_or(0.0)),
        (2, ..) => Attribute::Int(fields.int.unwrap_or(0)),
        (3, None, _) => Attribute::Text(String::new()),
        (3, Some(text), _) if text.end - text.start <= limits::TEXT => {
            let bytes = cursor.inside(text, |cursor| cursor.bytes(cursor.left()))?;
            match String::from_utf8(bytes) {
                Ok(text) => Attribute::Text(text),
                Err(_) => Attribute::Other,
            }
        }
        (3, ..) => Attribute::Other,
        (4, _, Some(tensor)) => Attribute::Tensor(Box::new(literal(state, cursor, tensor, "")?)),
        (6, ..) => Attribute::Floats(range, fields.floats),
        (7, ..) if fields.many => Attribute::Other,
        (7, ..) => Attribute::Ints(fields.ints),
        _ => Attribute::Other,
    })
}

//! The ONNX messages that matter, read without their weights.

use std::collections::HashSet;
use std::ops::Range;

use crate::bytes::cursor::Cursor;
use crate::bytes::wire::Payload;
use crate::error::Error;

use super::attribute::attribute;
use super::limits;
use super::literal::literal;
use super::parsed::{Declared, Function, Node, Parsed};
use super::state::{State, once, own_domain};

/// Reads the ModelProto.
pub(super) fn model(state: &mut State<'_>) -> Result<Parsed, Error> {
    let source = state.source;
    let mut parsed = Parsed::default();
    let (mut graph, mut opset) = (None, None);
    let mut cursor = Cursor::new(source, 0..source.len())?;
    cursor.message(0..source.len(), |cursor, number, payload| {
        match (number, payload) {
            (1, Payload::Varint(version)) => parsed.ir_version = version,
            (7, Payload::Bytes(range)) => {
                if graph.is_some() {
                    return Err(source.malformed(range.start, "a second graph; expected one"));
                }
                graph = Some(range);
            }
            (8, Payload::Bytes(range)) => {
                if let Some(version) = default_opset(cursor, range)? {
                    opset = Some(version);
                }
            }
            (25, Payload::Bytes(range)) => {
                state.part()?;
                let (key, found) = function(state, cursor, range)?;
                let holds = found.holds;
                if let Some(other) = parsed.functions.insert(key.clone(), found) {
                    let several = Function {
                        body: Err("there are several of that name"),
                        holds: holds || other.holds,
                    };
                    parsed.functions.insert(key, several);
                }
            }
            _ => {}
        }
        Ok(())
    })?;
    parsed.opset = match opset {
        Some(version @ 7..) => version.cast_unsigned(),
        Some(version) => {
            return Err(source.unsupported(
                format!("the model uses opset {version}; opset 7 and later are read"),
                "convert it with onnx.version_converter, or export it again with a newer opset",
            ));
        }
        None => {
            return Err(source.unsupported(
                "the model does not say which opset of ONNX it uses; opset 7 and later are read",
                "export it again with a current exporter",
            ));
        }
    };
    let Some(graph) = graph else {
        return Err(source.malformed(0, "an ONNX model without a graph"));
    };
    state.opset = parsed.opset;
    read_graph(state, &mut cursor, graph, &mut parsed)?;
    parsed.names = std::mem::take(&mut state.names);
    Ok(parsed)
}

/// The version, if the OperatorSetIdProto is that of ONNX itself.
fn default_opset(cursor: &mut Cursor<'_>, range: Range<u64>) -> Result<Option<i64>, Error> {
    let (mut domain, mut version) = (String::new(), 0);
    cursor.message(range, |cursor, number, payload| {
        match (number, payload) {
            (1, Payload::Bytes(range)) => domain = cursor.text(range, limits::NAME)?,
            (2, Payload::Varint(found)) => version = found.cast_signed(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(own_domain(domain).is_empty().then_some(version))
}

/// A FunctionProto, with its domain and name.
fn function(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
) -> Result<((String, String), Function), Error> {
    let (mut domain, mut name, mut opset) = (String::new(), String::new(), None);
    let (mut inputs, mut nodes) = (Vec::new(), Vec::new());
    let start = range.start;
    cursor.message(range, |cursor, number, payload| {
        match (number, payload) {
            (1, Payload::Bytes(range)) => name = cursor.text(range, limits::NAME)?,
            (4, Payload::Bytes(range)) => inputs.push(range),
            (7, Payload::Bytes(range)) => nodes.push(range),
            (9, Payload::Bytes(range)) => {
                if let Some(version) = default_opset(cursor, range)? {
                    opset = Some(version);
                }
            }
            (10, Payload::Bytes(range)) => domain = cursor.text(range, limits::NAME)?,
            _ => {}
        }
        Ok(())
    })?;
    state.opset = match opset {
        Some(version @ 7..) => version.cast_unsigned(),
        _ => 0,
    };
    let around = state.enter(start)?;
    let mut body = Parsed {
        opset: state.opset,
        ..Parsed::default()
    };
    for range in inputs {
        if let Some(value) = state.named(cursor, range)? {
            body.inputs.push(Declared {
                value,
                dims: None,
                element: 0,
            });
        }
    }
    for range in nodes {
        body.nodes.push(node(state, cursor, range)?);
    }
    body.names = state.leave(around);
    body.capture();
    let holds = body.may_hold();
    let body = match body.opset {
        0 => Err("it does not say which opset it uses, or one before 7"),
        _ => Ok(body),
    };
    Ok(((own_domain(domain), name), Function { body, holds }))
}

/// A subgraph, the GraphProto at `range`.
pub(super) fn body(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
) -> Result<Parsed, Error> {
    let around = state.enter(range.start)?;
    let mut body = Parsed {
        opset: state.opset,
        ..Parsed::default()
    };
    read_graph(state, cursor, range, &mut body)?;
    body.names = state.leave(around);
    body.capture();
    Ok(body)
}

fn read_graph(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
    parsed: &mut Parsed,
) -> Result<(), Error> {
    let source = state.source;
    cursor.message(range, |cursor, number, payload| {
        let Payload::Bytes(range) = payload else {
            return Ok(());
        };
        match number {
            1 => {
                parsed.nodes.push(node(state, cursor, range)?);
            }
            5 => {
                let start = range.start;
                let literal = literal(state, cursor, range, "")?;
                if literal.name.is_empty() {
                    return Err(source.malformed(start, "an initializer without a name"));
                }
                let value = state.value(literal.name.clone())?;
                parsed.initializers.push((value, literal));
                let count = parsed.initializers.len() as u64;
                source.limit("the number of initializers", limits::NODES, count)?;
            }
            15 => {
                state.part()?;
                parsed.sparse.extend(sparse(state, cursor, range)?);
            }
            11 => parsed.inputs.extend(declared(state, cursor, range)?),
            12 => {
                let output = declared(state, cursor, range)?;
                parsed
                    .outputs
                    .extend(output.iter().map(|output| output.value));
                parsed.declared.extend(output);
            }
            13 => parsed.declared.extend(declared(state, cursor, range)?),
            _ => {}
        }
        Ok(())
    })
}

fn node(state: &mut State<'_>, cursor: &mut Cursor<'_>, range: Range<u64>) -> Result<Node, Error> {
    let mut node = Node::default();
    let start = range.start;
    state.node()?;
    cursor.message(range, |cursor, number, payload| {
        let Payload::Bytes(range) = payload else {
            return Ok(());
        };
        match number {
            1 => node.inputs.push(state.named(cursor, range)?),
            2 => node.outputs.push(state.named(cursor, range)?),
            3 => node.name = cursor.text(range, limits::NAME)?,
            4 => node.op = cursor.text(range, limits::NAME)?,
            5 => {
                state.part()?;
                let found = attribute(state, cursor, range, &mut node.bodies)?;
                node.attributes.push(found);
            }
            7 => node.domain = own_domain(cursor.text(range, limits::NAME)?),
            _ => {}
        }
        Ok(())
    })?;
    let mut names = HashSet::new();
    if let Some((twice, _)) = node.attributes.iter().find(|(name, _)| !names.insert(name)) {
        return Err(state.source.malformed(
            start,
            format!("node {:?} has the attribute {twice:?} twice", node.name),
        ));
    }
    Ok(node)
}

/// The value that a SparseTensorProto initialises: its name is that of the tensor of its values.
fn sparse(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
) -> Result<Option<usize>, Error> {
    let mut value = None;
    cursor.message(range, |cursor, number, payload| {
        if let (1, Payload::Bytes(range)) = (number, payload) {
            cursor.message(range, |cursor, number, payload| {
                if let (8, Payload::Bytes(range)) = (number, payload) {
                    value = state.named(cursor, range)?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(value)
}

/// A ValueInfoProto; `None` without a name.
fn declared(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    range: Range<u64>,
) -> Result<Option<Declared>, Error> {
    let (mut value, mut kind) = (None, None);
    state.part()?;
    cursor.message(range, |cursor, number, payload| {
        match (number, payload) {
            (1, Payload::Bytes(range)) => value = state.named(cursor, range)?,
            (2, Payload::Bytes(range)) => once(cursor, &mut kind, range)?,
            _ => {}
        }
        Ok(())
    })?;
    let Some(value) = value else { return Ok(None) };
    let (mut dims, mut element) = (None, 0);
    if let Some(kind) = kind {
        // TypeProto.tensor_type, then its shape, then the dimensions.
        let mut only = None;
        each(cursor, kind, 1, &mut |cursor, tensor| {
            once(cursor, &mut only, tensor.clone())?;
            let mut only = None;
            cursor.message(tensor.clone(), |_, number, payload| {
                if let (1, Payload::Varint(kind)) = (number, payload) {
                    element = kind;
                }
                Ok(())
            })?;
            each(cursor, tensor, 2, &mut |cursor, shape| {
                once(cursor, &mut only, shape.clone())?;
                let mut found = Vec::new();
                each(cursor, shape, 1, &mut |cursor, axis| {
                    found.push(dimension(cursor, axis)?);
                    if found.len() > limits::RANK {
                        return Err(cursor.source().malformed(
                            cursor.position(),
                            format!("a value with more than {} axes", limits::RANK),
                        ));
                    }
                    Ok(())
                })?;
                dims = Some(found);
                Ok(())
            })
        })?;
    }
    Ok(Some(Declared {
        value,
        dims,
        element,
    }))
}

type Visit<'v, 'c> = &'v mut dyn FnMut(&mut Cursor<'c>, Range<u64>) -> Result<(), Error>;

/// Visits every message in field `wanted` of the message at `range`.
fn each<'c>(
    cursor: &mut Cursor<'c>,
    range: Range<u64>,
    wanted: u64,
    visit: Visit<'_, 'c>,
) -> Result<(), Error> {
    cursor.message(range, |cursor, number, payload| match payload {
        Payload::Bytes(range) if number == wanted => visit(cursor, range),
        _ => Ok(()),
    })
}

/// One dimension: known only if it is a number that is not negative. Some writers put 0 or −1
/// where the size is not known; nothing has 0 pixels.
fn dimension(cursor: &mut Cursor<'_>, range: Range<u64>) -> Result<Option<usize>, Error> {
    let mut size = None;
    cursor.message(range, |_, number, payload| {
        match number {
            1 => size = payload.int().and_then(|n| usize::try_from(n).ok()),
            // A name: of the two, the last one counts.
            2 => size = None,
            _ => {}
        }
        Ok(())
    })?;
    Ok(size.filter(|&n| n > 0))
}

//! [`State`]: what is carried along while a file is read.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::bytes::wire::Payload;
use crate::error::Error;

use super::limits;

/// What is carried along while a file is read.
#[derive(Debug)]
pub(super) struct State<'a> {
    pub(super) source: &'a Source,
    pub(super) folder: Option<&'a Path>,
    /// External files that were found, with their lengths.
    pub(super) external: HashMap<String, (PathBuf, u64)>,
    values: HashMap<String, usize>,
    pub(super) names: Vec<String>,
    parts: u64,
    nodes: u64,
    /// The opset of what is read.
    pub(super) opset: u64,
    /// How many graphs that is inside of.
    depth: usize,
}

/// The values of the graph around the one that is read.
pub(super) struct Around {
    values: HashMap<String, usize>,
    names: Vec<String>,
}

impl<'a> State<'a> {
    pub(super) fn new(source: &'a Source, folder: Option<&'a Path>) -> Self {
        Self {
            source,
            folder,
            external: HashMap::new(),
            values: HashMap::new(),
            names: Vec::new(),
            parts: 0,
            nodes: 0,
            opset: 0,
            depth: 0,
        }
    }

    /// Counts one more node, of whatever graph.
    pub(super) fn node(&mut self) -> Result<(), Error> {
        self.nodes += 1;
        self.source
            .limit("the number of nodes", limits::NODES, self.nodes)
    }

    /// Begins a graph at `offset` that has values of its own.
    pub(super) fn enter(&mut self, offset: u64) -> Result<Around, Error> {
        self.depth += 1;
        if self.depth > limits::DEPTH {
            return Err(self.source.malformed(
                offset,
                format!("subgraphs are nested more than {} deep", limits::DEPTH),
            ));
        }
        Ok(Around {
            values: std::mem::take(&mut self.values),
            names: std::mem::take(&mut self.names),
        })
    }

    /// Ends it: the names of its values.
    pub(super) fn leave(&mut self, around: Around) -> Vec<String> {
        self.depth -= 1;
        self.values = around.values;
        std::mem::replace(&mut self.names, around.names)
    }

    /// Counts one more part of the model.
    pub(super) fn part(&mut self) -> Result<(), Error> {
        self.parts += 1;
        self.source.limit(
            "the number of parts of the graph",
            limits::PARTS,
            self.parts,
        )
    }

    /// The number of a value.
    pub(super) fn value(&mut self, name: String) -> Result<usize, Error> {
        if let Some(&value) = self.values.get(&name) {
            return Ok(value);
        }
        let value = self.names.len();
        self.source
            .limit("the number of values", limits::VALUES, value as u64 + 1)?;
        self.names.push(name.clone());
        self.values.insert(name, value);
        Ok(value)
    }

    pub(super) fn named(
        &mut self,
        cursor: &mut Cursor<'_>,
        range: Range<u64>,
    ) -> Result<Option<usize>, Error> {
        self.part()?;
        let name = cursor.text(range, limits::NAME)?;
        if name.is_empty() {
            return Ok(None);
        }
        self.value(name).map(Some)
    }
}

/// Appends the integers of a repeated field, packed or not; `false` if there are more than `limit`.
pub(super) fn integers(
    cursor: &mut Cursor<'_>,
    payload: Payload,
    limit: usize,
    values: &mut Vec<i64>,
) -> Result<bool, Error> {
    let mut all = true;
    let mut push = |value: u64| {
        if values.len() < limit {
            values.push(value.cast_signed());
        } else {
            all = false;
        }
    };
    match payload {
        Payload::Varint(value) => push(value),
        Payload::Bytes(range) => cursor.inside(range, |cursor| {
            while cursor.left() > 0 {
                push(cursor.varint()?);
            }
            Ok(())
        })?,
        Payload::Fixed32(_) | Payload::Fixed64(_) => all = false,
    }
    Ok(all)
}

/// The domain, empty for that of ONNX itself under either of its names.
pub(super) fn own_domain(domain: String) -> String {
    if domain == "ai.onnx" {
        String::new()
    } else {
        domain
    }
}

/// A message that stands where there may be one. Parsers of protobuf merge several into one, field by
/// field; what has several is refused.
pub(super) fn once(
    cursor: &Cursor<'_>,
    slot: &mut Option<Range<u64>>,
    found: Range<u64>,
) -> Result<(), Error> {
    let start = found.start;
    match slot.replace(found) {
        None => Ok(()),
        Some(_) => Err(cursor.source().malformed(
            start,
            "a message that may stand once stands twice; write the model again with its own exporter",
        )),
    }
}

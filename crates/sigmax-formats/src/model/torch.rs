//! PyTorch files: the zip archives of `torch.save` since 1.6 and the older row of pickles.
//!
//! The pickle is read by a machine of our own ([`pickle`]) that builds plain data and calls
//! nothing: the few functions that make tensors and dictionaries are recognised by name
//! ([`rebuild`]), everything else becomes an object without behaviour. What it builds is indices
//! into one list, so that nested, shared and cyclic values are neither copied nor walked twice, and
//! nothing recurses while the pickle is read or dropped.
//!
//! Why not the crate `pytorch-reader`, which also runs nothing: it opens paths only (a model in
//! memory or out of gzip is not one), returns tensors in a hash map without the order of the file
//! and without what tells an optimiser's state from weights, fails as a whole on one quantised or
//! sparse tensor, reports no offsets, copies a value for every reference to it, accepts zip entries
//! that overlap, and reads a tensor of stride 0 as up to 10 GiB from four bytes.
//!
//! Values stay unread until [`crate::Model::read_weight`]. CRCs of a zip archive are not compared:
//! that would read all of it. Where entries are deflated all of it is read, and they are.

mod archive;
mod heap;
mod pickle;
mod rebuild;
mod storage;
mod walk;

use std::ops::Range;

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::format::unknown;
use crate::model::statedict::StateDict;
use archive::Archive;
use heap::{Heap, Id, Value};
use storage::Storages;

/// The first pickle of a legacy file.
const MAGIC: i128 = 0x1950_a86a_20f9_469c_fc6c;
/// The second one.
const PROTOCOL: i128 = 1001;
/// What to do with a file that is not read.
const SAVE_AGAIN: &str =
    "load it in PyTorch and save the weights alone: torch.save(model.state_dict(), \"weights.pt\")";

/// The tensors of a zip archive, and the source that they are in where that is another one: entries that
/// are deflated are decompressed into a temporary file.
pub(crate) fn read_zip(source: &Source) -> Result<(StateDict, Option<Source>), Error> {
    let archive = Archive::read(source)?;
    match archive.unpacked(source)? {
        None => Ok((entries(source, &archive)?, None)),
        Some((plain, archive)) => Ok((entries(&plain, &archive)?, Some(plain))),
    }
}

fn entries(source: &Source, archive: &Archive) -> Result<StateDict, Error> {
    let root = archive
        .root()
        .ok_or_else(|| unknown(source, archive.description()))?;
    if archive.is_torchscript(root) {
        return Err(source.unsupported("a TorchScript archive", SAVE_AGAIN));
    }
    if let Some(range) = archive.optional(source, &format!("{root}byteorder"))? {
        let text = Cursor::new(source, range.clone())?.text(range.clone(), 64)?;
        if text.trim() != "little" {
            return Err(other_byte_order(source, text.trim()));
        }
    }
    let pickle = archive.required(source, &format!("{root}data.pkl"))?;
    let mut cursor = Cursor::new(source, pickle)?;
    let (heap, top) = pickle::read(&mut cursor)?;
    walk::state_dict(source, &heap, top, &Storages::Zip { archive, root })
}

/// The tensors of a legacy file: five pickles, then the storages.
pub(crate) fn read_legacy(source: &Source) -> Result<StateDict, Error> {
    let mut cursor = Cursor::new(source, 0..source.len())?;
    let foreign = || unknown(source, "a pickle that torch.save did not write".to_owned());
    let (heap, magic) = pickle::read(&mut cursor).map_err(|error| match error {
        // A pickle of something else may end anywhere; what it is matters more than where.
        Error::Malformed { .. } => foreign(),
        other => other,
    })?;
    if !matches!(heap.get(magic), Value::Int(MAGIC)) {
        return Err(foreign());
    }
    let at = cursor.position();
    let (heap, protocol) = pickle::read(&mut cursor)?;
    if !matches!(heap.get(protocol), Value::Int(PROTOCOL)) {
        return Err(source.malformed(at, "the second pickle is not the protocol number 1001"));
    }
    let (heap, system) = pickle::read(&mut cursor)?;
    if is_big_endian(&heap, system) {
        return Err(other_byte_order(source, "big"));
    }
    let (heap, top) = pickle::read(&mut cursor)?;
    let storages = storage::legacy(&mut cursor, &heap)?;
    walk::state_dict(source, &heap, top, &Storages::Legacy(storages))
}

fn other_byte_order(source: &Source, found: &str) -> Error {
    source.unsupported(
        format!("byte order {found:?}; only \"little\" is read"),
        "save the file again on a little-endian machine",
    )
}

fn is_big_endian(heap: &Heap, system: Id) -> bool {
    let Value::Dict(items) = heap.get(system) else {
        return false;
    };
    items.iter().any(|&(key, value)| {
        matches!(heap.get(key), Value::Text(key) if &**key == "little_endian")
            && matches!(heap.get(value), Value::Bool(false))
    })
}

/// Where the bytes of a storage are.
type Bytes = Range<u64>;

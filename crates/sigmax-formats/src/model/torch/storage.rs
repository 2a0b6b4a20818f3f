//! Where the bytes of storages are, in either layout.

use std::collections::HashMap;

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::torch::Bytes;
use crate::model::torch::archive::Archive;
use crate::model::torch::heap::{Heap, Id, Storage, Value};
use crate::model::torch::pickle;

/// The storages of a file.
pub(super) enum Storages<'a> {
    /// Entries `data/KEY` of an archive.
    Zip { archive: &'a Archive, root: &'a str },
    /// One after another after the pickles, by key.
    Legacy(HashMap<String, Bytes>),
}

impl Storages<'_> {
    /// The bytes of the part of a storage that is meant; `tensor` uses it.
    pub(super) fn find(
        &self,
        source: &Source,
        heap: &Heap,
        storage: &Storage,
        tensor: &str,
    ) -> Result<Bytes, Error> {
        let key = heap.text(storage.key).unwrap_or_default();
        let found = match self {
            Self::Zip { archive, root } => {
                archive.optional(source, &format!("{root}data/{key}"))?
            }
            Self::Legacy(storages) => storages.get(key).cloned(),
        };
        let bytes = found.ok_or_else(|| {
            source.bad_tensor(tensor, format!("its storage {key:?} is not in the file"))
        })?;
        let size = storage.dtype.size;
        let length = bytes.end - bytes.start;
        let inside = |start: u64, entries: u64, limit: u64| {
            let start = start.checked_mul(size)?;
            let end = start.checked_add(entries.checked_mul(size)?)?;
            (end <= limit).then_some(start..end)
        };
        let declared = inside(0, storage.entries, length).ok_or_else(|| {
            source.bad_tensor(
                tensor,
                format!(
                    "its storage {key:?} has {length} bytes; expected {} entries of {size} bytes",
                    storage.entries
                ),
            )
        })?;
        let Some((start, entries)) = storage.part else {
            return Ok(bytes.start..bytes.start + declared.end);
        };
        let part = inside(start, entries, declared.end).ok_or_else(|| {
            source.bad_tensor(
                tensor,
                format!(
                    "entries {start} and the next {entries} are not inside its storage {key:?} of \
                     {} entries",
                    storage.entries
                ),
            )
        })?;
        Ok(bytes.start + part.start..bytes.start + part.end)
    }
}

/// The fifth pickle, a list of keys, and the storages that follow: their number of entries in eight
/// bytes, then the entries.
pub(super) fn legacy(
    cursor: &mut Cursor<'_>,
    heap: &Heap,
) -> Result<HashMap<String, Bytes>, Error> {
    let mut declared: HashMap<&str, &Storage> = HashMap::new();
    for value in heap.iter() {
        if let Value::Storage(storage) = value {
            let key = heap.text(storage.key).unwrap_or_default();
            let first = *declared.entry(key).or_insert(storage);
            if (first.dtype, first.entries) != (storage.dtype, storage.entries) {
                return Err(cursor.source().malformed(
                    cursor.position(),
                    format!("the storage {key:?} is declared twice, with different types or sizes"),
                ));
            }
        }
    }
    let at = cursor.position();
    let (keys, top) = pickle::read(cursor)?;
    let Value::List(list) = keys.get(top) else {
        return Err(cursor
            .source()
            .malformed(at, "the fifth pickle is not the list of the storages' keys"));
    };
    let mut storages = HashMap::new();
    for &key in list {
        let (key, range) = one(cursor, &keys, key, &declared)?;
        if storages.insert(key.to_owned(), range).is_some() {
            return Err(cursor
                .source()
                .malformed(at, format!("the storage {key:?} is listed twice")));
        }
    }
    Ok(storages)
}

fn one<'k>(
    cursor: &mut Cursor<'_>,
    keys: &'k Heap,
    key: Id,
    declared: &HashMap<&str, &Storage>,
) -> Result<(&'k str, Bytes), Error> {
    let at = cursor.position();
    let wrong = |reason: String| cursor.source().malformed(at, reason);
    let key = keys
        .text(key)
        .ok_or_else(|| wrong("the key of a storage is no short text".to_owned()))?;
    let storage = declared
        .get(key)
        .ok_or_else(|| wrong(format!("a storage {key:?} that no tensor declares")))?;
    let entries = u64::from_le_bytes(cursor.array()?);
    let wrong = |reason: String| cursor.source().malformed(at, reason);
    if entries != storage.entries {
        return Err(wrong(format!(
            "the storage {key:?} has {entries} entries; expected {}",
            storage.entries
        )));
    }
    let bytes = entries
        .checked_mul(storage.dtype.size)
        .ok_or_else(|| wrong(format!("the storage {key:?} has {entries} entries")))?;
    Ok((key, cursor.skip(bytes)?))
}

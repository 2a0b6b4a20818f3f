//! External data: tensors in files beside the model, never outside its folder.

use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use crate::bytes::cursor::Cursor;
use crate::bytes::wire::Payload;
use crate::error::Error;

use super::limits;
use super::state::State;

/// What the entries of `external_data` say.
#[derive(Debug, Default)]
struct Reference {
    location: String,
    offset: u64,
    length: Option<u64>,
}

/// The file and offset of an external tensor that takes `needed` bytes.
///
/// The location has to be a relative path without `..` and backslashes, and the file, with all
/// links followed, has to be inside the model's folder and long enough.
pub(super) fn resolve(
    state: &mut State<'_>,
    cursor: &mut Cursor<'_>,
    tensor: &str,
    entries: &[Range<u64>],
    needed: Option<u64>,
) -> Result<(PathBuf, u64), Error> {
    let reference = read(cursor, tensor, entries)?;
    let wrong = |reason: String| Error::ExternalData {
        file: cursor.source().file().to_owned(),
        tensor: tensor.to_owned(),
        location: reference.location.clone(),
        reason,
    };
    let (path, len) = match state.external.get(&reference.location) {
        Some(found) => found.clone(),
        None => {
            let found = find(state.folder, &reference.location).map_err(wrong)?;
            state
                .external
                .insert(reference.location.clone(), found.clone());
            found
        }
    };
    let Some(needed) = needed else {
        return Ok((path, reference.offset));
    };
    if let Some(length) = reference.length
        && length != needed
    {
        return Err(wrong(format!(
            "its length is {length} bytes; the tensor's shape needs {needed}"
        )));
    }
    if needed > len.saturating_sub(reference.offset) {
        return Err(wrong(format!(
            "the tensor needs {needed} bytes at offset {}, the file has {len} in all",
            reference.offset
        )));
    }
    Ok((path, reference.offset))
}

fn read(cursor: &mut Cursor<'_>, tensor: &str, entries: &[Range<u64>]) -> Result<Reference, Error> {
    let mut reference = Reference::default();
    for entry in entries {
        let (mut key, mut value) = (String::new(), String::new());
        cursor.message(entry.clone(), |cursor, number, payload| {
            match (number, payload) {
                (1, Payload::Bytes(range)) => key = cursor.text(range, limits::NAME)?,
                (2, Payload::Bytes(range)) => value = cursor.text(range, limits::NAME)?,
                _ => {}
            }
            Ok(())
        })?;
        let number = || {
            value.parse::<u64>().map_err(|_| Error::ExternalData {
                file: cursor.source().file().to_owned(),
                tensor: tensor.to_owned(),
                location: String::new(),
                reason: format!("{key} = {value:?}; expected a number of bytes"),
            })
        };
        match key.as_str() {
            "offset" => reference.offset = number()?,
            "length" => reference.length = Some(number()?),
            "location" => reference.location = value,
            _ => {}
        }
    }
    Ok(reference)
}

/// The file at `location` in `folder`, and its length.
fn find(folder: Option<&Path>, location: &str) -> Result<(PathBuf, u64), String> {
    check(location)?;
    let Some(folder) = folder else {
        return Err(
            "the model is read from memory, so there is no folder to find it in; open the model \
             from a file"
                .to_owned(),
        );
    };
    let root = folder
        .canonicalize()
        .map_err(|error| format!("the model's folder cannot be read: {error}"))?;
    let path = root
        .join(location)
        .canonicalize()
        .map_err(|error| format!("cannot be opened: {error}"))?;
    if !path.starts_with(&root) {
        return Err("is a link that leads out of the model's folder".to_owned());
    }
    let metadata =
        std::fs::metadata(&path).map_err(|error| format!("cannot be opened: {error}"))?;
    if !metadata.is_file() {
        return Err("is not a regular file".to_owned());
    }
    Ok((path, metadata.len()))
}

/// Checks the text of a location.
fn check(location: &str) -> Result<(), String> {
    let expected = "expected the relative path of a file in the model's folder";
    if location.is_empty() {
        return Err(format!("the location is empty; {expected}"));
    }
    if location.contains(['\\', '\0']) {
        return Err(format!("has a backslash or a zero byte; {expected}"));
    }
    // A drive letter means something on one system only; refused on all.
    if location.starts_with('/') || location.as_bytes().get(1) == Some(&b':') {
        return Err(format!("is an absolute path; {expected}"));
    }
    let inside = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    if !Path::new(location).components().all(inside) {
        return Err(format!("leaves the folder; {expected}"));
    }
    Ok(())
}

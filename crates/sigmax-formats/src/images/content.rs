//! What a file of images or labels is, by its content.

use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::{bad, cifar, idx};
use crate::model::format::{first_bytes, known};

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Idx,
    Cifar10,
    Npy,
    Npz,
    Png,
    Jpeg,
}

/// Recognises the content of `source`; what is not recognised is refused as not what is `expected`.
pub(super) fn recognise(source: &Source, expected: &str) -> Result<Content, Error> {
    let head = source.read(0, source.len().min(512))?;
    if head.is_empty() {
        return Err(bad(source, expected, "an empty file"));
    }
    for (magic, content) in [
        (&b"\x93NUMPY"[..], Content::Npy),
        (b"PK\x03\x04", Content::Npz),
        (b"PK\x05\x06", Content::Npz),
        (b"\x89PNG\r\n\x1a\n", Content::Png),
        (b"\xff\xd8\xff", Content::Jpeg),
    ] {
        if head.starts_with(magic) {
            return Ok(content);
        }
    }
    // A record of CIFAR-10 may begin as idx does; its length is then another one.
    let records = source.len().is_multiple_of(cifar::RECORD);
    if idx::begins(&head) && (!records || idx::fits(&head, source.len())) {
        return Ok(Content::Idx);
    }
    if records {
        return Ok(Content::Cifar10);
    }
    let found = if let Some(found) = known(&head) {
        found.to_owned()
    } else if matches!(head[..], [0x80, 2..=5, ..]) {
        "a pickle, which is not read (CIFAR-10 has a binary version)".to_owned()
    } else {
        let (first, len, record) = (first_bytes(&head), source.len(), cifar::RECORD);
        format!("{first} in {len} bytes, which are no records of {record}")
    };
    Err(bad(source, expected, found))
}

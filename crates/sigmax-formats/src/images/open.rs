//! Opens files of images or labels, whatever they hold.

use std::path::Path;

use crate::bytes::gzip;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::images::{bad, bad_file};

/// Opens a file, decompressed if it is gzip; what is no file is refused as not what is `expected`.
pub(super) fn file(path: &Path, expected: &str) -> Result<Source, Error> {
    let source = Source::open_any(path).map_err(|error| rename(error, expected))?;
    plain(source, expected)
}

/// Decompresses gzip.
pub(super) fn plain(source: Source, expected: &str) -> Result<Source, Error> {
    let is_gzip = |source: &Source| -> Result<bool, Error> {
        Ok(source.len() >= 2 && source.read(0, 2)? == [0x1f, 0x8b])
    };
    if !is_gzip(&source)? {
        return Ok(source);
    }
    let plain = gzip::decompress(&source).map_err(|error| rename(error, expected))?;
    if is_gzip(&plain)? {
        return Err(bad(&plain, expected, "gzip inside gzip"));
    }
    Ok(plain)
}

/// The error for models becomes the one for images.
fn rename(error: Error, expected: &str) -> Error {
    match error {
        Error::UnknownFormat { file, found } => bad_file(&file, expected, found),
        other => other,
    }
}

//! gzip and deflate: decompressed into a temporary file, with a limit.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use flate2::Crc;
use flate2::read::{DeflateDecoder, MultiGzDecoder};

use crate::bytes::source::Source;
use crate::error::Error;

/// Most bytes that come out.
const MAX_BYTES: u64 = 16 << 30;
/// Most bytes that come out per byte that goes in, beyond [`FREE_BYTES`]. Weights compress by
/// less than two, sparse ones by a few dozen; a decompression bomb by a thousand.
const MAX_RATIO: u64 = 256;
/// Bytes that may come out of any file.
const FREE_BYTES: u64 = 16 << 20;

/// The decompressed content as a source of the same name, backed by a file that vanishes with it.
pub(crate) fn decompress(source: &Source) -> Result<Source, Error> {
    let (plain, _) = unpack(source, MultiGzDecoder::new(Sequential::new(source)))?;
    if plain.len() == 0 {
        return Err(Error::UnknownFormat {
            file: source.file().to_owned(),
            found: "an empty gzip file".to_owned(),
        });
    }
    Ok(plain)
}

/// The same for deflate without a frame, as in zip; with it, the checksum of what came out.
pub(crate) fn inflate(source: &Source) -> Result<(Source, u32), Error> {
    unpack(source, DeflateDecoder::new(Sequential::new(source)))
}

/// Most bytes that may come out of a file of `len` bytes, all parts of it together.
pub(crate) fn most(len: u64) -> u64 {
    MAX_BYTES.min(FREE_BYTES.saturating_add(len.saturating_mul(MAX_RATIO)))
}

/// A temporary file that vanishes when it is closed.
pub(crate) fn temporary(source: &Source) -> Result<File, Error> {
    tempfile::tempfile().map_err(io(source, "make a temporary file to decompress"))
}

/// Writes the bytes of `part` to the end of `file`, inflated or as they are: how many, and their
/// checksum. More than `limit` is an error.
pub(crate) fn append(
    part: &Source,
    inflate: bool,
    limit: u64,
    file: &mut File,
) -> Result<(u64, u32), Error> {
    let bytes = Sequential::new(part);
    if inflate {
        pour(part, DeflateDecoder::new(bytes), limit, file)
    } else {
        pour(part, bytes, limit, file)
    }
}

fn io(source: &Source, action: &'static str) -> impl Fn(io::Error) -> Error {
    let file = source.file().to_owned();
    move |error| Error::Io {
        file: file.clone(),
        action,
        source: error,
    }
}

fn unpack(source: &Source, decoder: impl Read) -> Result<(Source, u32), Error> {
    let mut file = temporary(source)?;
    let (len, crc) = pour(source, decoder, most(source.len()), &mut file)?;
    file.seek(SeekFrom::Start(0))
        .map_err(io(source, "decompress"))?;
    Ok((Source::new(source.file().to_owned(), len, file), crc))
}

fn pour(
    source: &Source,
    mut decoder: impl Read,
    limit: u64,
    file: &mut File,
) -> Result<(u64, u32), Error> {
    let mut block = vec![0; 1 << 16];
    let mut len = 0u64;
    let mut crc = Crc::new();
    loop {
        let count = decoder.read(&mut block).map_err(io(source, "decompress"))?;
        if count == 0 {
            break;
        }
        len += count as u64;
        source.limit("the decompressed size in bytes", limit, len)?;
        crc.update(&block[..count]);
        file.write_all(&block[..count])
            .map_err(io(source, "write a temporary file to decompress"))?;
    }
    Ok((len, crc.sum()))
}

/// A source read from start to end.
struct Sequential<'a> {
    source: &'a Source,
    position: u64,
}

impl<'a> Sequential<'a> {
    fn new(source: &'a Source) -> Self {
        let position = 0;
        Self { source, position }
    }
}

impl Read for Sequential<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.source.len() - self.position;
        let count = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
        self.source
            .read_into(self.position, &mut buffer[..count])
            .map_err(io::Error::other)?;
        self.position += count as u64;
        Ok(count)
    }
}

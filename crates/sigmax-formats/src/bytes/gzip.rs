//! gzip and deflate: decompressed into a temporary file, with a limit.

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

fn unpack(source: &Source, mut decoder: impl Read) -> Result<(Source, u32), Error> {
    let io = |action| {
        move |error| Error::Io {
            file: source.file().to_owned(),
            action,
            source: error,
        }
    };
    let limit = MAX_BYTES.min(FREE_BYTES.saturating_add(source.len().saturating_mul(MAX_RATIO)));
    let mut file = tempfile::tempfile().map_err(io("make a temporary file to decompress"))?;
    let mut block = vec![0; 1 << 16];
    let mut len = 0u64;
    let mut crc = Crc::new();
    loop {
        let count = decoder.read(&mut block).map_err(io("decompress"))?;
        if count == 0 {
            break;
        }
        len += count as u64;
        source.limit("the decompressed size in bytes", limit, len)?;
        crc.update(&block[..count]);
        file.write_all(&block[..count])
            .map_err(io("write a temporary file to decompress"))?;
    }
    file.seek(SeekFrom::Start(0)).map_err(io("decompress"))?;
    Ok((Source::new(source.file().to_owned(), len, file), crc.sum()))
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

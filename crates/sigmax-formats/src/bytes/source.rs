//! [`Source`]: random access to the bytes of one file, with every range checked.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Error;

/// What a model is read from.
pub(crate) trait ReadSeek: Read + Seek + Send {}

impl<T: Read + Seek + Send> ReadSeek for T {}

/// A file that stays open, or bytes in memory, with the name that errors carry.
///
/// Nothing is allocated for a range that is not inside the file.
pub(crate) struct Source {
    file: PathBuf,
    /// Where its first byte is in what is read.
    start: u64,
    len: u64,
    reader: Arc<Mutex<Box<dyn ReadSeek>>>,
}

impl Source {
    /// Opens a regular file that is not empty.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let source = Self::open_any(path)?;
        if source.len == 0 {
            return Err(Error::UnknownFormat {
                file: path.to_owned(),
                found: "an empty file".to_owned(),
            });
        }
        Ok(source)
    }

    /// Opens a regular file, empty or not.
    pub(crate) fn open_any(path: &Path) -> Result<Self, Error> {
        let io = |action| {
            move |source| Error::Io {
                file: path.to_owned(),
                action,
                source,
            }
        };
        let unknown = |found: &str| Error::UnknownFormat {
            file: path.to_owned(),
            found: found.to_owned(),
        };
        // Before opening: opening a named pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(io("open"))?;
        if metadata.is_dir() {
            return Err(unknown("a directory"));
        }
        if !metadata.is_file() {
            return Err(unknown("something that is not a regular file"));
        }
        let reader = File::open(path).map_err(io("open"))?;
        let len = reader.metadata().map_err(io("open"))?.len();
        Ok(Self::new(path.to_owned(), len, reader))
    }

    /// Takes bytes in memory; `name` stands for the file in errors.
    pub(crate) fn from_bytes(name: &Path, bytes: Vec<u8>) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::UnknownFormat {
                file: name.to_owned(),
                found: "an empty file".to_owned(),
            });
        }
        let len = bytes.len() as u64;
        Ok(Self::new(name.to_owned(), len, Cursor::new(bytes)))
    }

    /// Takes any reader of `len` bytes.
    pub(crate) fn new(file: PathBuf, len: u64, reader: impl ReadSeek + 'static) -> Self {
        Self {
            file,
            start: 0,
            len,
            reader: Arc::new(Mutex::new(Box::new(reader))),
        }
    }

    /// The bytes of `range` as a source of its own; `file` stands for it in errors.
    pub(crate) fn part(&self, file: PathBuf, range: Range<u64>) -> Result<Self, Error> {
        let len = range.end.saturating_sub(range.start);
        self.check(range.start, len)?;
        Ok(Self {
            file,
            start: self.start + range.start,
            len,
            reader: Arc::clone(&self.reader),
        })
    }

    /// The name for errors.
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Checks that `len` bytes at `offset` are inside the file.
    pub(crate) fn check(&self, offset: u64, len: u64) -> Result<(), Error> {
        let got = self.len.saturating_sub(offset);
        if len > got {
            return Err(Error::Truncated {
                file: self.file.clone(),
                offset,
                expected: len,
                got,
            });
        }
        Ok(())
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub(crate) fn read_into(&self, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.check(offset, buffer.len() as u64)?;
        // A panic elsewhere cannot leave the reader in a wrong state: every read seeks first.
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader
            .seek(SeekFrom::Start(self.start + offset))
            .and_then(|_| reader.read_exact(buffer))
            .map_err(|source| Error::Io {
                file: self.file.clone(),
                action: "read",
                source,
            })
    }

    /// The `len` bytes at `offset`.
    pub(crate) fn read(&self, offset: u64, len: u64) -> Result<Vec<u8>, Error> {
        self.check(offset, len)?;
        let length = usize::try_from(len).map_err(|_| Error::TooLarge {
            file: self.file.clone(),
            what: "a block of bytes",
            limit: usize::MAX as u64,
            got: len,
        })?;
        let mut buffer = vec![0; length];
        self.read_into(offset, &mut buffer)?;
        Ok(buffer)
    }

    /// [`Error::Malformed`] at `offset`.
    pub(crate) fn malformed(&self, offset: u64, reason: impl Into<String>) -> Error {
        Error::Malformed {
            file: self.file.clone(),
            offset,
            reason: reason.into(),
        }
    }

    /// [`Error::Unsupported`].
    pub(crate) fn unsupported(
        &self,
        reason: impl Into<String>,
        advice: impl Into<String>,
    ) -> Error {
        Error::Unsupported {
            file: self.file.clone(),
            reason: reason.into(),
            advice: advice.into(),
        }
    }

    /// [`Error::Tensor`].
    pub(crate) fn bad_tensor(&self, tensor: &str, reason: impl Into<String>) -> Error {
        Error::Tensor {
            file: self.file.clone(),
            tensor: tensor.to_owned(),
            reason: reason.into(),
        }
    }

    /// Checks a quantity against a limit of this crate.
    pub(crate) fn limit(&self, what: &'static str, limit: u64, got: u64) -> Result<(), Error> {
        if got > limit {
            return Err(Error::TooLarge {
                file: self.file.clone(),
                what,
                limit,
                got,
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source")
            .field("file", &self.file)
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}

//! [`Lines`]: the lines of a file of certificates, one at a time.

use std::io::{BufRead, Read};
use std::path::Path;

use crate::error::Error;

/// Longest line.
const MAX_LINE: u64 = 1 << 28;

/// The lines of a file, with the number of the current one.
pub(super) struct Lines<'a> {
    name: &'a Path,
    input: &'a mut dyn BufRead,
    pub(super) number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(name: &'a Path, input: &'a mut dyn BufRead) -> Self {
        Self {
            name,
            input,
            number: 0,
        }
    }

    pub(super) fn next(&mut self) -> Result<Option<String>, Error> {
        let mut line = Vec::new();
        let io = |source| Error::Io {
            file: self.name.to_owned(),
            action: "read",
            source,
        };
        let mut limited = Read::take(&mut *self.input, MAX_LINE);
        limited.read_until(b'\n', &mut line).map_err(io)?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if line.last() != Some(&b'\n') {
            return Err(self.malformed("the line is cut short, or longer than any certificate"));
        }
        String::from_utf8(line)
            .map(Some)
            .map_err(|_| self.malformed("it is no text in UTF-8"))
    }

    /// What is well-formed, and not confirmed.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::NotConfirmed {
            file: self.name.to_owned(),
            line: self.number.max(1),
            reason: reason.into(),
        }
    }

    /// What `sigmax certify` does not write.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> Error {
        Error::NoCertificate {
            file: self.name.to_owned(),
            line: self.number.max(1),
            reason: reason.into(),
        }
    }

    /// What does not go together with another file.
    pub(super) fn apart(&self, reason: impl Into<String>) -> Error {
        Error::NotOfOneSet {
            file: self.name.to_owned(),
            line: self.number.max(1),
            reason: reason.into(),
        }
    }
}

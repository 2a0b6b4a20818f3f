//! [`Ledger`]: the file of certificates, written as they come, and taken up again.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::Instant;

use sigmax::network::Certifier;
use sigmax_formats::certificate::{Header, Line, confirm_lines};
use sigmax_formats::images::Inputs;
use sigmax_formats::report::Ends;

use crate::error::Error;
use crate::request::{CertificateFile, Existing};

/// Longest line.
const MAX_LINE: u64 = 1 << 28;
/// Lines that are confirmed at a time.
const BLOCK: usize = 64;

/// Refuses to overwrite a file that is there and does not begin as those of certificates do, of any
/// version and however short they were cut.
pub(crate) fn refuse_other_files(to: &CertificateFile) -> Result<(), Error> {
    const FIRST: &[u8] = b"{\"certificates\":";
    let path = &to.path;
    // What is no regular file has nothing that could be lost.
    if !path.is_file() {
        return Ok(());
    }
    let mut start = Vec::new();
    let file = File::open(path).map_err(|error| Error::read(path, error))?;
    let read = file.take(FIRST.len() as u64).read_to_end(&mut start);
    read.map_err(|error| Error::read(path, error))?;
    if FIRST.starts_with(&start) {
        Ok(())
    } else {
        Err(Error::Occupied { file: path.clone() })
    }
}

/// An image whose certificate was there already, and is confirmed.
pub(crate) struct Done {
    /// Whether it is given its class, as evaluated.
    pub(crate) right: bool,
    /// What is stated of its distance to other classes; adversarial inputs are not in the file.
    pub(crate) ends: Ends,
}

/// Certificates, one line each. What is written stays if the program is interrupted.
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    done: Vec<Done>,
}

impl Ledger {
    /// Opens the file, and reads and confirms what it has if that is resumed.
    pub(crate) fn open(
        to: &CertificateFile,
        header: &Header,
        certifier: &Certifier,
        inputs: &Inputs,
        selected: &[usize],
        deadline: Option<Instant>,
    ) -> Result<Self, Error> {
        let resumed = to.existing == Existing::Resumed;
        let exists = to.path.exists();
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!resumed)
            .open(&to.path);
        let file = file.map_err(|error| Error::write(&to.path, error))?;
        let mut ledger = Self {
            path: to.path.clone(),
            file,
            done: Vec::new(),
        };
        let end = if resumed && exists {
            ledger.read(header, certifier, inputs, selected, deadline)?
        } else {
            0
        };
        // A line that was cut short is written again.
        let placed = ledger
            .file
            .set_len(end)
            .and_then(|()| ledger.file.seek(SeekFrom::Start(end)));
        placed.map_err(|error| Error::write(&to.path, error))?;
        if end == 0 {
            ledger.write(&header.line())?;
        }
        Ok(ledger)
    }

    /// Reads what is there already; returns the length of its whole lines. The header has to be that
    /// of this run; and a file may have been altered since, so nothing else in it is believed. What is not
    /// confirmed until the deadline stays in the file, and does not count.
    fn read(
        &mut self,
        header: &Header,
        certifier: &Certifier,
        inputs: &Inputs,
        selected: &[usize],
        deadline: Option<Instant>,
    ) -> Result<u64, Error> {
        let path = self.path.clone();
        let wrong = |number: usize, reason: String| Error::Resume {
            file: path.clone(),
            line: number,
            reason,
        };
        let file = self.file.try_clone();
        let file = file.map_err(|error| Error::write(&path, error))?;
        let mut reader = BufReader::new(file);
        let mut block: Vec<Line> = Vec::new();
        let mut end = 0;
        for number in 1.. {
            let mut line = Vec::new();
            let mut limited = Read::take(&mut reader, MAX_LINE);
            let read = limited.read_until(b'\n', &mut line);
            read.map_err(|error| Error::read(&path, error))?;
            let whole = line.last() == Some(&b'\n');
            if block.len() == BLOCK || !whole {
                if !block.is_empty() && deadline.is_some_and(|deadline| Instant::now() >= deadline)
                {
                    let length = self.file.metadata();
                    return Ok(length.map_err(|error| Error::read(&path, error))?.len());
                }
                self.confirm(certifier, &block)
                    .map_err(|(place, reason)| wrong(self.done.len() + place + 2, reason))?;
                block.clear();
            }
            if !whole {
                break;
            }
            end += line.len() as u64;
            if number == 1 {
                if line != header.line().as_bytes() {
                    let reason =
                        "it was begun with another model, other options or another version";
                    return Err(wrong(1, reason.to_owned()));
                }
                continue;
            }
            let Some(&index) = selected.get(number - 2) else {
                let reason = "there are no more images that it could be of";
                return Err(wrong(number, reason.to_owned()));
            };
            let found = std::str::from_utf8(&line)
                .map_err(|error| error.to_string())
                .and_then(Line::parse)
                .map_err(|error| wrong(number, format!("no certificate: {error}")))?;
            let images = inputs.images();
            let same = found.index == index
                && found.label == images.label(index)
                && found.exact == images.is_exact()
                && found.has_pixels_of(inputs, index);
            if !same {
                return Err(wrong(
                    number,
                    format!("it is not that of image {index} of these images"),
                ));
            }
            block.push(found);
        }
        Ok(end)
    }

    fn confirm(&mut self, certifier: &Certifier, block: &[Line]) -> Result<(), (usize, String)> {
        let found = confirm_lines(certifier, block, None)?;
        let done = block.iter().zip(found).map(|(line, found)| Done {
            right: found.prediction() == line.label,
            ends: Ends::new(&found, line),
        });
        self.done.extend(done);
        Ok(())
    }

    /// What was there already.
    pub(crate) fn done(&self) -> &[Done] {
        &self.done
    }

    /// Writes whole lines.
    pub(crate) fn write(&mut self, lines: &str) -> Result<(), Error> {
        let written = self.file.write_all(lines.as_bytes());
        written.map_err(|error| Error::write(&self.path, error))
    }

    /// Sees that everything is on disk.
    pub(crate) fn finish(self) -> Result<(), Error> {
        let synced = self.file.sync_all();
        synced.map_err(|error| Error::write(&self.path, error))
    }
}

//! [`Ledger`]: the file of certificates, written as they come, and taken up again by `--resume`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use sigmax::network::Certifier;
use sigmax_formats::certificate::{Header, Line, confirm_lines};
use sigmax_formats::images::Inputs;

use crate::args::CertifyArgs;
use crate::failure::Failure;

/// Longest line.
const MAX_LINE: u64 = 1 << 28;
/// Lines that are confirmed at a time.
const BLOCK: usize = 256;

/// An image whose certificate was there already, and is confirmed.
pub(crate) struct Done {
    /// Whether it is given its class, as evaluated.
    pub(crate) right: bool,
    /// Its radius; `None` for ∞.
    pub(crate) radius: Option<f64>,
}

/// Certificates, one line each. What is written stays if the program is interrupted.
pub(crate) struct Ledger {
    file: Option<(PathBuf, File)>,
    done: Vec<Done>,
}

impl Ledger {
    /// Opens the file that `--certificates` names, if it does, and with `--resume` reads and confirms
    /// what it has.
    pub(crate) fn open(
        args: &CertifyArgs,
        header: &Header,
        certifier: &Certifier,
        inputs: &Inputs,
        files: &[&Path],
    ) -> Result<Self, Failure> {
        let mut ledger = Self {
            file: None,
            done: Vec::new(),
        };
        let Some(path) = &args.certificates else {
            return Ok(ledger);
        };
        let same = |input: &&&Path| {
            let found = std::fs::canonicalize(path);
            found.is_ok_and(|found| std::fs::canonicalize(input).is_ok_and(|input| input == found))
        };
        if files.iter().find(same).is_some() {
            return Err(Failure::Input(format!(
                "--certificates {} would overwrite an input",
                path.display()
            )));
        }
        let fail = |error: std::io::Error| {
            Failure::Output(format!("cannot write {}: {error}", path.display()))
        };
        let exists = path.exists();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(!args.resume)
            .open(path)
            .map_err(fail)?;
        let mut end = 0;
        if args.resume && exists {
            end = ledger.read(path, &file, header, certifier, inputs)?;
        }
        // A line that was cut short is written again.
        file.set_len(end).map_err(fail)?;
        file.seek(SeekFrom::Start(end)).map_err(fail)?;
        if end == 0 {
            file.write_all(header.line().as_bytes()).map_err(fail)?;
        }
        ledger.file = Some((path.clone(), file));
        Ok(ledger)
    }

    /// Reads what is there already; returns the length of its whole lines. The header has to be that
    /// of this run; and a file may have been altered since, so nothing else in it is believed.
    fn read(
        &mut self,
        path: &Path,
        file: &File,
        header: &Header,
        certifier: &Certifier,
        inputs: &Inputs,
    ) -> Result<u64, Failure> {
        let wrong = |number: usize, reason: String| {
            Failure::Input(format!(
                "{}: line {number}: {reason}; start without --resume",
                path.display()
            ))
        };
        let mut reader = BufReader::new(file);
        let mut block: Vec<Line> = Vec::new();
        let mut end = 0;
        for number in 1.. {
            let mut line = Vec::new();
            let mut limited = std::io::Read::take(&mut reader, MAX_LINE);
            limited.read_until(b'\n', &mut line).map_err(|error| {
                Failure::Input(format!("cannot read {}: {error}", path.display()))
            })?;
            let whole = line.last() == Some(&b'\n');
            if block.len() == BLOCK || !whole {
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
            let index = number - 2;
            let found = std::str::from_utf8(&line)
                .map_err(|error| error.to_string())
                .and_then(Line::parse)
                .map_err(|error| wrong(number, format!("no certificate: {error}")))?;
            let images = inputs.images();
            let same = index < images.len()
                && found.index == index
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
        let found = confirm_lines(certifier, block)?;
        let done = block.iter().zip(found).map(|(line, found)| Done {
            right: found.prediction() == line.label,
            radius: line.radius,
        });
        self.done.extend(done);
        Ok(())
    }

    /// What was there already.
    pub(crate) fn done(&self) -> &[Done] {
        &self.done
    }

    /// Whether there is a file.
    pub(crate) fn is_wanted(&self) -> bool {
        self.file.is_some()
    }

    /// Writes whole lines.
    pub(crate) fn write(&mut self, lines: &str) -> Result<(), Failure> {
        match &mut self.file {
            None => Ok(()),
            Some((path, file)) => file.write_all(lines.as_bytes()).map_err(|error| {
                Failure::Output(format!("cannot write {}: {error}", path.display()))
            }),
        }
    }

    /// Sees that everything is on disk.
    pub(crate) fn finish(&mut self) -> Result<(), Failure> {
        match &mut self.file {
            None => Ok(()),
            Some((path, file)) => file.sync_all().map_err(|error| {
                Failure::Output(format!("cannot write {}: {error}", path.display()))
            }),
        }
    }
}

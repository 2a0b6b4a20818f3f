//! Where the report goes: standard output, or a file that is there in full or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;
use crate::interrupt;

/// An open output.
pub(crate) enum Output {
    Stdout {
        /// Nobody reads any more (`| head`).
        closed: bool,
    },
    /// A device or pipe, which cannot be replaced.
    Device(PathBuf, File),
    File(PathBuf, NamedTempFile),
}

impl Output {
    /// Opens the output before the long computation, so that what cannot be written fails at once.
    ///
    /// A regular file is written beside its target and takes its place in [`Output::finish`].
    /// `inputs` are files that must not be overwritten.
    pub(crate) fn open(path: Option<&Path>, inputs: &[&Path]) -> Result<Self, Failure> {
        let Some(path) = path else {
            return Ok(Self::Stdout { closed: false });
        };
        let fail = |error: io::Error| cannot_write(path, &error);
        // Through symbolic links: the link stays, what it points to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        for input in inputs {
            if fs::canonicalize(input).is_ok_and(|input| input == target) {
                return Err(Failure::Input(format!(
                    "--output {} would overwrite an input",
                    path.display()
                )));
            }
        }
        let existing = match fs::metadata(&target) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(fail(error)),
        };
        if existing.is_some() {
            // A directory or a read-only file fails here; nothing is changed.
            let file = OpenOptions::new().write(true).open(&target).map_err(fail)?;
            if existing
                .as_ref()
                .is_some_and(|metadata| !metadata.is_file())
            {
                return Ok(Self::Device(target, file));
            }
        }
        let folder = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        builder.prefix(".sigmax-").suffix(".part");
        let permissions = existing
            .map(|metadata| metadata.permissions())
            .or_else(usual);
        if let Some(permissions) = permissions {
            builder.permissions(permissions);
        }
        let file = builder.tempfile_in(folder).map_err(fail)?;
        interrupt::guard(file.path());
        Ok(Self::File(target, file))
    }

    /// Writes text. A closed standard output is not an error: see [`Output::is_closed`].
    pub(crate) fn write(&mut self, text: &str) -> Result<(), Failure> {
        match self {
            Self::Stdout { closed: true } => Ok(()),
            Self::Stdout { closed } => {
                let mut out = io::stdout().lock();
                let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                match result {
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                        *closed = true;
                        Ok(())
                    }
                    result => {
                        result.map_err(|error| cannot_write(Path::new("standard output"), &error))
                    }
                }
            }
            Self::Device(path, file) => file
                .write_all(text.as_bytes())
                .map_err(|error| cannot_write(path, &error)),
            Self::File(path, file) => file
                .write_all(text.as_bytes())
                .map_err(|error| cannot_write(path, &error)),
        }
    }

    /// Whether nobody reads any more.
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self, Self::Stdout { closed: true })
    }

    /// Puts the file in its place. Dropped without this, nothing is left behind.
    pub(crate) fn finish(self) -> Result<(), Failure> {
        if let Self::File(path, file) = self {
            file.as_file()
                .sync_all()
                .map_err(|error| cannot_write(&path, &error))?;
            let unfinished = file.path().to_owned();
            file.persist(&path)
                .map_err(|error| cannot_write(&path, &error.error))?;
            interrupt::release(&unfinished);
        }
        Ok(())
    }
}

/// Refuses one file for two outputs.
pub(crate) fn distinct(outputs: &[(&str, Option<&Path>)]) -> Result<(), Failure> {
    let target = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    for (i, &(flag, path)) in outputs.iter().enumerate() {
        for &(other, second) in &outputs[..i] {
            // A device takes both.
            let file = path.is_some_and(|path| path.is_file() || !path.exists());
            if file && path.map(target) == second.map(target) {
                return Err(Failure::Input(format!(
                    "{other} and {flag} name the same file"
                )));
            }
        }
    }
    Ok(())
}

fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::Output(format!("cannot write {}: {error}", path.display()))
}

/// The mode of any new file, less the umask; a temporary file is private otherwise.
#[cfg(unix)]
fn usual() -> Option<fs::Permissions> {
    use std::os::unix::fs::PermissionsExt;
    Some(fs::Permissions::from_mode(0o666))
}

#[cfg(not(unix))]
fn usual() -> Option<fs::Permissions> {
    None
}

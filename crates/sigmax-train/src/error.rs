//! [`Error`]: what can go wrong outside our control.

use std::path::{Path, PathBuf};

/// What a file, an option or a layer was found to be, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading or writing failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// A data file is not there.
    #[error("{}: no such file. {hint}", path.display())]
    Missing {
        /// The file, without `.gz`.
        path: PathBuf,
        /// Where the user gets it.
        hint: &'static str,
    },
    /// A data file is not what its name says.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Data {
        /// The file.
        path: PathBuf,
        /// What the format asks for.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// A checkpoint that cannot be used.
    #[error("{}: {reason}", path.display())]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// A tensor that does not fit the model.
    #[error("tensor `{name}`: expected {expected}, found {found}")]
    Tensor {
        /// Its name in the file.
        name: String,
        /// What the model needs.
        expected: String,
        /// What the file holds.
        found: String,
    },
    /// An option whose value makes no sense here.
    #[error("{0}")]
    Usage(String),
    /// A layer that the core refuses.
    #[error("layer `{path}`: {source}")]
    Layer {
        /// Its path in the model.
        path: String,
        /// The core's reason.
        source: sigmax::Error,
    },
    /// A weight or image file that `sigmax-formats` refuses.
    #[error(transparent)]
    Weights(#[from] sigmax_formats::Error),
    /// A penalty that `sigmax-burn` refuses.
    #[error("penalty: {0}")]
    Penalty(#[from] sigmax_burn::Error),
    /// Writing to the terminal failed.
    #[error("writing the output: {0}")]
    Output(#[from] std::io::Error),
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn data(
        path: &Path,
        expected: impl Into<String>,
        found: impl std::fmt::Display,
    ) -> Self {
        Self::Data {
            path: path.to_path_buf(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// Names the file that a tensor is from.
    pub(crate) fn in_file(path: &Path) -> impl FnOnce(Self) -> Self {
        let path = path.to_path_buf();
        move |error| Self::checkpoint(&path, error)
    }

    pub(crate) fn checkpoint(path: &Path, reason: impl std::fmt::Display) -> Self {
        Self::Checkpoint {
            path: path.to_path_buf(),
            reason: reason.to_string(),
        }
    }
}

//! [`Error`]: why a run ended without a report.

use std::path::{Path, PathBuf};

use sigmax_formats::Refused;

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read, or is not what it should be.
    #[error(transparent)]
    File(#[from] sigmax_formats::Error),
    /// The network cannot be read.
    #[error(transparent)]
    Network(#[from] sigmax_formats::NetworkError),
    /// What was asked for is refused by the mathematics: a tolerance, a layer too large, …
    #[error("{}: {source}", file.display())]
    Core {
        /// The model.
        file: PathBuf,
        /// The reason.
        source: sigmax::Error,
    },
    /// What was asked for does not fit the model or the images. Options are named as the command
    /// `sigmax certify` names them.
    #[error("{0}")]
    Request(String),
    /// A network without a Lipschitz constant: nothing can be certified.
    #[error("{}: nothing can be certified, because there is no Lipschitz constant: {}", file.display(), named(blockers))]
    NoConstant {
        /// The model.
        file: PathBuf,
        /// The nodes without a rule, each with the reason.
        blockers: Vec<Refused>,
    },
    /// A file that cannot be written.
    #[error("cannot write {}: {source}", file.display())]
    Write {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A pattern of layer names is not one.
    #[error("{pattern:?}: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A pattern that matches no layer.
    #[error("{pattern:?} matches no layer; there are: {}", list(layers))]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The names of the layers, made printable.
        layers: Vec<String>,
    },
    /// A model in which there is nothing to audit.
    #[error("{}: no convolution or dense layer found{}", file.display(), others(skipped))]
    NoLayers {
        /// The model.
        file: PathBuf,
        /// What it has instead: kinds and their counts.
        skipped: Vec<(String, usize)>,
    },
    /// A layer whose weight or geometry is wrong.
    #[error("{0}")]
    Layer(String),
    /// The threads cannot be started.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many.
        threads: usize,
        /// Why not.
        reason: String,
    },
    /// [`Cancel`](crate::Cancel) was called.
    #[error("cancelled")]
    Cancelled,
    /// A bug of this library.
    #[error("a layer ended without a result")]
    Lost,
}

/// Most names that an error lists.
const LISTED: usize = 20;

fn list(names: &[String]) -> String {
    let mut text = names[..names.len().min(LISTED)].join(", ");
    if names.len() > LISTED {
        text += &format!(" and {} more", names.len() - LISTED);
    }
    text
}

fn others(skipped: &[(String, usize)]) -> String {
    if skipped.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = skipped
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!("; what is there is not a layer: {}", counts.join(", "))
}

fn named(blockers: &[Refused]) -> String {
    let named: Vec<String> = blockers
        .iter()
        .map(|blocker| format!("{:?} ({}): {}", blocker.name, blocker.kind, blocker.reason))
        .collect();
    named.join("; ")
}

impl Error {
    pub(crate) fn write(file: &Path, source: std::io::Error) -> Self {
        Self::Write {
            file: file.to_owned(),
            source,
        }
    }
}

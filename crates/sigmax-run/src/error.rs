//! [`Error`]: why a run ended without a report.

use std::path::{Path, PathBuf};

use sigmax_formats::Refused;
use sigmax_formats::images::Units;

/// Why a run ended without a report. Options are named as the command `sigmax certify` names them.
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
    /// Not one mean and one standard deviation for all channels, nor for each.
    #[error("--mean has {mean} values and --std {std}; expected {}", per_channel(*channels))]
    Normalisation {
        /// Values of the mean.
        mean: usize,
        /// Values of the standard deviation.
        std: usize,
        /// Channels of the images, where they are known.
        channels: Option<usize>,
    },
    /// A normalisation that the network cannot be behind.
    #[error("--mean and --std: {0}")]
    Normalised(sigmax::Error),
    /// Values per channel, and an input without as many channels.
    #[error(
        "--mean and --std have {count} values; the model's input {input:?} has no axis of {count} \
         channels at either end"
    )]
    NoChannels {
        /// How many values.
        count: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// Values per channel, and an input that may have its channels at either end.
    #[error(
        "--mean and --std have {count} values; the model's input {input:?} may have its channels \
         first (chw) or last (hwc): say which by --layout"
    )]
    OpenLayout {
        /// How many values.
        count: usize,
        /// The shape of the input.
        input: Vec<usize>,
    },
    /// Pixels outside of the range that distances are meant for.
    #[error("{}: its values go from {least} to {most}; {}", images.display(), range(*stated))]
    PixelRange {
        /// The images.
        images: PathBuf,
        /// Their least value.
        least: f64,
        /// Their largest value.
        most: f64,
        /// The range that was stated, if any was.
        stated: Option<[f64; 2]>,
    },
    /// A range for images whose units are known.
    #[error(
        "{}: its pixels are {units}, from 0 to 1; --pixel-range is for arrays of floats",
        images.display()
    )]
    KnownUnits {
        /// The images.
        images: PathBuf,
        /// Their units.
        units: Units,
    },
    /// A graph that no runtime executes in the arithmetic that was asked for. The reason is a text of
    /// [`Precision::check`](sigmax_formats::Precision::check), which says what to do.
    #[error("{}: {reason}", file.display())]
    Precision {
        /// The model.
        file: PathBuf,
        /// Why not, and what to do.
        reason: String,
    },
    /// An image whose label is no class of the model.
    #[error("{}: image {image} has label {label}; the model has {classes} classes", file.display())]
    Label {
        /// The file of the labels.
        file: PathBuf,
        /// The image.
        image: String,
        /// Its label.
        label: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// Constants of something else than what is to be certified.
    #[error(
        "--constants {}: its first line is not that of these options and this version: give the options that \
         it was made with, or leave --constants out",
        file.display()
    )]
    Constants {
        /// The file of certificates.
        file: PathBuf,
    },
    /// Certificates that a run cannot go on with. The reason is a text, as it may be any that a reader
    /// of certificates gives.
    #[error("{}: line {line}: {reason}; start without --resume", file.display())]
    Resume {
        /// The file of certificates.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A file that is there, and would be overwritten although it is not one of certificates.
    #[error(
        "--certificates {}: that file is there and does not begin as certificates do, so it is not \
         overwritten; give another name, or remove it",
        file.display()
    )]
    Occupied {
        /// The file.
        file: PathBuf,
    },
    /// A file of certificates that cannot be read.
    #[error("cannot read {}: {source}", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
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
    /// A pattern of layer names is not one. The reason is a text of the library that reads patterns.
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
    /// Patterns that leave no layer.
    #[error("nothing is left to audit of: {}", list(layers))]
    NothingLeft {
        /// The names of all layers, made printable.
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
    /// A layer whose weight or geometry is wrong: the text that its row of a report has.
    #[error("{0}")]
    Layer(String),
    /// The threads cannot be started. The reason is a text of the operating system.
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

fn per_channel(channels: Option<usize>) -> String {
    match channels {
        Some(channels) => format!("one, or one for each of the {channels} channels"),
        None => "one for all channels, or one for each".to_owned(),
    }
}

fn range(stated: Option<[f64; 2]>) -> String {
    match stated {
        Some([low, high]) => format!("--pixel-range says {low} to {high}"),
        None => {
            "distances are meant for pixels from 0 to 1; divide them, or say that these are the \
                 units by --pixel-range or --mean and --std"
                .to_owned()
        }
    }
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
    pub(crate) fn read(file: &Path, source: std::io::Error) -> Self {
        Self::Read {
            file: file.to_owned(),
            source,
        }
    }

    pub(crate) fn write(file: &Path, source: std::io::Error) -> Self {
        Self::Write {
            file: file.to_owned(),
            source,
        }
    }
}

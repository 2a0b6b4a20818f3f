//! [`Failure`]: why the command did not do what it was asked to.

use crate::screen::escaped;

/// Most names that an error lists.
const LISTED: usize = 20;

/// Why the command ended without a report.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input or the usage is wrong.
    Input(String),
    /// The same, with a list of what is in the way or what there is.
    List(String, Vec<String>),
    /// The output cannot be written.
    Output(String),
    /// Nobody reads the output any more, and nothing else was asked for.
    Closed,
    /// A bug of this program.
    Bug(String),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Input(_) | Self::List(..) | Self::Output(_) => 2,
            Self::Bug(_) => 101,
        }
    }
}

impl Failure {
    /// What to tell the user, fit for a terminal.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Input(text) | Self::Output(text) => escaped(text),
            Self::Closed => "nobody reads the output".to_owned(),
            Self::List(text, items) => items
                .iter()
                .fold(escaped(text), |all, item| all + "\n  " + &escaped(item)),
            Self::Bug(text) => escaped(text) + "; this is a bug of sigmax, please report it",
        }
    }
}

impl From<sigmax_formats::Error> for Failure {
    fn from(error: sigmax_formats::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<sigmax_run::Error> for Failure {
    fn from(error: sigmax_run::Error) -> Self {
        match error {
            sigmax_run::Error::Lost => Self::Bug(error.to_string()),
            sigmax_run::Error::Pattern { .. } => {
                Self::Input(format!("--only or --exclude {error}"))
            }
            sigmax_run::Error::NoMatch { pattern, layers } => {
                let names = shortened(&layers);
                let text = format!("--only or --exclude {pattern:?} matches no layer; there are:");
                Self::List(text, names)
            }
            sigmax_run::Error::NothingLeft { layers } => Self::List(
                "--only and --exclude leave nothing to audit of:".to_owned(),
                shortened(&layers),
            ),
            sigmax_run::Error::NoConstant { file, blockers } => {
                let text = format!(
                    "{}: nothing can be certified, because there is no Lipschitz constant:",
                    file.display()
                );
                let blockers = blockers.iter().map(|blocker| {
                    format!(
                        "node {:?} ({}): {}",
                        blocker.name, blocker.kind, blocker.reason
                    )
                });
                Self::List(text, blockers.collect())
            }
            error => Self::Input(error.to_string()),
        }
    }
}

/// The first names, and how many more there are.
fn shortened(layers: &[String]) -> Vec<String> {
    let mut names: Vec<_> = layers.iter().take(LISTED).cloned().collect();
    if layers.len() > LISTED {
        names.push(format!("and {} more", layers.len() - LISTED));
    }
    names
}

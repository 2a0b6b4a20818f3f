//! [`Failure`]: why the command did not do what it was asked to.

/// Why the command ended without a report.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The input or the usage is wrong.
    Input(String),
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
            Self::Input(_) | Self::Output(_) => 2,
            Self::Bug(_) => 101,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(text) | Self::Output(text) => f.write_str(text),
            Self::Closed => f.write_str("nobody reads the output"),
            Self::Bug(text) => write!(f, "{text}; this is a bug of sigmax, please report it"),
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
            sigmax_run::Error::Pattern { .. } | sigmax_run::Error::NoMatch { .. } => {
                Self::Input(format!("--only {error}"))
            }
            error => Self::Input(error.to_string()),
        }
    }
}

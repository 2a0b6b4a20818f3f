//! [`Fault`]: why a call gives no result, and the exceptions that it becomes.

use pyo3::exceptions::PyValueError;
use pyo3::{PyErr, create_exception};

create_exception!(
    sigmax._core,
    Error,
    PyValueError,
    "What was given is wrong, or is not covered: the text says what, and what helps."
);
create_exception!(
    sigmax._core,
    NotConfirmed,
    Error,
    "A file of certificates states something that does not follow."
);

/// Why a call gives no result.
pub(crate) enum Fault {
    /// What was given is wrong, or not covered.
    Input(String),
    /// A certificate is not confirmed.
    NotConfirmed(String),
}

impl From<Fault> for PyErr {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Input(text) => Error::new_err(text),
            Fault::NotConfirmed(text) => NotConfirmed::new_err(text),
        }
    }
}

impl From<sigmax::Error> for Fault {
    fn from(error: sigmax::Error) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<sigmax_formats::Error> for Fault {
    fn from(error: sigmax_formats::Error) -> Self {
        match error {
            sigmax_formats::Error::NotConfirmed { .. } => Self::NotConfirmed(error.to_string()),
            _ => Self::Input(error.to_string()),
        }
    }
}

impl From<sigmax_formats::NetworkError> for Fault {
    fn from(error: sigmax_formats::NetworkError) -> Self {
        Self::Input(error.to_string())
    }
}

impl From<sigmax_run::Error> for Fault {
    fn from(error: sigmax_run::Error) -> Self {
        match error {
            sigmax_run::Error::File(error) => error.into(),
            error => Self::Input(error.to_string()),
        }
    }
}

//! `sigmax._core`, the compiled part of the Python package `sigmax`: files, networks and runs of the
//! engine, and the numbers that only it can make. `python/sigmax/_core.pyi` documents what is in it for
//! Python.

mod arrays;
mod audit;
mod builder;
mod certifier;
mod certify;
mod fault;
mod model;
mod norm;
mod options;
mod task;
mod weight;

/// The compiled part of `sigmax`.
#[pyo3::pymodule]
mod _core {
    #[pymodule_export]
    use crate::audit::{Comparison, Report, audit, compare};
    #[pymodule_export]
    use crate::builder::Builder;
    #[pymodule_export]
    use crate::certifier::Certifier;
    #[pymodule_export]
    use crate::certify::{Certification, certify, check, merge};
    #[pymodule_export]
    use crate::fault::{Error, NotConfirmed};
    #[pymodule_export]
    use crate::model::Model;
    #[pymodule_export]
    use crate::norm::conv_norm;
    #[pymodule_export]
    use crate::weight::Weight;

    use std::ffi::OsString;

    use pyo3::prelude::*;

    /// The command `sigmax` with these arguments, the first of which is its own name.
    #[pyfunction]
    fn main(py: Python<'_>, args: Vec<OsString>) -> u8 {
        py.detach(|| sigmax_cli::main(args))
    }

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

//! Options that several calls have in common.

use std::num::NonZeroUsize;
use std::time::Duration;

use pyo3::prelude::*;
use sigmax::Conv;
use sigmax_run::{Cancel, Resources};

use crate::fault::Fault;

/// The geometry of a convolution; of a dense layer all lists are empty.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Geometry {
    stride: Vec<usize>,
    padding: Vec<(usize, usize)>,
    padding_mode: String,
    dilation: Vec<usize>,
    groups: usize,
    transposed: bool,
    output_padding: Vec<usize>,
    input_size: Option<Vec<usize>>,
}

impl Geometry {
    pub(crate) fn conv(self) -> Result<Conv, Fault> {
        Ok(Conv {
            stride: self.stride,
            padding: self.padding,
            padding_mode: self.padding_mode.parse()?,
            dilation: self.dilation,
            groups: self.groups,
            transposed: self.transposed,
            output_padding: self.output_padding,
            input_size: self.input_size,
        })
    }
}

/// Seconds from Python.
pub(crate) fn seconds(value: Option<f64>, name: &str) -> Result<Option<Duration>, Fault> {
    let duration = value.map(Duration::try_from_secs_f64).transpose();
    duration.map_err(|error| Fault::Input(format!("{name}: {error}")))
}

/// What a run may use.
pub(crate) fn resources(
    threads: Option<usize>,
    budget: Option<f64>,
    cancel: Cancel,
) -> Result<Resources, Fault> {
    let mut resources = Resources::default()
        .with_threads(threads.and_then(NonZeroUsize::new))
        .with_budget(seconds(budget, "budget")?);
    resources.cancel = cancel;
    Ok(resources)
}

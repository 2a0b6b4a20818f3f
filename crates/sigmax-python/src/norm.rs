//! [`conv_norm`]: the norm of one layer.

use pyo3::prelude::*;
use sigmax::{Conv, Kernel, Options, audit};

use crate::arrays::floats;
use crate::fault::Fault;
use crate::task::run;

/// The ℓ₂ norm of a layer between two proved ends.
#[pyfunction]
#[pyo3(signature = (weight, *, stride, padding, dilation, groups, transposed, output_padding, padding_mode, input_size=None, tolerance=1e-3))]
#[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn conv_norm(
    py: Python<'_>,
    weight: &Bound<'_, PyAny>,
    stride: Vec<usize>,
    padding: Vec<Sides>,
    dilation: Vec<usize>,
    groups: usize,
    transposed: bool,
    output_padding: Vec<usize>,
    padding_mode: &str,
    input_size: Option<Vec<usize>>,
    tolerance: f64,
) -> PyResult<(f64, f64)> {
    let (shape, values) = floats(weight)?;
    let conv = Conv {
        stride,
        padding: padding.into_iter().map(Sides::pair).collect(),
        padding_mode: padding_mode.parse().map_err(Fault::from)?,
        dilation,
        groups,
        transposed,
        output_padding,
        input_size,
    };
    let options = Options {
        tolerance,
        ..Options::default()
    };
    run(py, None, move |_| {
        let kernel = Kernel::new(&shape, values)?;
        let audit = audit(&kernel, &conv, &options)?;
        let lower = audit.norm().bracket().lower();
        Ok((lower.get(), audit.upper().get()))
    })
}

/// Padding along an axis: the same on both sides, or one number before and one after.
#[derive(FromPyObject)]
pub(crate) enum Sides {
    /// Both sides.
    Both(usize),
    /// Before and after.
    Each((usize, usize)),
}

impl Sides {
    fn pair(self) -> (usize, usize) {
        match self {
            Self::Both(n) => (n, n),
            Self::Each(pair) => pair,
        }
    }
}

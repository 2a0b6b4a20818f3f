//! Arrays of Python, widened to f64.

use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;

use crate::fault::Fault;

/// The shape and the values of an array, in row-major order.
pub(crate) type Values = (Vec<usize>, Vec<f64>);

/// A float32 or float64 array, read where it lies.
pub(crate) fn floats(array: &Bound<'_, PyAny>) -> PyResult<Values> {
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, f64>>() {
        let view = array.as_array();
        return Ok((view.shape().to_vec(), view.iter().copied().collect()));
    }
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, f32>>() {
        let view = array.as_array();
        return Ok((
            view.shape().to_vec(),
            view.iter().map(|&v| v.into()).collect(),
        ));
    }
    Err(unfit(array, "a NumPy array of float32 or float64"))
}

/// Pixels: float32 and float64 as they are, bytes divided by 255; and whether they are exact.
pub(crate) fn pixels(array: &Bound<'_, PyAny>) -> PyResult<(Values, bool)> {
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, u8>>() {
        let view = array.as_array();
        let values = view.iter().map(|&v| f64::from(v) / 255.0).collect();
        return Ok(((view.shape().to_vec(), values), false));
    }
    match floats(array) {
        Ok(values) => Ok((values, true)),
        Err(_) => Err(unfit(array, "a NumPy array of uint8, float32 or float64")),
    }
}

fn unfit(array: &Bound<'_, PyAny>, expected: &str) -> PyErr {
    let kind = array.get_type().to_string();
    let dtype = array.getattr("dtype").map(|dtype| format!(" of {dtype}"));
    Fault::Input(format!(
        "expected {expected}, got {kind}{}",
        dtype.unwrap_or_default()
    ))
    .into()
}

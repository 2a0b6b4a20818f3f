//! [`Weight`]: the weight of a layer, as it is or computed from factors.

use pyo3::prelude::*;
use sigmax::Kernel;
use sigmax::weight::Weight as Exact;

use crate::arrays::floats;
use crate::fault::Fault;

/// The weight of a layer.
#[pyclass(frozen, module = "sigmax._core")]
pub(crate) struct Weight {
    /// What is audited.
    pub(crate) audited: Exact,
    /// How a network computes the layer.
    pub(crate) steps: Steps,
}

/// How a network computes a layer of this weight: a layer with a kernel that is known exactly, and
/// something after it.
pub(crate) enum Steps {
    /// Nothing: the weight is the kernel.
    None,
    /// One factor for all outputs, within relative γ_k of the number, k the second.
    Factor(Kernel, f64, usize),
    /// One factor for each output channel.
    PerChannel(Kernel, Vec<f64>, usize),
    /// It cannot.
    Unknown(&'static str),
}

#[pymethods]
impl Weight {
    /// A weight that is an array.
    #[staticmethod]
    fn exact(array: &Bound<'_, PyAny>) -> PyResult<Self> {
        Ok(Self {
            audited: Exact::exact(kernel(array)?),
            steps: Steps::None,
        })
    }

    /// W/(uᵀMv), M being W as a matrix with this axis as rows, for uᵀMv > 0.
    #[staticmethod]
    fn spectral_norm(
        array: &Bound<'_, PyAny>,
        u: &Bound<'_, PyAny>,
        v: &Bound<'_, PyAny>,
        axis: usize,
    ) -> PyResult<Self> {
        let kernel = kernel(array)?;
        let (u, v) = (floats(u)?.1, floats(v)?.1);
        let audited = Exact::spectral_norm_along(&kernel, axis, &u, &v).map_err(Fault::from)?;
        let steps = match audited.rounded_factor() {
            Some((factor, roundings)) => Steps::Factor(audited.kernel().clone(), factor, roundings),
            None => Steps::Unknown("σ of its spectral normalisation is not known well enough"),
        };
        Ok(Self { audited, steps })
    }

    /// g·v/‖v‖ per slice along an axis, or in whole.
    #[staticmethod]
    #[pyo3(signature = (v, g, axis, transposed))]
    fn weight_norm(
        v: &Bound<'_, PyAny>,
        g: &Bound<'_, PyAny>,
        axis: Option<usize>,
        transposed: bool,
    ) -> PyResult<Self> {
        let (v, g) = (kernel(v)?, floats(g)?.1);
        let audited = Exact::weight_norm(&v, &g, axis).map_err(Fault::from)?;
        let steps = if axis == Some(0) && !transposed {
            per_channel(v, &g)
        } else {
            Steps::Unknown("its weight normalisation is not per output channel")
        };
        Ok(Self { audited, steps })
    }

    /// Length per axis.
    #[getter]
    fn shape(&self) -> Vec<usize> {
        self.audited.kernel().shape().to_vec()
    }
}

/// The factors g/‖v‖ of the rows.
fn per_channel(v: Kernel, g: &[f64]) -> Steps {
    let entries = v.shape()[1..].iter().product::<usize>().max(1);
    let length = |row: &[f64]| row.iter().map(|x| x * x).sum::<f64>().sqrt();
    let values = v.values();
    let lengths: Vec<f64> = values.chunks(entries).map(length).collect();
    // Far from where squares of the entries that count underflow or overflow.
    if lengths
        .iter()
        .any(|length| !(1e-100..=1e100).contains(length))
    {
        return Steps::Unknown("a slice of its weight normalisation is nearly 0");
    }
    let scale: Vec<f64> = g
        .iter()
        .zip(&lengths)
        .map(|(g, length)| g / length)
        .collect();
    let usable = |&(g, scale): &(&f64, &f64)| g.abs() <= 0.0 || scale.is_normal();
    if !g.iter().zip(&scale).all(|pair| usable(&pair)) {
        return Steps::Unknown("a factor of its weight normalisation is out of range");
    }
    // n squares and their sum, all positive, have n roundings each at most, a root halves them; then the
    // root, the quotient, and what may have underflowed next to a sum of 10⁻²⁰⁰.
    Steps::PerChannel(v, scale, entries + 4)
}

fn kernel(array: &Bound<'_, PyAny>) -> PyResult<Kernel> {
    let (shape, values) = floats(array)?;
    Ok(Kernel::new(&shape, values).map_err(Fault::from)?)
}

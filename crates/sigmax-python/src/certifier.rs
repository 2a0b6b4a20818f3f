//! [`Certifier`]: a network whose constants are proved, to certify arrays of images with.

use std::sync::Arc;
use std::time::Duration;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use sigmax::network::{
    Arithmetic, Certificate, Certifier as Core, Channels, Distances, Effort, Limits,
};
use sigmax::{Budget, Options};

use crate::arrays::pixels;
use crate::fault::Fault;
use crate::model::Model;
use crate::options::{resources, seconds};
use crate::task::{Caller, run};

/// Images between two looks at whether somebody still waits.
const BLOCK: usize = 256;
/// The same where bounds around images are tried.
const LOCAL_BLOCK: usize = 4;
/// Relative distance between radii by bounds around images and the next that was tried.
const RESOLUTION: f64 = 0.02;

/// A network whose constants are proved.
#[pyclass(frozen, module = "sigmax._core")]
pub(crate) struct Certifier(Arc<Prepared>);

struct Prepared {
    certifier: Core,
    /// How far radii are searched, and which distances bounds around images are tried at.
    effort: Effort,
    distances: Option<Distances>,
    image_budget: Option<Duration>,
    threads: Option<usize>,
    /// Why curvature is not used, where it was asked for.
    no_curvature: Option<String>,
}

#[pymethods]
impl Certifier {
    /// Proves the constants.
    #[new]
    #[pyo3(signature = (model, *, mean, std, layout, method, eps, only_eps=false, valid_range=None, tolerance=1e-3, budget=None, image_budget=None, threads=None, progress=None))]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn new(
        py: Python<'_>,
        model: &Model,
        mean: Vec<f64>,
        std: Vec<f64>,
        layout: &str,
        method: &str,
        eps: Vec<f64>,
        only_eps: bool,
        valid_range: Option<[f64; 2]>,
        tolerance: f64,
        budget: Option<f64>,
        image_budget: Option<f64>,
        threads: Option<usize>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let wrong = |what: &str, name: &str| Fault::Input(format!("{what}: {name:?} is none"));
        let layout = Channels::named(layout).ok_or_else(|| wrong("layout", layout))?;
        let (curvature, local) = match method {
            "best" => (Wish::IfKnown, true),
            "global" => (Wish::No, false),
            "curvature" => (Wish::Yes, false),
            "local" => (Wish::No, true),
            _ => return Err(wrong("method", method).into()),
        };
        let positive: Vec<f64> = eps.into_iter().filter(|&eps| eps > 0.0).collect();
        let largest = positive.iter().copied().fold(0.0, f64::max);
        let distances = match (local, method == "local" && !only_eps) {
            (false, _) => None,
            (true, true) => Some(Distances::Largest {
                resolution: RESOLUTION,
            }),
            (true, false) => (!positive.is_empty()).then_some(Distances::Only(positive)),
        };
        let effort = match only_eps && largest > 0.0 {
            true => Effort::up_to(largest),
            false => Effort::full(),
        };
        let image_budget = seconds(image_budget, "image_budget")?;
        let time = seconds(budget, "budget")?;
        let model = model.clone();
        run(py, progress, move |caller| {
            let resources = resources(threads, budget, caller.cancel())?;
            let mut network = model.open()?.network()?.network;
            if !mean.is_empty() || !std.is_empty() {
                network = network.normalised(layout, &mean, &std)?;
            }
            let share = |time: Duration| time / u32::try_from(network.nodes().len()).unwrap_or(1);
            let options = Options {
                tolerance,
                budget: Budget {
                    time: time.map(share),
                    tests: None,
                },
            };
            let prove = || -> Result<(Core, Option<String>), Fault> {
                let mut certifier = Core::new(&network, &options, Arithmetic::Real)?;
                if let Some(range) = valid_range {
                    certifier = certifier.within(range)?;
                }
                let mut none = None;
                if curvature != Wish::No {
                    match certifier.bound_curvature(&Options::default()) {
                        Ok(()) => {}
                        Err(reason @ sigmax::Error::NoCurvature { .. })
                            if curvature == Wish::IfKnown =>
                        {
                            none = Some(reason.to_string());
                        }
                        Err(error) => return Err(error.into()),
                    }
                }
                Ok((certifier, none))
            };
            let (certifier, no_curvature) = resources.install(prove)??;
            Ok(Self(Arc::new(Prepared {
                certifier,
                effort,
                distances,
                image_budget,
                threads,
                no_curvature,
            })))
        })
    }

    /// Number of classes.
    #[getter]
    fn classes(&self) -> usize {
        self.0.certifier.classes()
    }

    /// The shape of an image.
    #[getter]
    fn input(&self) -> Vec<usize> {
        let network = self.0.certifier.bounds().network();
        network.input().shape.clone()
    }

    /// The Lipschitz constant of the network.
    #[getter]
    fn lipschitz(&self) -> f64 {
        self.0.certifier.bounds().upper().get()
    }

    /// Why curvature is not used, where it was asked for.
    #[getter]
    fn no_curvature(&self) -> Option<String> {
        self.0.no_curvature.clone()
    }

    /// Certifies images `[n, …]` of class `labels`.
    #[pyo3(signature = (images, labels, progress=None))]
    fn certify<'py>(
        &self,
        py: Python<'py>,
        images: &Bound<'py, PyAny>,
        labels: Vec<usize>,
        progress: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let ((shape, values), exact) = pixels(images)?;
        let expected = self.input();
        if shape.first() != Some(&labels.len()) || shape.get(1..) != Some(&expected[..]) {
            return Err(Fault::Input(format!(
                "images of shape {shape:?} and {} labels; expected [{}, …] with images of shape \
                 {expected:?}",
                labels.len(),
                labels.len()
            ))
            .into());
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Err(Fault::Input(format!("a pixel is {value}")).into());
        }
        let prepared = Arc::clone(&self.0);
        let found = run(py, progress, move |caller| {
            prepared.all(&values, &labels, exact, caller)
        })?;
        columns(py, &found)
    }
}

impl Prepared {
    fn all(
        &self,
        values: &[f64],
        labels: &[usize],
        exact: bool,
        caller: &mut Caller,
    ) -> Result<Vec<Certificate>, Fault> {
        let length = self.certifier.bounds().network().input().len();
        let block = match self.distances {
            Some(_) if self.certifier.curvature().is_none() => LOCAL_BLOCK,
            _ => BLOCK,
        };
        let resources = resources(self.threads, None, caller.cancel())?;
        let mut all = Vec::with_capacity(labels.len());
        for (labels, values) in labels.chunks(block).zip(values.chunks(block * length)) {
            let some = || -> Result<Vec<Certificate>, sigmax::Error> {
                let mut found = self.certifier.search(values, labels, exact, self.effort)?;
                if let Some(distances) = &self.distances {
                    let limits = Limits {
                        each: self.image_budget,
                        ..Limits::default()
                    };
                    self.certifier
                        .enlarge(values, exact, &mut found, distances, limits)?;
                }
                Ok(found)
            };
            all.extend(resources.install(some)??);
            caller.report(all.len(), labels.len().max(all.len()))?;
        }
        Ok(all)
    }
}

/// Whether curvature is used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    No,
    IfKnown,
    Yes,
}

/// One array per number of the certificates.
fn columns<'py>(py: Python<'py>, found: &[Certificate]) -> PyResult<Bound<'py, PyDict>> {
    let floats = |of: fn(&Certificate) -> f64| -> Bound<'py, PyArray1<f64>> {
        found.iter().map(of).collect::<Vec<f64>>().into_pyarray(py)
    };
    let out = PyDict::new(py);
    out.set_item("radius", floats(|c| c.radius().get()))?;
    out.set_item(
        "radius_by_constants",
        floats(|c| c.radius_by_constants().get()),
    )?;
    out.set_item("margin", floats(|c| c.margin().get()))?;
    // NaN where none is known.
    let adversarial = |c: &Certificate| c.adversarial().map_or(f64::NAN, |bound| bound.get());
    out.set_item("adversarial", floats(adversarial))?;
    let predictions: Vec<i64> = found.iter().map(|c| c.prediction() as i64).collect();
    out.set_item("prediction", predictions.into_pyarray(py))?;
    let methods: Vec<&str> = found.iter().map(|c| c.method().name()).collect();
    out.set_item("method", methods)?;
    Ok(out)
}

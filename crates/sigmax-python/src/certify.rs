//! Certifications of files of images by files, with files of certificates.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use sigmax::network::{Arithmetic, Channels};
use sigmax_formats::certificate::confirm_until;
use sigmax_formats::report::{CertifyReport, Style, certify_html, certify_json};
use sigmax_run::{
    Cancel, CertificateFile, CertifyRequest, CertifyRun, Existing, Methods, Radii, Shard,
};

use crate::fault::Fault;
use crate::model::Model;
use crate::options::{resources, seconds};
use crate::task::run;

/// What was proved of a set of images.
#[pyclass(frozen, module = "sigmax._core")]
pub(crate) struct Certification(CertifyReport);

#[pymethods]
impl Certification {
    /// The summary as JSON (docs/json.md).
    fn json(&self) -> String {
        certify_json(&self.0)
    }

    /// The summary as one HTML page.
    fn html(&self) -> String {
        certify_html(&self.0)
    }

    /// The summary that the command prints.
    #[pyo3(signature = (width=None))]
    fn text(&self, width: Option<usize>) -> String {
        self.0.text(Style {
            width,
            colour: false,
        })
    }

    /// The proved radius of every image, in order.
    fn radii<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        let radii: Vec<f64> = self.0.ends.iter().map(|ends| ends.radius).collect();
        radii.into_pyarray(py)
    }

    /// Of every image an upper bound of the distance to an input of another class, NaN where none is
    /// known.
    fn adversarial<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        let ends = self.0.ends.iter();
        let bounds: Vec<f64> = ends
            .map(|ends| ends.adversarial.unwrap_or(f64::NAN))
            .collect();
        bounds.into_pyarray(py)
    }

    /// Number of images that were done.
    #[getter]
    fn total(&self) -> usize {
        self.0.total
    }

    /// How many of them are given their class, as evaluated.
    #[getter]
    fn correct(&self) -> usize {
        self.0.correct
    }

    /// The Lipschitz constant of the network.
    #[getter]
    fn lipschitz(&self) -> f64 {
        self.0.lipschitz.get()
    }

    /// The number of images whose class is proved to be kept within a distance.
    fn certified(&self, eps: f64) -> usize {
        self.0.certified(eps)
    }
}

/// What is asked for beyond the images.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Asked {
    labels: Option<PathBuf>,
    limit: Option<usize>,
    shard: Option<(usize, usize)>,
    constants: Option<PathBuf>,
    eps: Vec<f64>,
    mean: Vec<f64>,
    std: Vec<f64>,
    layout: Option<String>,
    pixel_range: Option<[f64; 2]>,
    valid_pixels: bool,
    tolerance: f64,
    float32: bool,
    method: String,
    only_eps: bool,
    image_budget: Option<f64>,
}

impl Asked {
    fn request(self, images: PathBuf, model: &Model) -> Result<CertifyRequest, Fault> {
        let wrong = |what: &str, got: &str| Fault::Input(format!("{what}: {got:?} is none"));
        let mut request = CertifyRequest::new(images);
        request.labels = self.labels;
        request.limit = self.limit;
        let shard = |(part, parts)| {
            Shard::new(part, parts).ok_or_else(|| wrong("shard", &format!("{part}/{parts}")))
        };
        request.shard = self.shard.map(shard).transpose()?;
        request.constants = self.constants;
        request.eps = self.eps;
        request.mean = self.mean;
        request.std = self.std;
        let layout = |name: String| Channels::named(&name).ok_or_else(|| wrong("layout", &name));
        request.layout = self.layout.map(layout).transpose()?;
        request.pixel_range = self.pixel_range;
        request.valid_pixels = self.valid_pixels;
        request.input_size = model.input_size().map(<[usize]>::to_vec);
        request.no_batch = model.no_batch();
        request.tolerance = self.tolerance;
        request.arithmetic = match self.float32 {
            true => Arithmetic::Float32,
            false => Arithmetic::Real,
        };
        request.methods = match &self.method[..] {
            "best" => Methods::Best,
            "global" => Methods::Global,
            "curvature" => Methods::Curvature,
            "local" => Methods::Local,
            other => return Err(wrong("method", other)),
        };
        request.radii = match self.only_eps {
            true => Radii::UpToEps,
            false => Radii::Full,
        };
        request.image_budget = seconds(self.image_budget, "image_budget")?;
        Ok(request)
    }
}

/// Certifies a file or folder of images by a model file.
#[pyfunction]
#[pyo3(signature = (model, images, asked, *, certificates=None, resume=false, budget=None, threads=None, progress=None))]
#[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn certify(
    py: Python<'_>,
    model: &Model,
    images: PathBuf,
    asked: Asked,
    certificates: Option<PathBuf>,
    resume: bool,
    budget: Option<f64>,
    threads: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Certification> {
    model.file()?;
    let request = asked.request(images, model)?;
    let model = model.clone();
    let file = certificates.map(|path| CertificateFile {
        path,
        existing: match resume {
            true => Existing::Resumed,
            false => Existing::Replaced,
        },
    });
    run(py, progress, move |caller| {
        let resources = resources(threads, budget, caller.cancel())?;
        let run = CertifyRun::new(model.open()?, request)?;
        Ok(Certification(run.run(file.as_ref(), &resources, caller)?))
    })
}

/// Confirms a file of certificates: the number of its images, and of those with a radius above 0.
#[pyfunction]
#[pyo3(signature = (certificates, model, *, budget=None, threads=None))]
pub(crate) fn check(
    py: Python<'_>,
    certificates: PathBuf,
    model: PathBuf,
    budget: Option<f64>,
    threads: Option<usize>,
) -> PyResult<(usize, usize)> {
    run(py, None, move |_| {
        let resources = resources(threads, budget, Cancel::default())?;
        let deadline = resources
            .budget
            .and_then(|budget| Instant::now().checked_add(budget));
        let file = File::open(&certificates).map_err(|error| {
            Fault::Input(format!("cannot open {}: {error}", certificates.display()))
        })?;
        let confirm = || confirm_until(&certificates, &mut BufReader::new(file), &model, deadline);
        let confirmed = resources.install(confirm)??;
        if confirmed.images == 0 {
            let text = format!(
                "nothing to confirm: {} states no image",
                certificates.display()
            );
            return Err(Fault::Input(text));
        }
        Ok((confirmed.images, confirmed.certified))
    })
}

/// Puts files of certificates together: the number of their images.
#[pyfunction]
pub(crate) fn merge(py: Python<'_>, parts: Vec<PathBuf>, output: PathBuf) -> PyResult<usize> {
    run(py, None, move |_| {
        let cannot = |error: std::io::Error| {
            Fault::Input(format!("cannot write {}: {error}", output.display()))
        };
        // Beside its place, so that nothing there is lost before all of it is known to fit.
        let mut unfinished = output.clone().into_os_string();
        unfinished.push(".part");
        let mut file = BufWriter::new(File::create(&unfinished).map_err(cannot)?);
        let written = sigmax_formats::certificate::merge(&parts, |line| {
            file.write_all(line.as_bytes())
                .map_err(|source| sigmax_run::Error::Write {
                    file: output.clone(),
                    source,
                })
        });
        let placed = written.map_err(Fault::from).and_then(|images: usize| {
            file.flush().map_err(cannot)?;
            std::fs::rename(&unfinished, &output).map_err(cannot)?;
            Ok(images)
        });
        if placed.is_err() {
            // Nothing is left behind, if that can be.
            let _ = std::fs::remove_file(&unfinished);
        }
        placed
    })
}

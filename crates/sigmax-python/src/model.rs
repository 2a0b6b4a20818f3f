//! [`Model`]: a model that can be read, as often as runs need it.

use std::path::PathBuf;

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use sigmax::network::{Forward, lipschitz};
use sigmax::{Budget, Options};
use sigmax_formats::{GeometryFile, Held, Model as Opened};

use crate::arrays::floats;
use crate::fault::Fault;
use crate::task::run;

/// A model: a file, the bytes of one, or what a builder made.
#[pyclass(frozen, module = "sigmax._core")]
#[derive(Clone)]
pub(crate) struct Model {
    content: Content,
    input_size: Option<Vec<usize>>,
    /// Whether every axis of the input is one of the sample.
    no_batch: bool,
    geometry: Option<String>,
}

#[derive(Clone)]
enum Content {
    File(PathBuf),
    Bytes(String, Vec<u8>),
    Held(String, Held),
}

impl Model {
    pub(crate) fn held(name: String, held: Held) -> Self {
        Self {
            content: Content::Held(name, held),
            input_size: None,
            no_batch: false,
            geometry: None,
        }
    }

    /// Reads it.
    pub(crate) fn open(&self) -> Result<Opened, Fault> {
        let mut model = match &self.content {
            Content::File(path) => Opened::open(path)?,
            Content::Bytes(name, bytes) => Opened::from_bytes(name, bytes.clone())?,
            Content::Held(name, held) => Opened::held(name, held.clone()),
        };
        if let Some(size) = &self.input_size {
            model.set_input_size(size)?;
        }
        if self.no_batch {
            model.set_no_batch()?;
        }
        if let Some(text) = &self.geometry {
            model.apply_geometry(&GeometryFile::parse("geometry".as_ref(), text)?)?;
        }
        Ok(model)
    }

    pub(crate) fn input_size(&self) -> Option<&[usize]> {
        self.input_size.as_deref()
    }

    pub(crate) fn no_batch(&self) -> bool {
        self.no_batch
    }

    /// The file, where there is one.
    pub(crate) fn file(&self) -> Result<&PathBuf, Fault> {
        match &self.content {
            Content::File(path) => Ok(path),
            Content::Bytes(name, _) | Content::Held(name, _) => Err(Fault::Input(format!(
                "{name} is no file, and certificates name a file by its digest: save the model as ONNX \
                 and give its path"
            ))),
        }
    }
}

#[pymethods]
impl Model {
    /// A file.
    #[staticmethod]
    #[pyo3(signature = (path, *, input_size=None, no_batch=false, geometry=None))]
    fn from_path(
        path: PathBuf,
        input_size: Option<Vec<usize>>,
        no_batch: bool,
        geometry: Option<String>,
    ) -> Self {
        Self {
            content: Content::File(path),
            input_size,
            no_batch,
            geometry,
        }
    }

    /// The bytes of a file.
    #[staticmethod]
    #[pyo3(signature = (name, bytes, *, input_size=None, no_batch=false, geometry=None))]
    fn from_bytes(
        name: String,
        bytes: Vec<u8>,
        input_size: Option<Vec<usize>>,
        no_batch: bool,
        geometry: Option<String>,
    ) -> Self {
        Self {
            content: Content::Bytes(name, bytes),
            input_size,
            no_batch,
            geometry,
        }
    }

    /// The first output of the network in f64 for inputs `[n, …]`, one row each, and a proved bound of
    /// the ℓ₂ distance of each row to the exact value.
    fn evaluate<'py>(
        &self,
        py: Python<'py>,
        inputs: &Bound<'py, PyAny>,
    ) -> PyResult<Evaluated<'py>> {
        let (_, inputs) = floats(inputs)?;
        let model = self.clone();
        let evaluated = run(py, None, move |_| {
            let network = model.open()?.network()?.network;
            let rough = Options {
                tolerance: 0.5,
                budget: Budget {
                    tests: Some(0),
                    time: None,
                },
            };
            let bounds = lipschitz(&network, &rough)?;
            Ok(Forward::new(&bounds)?.evaluate(&inputs)?)
        })?;
        let rows = evaluated.iter();
        let rows = rows
            .map(|row| row.values().to_vec().into_pyarray(py))
            .collect();
        Ok((
            rows,
            evaluated.iter().map(|row| row.error().get()).collect(),
        ))
    }
}

type Evaluated<'py> = (Vec<Bound<'py, PyArray1<f64>>>, Vec<f64>);

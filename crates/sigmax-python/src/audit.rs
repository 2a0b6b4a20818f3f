//! Audits and comparisons.

use std::sync::Arc;

use pyo3::prelude::*;
use sigmax_formats::Model as Opened;
use sigmax_formats::report::{self, Request, Style, Table, csv, json};
use sigmax_run::{AuditRun, NetworkPart, spectra_of_worst};

use crate::fault::Fault;
use crate::model::Model;
use crate::options::resources;
use crate::task::run;

/// What an audit found.
#[pyclass(frozen, module = "sigmax._core")]
pub(crate) struct Report {
    report: report::Report,
    model: Arc<Opened>,
}

#[pymethods]
impl Report {
    /// The report as JSON (docs/json.md).
    fn json(&self) -> String {
        json(&self.report)
    }

    /// The report as one HTML page.
    fn html(&self, py: Python<'_>) -> String {
        py.detach(|| report::html(&self.report, &spectra_of_worst(&self.report, &self.model)))
    }

    /// One row per layer.
    fn csv(&self) -> String {
        let rows = self.report.rows.iter().map(csv::row);
        let refused = self.report.skipped.refused.iter().map(csv::refused);
        csv::header() + &rows.chain(refused).collect::<String>()
    }

    /// The table that the command prints.
    #[pyo3(signature = (width=None))]
    fn text(&self, width: Option<usize>) -> String {
        let style = Style {
            width,
            colour: false,
        };
        let layers: Vec<_> = self.report.rows.iter().map(|row| &row.layer).collect();
        let table = Table::new(&layers, &self.report.request, style);
        let rows: String = self.report.rows.iter().map(|row| table.row(row)).collect();
        table.header() + &rows + &table.summary(&self.report)
    }

    /// Of every layer that was audited, its name and nearly the Frobenius norm of its weight.
    fn frobenius(&self, py: Python<'_>) -> PyResult<Vec<(String, f64)>> {
        let norm = |layer: &sigmax_formats::LayerSpec| -> Result<(String, f64), Fault> {
            let weight = self.model.read_weight(layer)?;
            let squares: f64 = weight.kernel().values().iter().map(|v| v * v).sum();
            let factor = (layer.scale * weight.factor().get()).abs();
            Ok((layer.name.clone(), squares.sqrt() * factor))
        };
        let audited = || {
            self.report
                .audited()
                .map(|(layer, _)| norm(layer))
                .collect()
        };
        let found: Result<Vec<_>, Fault> = py.detach(audited);
        Ok(found?)
    }
}

/// Audits a model.
#[pyfunction]
#[pyo3(signature = (model, *, tolerance=1e-3, budget=None, threads=None, only=Vec::new(), exclude=Vec::new(), max_norm=None, max_lipschitz=None, network=true, progress=None))]
#[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
pub(crate) fn audit(
    py: Python<'_>,
    model: &Model,
    tolerance: f64,
    budget: Option<f64>,
    threads: Option<usize>,
    only: Vec<String>,
    exclude: Vec<String>,
    max_norm: Option<f64>,
    max_lipschitz: Option<f64>,
    network: bool,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Report> {
    let request = Request {
        tolerance,
        input_size: model.input_size().map(<[usize]>::to_vec),
        geometry_file: None,
        only,
        exclude,
        max_norm,
        max_lipschitz,
        budget,
    };
    let part = match network {
        true => NetworkPart::Included,
        false => NetworkPart::LeftOut,
    };
    let model = model.clone();
    run(py, progress, move |caller| {
        let resources = resources(threads, budget, caller.cancel())?;
        let run = AuditRun::new(model.open()?, request, part)?;
        let model = Arc::clone(run.model());
        let report = run.run(&resources, caller)?;
        Ok(Report { report, model })
    })
}

/// Two models layer by layer.
#[pyclass(frozen, module = "sigmax._core")]
pub(crate) struct Comparison(report::Comparison);

#[pymethods]
impl Comparison {
    /// The comparison as JSON (docs/json.md).
    fn json(&self) -> String {
        self.0.json()
    }

    /// The table that the command prints.
    #[pyo3(signature = (width=None))]
    fn text(&self, width: Option<usize>) -> String {
        self.0.text(width)
    }
}

/// Audits two models and pairs their layers by name.
#[pyfunction]
#[pyo3(signature = (a, b, *, tolerance=1e-3, budget=None, threads=None, progress=None))]
pub(crate) fn compare(
    py: Python<'_>,
    a: &Model,
    b: &Model,
    tolerance: f64,
    budget: Option<f64>,
    threads: Option<usize>,
    progress: Option<&Bound<'_, PyAny>>,
) -> PyResult<Comparison> {
    let models = [a.clone(), b.clone()];
    run(py, progress, move |caller| {
        let resources = resources(threads, budget, caller.cancel())?;
        let models = [models[0].open()?, models[1].open()?];
        Ok(Comparison(sigmax_run::compare(
            models, tolerance, &resources, caller,
        )?))
    })
}

//! `sigmax audit`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use sigmax_formats::report::{
    self, Gate, Report, Request, Row, Style, Table, csv, json, printable,
};
use sigmax_formats::{Format, GeometryFile, LayerSpec, Model, sha256};

use crate::args::{AuditArgs, ReportFormat};
use crate::failure::Failure;
use crate::network::Section;
use crate::output::{Output, distinct};
use crate::progress::Progress;
use crate::schedule;
use crate::screen;
use crate::select::Selection;
use crate::spectra;

/// The network that comes with the program.
const EXAMPLE: &[u8] = include_bytes!("../../../examples/mnist-cnn.onnx");
const EXAMPLE_NAME: &str = "examples/mnist-cnn.onnx";

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// Runs the command.
pub(crate) fn run(args: &AuditArgs) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let selection = Selection::parse(&args.only)?;
    let inputs: Vec<&Path> = [&args.model, &args.layers]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let mut model = open(args)?;
    let section = match model.format {
        Format::Onnx if !args.no_network => Some(Section::read(&model)?),
        _ => None,
    };
    selection.apply(&mut model)?;
    distinct(&[
        ("--output", args.output.as_deref()),
        ("--html", args.html.as_deref()),
    ])?;
    let mut output = Output::open(args.output.as_deref(), &inputs)?;
    let html = args.html.as_deref();
    let html = html
        .map(|path| Output::open(Some(path), &inputs))
        .transpose()?;
    let mut report = Report {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        file: model.file().display().to_string(),
        sha256: None,
        format: model.format,
        request: request(args),
        rows: Vec::with_capacity(model.layers.len()),
        skipped: model.skipped.clone(),
        network: None,
        seconds: 0.0,
    };
    let style = screen::style(args.color, args.output.is_some());
    let writer = Writer::new(format(args), &model.layers, &report.request, style);
    output.write(&writer.start(&report))?;

    let total = model.layers.len();
    let threads = threads(args);
    let deadline = args.budget.and_then(|budget| started.checked_add(budget));
    let model = Arc::new(model);
    let kernels = section.as_ref().map(Section::kernels).unwrap_or_default();
    let rows = schedule::start(
        Arc::clone(&model),
        kernels,
        args.tolerance,
        deadline,
        threads,
    )?;
    let mut progress = Progress::new(total, "layers");
    let mut waiting = BTreeMap::new();
    while report.rows.len() < total {
        match rows.recv_timeout(TICK) {
            Ok((index, row)) => {
                progress.advance();
                waiting.insert(index, row);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Failure::Bug("a layer ended without a result".to_owned()));
            }
        }
        progress.tick();
        while let Some(row) = waiting.remove(&report.rows.len()) {
            progress.suspend(|| output.write(&writer.row(&row)))?;
            report.rows.push(row);
        }
        // Without a gate the report was all that was wanted.
        let gated = args.max_norm.is_some() || args.max_lipschitz.is_some();
        if output.is_closed() && !gated && html.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
    }
    if let Some(section) = section {
        report.network = Some(section.bound(&report.rows, args.tolerance, deadline)?);
    }
    drop(progress);
    report.seconds = started.elapsed().as_secs_f64();
    if let Some(mut file) = html {
        report.sha256 = args.model.as_deref().map(sha256).transpose()?;
        let spectra = spectra::of_worst(&report, &model);
        file.write(&report::html(&report, &spectra))?;
        file.finish()?;
    }
    output.write(&writer.end(&report))?;
    output.finish()?;
    Ok(verdict(&report))
}

fn open(args: &AuditArgs) -> Result<Model, Failure> {
    let mut model = match &args.model {
        Some(path) => Model::open(path)?,
        None => Model::from_bytes(EXAMPLE_NAME, EXAMPLE.to_vec())?,
    };
    if let Some(size) = &args.input_size {
        model.set_input_size(&size.0)?;
    }
    if let Some(path) = &args.layers {
        model.apply_geometry(&GeometryFile::open(path)?)?;
    }
    Ok(model)
}

fn request(args: &AuditArgs) -> Request {
    Request {
        tolerance: args.tolerance,
        input_size: args.input_size.as_ref().map(|size| size.0.clone()),
        geometry_file: args.layers.as_ref().map(|path| path.display().to_string()),
        only: args.only.clone(),
        max_norm: args.max_norm,
        max_lipschitz: args.max_lipschitz,
        budget: args.budget.map(|budget| budget.as_secs_f64()),
    }
}

fn format(args: &AuditArgs) -> ReportFormat {
    let extension = args.output.as_ref().and_then(|path| path.extension());
    args.format
        .unwrap_or(match extension.and_then(|e| e.to_str()) {
            Some("json") => ReportFormat::Json,
            Some("csv") => ReportFormat::Csv,
            _ => ReportFormat::Table,
        })
}

fn threads(args: &AuditArgs) -> usize {
    args.threads.map_or_else(
        || available_parallelism().map_or(1, usize::from),
        usize::from,
    )
}

/// The report in parts, as they become known.
enum Writer {
    Table(Box<Table>),
    Json,
    Csv,
}

impl Writer {
    fn new(format: ReportFormat, layers: &[LayerSpec], request: &Request, style: Style) -> Self {
        match format {
            ReportFormat::Table => {
                let layers: Vec<&LayerSpec> = layers.iter().collect();
                Self::Table(Box::new(Table::new(&layers, request, style)))
            }
            ReportFormat::Json => Self::Json,
            ReportFormat::Csv => Self::Csv,
        }
    }

    fn start(&self, report: &Report) -> String {
        match self {
            Self::Table(table) => format!(
                "{} ({})\n\n{}",
                screen::escaped(&report.file),
                report.format.name(),
                table.header()
            ),
            Self::Json => String::new(),
            Self::Csv => csv::header(),
        }
    }

    fn row(&self, row: &Row) -> String {
        match self {
            Self::Table(table) => table.row(row),
            Self::Json => String::new(),
            Self::Csv => csv::row(row),
        }
    }

    fn end(&self, report: &Report) -> String {
        match self {
            Self::Table(table) => table.summary(report),
            Self::Json => json(report),
            Self::Csv => report.skipped.refused.iter().map(csv::refused).collect(),
        }
    }
}

/// The exit code, with the reasons on stderr. Bad input comes before a failed gate.
fn verdict(report: &Report) -> ExitCode {
    let refused = report.refused();
    let mut errors = String::new();
    for (layer, _) in refused.iter().filter(|(_, bad_input)| *bad_input) {
        errors += &format!("error: {}\n", screen::escaped(&layer.reason));
    }
    let mut code = if errors.is_empty() { 0 } else { 2 };
    if report.audited().next().is_none() && report.request.max_norm.is_none() && code == 0 {
        errors += "error: no layer could be audited:\n";
        for (layer, _) in &refused {
            errors += &format!(
                "  {}: {}\n",
                printable(&layer.name),
                screen::escaped(&layer.reason)
            );
        }
        code = 2;
    }
    if let Some(gate) = report.gate().filter(|gate| !gate.passed()) {
        errors += &gate_text(report, &gate);
        code = code.max(1);
    }
    if let Some(gate) = report.lipschitz_gate().filter(|gate| !gate.passed) {
        errors += &format!(
            "gate failed: the network's Lipschitz constant is not proved to be at most {}: {}\n",
            gate.limit,
            screen::escaped(gate.reason.as_deref().unwrap_or_default())
        );
        code = code.max(1);
    }
    // There is nobody to tell if stderr is closed.
    let _ = std::io::stderr().write_all(errors.as_bytes());
    ExitCode::from(code)
}

/// Which layers do not pass, with the exact numbers.
fn gate_text(report: &Report, gate: &Gate) -> String {
    let most = gate.max_norm;
    let all = report.rows.len() + report.skipped.refused.len();
    let failed = gate.exceeded.len() + gate.unproved.len();
    let mut text = format!(
        "gate failed: {failed} of {all} layers not proved to have a norm of at most {most}\n"
    );
    for (layer, audit) in report.audited() {
        let bracket = audit.norm.bracket;
        if bracket.upper().get() > most {
            let open = if bracket.lower().get() <= most {
                ", undecided"
            } else {
                ""
            };
            text += &format!(
                "  {}: the norm is between {} and {}{open}\n",
                printable(&layer.name),
                bracket.lower().get(),
                bracket.upper().get()
            );
        }
    }
    for (refused, _) in report.refused() {
        text += &format!(
            "  {}: not audited, so nothing is proved: {}\n",
            printable(&refused.name),
            screen::escaped(&refused.reason)
        );
    }
    text
}

//! `sigmax audit`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use sigmax_formats::report::{
    self, Gate, Report, Request, Row, Style, Table, csv, json, most, printable,
};
use sigmax_formats::{GeometryFile, LayerSpec, Model, sha256};
use sigmax_run::{AuditRun, NetworkPart, Watch, spectra_of_worst};

use crate::args::{AuditArgs, ReportFormat};
use crate::failure::Failure;
use crate::output::{Output, distinct};
use crate::progress::Progress;
use crate::{resources, screen};

/// The network that comes with the program.
const EXAMPLE: &[u8] = include_bytes!("../examples/mnist-cnn.onnx");
const EXAMPLE_NAME: &str = "examples/mnist-cnn.onnx";

/// Runs the command.
pub(crate) fn run(args: &AuditArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let inputs: Vec<&Path> = [&args.model, &args.layers]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let network = if args.no_network {
        NetworkPart::LeftOut
    } else {
        NetworkPart::Included
    };
    let run = AuditRun::new(open(args)?, request(args), network)?;
    let model = Arc::clone(run.model());
    distinct(&[
        ("--output", args.output.as_deref()),
        ("--html", args.html.as_deref()),
    ])?;
    let mut output = Output::open(args.output.as_deref(), &inputs)?;
    let html = args.html.as_deref();
    let html = html
        .map(|path| Output::open(Some(path), &inputs))
        .transpose()?;
    let style = screen::style(args.color, args.output.is_some());
    let writer = Writer::new(format(args), &model.layers, run.request(), style);
    output.write(&writer.start(&run.empty_report()))?;

    let budget = args
        .budget
        .map(|budget| budget.saturating_sub(started.elapsed()));
    let mut watch = Rows {
        writer: &writer,
        output: &mut output,
        progress: Progress::new("layers"),
        // Without a gate or a page the report was all that was wanted.
        only_output: args.max_norm.is_none() && args.max_lipschitz.is_none() && html.is_none(),
    };
    let mut report = run.run(&resources::of(args.threads, budget), &mut watch)?;
    drop(watch);
    report.seconds = started.elapsed().as_secs_f64();
    if let Some(mut file) = html {
        report.sha256 = args.model.as_deref().map(sha256).transpose()?;
        let spectra = spectra_of_worst(&report, &model);
        file.write(&report::html(&report, &spectra))?;
        file.finish()?;
    }
    output.write(&writer.end(&report))?;
    output.finish()?;
    Ok(verdict(&report))
}

/// Writes rows as they come.
struct Rows<'a> {
    writer: &'a Writer,
    output: &'a mut Output,
    progress: Progress,
    only_output: bool,
}

impl Watch<Failure> for Rows<'_> {
    fn row(&mut self, row: &Row) -> Result<(), Failure> {
        let Self { writer, output, .. } = self;
        self.progress.suspend(|| output.write(&writer.row(row)))
    }

    fn progress(&mut self, done: usize, total: usize) -> Result<(), Failure> {
        self.progress.show(done, total);
        if self.output.is_closed() && self.only_output {
            return Err(Failure::Closed);
        }
        Ok(())
    }
}

fn open(args: &AuditArgs) -> Result<Model, Failure> {
    let mut model = match &args.model {
        Some(path) => Model::open(path)?,
        None => Model::from_bytes(EXAMPLE_NAME, EXAMPLE.to_vec())?,
    };
    if let Some(size) = &args.input_size {
        model.set_input_size(&size.0)?;
    }
    if args.no_batch {
        model.set_no_batch()?;
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
        exclude: args.exclude.clone(),
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
            Self::Csv => {
                let refused = report.skipped.refused.iter().map(csv::refused);
                refused
                    .chain(report.excluded.iter().map(csv::excluded))
                    .collect()
            }
        }
    }
}

/// The exit code, with the reasons on stderr. Bad input comes before a failed gate.
fn verdict(report: &Report) -> u8 {
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
    code
}

/// Which layers do not pass, with the exact numbers.
fn gate_text(report: &Report, gate: &Gate) -> String {
    let limit = gate.max_norm;
    let all = report.rows.len() + report.skipped.refused.len();
    let failed = gate.exceeded.len() + gate.unproved.len();
    let mut text = format!(
        "gate failed: {failed} of {all} layers not proved to have a norm of at most {limit}\n"
    );
    for (layer, audit) in report.audited() {
        let bracket = audit.norm().bracket();
        if bracket.upper().get() > most(limit) {
            let open = if bracket.lower().get() <= most(limit) {
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
    for name in &gate.excluded {
        text += &format!("  {}: excluded, so nothing is proved\n", printable(name));
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

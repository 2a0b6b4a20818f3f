//! `sigmax certify`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use sigmax::network::{Arithmetic, Certificate, Certifier, Network};
use sigmax::{Budget, Options};
use sigmax_formats::certificate::{Header, Line, ModelFile, assumptions_of};
use sigmax_formats::images::{Images, Inputs};
use sigmax_formats::report::{CertifyReport, NetworkBounds, certify_html, certify_json};
use sigmax_formats::{Model, NetworkError};

use crate::args::{CertifyArgs, SummaryFormat};
use crate::failure::Failure;
use crate::inputs::prepare;
use crate::ledger::Ledger;
use crate::output::{Output, distinct};
use crate::progress::Progress;
use crate::{resources, screen};

/// Images that are certified between two looks at the clock.
const BLOCK: usize = 256;
/// Values of a block of images.
const BLOCK_VALUES: usize = 1 << 23;

/// Runs the command.
pub(crate) fn run(args: &CertifyArgs) -> Result<ExitCode, Failure> {
    let deadline = args
        .budget
        .and_then(|budget| Instant::now().checked_add(budget));
    let files: Vec<PathBuf> = [Some(&args.model), Some(&args.images), args.labels.as_ref()]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let files: Vec<_> = files.iter().map(PathBuf::as_path).collect();
    let mut model = Model::open(&args.model)?;
    if let Some(size) = &args.input_size {
        model.set_input_size(&size.0)?;
    }
    let images = Images::open(&args.images, args.labels.as_deref(), args.limit)?;
    let arithmetic = if args.float32 {
        Arithmetic::Float32
    } else {
        Arithmetic::Real
    };
    let (network, assumed) = network(&model, arithmetic)?;
    let (network, inputs, normalisation) = prepare(args, network, images)?;
    distinct(&[
        ("--output", args.output.as_deref()),
        ("--html", args.html.as_deref()),
        ("--certificates", args.certificates.as_deref()),
    ])?;
    let mut html = args
        .html
        .as_deref()
        .map(|path| Output::open(Some(path), &files))
        .transpose()?;
    let mut output = Output::open(args.output.as_deref(), &files)?;
    resources::install(args.threads, || {
        let started = Instant::now();
        let options = Options {
            tolerance: args.tolerance,
            budget: Budget {
                time: deadline.map(|deadline| {
                    // Half of the time is for the images.
                    let left = deadline.saturating_duration_since(Instant::now()) / 2;
                    left / u32::try_from(network.nodes().len()).unwrap_or(u32::MAX)
                }),
                ..Budget::default()
            },
        };
        let certifier = Certifier::new(&network, &options, arithmetic).map_err(input)?;
        check_labels(inputs.images(), &certifier, args)?;
        let mut header = Header::new(
            &certifier,
            ModelFile::of(&model)?,
            normalisation
                .as_ref()
                .map(|(mean, std)| (&mean[..], &std[..])),
            args.input_size.as_ref().map(|size| size.0.as_slice()),
            inputs.fit(),
        );
        header.assumptions.clone_from(&assumed);
        let mut ledger = Ledger::open(args, &header, &certifier, &inputs, &files)?;
        let mut report = CertifyReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: model.file().display().to_string(),
            sha256: Some(header.model.sha256.clone()),
            images: args.images.display().to_string(),
            fit: inputs.fit().clone(),
            units: inputs.images().units(),
            arithmetic: arithmetic.name().to_owned(),
            mean: args.mean.clone(),
            std: args.std.clone(),
            lipschitz: certifier.bounds().upper(),
            asked: inputs.images().len(),
            total: 0,
            correct: 0,
            radii: Vec::new(),
            eps: args.eps.clone(),
            seconds: 0.0,
            network: NetworkBounds::new(certifier.bounds(), &[], &[]),
            complete: true,
            assumptions: assumed,
        };
        for done in ledger.done() {
            count(&mut report, done.right, done.radius);
        }
        all(&certifier, &inputs, deadline, &mut ledger, &mut report)?;
        ledger.finish()?;
        report.seconds = started.elapsed().as_secs_f64();
        if let Some(mut html) = html.take() {
            html.write(&certify_html(&report))?;
            html.finish()?;
        }
        let style = screen::style(args.color, args.output.is_some());
        output.write(&match args.format {
            SummaryFormat::Text => report.text(style),
            SummaryFormat::Json => certify_json(&report),
        })?;
        output.finish()?;
        Ok(ExitCode::SUCCESS)
    })
}

/// The network, and what certificates of it assume.
fn network(model: &Model, arithmetic: Arithmetic) -> Result<(Network, Vec<String>), Failure> {
    let found = match model.network() {
        Ok(found) => found,
        Err(NetworkError::NoRule(reason)) => {
            let text = format!(
                "{}: nothing can be certified, because there is no Lipschitz constant:",
                model.file().display()
            );
            let blockers = reason.blockers.iter().map(|blocker| {
                format!(
                    "node {:?} ({}): {}",
                    blocker.name, blocker.kind, blocker.reason
                )
            });
            return Err(Failure::List(text, blockers.collect()));
        }
        Err(error) => return Err(Failure::Input(error.to_string())),
    };
    if let Err(reason) = found.precision.check(arithmetic) {
        return Err(Failure::Input(format!(
            "{}: {reason}",
            model.file().display()
        )));
    }
    let assumed = assumptions_of(&found, arithmetic);
    Ok((found.network, assumed))
}

fn check_labels(images: &Images, certifier: &Certifier, args: &CertifyArgs) -> Result<(), Failure> {
    let classes = certifier.classes();
    match (0..images.len()).find(|&i| images.label(i) >= classes) {
        None => Ok(()),
        Some(i) => Err(Failure::Input(format!(
            "{}: image {} has label {}; the model has {classes} classes",
            args.labels.as_ref().unwrap_or(&args.images).display(),
            images.name(i),
            images.label(i)
        ))),
    }
}

/// Certifies what the ledger does not have yet, as far as the time goes.
fn all(
    certifier: &Certifier,
    inputs: &Inputs,
    deadline: Option<Instant>,
    ledger: &mut Ledger,
    report: &mut CertifyReport,
) -> Result<(), Failure> {
    let images = inputs.images();
    let length: usize = inputs.fit().input().iter().product();
    let block = (BLOCK_VALUES / length).clamp(1, BLOCK);
    let first = ledger.done().len();
    let total = images.len() - first;
    let mut progress = Progress::new("images");
    let mut start = first;
    while start < images.len() {
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            report.complete = false;
            break;
        }
        let end = (start + block).min(images.len());
        let pixels: Vec<f64> = (start..end).flat_map(|i| inputs.values(i)).collect();
        let labels: Vec<usize> = (start..end).map(|i| images.label(i)).collect();
        let certificates = certifier
            .certify(&pixels, &labels, images.is_exact())
            .map_err(input)?;
        let mut lines = String::new();
        for (index, certificate) in (start..end).zip(&certificates) {
            let line = Line::new(certificate, inputs, index);
            count(report, is_right(certificate), line.radius);
            if ledger.is_wanted() {
                lines += &line.line();
            }
        }
        ledger.write(&lines)?;
        progress.show(end - first, total);
        start = end;
    }
    Ok(())
}

fn is_right(certificate: &Certificate) -> bool {
    certificate.prediction() == certificate.label()
}

fn count(report: &mut CertifyReport, right: bool, radius: Option<f64>) {
    report.total += 1;
    report.correct += usize::from(right);
    report.radii.push(radius.unwrap_or(f64::MAX));
}

fn input(error: sigmax::Error) -> Failure {
    Failure::Input(error.to_string())
}

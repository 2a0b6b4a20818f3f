//! `sigmax certify`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use sigmax::Options;
use sigmax::network::{Arithmetic, Certificate, Certifier, Network};
use sigmax_formats::certificate::{Header, Line, ModelFile, assumptions_of};
use sigmax_formats::images::Images;
use sigmax_formats::report::{CertifyReport, NetworkBounds, certify_html, certify_json};
use sigmax_formats::{Model, NetworkError};

use crate::args::{CertifyArgs, SummaryFormat};
use crate::failure::Failure;
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
    let inputs: Vec<PathBuf> = [Some(&args.model), Some(&args.images), args.labels.as_ref()]
        .into_iter()
        .flatten()
        .cloned()
        .collect();
    let inputs: Vec<_> = inputs.iter().map(PathBuf::as_path).collect();
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
    let (mut network, assumed) = network(&model, &images, arithmetic, args)?;
    let normalisation = normalisation(args, network.input().shape[0])?;
    if let Some((mean, std)) = &normalisation {
        network = network.normalised(mean, std).map_err(input)?;
    }
    distinct(&[
        ("--output", args.output.as_deref()),
        ("--html", args.html.as_deref()),
        ("--certificates", args.certificates.as_deref()),
    ])?;
    let mut html = args
        .html
        .as_deref()
        .map(|path| Output::open(Some(path), &inputs))
        .transpose()?;
    let mut output = Output::open(args.output.as_deref(), &inputs)?;
    resources::install(args.threads, || {
        let started = Instant::now();
        let options = Options {
            tolerance: args.tolerance,
            ..Options::default()
        };
        let certifier = Certifier::new(&network, &options, arithmetic).map_err(input)?;
        check_labels(&images, &certifier, args)?;
        let mut header = Header::new(
            &certifier,
            ModelFile::of(&model)?,
            normalisation
                .as_ref()
                .map(|(mean, std)| (&mean[..], &std[..])),
            args.input_size.as_ref().map(|size| size.0.as_slice()),
        );
        header.assumptions.clone_from(&assumed);
        let mut ledger = Ledger::open(args, &header, &certifier, &images, &inputs)?;
        let mut report = CertifyReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            file: model.file().display().to_string(),
            sha256: Some(header.model.sha256.clone()),
            images: args.images.display().to_string(),
            arithmetic: arithmetic.name().to_owned(),
            mean: args.mean.clone(),
            std: args.std.clone(),
            lipschitz: certifier.bounds().upper(),
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
        all(&certifier, &images, &mut ledger, &mut report)?;
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
fn network(
    model: &Model,
    images: &Images,
    arithmetic: Arithmetic,
    args: &CertifyArgs,
) -> Result<(Network, Vec<String>), Failure> {
    let found = match model.network() {
        Ok(found) => found,
        Err(NetworkError::NoRule(reason)) => {
            let text = format!(
                "{}: nothing can be certified, because there is no Lipschitz constant:",
                args.model.display()
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
            args.model.display()
        )));
    }
    let assumed = assumptions_of(&found, arithmetic);
    let network = found.network;
    let expected = network.input().len();
    let got: usize = images.shape().iter().product();
    if expected != got {
        return Err(Failure::Input(format!(
            "{}: images of shape {:?}; the model {} takes {:?}",
            args.images.display(),
            images.shape(),
            args.model.display(),
            network.input().shape
        )));
    }
    Ok((network, assumed))
}

/// Mean and standard deviation per channel, where either was given.
fn normalisation(args: &CertifyArgs, channels: usize) -> Result<Option<Normalisation>, Failure> {
    let spread = |values: &[f64], usual: f64| match values {
        [] => vec![usual; channels],
        &[one] => vec![one; channels],
        values => values.to_vec(),
    };
    if args.mean.is_empty() && args.std.is_empty() {
        return Ok(None);
    }
    let (mean, std) = (spread(&args.mean, 0.0), spread(&args.std, 1.0));
    if mean.len() != channels || std.len() != channels {
        return Err(Failure::Input(format!(
            "--mean has {} values and --std {}; expected one, or one for each of the {channels} \
             channels",
            args.mean.len(),
            args.std.len()
        )));
    }
    Ok(Some((mean, std)))
}

/// Mean and standard deviation per channel.
type Normalisation = (Vec<f64>, Vec<f64>);

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

/// Certifies what the ledger does not have yet.
fn all(
    certifier: &Certifier,
    images: &Images,
    ledger: &mut Ledger,
    report: &mut CertifyReport,
) -> Result<(), Failure> {
    let length: usize = images.shape().iter().product();
    let block = (BLOCK_VALUES / length).clamp(1, BLOCK);
    let first = ledger.done().len();
    let total = images.len() - first;
    let mut progress = Progress::new("images");
    let mut start = first;
    while start < images.len() {
        let end = (start + block).min(images.len());
        let pixels: Vec<f64> = (start..end).flat_map(|i| images.values(i)).collect();
        let labels: Vec<usize> = (start..end).map(|i| images.label(i)).collect();
        let certificates = certifier
            .certify(&pixels, &labels, images.is_exact())
            .map_err(input)?;
        let mut lines = String::new();
        for (index, certificate) in (start..end).zip(&certificates) {
            let line = Line::new(certificate, images, index);
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

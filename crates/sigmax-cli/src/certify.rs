//! `sigmax certify`.

use std::path::{Path, PathBuf};
use std::time::Instant;

use sigmax::network::{Arithmetic, Channels};
use sigmax_formats::Model;
use sigmax_formats::report::{certify_html, certify_json};
use sigmax_run::{CertificateFile, CertifyRequest, CertifyRun, Existing, Methods, Radii};

use crate::args::{CertifyArgs, LayoutName, MethodName, SummaryFormat};
use crate::failure::Failure;
use crate::output::{Output, distinct};
use crate::progress::Progress;
use crate::{resources, screen};

/// Runs the command.
pub(crate) fn run(args: &CertifyArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let around = matches!(args.method, MethodName::Best | MethodName::Local);
    let options = [
        ("--image-budget", args.image_budget.is_some()),
        ("--memory", args.memory.is_some()),
    ];
    if let Some((option, _)) = options.iter().find(|(_, given)| *given && !around) {
        let text =
            format!("{option} is for bounds around images, which this --method does not try");
        return Err(Failure::Input(text));
    }
    let others = [args.labels.as_ref(), args.constants.as_ref()];
    let files: Vec<&Path> = [Some(&args.model), Some(&args.images)]
        .into_iter()
        .chain(others)
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let run = CertifyRun::new(Model::open(&args.model)?, request(args))?;
    distinct(&[
        ("--output", args.output.as_deref()),
        ("--html", args.html.as_deref()),
        ("--certificates", args.certificates.as_deref()),
    ])?;
    let html = args.html.as_deref();
    let html = html
        .map(|path| Output::open(Some(path), &files))
        .transpose()?;
    let mut output = Output::open(args.output.as_deref(), &files)?;
    let certificates = certificates(args, &files)?;
    let budget = args
        .budget
        .map(|budget| budget.saturating_sub(started.elapsed()));
    let resources = resources::of(args.threads, budget);
    let mut progress = Progress::new("images");
    let report = run.run(certificates.as_ref(), &resources, &mut progress)?;
    drop(progress);
    if let Some(mut html) = html {
        html.write(&certify_html(&report))?;
        html.finish()?;
    }
    let style = screen::style(args.color, args.output.is_some());
    output.write(&match args.format {
        SummaryFormat::Text => report.text(style),
        SummaryFormat::Json => certify_json(&report),
    })?;
    output.finish()?;
    Ok(0)
}

fn request(args: &CertifyArgs) -> CertifyRequest {
    let mut request = CertifyRequest::new(args.images.clone());
    request.labels.clone_from(&args.labels);
    request.limit = args.limit;
    request.shard = args.shard;
    request.constants.clone_from(&args.constants);
    request.eps.clone_from(&args.eps);
    request.mean.clone_from(&args.mean);
    request.std.clone_from(&args.std);
    request.layout = args.layout.map(|layout| match layout {
        LayoutName::Chw => Channels::First,
        LayoutName::Hwc => Channels::Last,
    });
    request.pixel_range = args.pixel_range.map(|range| range.0);
    request.valid_pixels = args.valid_pixels;
    request.image_budget = args.image_budget;
    request.memory = args.memory;
    request.input_size = args.input_size.as_ref().map(|size| size.0.clone());
    request.no_batch = args.no_batch;
    request.tolerance = args.tolerance;
    request.methods = match args.method {
        MethodName::Best => Methods::Best,
        MethodName::Global => Methods::Global,
        MethodName::Curvature => Methods::Curvature,
        MethodName::Local => Methods::Local,
    };
    request.radii = match args.only_eps {
        true => Radii::UpToEps,
        false => Radii::Full,
    };
    request.arithmetic = if args.float32 {
        Arithmetic::Float32
    } else {
        Arithmetic::Real
    };
    request
}

/// The file of certificates, which must not be one of those that are read.
fn certificates(args: &CertifyArgs, files: &[&Path]) -> Result<Option<CertificateFile>, Failure> {
    let Some(path) = &args.certificates else {
        return Ok(None);
    };
    let same = |input: &&&Path| {
        let found = std::fs::canonicalize(path);
        found.is_ok_and(|found| std::fs::canonicalize(input).is_ok_and(|input| input == found))
    };
    if files.iter().find(same).is_some() {
        return Err(Failure::Input(format!(
            "--certificates {} would overwrite an input",
            path.display()
        )));
    }
    Ok(Some(CertificateFile {
        path: path.clone(),
        existing: if args.resume {
            Existing::Resumed
        } else {
            Existing::Replaced
        },
    }))
}

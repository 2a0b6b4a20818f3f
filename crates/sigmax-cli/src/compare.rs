//! `sigmax compare`.

use std::path::Path;

use sigmax_formats::{GeometryFile, Model};
use sigmax_run::compare;

use crate::args::{Color, CompareArgs, SummaryFormat};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Progress;
use crate::{resources, screen};

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> Result<u8, Failure> {
    let mut inputs: Vec<&Path> = vec![&args.a, &args.b];
    inputs.extend(args.layers.as_deref());
    let mut output = Output::open(args.output.as_deref(), &inputs)?;
    let models = [open(&args.a, args)?, open(&args.b, args)?];
    let resources = resources::of(args.threads, args.budget);
    let mut progress = Progress::new("layers");
    let comparison = compare(models, args.tolerance, &resources, &mut progress)?;
    drop(progress);
    let width = screen::style(Color::Never, args.output.is_some()).width;
    output.write(&match args.format {
        SummaryFormat::Text => comparison.text(width),
        SummaryFormat::Json => comparison.json(),
    })?;
    output.finish()?;
    Ok(0)
}

fn open(path: &Path, args: &CompareArgs) -> Result<Model, Failure> {
    let mut model = Model::open(path)?;
    if let Some(layers) = &args.layers {
        model.apply_geometry(&GeometryFile::open(layers)?)?;
    }
    Ok(model)
}

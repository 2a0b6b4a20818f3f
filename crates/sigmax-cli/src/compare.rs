//! `sigmax compare`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use sigmax_formats::report::{Comparison, Missing, NetworkReport, Outcome, Pair, Row};
use sigmax_formats::{Format, GeometryFile, Model};

use crate::args::{CompareArgs, SummaryFormat};
use crate::failure::Failure;
use crate::network::Section;
use crate::output::Output;
use crate::progress::Progress;
use crate::{schedule, screen};

/// Runs the command.
pub(crate) fn run(args: &CompareArgs) -> Result<ExitCode, Failure> {
    let mut inputs: Vec<&Path> = vec![&args.a, &args.b];
    inputs.extend(args.layers.as_deref());
    let mut output = Output::open(args.output.as_deref(), &inputs)?;
    let a = audited(&args.a, args)?;
    let b = audited(&args.b, args)?;
    let comparison = Comparison {
        files: [args.a.display().to_string(), args.b.display().to_string()],
        pairs: pairs(&a.0, &b.0),
        lipschitz: [constant(a.1), constant(b.1)],
    };
    let width = screen::style(crate::args::Color::Never, args.output.is_some()).width;
    output.write(&match args.format {
        SummaryFormat::Text => comparison.text(width),
        SummaryFormat::Json => comparison.json(),
    })?;
    output.finish()?;
    Ok(ExitCode::SUCCESS)
}

/// A layer's name, norm and shape; what could not be audited has no shape.
type Layer = (String, Result<sigmax::Bracket, Missing>, Option<Vec<usize>>);

fn audited(
    path: &Path,
    args: &CompareArgs,
) -> Result<(Vec<Layer>, Option<NetworkReport>), Failure> {
    let mut model = Model::open(path)?;
    if let Some(layers) = &args.layers {
        model.apply_geometry(&GeometryFile::open(layers)?)?;
    }
    let section = match model.format {
        Format::Onnx => Some(Section::read(&model)?),
        _ => None,
    };
    let refused: Vec<Layer> = model
        .skipped
        .refused
        .iter()
        .map(|refused| {
            let reason = Missing::Refused(refused.reason.clone());
            (refused.name.clone(), Err(reason), None)
        })
        .collect();
    let total = model.layers.len();
    let threads = args.threads.map_or_else(
        || available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let received = schedule::start(Arc::new(model), args.tolerance, None, threads)?;
    let mut progress = Progress::new(total, "layers");
    let mut rows: Vec<Option<Row>> = vec![None; total];
    for (index, row) in received {
        rows[index] = Some(row);
        progress.advance();
        progress.tick();
    }
    let rows: Option<Vec<Row>> = rows.into_iter().collect();
    let rows = rows.ok_or_else(|| Failure::Bug("a layer ended without a result".to_owned()))?;
    let network = section
        .map(|section| section.bound(&rows, args.tolerance, None))
        .transpose()?;
    let mut layers: Vec<Layer> = Vec::with_capacity(rows.len());
    for row in rows {
        let norm = match row.outcome {
            Outcome::Audited(audit) => Ok(audit.norm.bracket),
            Outcome::Refused(reason) => Err(Missing::Refused(reason)),
            Outcome::Bad(reason) => return Err(Failure::Input(reason)),
        };
        layers.push((row.layer.name, norm, Some(row.layer.shape)));
    }
    layers.extend(refused);
    Ok((layers, network))
}

fn pairs(a: &[Layer], b: &[Layer]) -> Vec<Pair> {
    let missing = || Err(Missing::Absent);
    let pair = |name: &str, a: Option<&Layer>, b: Option<&Layer>| Pair {
        name: name.to_owned(),
        norms: [a, b].map(|layer| layer.map_or_else(missing, |layer| layer.1.clone())),
        shapes: [a, b].map(|layer| layer.and_then(|layer| layer.2.clone())),
    };
    let find = |list: &'_ [Layer], name: &str| list.iter().position(|layer| layer.0 == name);
    let mut all: Vec<Pair> = a
        .iter()
        .map(|layer| pair(&layer.0, Some(layer), find(b, &layer.0).map(|i| &b[i])))
        .collect();
    let only_b = b.iter().filter(|layer| find(a, &layer.0).is_none());
    all.extend(only_b.map(|layer| pair(&layer.0, None, Some(layer))));
    all
}

fn constant(network: Option<NetworkReport>) -> Result<sigmax::Upper, String> {
    match network.map(|network| network.bounds) {
        None => Err("the file has no graph".to_owned()),
        Some(Ok(bounds)) => Ok(bounds.upper),
        Some(Err(blockers)) => Err(blockers
            .iter()
            .map(|blocker| format!("{} ({}): {}", blocker.name, blocker.kind, blocker.reason))
            .collect::<Vec<_>>()
            .join("; ")),
    }
}

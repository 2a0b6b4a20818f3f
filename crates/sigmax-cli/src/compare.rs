//! `sigmax compare`.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use sigmax::{Bracket, Quantity, Upper};
use sigmax_formats::report::{Comparison, LowerEnd, Missing, NetworkReport, Outcome, Pair, Row};
use sigmax_formats::{Format, GeometryFile, GeometrySource, Model};

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

/// A layer of one model.
struct Layer {
    name: String,
    norm: Result<Bracket, Missing>,
    /// None of what could not be read.
    shape: Option<Vec<usize>>,
    lower: LowerEnd,
}

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
            Layer {
                name: refused.name.clone(),
                norm: Err(reason),
                shape: None,
                lower: LowerEnd::Incomparable,
            }
        })
        .collect();
    let total = model.layers.len();
    let kernels = section.as_ref().map(Section::kernels).unwrap_or_default();
    let threads = args.threads.map_or_else(
        || available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    let received = schedule::start(Arc::new(model), kernels, args.tolerance, None, threads)?;
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
        let lower = lower_end(&row);
        let norm = match row.outcome {
            Outcome::Audited(audit) => Ok(audit.norm.bracket),
            Outcome::Refused(reason) => Err(Missing::Refused(reason)),
            Outcome::Bad(reason) => return Err(Failure::Input(reason)),
        };
        layers.push(Layer {
            name: row.layer.name,
            norm,
            shape: Some(row.layer.shape),
            lower,
        });
    }
    layers.extend(refused);
    Ok((layers, network))
}

/// What the lower end of a layer's norm is of.
fn lower_end(row: &Row) -> LowerEnd {
    let copies = row.audit().is_some_and(|audit| {
        audit.norm.quantity == Quantity::Lattice && audit.padding_factor > 1.0
    });
    if copies {
        LowerEnd::Incomparable
    } else if row.layer.geometry == GeometrySource::Assumed && row.layer.conv.axes() > 0 {
        LowerEnd::Stride1
    } else {
        LowerEnd::Norm
    }
}

fn pairs(a: &[Layer], b: &[Layer]) -> Vec<Pair> {
    let pair = |name: &str, sides: [Option<&Layer>; 2]| Pair {
        name: name.to_owned(),
        norms: sides.map(|side| side.map_or(Err(Missing::Absent), |layer| layer.norm.clone())),
        shapes: sides.map(|side| side.and_then(|layer| layer.shape.clone())),
        lower: match sides.map(|side| side.map(|layer| layer.lower)) {
            [Some(a), Some(b)] if a == b => a,
            _ => LowerEnd::Incomparable,
        },
    };
    let find = |list: &[Layer], name: &str| list.iter().position(|layer| layer.name == name);
    let mut all: Vec<Pair> = a
        .iter()
        .map(|layer| {
            let other = find(b, &layer.name).map(|i| &b[i]);
            pair(&layer.name, [Some(layer), other])
        })
        .collect();
    let only_b = b.iter().filter(|layer| find(a, &layer.name).is_none());
    all.extend(only_b.map(|layer| pair(&layer.name, [None, Some(layer)])));
    all
}

fn constant(network: Option<NetworkReport>) -> Result<Upper, String> {
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

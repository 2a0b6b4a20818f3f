//! Tables of experiments: many runs, each kept when it is finished.

mod run;
mod small_data;
mod tightness;

use std::io::Write;
use std::path::PathBuf;

use crate::cli::{SmallDataArgs, TableArgs, TableCommand};
use crate::data::{Data, Source};
use crate::error::Error;
use crate::recipe::PenaltyKind;

pub use run::{Finished, run_all};
pub use small_data::{Choice, choose};

/// Makes a table and prints it as Markdown.
///
/// # Errors
/// As of the runs.
pub fn run(command: &TableCommand, out: &mut dyn Write) -> Result<(), Error> {
    match command {
        TableCommand::SmallData(SmallDataArgs {
            source,
            table: args,
        }) => {
            if source.contains(&Source::Cifar10) {
                let reason = "--source: mnist or fashion-mnist; CIFAR-10 has a table of its own";
                return Err(Error::Usage(reason.into()));
            }
            let grid = Grid {
                sources: or(source, &[Source::Mnist, Source::FashionMnist]),
                images: or(&args.images, &[1000, 5000]),
                penalties: or(&args.penalties, &[PenaltyKind::Four, PenaltyKind::Norm]),
                betas: or(&args.betas, &[0.001, 0.004, 0.016, 0.064]),
                decays: or(&args.decays, &[0.0005, 0.002, 0.008, 0.032]),
                base_decay: None,
                seeds: args.seeds.unwrap_or(5),
                epochs: args.epochs.unwrap_or(20),
                validation: args.validation.unwrap_or(5000),
            };
            small_data::run(&grid, args, out)
        }
        TableCommand::Cifar10(args) => {
            let grid = Grid {
                sources: vec![Source::Cifar10],
                images: or(&args.images, &[2000]),
                penalties: or(&args.penalties, &[PenaltyKind::Four]),
                betas: or(&args.betas, &[0.001, 0.004]),
                decays: args.decays.clone(),
                base_decay: Some(1e-4),
                seeds: args.seeds.unwrap_or(3),
                epochs: args.epochs.unwrap_or(12),
                validation: args.validation.unwrap_or(1000),
            };
            small_data::run(&grid, args, out)
        }
        TableCommand::Tightness(args) => tightness::run(args, out),
    }
}

/// The experiments of a table.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Data sets.
    pub sources: Vec<Source>,
    /// Numbers of training images.
    pub images: Vec<usize>,
    /// Penalties.
    pub penalties: Vec<PenaltyKind>,
    /// Their factors, to choose from.
    pub betas: Vec<f64>,
    /// Weight decays without penalty, to choose from.
    pub decays: Vec<f64>,
    /// The weight decay of all other runs, if not 0.
    pub base_decay: Option<f64>,
    /// Seeds 0, 1, …
    pub seeds: u64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images held back for the choice.
    pub validation: usize,
}

fn or<T: Clone>(given: &[T], usual: &[T]) -> Vec<T> {
    if given.is_empty() { usual } else { given }.to_vec()
}

/// Reads a data set from the first of the folders that has it.
pub(crate) fn read(source: Source, args: &TableArgs) -> Result<Data, Error> {
    let inside = match source {
        Source::Mnist => "mnist",
        Source::FashionMnist => "fashion-mnist",
        Source::Cifar10 => "cifar-10-batches-bin",
    };
    let candidates: Vec<PathBuf> = args
        .data
        .iter()
        .map(|folder| folder.join(inside))
        .chain(source.default_folder())
        .chain(args.data.iter().cloned())
        .collect();
    let folder = candidates.iter().find(|folder| folder.is_dir());
    let folder = folder.ok_or_else(|| Error::Usage(format!("--data DIR: {}", source.hint())))?;
    let mut data = source.read(folder)?;
    if let Some(limit) = args.test_limit {
        data.test = data.test.first(limit);
    }
    Ok(data)
}

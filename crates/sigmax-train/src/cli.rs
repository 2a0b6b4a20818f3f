//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::data::Source;
use crate::error::Error;
use crate::model::Architecture;
use crate::recipe::{PenaltyKind, Recipe};

/// Train image models with a penalty on the norms of their layers, and prove those norms.
#[derive(Debug, Parser)]
#[command(name = "sigmax-train", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train on MNIST (by default LeNet).
    Mnist(TrainArgs),
    /// Train on Fashion-MNIST (by default LeNet; --data defaults to where Debian's package
    /// dataset-fashion-mnist puts the files).
    FashionMnist(TrainArgs),
    /// Train on CIFAR-10 (by default ResNet-20).
    Cifar10(TrainArgs),
    /// Evaluate a weight file (PyTorch or safetensors) on the test images, and prove its norms.
    Evaluate(EvaluateArgs),
    /// Measure what a penalty costs: step time with and without it.
    Overhead(OverheadArgs),
    /// Train with and without a penalty: bounds, estimates and proved norms of every layer after both.
    Tightness(TightnessArgs),
}

/// Options of a training run.
#[derive(Args, Clone, Debug, Default)]
pub struct TrainArgs {
    /// Folder with the official files.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The model.
    #[arg(long)]
    pub model: Option<Architecture>,
    /// What is added to the loss.
    #[arg(long)]
    pub penalty: Option<PenaltyKind>,
    /// Factor of the penalty [default: 0.001].
    #[arg(long)]
    pub beta: Option<f64>,
    /// Passes over the training images [default: 20; ResNets 164].
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Images per step [default: 64; ResNets 128].
    #[arg(long)]
    pub batch: Option<usize>,
    /// First learning rate, divided by 10 at half and at three quarters of the epochs
    /// [default: 0.02; ResNets 0.1].
    #[arg(long)]
    pub rate: Option<f64>,
    /// Weight decay [default: 0; ResNets 1e-4].
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// Decides initial weights, subset, order and augmentation.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Use only N training images, chosen at random by the seed.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Hold back the last N training images for validation.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub validation: usize,
    /// Start from the weights in this file (PyTorch or safetensors).
    #[arg(long, value_name = "FILE")]
    pub init: Option<PathBuf>,
    /// Folder for model.safetensors, checkpoint, metrics.csv and report.html.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Go on from the checkpoint in --out.
    #[arg(long, requires = "out")]
    pub resume: bool,
    /// Stop after N steps, with a checkpoint.
    #[arg(long, value_name = "N", requires = "out")]
    pub stop_after: Option<usize>,
    /// Write a checkpoint every N steps too, not only after every epoch.
    #[arg(long, value_name = "N", requires = "out")]
    pub checkpoint_every: Option<usize>,
    /// Show the product of norms of the run in this folder beside this one's.
    #[arg(long, value_name = "DIR")]
    pub compare: Option<PathBuf>,
}

/// Options of an evaluation.
#[derive(Args, Clone, Debug)]
pub struct EvaluateArgs {
    /// The weight file.
    #[arg(long, value_name = "FILE")]
    pub checkpoint: PathBuf,
    /// The data set.
    #[arg(long, default_value = "cifar10")]
    pub source: Source,
    /// Folder with the official files.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The model.
    #[arg(long)]
    pub model: Architecture,
    /// Use only the first N test images.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
}

/// Options of the measurement.
#[derive(Args, Clone, Debug)]
pub struct OverheadArgs {
    /// The model.
    #[arg(long, default_value = "lenet")]
    pub model: Architecture,
    /// Rounds; in each, one step without and one with every penalty.
    #[arg(long, default_value_t = 100)]
    pub rounds: usize,
    /// Rounds before them that are not counted.
    #[arg(long, default_value_t = 5)]
    pub warm_up: usize,
}

/// Options of both runs.
#[derive(Args, Clone, Debug)]
pub struct TightnessArgs {
    /// The data set.
    #[arg(long, default_value = "mnist")]
    pub source: Source,
    /// The training options; --penalty and --beta are those of the penalised run.
    #[command(flatten)]
    pub train: TrainArgs,
}

impl TrainArgs {
    /// The recipe that the options make.
    ///
    /// # Errors
    /// Options that contradict each other.
    pub fn recipe(&self, source: Source) -> Result<Recipe, Error> {
        let usual = Recipe::new(source, self.model);
        let penalty = self.penalty.unwrap_or(usual.penalty);
        let beta = match (penalty, self.beta) {
            (PenaltyKind::None, Some(_)) => {
                return Err(Error::Usage(
                    "--beta is the factor of a --penalty; give one".into(),
                ));
            }
            (PenaltyKind::None, None) => 0.0,
            (_, beta) => beta.unwrap_or(1e-3),
        };
        let recipe = Recipe {
            penalty,
            beta,
            epochs: self.epochs.unwrap_or(usual.epochs),
            batch: self.batch.unwrap_or(usual.batch),
            rate: self.rate.unwrap_or(usual.rate),
            weight_decay: self.weight_decay.unwrap_or(usual.weight_decay),
            seed: self.seed,
            limit: self.limit,
            validation: self.validation,
            ..usual
        };
        recipe.check()?;
        Ok(recipe)
    }
}

/// The folder of a data set: the user's, or the default.
///
/// # Errors
/// Where there is no default.
pub fn folder(source: Source, data: Option<&PathBuf>) -> Result<PathBuf, Error> {
    data.cloned()
        .or_else(|| source.default_folder())
        .ok_or_else(|| {
            Error::Usage(format!(
                "--data DIR is needed: the folder with the files. {}",
                source.hint()
            ))
        })
}

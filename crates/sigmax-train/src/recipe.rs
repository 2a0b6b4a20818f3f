//! [`Recipe`]: everything that decides what a training run computes.

use serde_json::{Value, json};

use crate::data::Source;
use crate::error::Error;
use crate::model::Architecture;
use crate::schedule::Schedule;

/// What is added to the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum PenaltyKind {
    /// Nothing.
    None,
    /// β·Σ of the smallest of the four bounds per layer (Singla & Feizi 2021).
    Four,
    /// β·Σ of the weighted four.
    Weighted,
    /// β·Σ of the norm itself, followed at its peak frequency (an estimate).
    Norm,
}

impl PenaltyKind {
    /// The name as on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Four => "four",
            Self::Weighted => "weighted",
            Self::Norm => "norm",
        }
    }
}

/// Everything that decides what a run computes. Two runs of one recipe on the same data and machine
/// give the same weights, bit for bit.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The data set.
    pub source: Source,
    /// The model.
    pub model: Architecture,
    /// What is added to the loss.
    pub penalty: PenaltyKind,
    /// Its factor.
    pub beta: f64,
    /// Passes over the training images.
    pub epochs: usize,
    /// Images per step.
    pub batch: usize,
    /// First learning rate.
    pub rate: f64,
    /// Momentum of SGD.
    pub momentum: f64,
    /// Weight decay of SGD.
    pub weight_decay: f64,
    /// Decides initial weights, subset, order and augmentation.
    pub seed: u64,
    /// How many training images are used, chosen at random.
    pub limit: Option<usize>,
    /// How many of the last training images are held back for validation.
    pub validation: usize,
}

impl Recipe {
    /// The usual settings for a data set and a model (by default `LeNet` for idx files, ResNet-20
    /// for CIFAR-10).
    #[must_use]
    pub fn new(source: Source, model: Option<Architecture>) -> Self {
        let model = model.unwrap_or(match source {
            Source::Mnist | Source::FashionMnist => Architecture::Lenet,
            Source::Cifar10 => Architecture::Resnet20,
        });
        let plain = Self {
            source,
            model,
            penalty: PenaltyKind::None,
            beta: 0.0,
            epochs: 20,
            batch: 64,
            rate: 0.02,
            momentum: 0.9,
            weight_decay: 0.0,
            seed: 0,
            limit: None,
            validation: 0,
        };
        match model {
            Architecture::Lenet | Architecture::Mlp => plain,
            // He et al. 2016, section 4.2: 64,000 steps of 128 images are 164 epochs.
            Architecture::Resnet20 | Architecture::Resnet32 => Self {
                epochs: 164,
                batch: 128,
                rate: 0.1,
                weight_decay: 1e-4,
                ..plain
            },
        }
    }

    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// A setting out of its range, with the range.
    pub fn check(&self) -> Result<(), Error> {
        let positive = |name: &str, value: usize| match value {
            0 => Err(Error::Usage(format!("--{name} must be at least 1"))),
            _ => Ok(()),
        };
        positive("epochs", self.epochs)?;
        positive("batch", self.batch)?;
        positive("limit", self.limit.unwrap_or(1))?;
        let numbers = [
            ("beta", self.beta),
            ("rate", self.rate),
            ("momentum", self.momentum),
            ("weight-decay", self.weight_decay),
        ];
        for (name, value) in numbers {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::Usage(format!(
                    "--{name} must be a finite number of at least 0, not {value}"
                )));
            }
        }
        Ok(())
    }

    /// The learning rates.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        Schedule {
            rate: self.rate,
            epochs: self.epochs,
        }
    }

    /// The recipe as JSON. Numbers are text, so that equal text is an equal recipe.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "source": self.source.name(),
            "model": self.model.name(),
            "penalty": self.penalty.name(),
            "beta": self.beta.to_string(),
            "epochs": self.epochs,
            "batch": self.batch,
            "rate": self.rate.to_string(),
            "momentum": self.momentum.to_string(),
            "weight_decay": self.weight_decay.to_string(),
            "seed": self.seed,
            "limit": self.limit,
            "validation": self.validation,
        })
    }

    /// One line for people.
    #[must_use]
    pub fn title(&self) -> String {
        let images = match self.limit {
            Some(n) => format!("{n} training images"),
            None => "all training images".to_owned(),
        };
        let penalty = match self.penalty {
            PenaltyKind::None => "no penalty".to_owned(),
            kind => format!("penalty {} with β = {}", kind.name(), self.beta),
        };
        format!(
            "{} on {}, {images}, {penalty}, weight decay {}, seed {}",
            self.model.name(),
            self.source.name(),
            self.weight_decay,
            self.seed
        )
    }
}

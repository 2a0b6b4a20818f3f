//! What a penalty costs: step times with and without it, in one process, interleaved.

use std::io::Write;
use std::time::Instant;

use burn::tensor::{Device, Int, Tensor};

use crate::data::{Source, synthetic};
use crate::error::Error;
use crate::evaluate::{batch, cross_entropy, scalar};
use crate::model::{Architecture, Network, Task};
use crate::penalty::Penalty;
use crate::recipe::{PenaltyKind, Recipe};
use crate::rng::{Purpose, Rng};
use crate::sgd::Sgd;

const KINDS: [PenaltyKind; 4] = [
    PenaltyKind::None,
    PenaltyKind::Four,
    PenaltyKind::Weighted,
    PenaltyKind::Norm,
];

/// Three quartiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quartiles {
    /// First.
    pub low: f64,
    /// Second, the median.
    pub median: f64,
    /// Third.
    pub high: f64,
}

impl Quartiles {
    /// Of a list (nearest ranks); NaN of none.
    #[must_use]
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |quarter: usize| {
            let last = values.len().checked_sub(1);
            last.map_or(f64::NAN, |last| values[(quarter * last + 2) / 4])
        };
        Self {
            low: at(1),
            median: at(2),
            high: at(3),
        }
    }
}

/// The times of one kind of penalty.
#[derive(Clone, Debug)]
pub struct Timing {
    /// The penalty.
    pub kind: PenaltyKind,
    /// Seconds per step.
    pub step: Quartiles,
    /// Per round: the step over the step without penalty of the same round.
    pub ratio: Quartiles,
    /// Seconds of the penalty alone, power step, value and gradient: the mean of
    /// [`ALONE`] steps in a row, new searches for peaks included.
    pub alone: f64,
}

/// Steps of the penalty alone.
pub const ALONE: u32 = 100;

/// Trains a model for `rounds` rounds; in every round one step without penalty and one with each
/// kind, each on a model of its own. Their order turns from round to round. After that, the
/// penalties alone.
///
/// # Errors
/// What the penalty refuses.
pub fn measure(
    architecture: Architecture,
    rounds: usize,
    warm_up: usize,
) -> Result<Vec<Timing>, Error> {
    let source = match architecture {
        Architecture::Lenet | Architecture::Mlp => Source::Mnist,
        Architecture::Resnet20 | Architecture::Resnet32 => Source::Cifar10,
    };
    let device = Device::flex().autodiff();
    let images = synthetic::images(source, Recipe::new(source, Some(architecture)).batch, 0);
    let task = Measure {
        recipe: Recipe::new(source, Some(architecture)),
        rounds,
        warm_up,
        device: &device,
        images: &images,
    };
    architecture.with(images.shape, 0, &device, task)
}

struct Measure<'a> {
    recipe: Recipe,
    rounds: usize,
    warm_up: usize,
    device: &'a Device,
    images: &'a crate::data::Images,
}

struct Lane<N> {
    kind: PenaltyKind,
    model: Option<N>,
    sgd: Sgd,
    penalty: Penalty,
    steps: Vec<f64>,
}

impl<N: Network> Lane<N> {
    fn step(&mut self, x: Tensor<4>, y: Tensor<2, Int>, keep: bool) -> Result<(), Error> {
        let Some(model) = self.model.take() else {
            return Ok(());
        };
        let start = Instant::now();
        let loss = cross_entropy(model.forward(x), y);
        let total = match self.penalty.step(&model)? {
            Some(charge) => loss + charge.loss,
            None => loss,
        };
        let mut gradients = total.backward();
        self.model = Some(self.sgd.step(0.01, model, &mut gradients));
        // The value is read in training too; it also waits for the device.
        let value = scalar(&total);
        let step = start.elapsed().as_secs_f64();
        if keep && value.is_finite() {
            self.steps.push(step);
        }
        Ok(())
    }

    /// Mean time of the penalty alone at the weights that training has led to.
    fn alone(&mut self) -> Result<f64, Error> {
        let Some(model) = self.model.take().filter(|_| self.penalty.is_some()) else {
            return Ok(0.0);
        };
        let start = Instant::now();
        for _ in 0..ALONE {
            if let Some(charge) = self.penalty.step(&model)? {
                let gradients = charge.loss.backward();
                drop(gradients);
            }
        }
        Ok(start.elapsed().as_secs_f64() / f64::from(ALONE))
    }
}

impl Task for Measure<'_> {
    type Output = Result<Vec<Timing>, Error>;

    fn run<N: Network>(self, model: N) -> Self::Output {
        let mut lanes = Vec::new();
        for kind in KINDS {
            let recipe = Recipe {
                penalty: kind,
                beta: 1e-4,
                ..self.recipe.clone()
            };
            lanes.push(Lane {
                kind,
                penalty: Penalty::new(&recipe, &model)?,
                model: Some(model.clone().fork(self.device)),
                sgd: Sgd::new(recipe.momentum, recipe.weight_decay),
                steps: Vec::new(),
            });
        }
        let indices: Vec<usize> = (0..self.images.len()).collect();
        let mut rng = Rng::new(0, Purpose::Augment, [0, 0]);
        let source = self.recipe.source;
        let (x, y) = batch(self.images, &indices, source, Some(&mut rng), self.device);
        for round in 0..self.warm_up + self.rounds {
            for i in 0..lanes.len() {
                let lane = (round + i) % KINDS.len();
                lanes[lane].step(x.clone(), y.clone(), round >= self.warm_up)?;
            }
        }
        let plain = lanes[0].steps.clone();
        let timing = |mut lane: Lane<N>| {
            Ok(Timing {
                kind: lane.kind,
                alone: lane.alone()?,
                ratio: Quartiles::of(lane.steps.iter().zip(&plain).map(|(a, b)| a / b).collect()),
                step: Quartiles::of(lane.steps),
            })
        };
        lanes.into_iter().map(timing).collect()
    }
}

/// Measures and prints a Markdown table.
///
/// # Errors
/// What the penalty refuses; where writing fails.
pub fn print(
    architecture: Architecture,
    rounds: usize,
    warm_up: usize,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let timings = measure(architecture, rounds, warm_up)?;
    let plain = timings.first().map_or(f64::NAN, |t| t.step.median);
    writeln!(
        out,
        "{}: median [quartiles] of {rounds} rounds; the penalty alone, gradient included, is the mean \
         of {ALONE} steps\n\n\
         | penalty | step in ms | step / step without | penalty alone in ms | penalty alone / step without |\n\
         |---|---|---|---|---|",
        architecture.name()
    )?;
    for t in timings {
        let show = |q: Quartiles, factor: f64, digits: usize| {
            format!(
                "{:.digits$} [{:.digits$}, {:.digits$}]",
                factor * q.median,
                factor * q.low,
                factor * q.high
            )
        };
        writeln!(
            out,
            "| {} | {} | {} | {:.2} | {:.4} |",
            t.kind.name(),
            show(t.step, 1e3, 1),
            show(t.ratio, 1.0, 3),
            1e3 * t.alone,
            t.alone / plain
        )?;
    }
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_of_five_numbers() {
        let q = Quartiles::of(vec![5.0, 1.0, 4.0, 2.0, 3.0]);
        assert!((q.low - 2.0).abs() < 1e-12);
        assert!((q.median - 3.0).abs() < 1e-12);
        assert!((q.high - 4.0).abs() < 1e-12);
        assert!(Quartiles::of(vec![]).median.is_nan());
    }
}

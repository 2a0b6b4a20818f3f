//! [`Progress`]: a bar on a terminal, plain lines elsewhere.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sigmax_formats::report::{Rounding, decimal};

use crate::error::Error;
use crate::metrics::Epoch;

/// Where the progress of a run is shown.
pub enum Progress<'a> {
    /// Nowhere.
    Silent,
    /// On a terminal: a bar per epoch, and a line below it when the epoch is over.
    Bar(ProgressBar),
    /// A line per epoch.
    Lines(&'a mut dyn Write),
}

impl std::fmt::Debug for Progress<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Silent => "Silent",
            Self::Bar(_) => "Bar",
            Self::Lines(_) => "Lines",
        })
    }
}

/// What is known of a layer during an epoch.
#[derive(Clone, Copy, Debug)]
pub enum LayerNumber {
    /// The penalty's own number, at the present weights.
    Estimate(f64),
    /// The smallest of the four bounds, at the weights after the last epoch.
    Bound(f64),
}

/// The numbers of a step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Steps done in the epoch.
    pub done: usize,
    /// Mean loss of the epoch so far.
    pub loss: f64,
    /// Accuracy of the epoch so far.
    pub accuracy: f64,
    /// The penalty of this step.
    pub penalty: Option<f64>,
    /// The layer with the largest number, and that number.
    pub largest: Option<(&'a str, LayerNumber)>,
}

impl<'a> Progress<'a> {
    /// A bar if standard error is a terminal, else lines on `out`.
    pub fn detect(out: &'a mut dyn Write) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
        if bar.is_hidden() {
            return Self::Lines(out);
        }
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg} {eta}")
        {
            bar.set_style(style);
        }
        Self::Bar(bar)
    }

    /// An epoch of `steps` steps begins.
    pub fn begin(&mut self, epoch: usize, epochs: usize, steps: usize) {
        if let Self::Bar(bar) = self {
            bar.reset();
            bar.set_length(steps as u64);
            bar.set_prefix(format!("epoch {epoch}/{epochs}"));
        }
    }

    /// A step is done.
    pub fn step(&mut self, step: Step<'_>) {
        if let Self::Bar(bar) = self {
            let mut text = format!("loss {:.4} acc {:.2} %", step.loss, 100.0 * step.accuracy);
            if let Some(penalty) = step.penalty {
                text += &format!(" penalty {penalty:.4}");
            }
            match step.largest {
                Some((layer, LayerNumber::Estimate(value))) => {
                    text += &format!(" largest estimate {value:.2} ({layer})");
                }
                Some((layer, LayerNumber::Bound(value))) => {
                    let value = decimal(value, 4, Rounding::Up);
                    text += &format!(" largest bound, last epoch {value} ({layer})");
                }
                None => {}
            }
            bar.set_message(text);
            bar.set_position(step.done as u64);
        }
    }

    /// An epoch is over.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn epoch(&mut self, epoch: &Epoch, epochs: usize, layers: &[String]) -> Result<(), Error> {
        let largest = match epoch.largest_bound() {
            Some((i, bound)) => format!("{} ({})", decimal(bound, 4, Rounding::Up), layers[i]),
            None => "-".into(),
        };
        let validation = if epoch.validation_accuracy.is_nan() {
            String::new()
        } else {
            format!("  validation {:.2} %", 100.0 * epoch.validation_accuracy)
        };
        let penalty = if epoch.penalty > 0.0 {
            format!("  penalty {:.4}, estimated", epoch.penalty)
        } else {
            String::new()
        };
        let line = format!(
            "epoch {:>3}/{epochs}  loss {:.4}  train {:.2} %{penalty}{validation}  \
             test {:.2} %  largest bound {largest}  {:.1} s",
            epoch.epoch,
            epoch.train_loss,
            100.0 * epoch.train_accuracy,
            100.0 * epoch.test_accuracy,
            epoch.seconds,
        );
        match self {
            Self::Silent => {}
            Self::Bar(bar) => bar.println(line),
            Self::Lines(out) => {
                writeln!(out, "{line}")?;
                out.flush()?;
            }
        }
        Ok(())
    }

    /// The run is over.
    pub fn finish(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

//! [`Epoch`]: what is known after an epoch, and its line in the CSV file.

use std::fmt::Write;

/// What is known after an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Epoch {
    /// From 1.
    pub epoch: usize,
    /// Steps so far.
    pub steps: usize,
    /// Learning rate.
    pub rate: f64,
    /// Mean loss over the epoch's batches, without the penalty.
    pub train_loss: f64,
    /// Share of right answers over the epoch's batches, as they were trained on.
    pub train_accuracy: f64,
    /// Mean penalty over the epoch's batches: from estimates; 0 without one.
    pub penalty: f64,
    /// Share of right answers on the validation images; NaN without any.
    pub validation_accuracy: f64,
    /// Mean loss on the test images.
    pub test_loss: f64,
    /// Share of right answers on the test images.
    pub test_accuracy: f64,
    /// Duration of the epoch, evaluation included.
    pub seconds: f64,
    /// The smallest of the four bounds of every layer, proved by the core.
    pub bounds: Vec<f64>,
}

const COLUMNS: [&str; 10] = [
    "epoch",
    "steps",
    "rate",
    "train_loss",
    "train_accuracy",
    "penalty_estimate",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "seconds",
];

/// The first line of the file: the columns, then one bound per layer.
#[must_use]
pub fn header(layers: &[String]) -> String {
    let mut line = COLUMNS.join(",");
    for layer in layers {
        // Writing to a String does not fail.
        let _ = write!(line, ",bound {layer}");
    }
    line
}

impl Epoch {
    /// Its line. Numbers have all their digits: reading the line back gives the same epoch.
    #[must_use]
    pub fn to_line(&self) -> String {
        let numbers = [
            self.rate,
            self.train_loss,
            self.train_accuracy,
            self.penalty,
            self.validation_accuracy,
            self.test_loss,
            self.test_accuracy,
            self.seconds,
        ];
        let mut line = format!("{},{}", self.epoch, self.steps);
        for value in numbers.iter().chain(&self.bounds) {
            let _ = match value.is_nan() {
                true => write!(line, ","),
                false => write!(line, ",{value}"),
            };
        }
        line
    }

    /// Reads a line; `None` if it is not one.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.split(',');
        let epoch = fields.next()?.parse().ok()?;
        let steps = fields.next()?.parse().ok()?;
        let mut numbers = Vec::new();
        for field in fields {
            numbers.push(match field {
                "" => f64::NAN,
                text => text.parse().ok()?,
            });
        }
        if numbers.len() < COLUMNS.len() - 2 {
            return None;
        }
        let bounds = numbers.split_off(COLUMNS.len() - 2);
        Some(Self {
            epoch,
            steps,
            rate: numbers[0],
            train_loss: numbers[1],
            train_accuracy: numbers[2],
            penalty: numbers[3],
            validation_accuracy: numbers[4],
            test_loss: numbers[5],
            test_accuracy: numbers[6],
            seconds: numbers[7],
            bounds,
        })
    }

    /// The largest bound of a layer, with the index of that layer.
    #[must_use]
    pub fn largest_bound(&self) -> Option<(usize, f64)> {
        let bounds = self.bounds.iter().copied().enumerate();
        bounds.max_by(|a, b| a.1.total_cmp(&b.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back_as_the_same_epoch() {
        let epoch = Epoch {
            epoch: 3,
            steps: 77,
            rate: 0.1 + 0.2,
            train_loss: 1.0 / 3.0,
            train_accuracy: 0.5,
            penalty: 1e-17,
            validation_accuracy: 0.25,
            test_loss: 2.0_f64.sqrt(),
            test_accuracy: 0.125,
            seconds: 1e9,
            bounds: vec![0.1, 4e20],
        };
        let line = epoch.to_line();
        assert_eq!(Epoch::from_line(&line), Some(epoch.clone()));
        assert_eq!(
            line.split(',').count(),
            header(&["a".into(), "b".into()]).split(',').count()
        );
        assert_eq!(epoch.largest_bound().map(|(i, _)| i), Some(1));
        assert_eq!(Epoch::from_line("1,2,3"), None);
    }
}

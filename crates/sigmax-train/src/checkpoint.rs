//! [`Checkpoint`]: everything that a run needs to go on, in one safetensors file.
//!
//! There is no generator state: random numbers are keyed by the seed and the counters.

use std::path::Path;

use serde_json::{Value, json};

use crate::error::Error;
use crate::files;
use crate::metrics::Epoch;
use crate::recipe::Recipe;
use crate::state::StateDict;

/// Where a run is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Position {
    /// Finished epochs.
    pub epoch: usize,
    /// Finished steps of the epoch that runs.
    pub step: usize,
    /// Sums over the running epoch.
    pub sums: Sums,
    /// The epochs that are over.
    pub history: Vec<Epoch>,
}

/// Sums over the steps of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Of loss times images.
    pub loss: f64,
    /// Of penalties times images.
    pub penalty: f64,
    /// Right answers.
    pub correct: usize,
    /// Images.
    pub images: usize,
    /// Seconds.
    pub seconds: f64,
}

/// The content of a checkpoint.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// Where the run is.
    pub position: Position,
    /// Parameters and running statistics.
    pub model: StateDict,
    /// Velocities of SGD.
    pub optimiser: StateDict,
    /// Vectors of the power iterations.
    pub penalty: StateDict,
}

const PARTS: [&str; 3] = ["model/", "sgd/", "penalty/"];

impl Checkpoint {
    /// Writes it; the file appears whole or not at all.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn write(&self, path: &Path, recipe: &Recipe) -> Result<(), Error> {
        let mut all = StateDict::new();
        for (prefix, part) in PARTS
            .iter()
            .zip([&self.model, &self.optimiser, &self.penalty])
        {
            for (name, array) in part {
                all.insert(format!("{prefix}{name}"), array.clone());
            }
        }
        let Position {
            epoch,
            step,
            sums,
            history,
        } = &self.position;
        // f64 numbers as text: they read back exactly.
        let note = json!({
            "recipe": recipe.to_json(),
            "epoch": epoch,
            "step": step,
            "loss": sums.loss.to_string(),
            "penalty": sums.penalty.to_string(),
            "correct": sums.correct,
            "images": sums.images,
            "seconds": sums.seconds.to_string(),
            "history": history.iter().map(Epoch::to_line).collect::<Vec<_>>(),
        });
        files::write_safetensors(path, &all, Some(note.to_string()))
    }

    /// Reads it.
    ///
    /// # Errors
    /// A file that is no checkpoint, or the checkpoint of another recipe.
    pub fn read(path: &Path, recipe: &Recipe) -> Result<Self, Error> {
        let (all, note) = files::read_safetensors(path)?;
        let note: Value = note
            .and_then(|text| serde_json::from_str(&text).ok())
            .ok_or_else(|| Error::checkpoint(path, "this is not a checkpoint of sigmax-train"))?;
        let expected = recipe.to_json();
        if note["recipe"] != expected {
            return Err(Error::checkpoint(
                path,
                difference(&note["recipe"], &expected),
            ));
        }
        let position = position(&note)
            .ok_or_else(|| Error::checkpoint(path, "the position in its metadata is damaged"))?;
        let mut parts = [StateDict::new(), StateDict::new(), StateDict::new()];
        for (name, array) in all {
            let found = PARTS.iter().zip(&mut parts);
            for (prefix, part) in found {
                if let Some(name) = name.strip_prefix(prefix) {
                    part.insert(name.to_owned(), array.clone());
                }
            }
        }
        let [model, optimiser, penalty] = parts;
        Ok(Self {
            position,
            model,
            optimiser,
            penalty,
        })
    }
}

fn position(note: &Value) -> Option<Position> {
    let count = |name: &str| usize::try_from(note[name].as_u64()?).ok();
    let number = |name: &str| note[name].as_str()?.parse::<f64>().ok();
    let lines = note["history"].as_array()?.iter();
    let history = lines.map(|line| Epoch::from_line(line.as_str()?));
    Some(Position {
        epoch: count("epoch")?,
        step: count("step")?,
        sums: Sums {
            loss: number("loss")?,
            penalty: number("penalty")?,
            correct: count("correct")?,
            images: count("images")?,
            seconds: number("seconds")?,
        },
        history: history.collect::<Option<Vec<_>>>()?,
    })
}

/// Which settings differ.
fn difference(found: &Value, expected: &Value) -> String {
    let mut text = "this checkpoint is of another recipe:".to_owned();
    for (key, value) in expected.as_object().into_iter().flatten() {
        if found[key] != *value {
            text += &format!(" {key} is {} there and {value} here;", found[key]);
        }
    }
    text + " give the same options, or start without --resume"
}

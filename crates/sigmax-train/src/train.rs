//! The training loop.

use std::path::{Path, PathBuf};
use std::time::Instant;

use burn::tensor::Device;

use crate::checkpoint::{Checkpoint, Position};
use crate::data::{Data, Images};
use crate::error::Error;
use crate::evaluate::{batch, cross_entropy, evaluate, right_answers, scalar};
use crate::files::write_atomically;
use crate::metrics::{self, Epoch};
use crate::model::Network;
use crate::norms;
use crate::penalty::Penalty;
use crate::progress::{LayerNumber, Progress, Step};
use crate::recipe::Recipe;
use crate::rng::{Purpose, Rng};
use crate::sgd::Sgd;
use crate::state;

/// Name of the checkpoint in the folder of a run.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// Name of the metrics in the folder of a run.
pub const METRICS: &str = "metrics.csv";

/// How a run is carried out; none of it changes what is computed.
#[derive(Debug, Default)]
pub struct Control {
    /// Where checkpoint and metrics go.
    pub folder: Option<PathBuf>,
    /// Go on from the checkpoint in the folder, if there is one.
    pub resume: bool,
    /// Stop after this many steps, with a checkpoint.
    pub stop_after: Option<usize>,
    /// Write a checkpoint after this many steps too, not only after every epoch.
    pub checkpoint_every: Option<usize>,
}

/// A run that is over, or was stopped.
#[derive(Debug)]
pub struct Trained<N> {
    /// The model.
    pub model: N,
    /// Its penalty.
    pub penalty: Penalty,
    /// Every epoch.
    pub history: Vec<Epoch>,
    /// Whether all epochs are done.
    pub finished: bool,
}

/// What changes during a run.
struct Run<'a, N> {
    recipe: &'a Recipe,
    control: &'a Control,
    device: &'a Device,
    train: Images,
    validation: Images,
    test: &'a Images,
    model: N,
    sgd: Sgd,
    penalty: Penalty,
    position: Position,
    layers: Vec<String>,
    budget: usize,
}

/// Trains `model` (on an autodiff device) by the recipe.
///
/// # Errors
/// Settings that make no sense, files that cannot be written, a checkpoint that does not fit, a loss
/// that is not finite.
pub fn train<N: Network>(
    model: N,
    recipe: &Recipe,
    data: &Data,
    control: &Control,
    device: &Device,
    progress: &mut Progress<'_>,
) -> Result<Trained<N>, Error> {
    recipe.check()?;
    let (train, validation) = data
        .train
        .split(recipe.validation, recipe.limit, recipe.seed);
    if train.is_empty() {
        return Err(Error::Usage(
            "no training images are left beside the validation images".into(),
        ));
    }
    let penalty = Penalty::new(recipe, &model)?;
    let mut run = Run {
        recipe,
        control,
        device,
        train,
        validation,
        test: &data.test,
        layers: model.layers().into_iter().map(|l| l.path).collect(),
        model,
        sgd: Sgd::new(recipe.momentum, recipe.weight_decay),
        penalty,
        position: Position::default(),
        budget: control.stop_after.unwrap_or(usize::MAX),
    };
    if control.resume {
        run.resume()?;
    }
    while run.position.epoch < recipe.epochs && run.budget > 0 {
        run.epoch(progress)?;
    }
    progress.finish();
    let finished = run.position.epoch >= recipe.epochs;
    Ok(Trained {
        model: run.model,
        penalty: run.penalty,
        history: run.position.history,
        finished,
    })
}

impl<N: Network> Run<'_, N> {
    fn path(&self, name: &str) -> Option<PathBuf> {
        self.control.folder.as_deref().map(|f: &Path| f.join(name))
    }

    fn resume(&mut self) -> Result<(), Error> {
        let Some(path) = self.path(CHECKPOINT).filter(|path| path.exists()) else {
            return Ok(());
        };
        let checkpoint = Checkpoint::read(&path, self.recipe)?;
        for (name, velocity) in &checkpoint.optimiser {
            let name: Vec<String> = name.split('.').map(str::to_owned).collect();
            let name = state::torch_name(&name);
            let weights = checkpoint.model.get(&name).map_or(0, |a| a.values.len());
            if velocity.values.len() != weights {
                let reason = format!("the velocity of `{name}` does not fit its weights");
                return Err(Error::checkpoint(&path, reason));
            }
        }
        self.model =
            state::load(self.model.clone(), checkpoint.model).map_err(Error::in_file(&path))?;
        let device = self.device.clone().without_autodiff();
        self.sgd
            .restore(checkpoint.optimiser, &device)
            .map_err(Error::in_file(&path))?;
        let fresh = Penalty::new(self.recipe, &self.model)?;
        self.penalty = fresh
            .restore(checkpoint.penalty)
            .map_err(Error::in_file(&path))?;
        self.position = checkpoint.position;
        Ok(())
    }

    fn save(&self) -> Result<(), Error> {
        let Some(path) = self.path(CHECKPOINT) else {
            return Ok(());
        };
        let checkpoint = Checkpoint {
            position: self.position.clone(),
            model: state::read(&self.model),
            optimiser: self.sgd.state(),
            penalty: self.penalty.state(),
        };
        checkpoint.write(&path, self.recipe)
    }

    fn write_metrics(&self) -> Result<(), Error> {
        let Some(path) = self.path(METRICS) else {
            return Ok(());
        };
        let mut text = metrics::header(&self.layers) + "\n";
        for epoch in &self.position.history {
            text += &(epoch.to_line() + "\n");
        }
        write_atomically(&path, text.as_bytes())
    }

    /// From where the run is to the end of the epoch, or of the budget.
    fn epoch(&mut self, progress: &mut Progress<'_>) -> Result<(), Error> {
        let epoch = self.position.epoch;
        let key = [epoch as u64, 0];
        let order = Rng::new(self.recipe.seed, Purpose::Order, key).permutation(self.train.len());
        let batches: Vec<&[usize]> = order.chunks(self.recipe.batch).collect();
        progress.begin(epoch + 1, self.recipe.epochs, batches.len());
        while self.position.step < batches.len() {
            if self.budget == 0 {
                return self.save();
            }
            self.budget -= 1;
            self.step(batches[self.position.step], progress)?;
            let every = self.control.checkpoint_every.unwrap_or(usize::MAX);
            if self.position.step.is_multiple_of(every) && self.position.step < batches.len() {
                self.save()?;
            }
        }
        self.end_of_epoch(batches.len(), progress)?;
        self.save()
    }

    fn step(&mut self, indices: &[usize], progress: &mut Progress<'_>) -> Result<(), Error> {
        let start = Instant::now();
        let recipe = self.recipe;
        let key = [self.position.epoch as u64, self.position.step as u64];
        let mut rng = Rng::new(recipe.seed, Purpose::Augment, key);
        let (x, y) = batch(
            &self.train,
            indices,
            recipe.source,
            Some(&mut rng),
            self.device,
        );
        let logits = self.model.forward(x);
        let loss = cross_entropy(logits.clone(), y);
        let charge = self.penalty.step(&self.model)?;
        let total = match &charge {
            Some(charge) => loss.clone() + charge.loss.clone(),
            None => loss.clone(),
        };
        let mut gradients = total.backward();
        let rate = recipe.schedule().at(self.position.epoch);
        // A clone shares its tensors.
        self.model = self.sgd.step(rate, self.model.clone(), &mut gradients);
        let value = scalar(&loss);
        let penalty = charge.as_ref().map(|charge| scalar(&charge.loss));
        if !(value + penalty.unwrap_or(0.0)).is_finite() {
            return Err(Error::Usage(format!(
                "the loss became {value} (penalty {penalty:?}) in epoch {}, step {}: lower --rate or --beta",
                self.position.epoch + 1,
                self.position.step + 1
            )));
        }
        let correct = right_answers(&logits, &self.train, indices);
        self.count(value, penalty, correct, indices.len(), start);
        let last = self.position.history.last();
        let largest = match &charge {
            Some(charge) => {
                let layers = charge.layers.iter();
                let largest = layers.max_by(|a, b| a.1.total_cmp(&b.1));
                largest.map(|(path, value)| (path.as_str(), LayerNumber::Estimate(*value)))
            }
            None => last
                .and_then(Epoch::largest_bound)
                .map(|(i, bound)| (self.layers[i].as_str(), LayerNumber::Bound(bound))),
        };
        let sums = &self.position.sums;
        progress.step(Step {
            done: self.position.step,
            loss: sums.loss / sums.images as f64,
            accuracy: sums.correct as f64 / sums.images as f64,
            penalty,
            largest,
        });
        Ok(())
    }

    fn count(&mut self, loss: f64, penalty: Option<f64>, correct: usize, n: usize, start: Instant) {
        let sums = &mut self.position.sums;
        sums.loss += loss * n as f64;
        sums.penalty += penalty.unwrap_or(0.0) * n as f64;
        sums.correct += correct;
        sums.images += n;
        sums.seconds += start.elapsed().as_secs_f64();
        self.position.step += 1;
    }

    fn end_of_epoch(&mut self, steps: usize, progress: &mut Progress<'_>) -> Result<(), Error> {
        let start = Instant::now();
        let source = self.recipe.source;
        let test = evaluate(&self.model, self.test, source, self.device);
        let validation = evaluate(&self.model, &self.validation, source, self.device);
        let bounds = norms::bounds(&self.model)?;
        let sums = std::mem::take(&mut self.position.sums);
        let images = sums.images as f64;
        let epoch = Epoch {
            epoch: self.position.epoch + 1,
            steps: (self.position.epoch + 1) * steps,
            rate: self.recipe.schedule().at(self.position.epoch),
            train_loss: sums.loss / images,
            train_accuracy: sums.correct as f64 / images,
            penalty: sums.penalty / images,
            validation_accuracy: validation.accuracy,
            test_loss: test.loss,
            test_accuracy: test.accuracy,
            seconds: sums.seconds + start.elapsed().as_secs_f64(),
            bounds: bounds.iter().map(|bound| bound.get()).collect(),
        };
        progress.epoch(&epoch, self.recipe.epochs, &self.layers)?;
        self.position.history.push(epoch);
        self.position.epoch += 1;
        self.position.step = 0;
        self.write_metrics()
    }
}

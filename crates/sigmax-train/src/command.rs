//! What the commands do.

use std::io::Write;
use std::path::Path;

use burn::tensor::Device;
use sigmax_burn::ProvedLayer;

use crate::cli::{self, Cli, Command, EvaluateArgs, TrainArgs};
use crate::data::{Data, Source};
use crate::error::Error;
use crate::evaluate::evaluate;
use crate::files;
use crate::model::{Network, Task};
use crate::norms;
use crate::overhead;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::report;
use crate::state;
use crate::tightness;
use crate::train::{Control, train};

/// Name of the final weights in the folder of a run.
pub const MODEL: &str = "model.safetensors";
/// Name of the page in the folder of a run.
pub const REPORT: &str = "report.html";

/// Does what the command line asks for; text goes to `out`.
///
/// # Errors
/// Bad input, bad options, files that cannot be written.
pub fn run(cli: &Cli, out: &mut dyn Write) -> Result<(), Error> {
    match &cli.command {
        Command::Mnist(args) => train_command(Source::Mnist, args, out),
        Command::FashionMnist(args) => train_command(Source::FashionMnist, args, out),
        Command::Cifar10(args) => train_command(Source::Cifar10, args, out),
        Command::Evaluate(args) => evaluate_command(args, out),
        Command::Overhead(args) => overhead::print(args.model, args.rounds, args.warm_up, out),
        Command::Tightness(args) => tightness::print(args, out),
    }
}

fn train_command(source: Source, args: &TrainArgs, out: &mut dyn Write) -> Result<(), Error> {
    let recipe = args.recipe(source)?;
    let folder = cli::folder(source, args.data.as_ref())?;
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).map_err(Error::io(out))?;
    }
    let data = source.read(&folder)?;
    let device = Device::flex().autodiff();
    let task = Training {
        recipe: &recipe,
        args,
        data: &data,
        device: &device,
        out,
    };
    recipe
        .model
        .with(data.train.shape, recipe.seed, &device, task)
}

struct Training<'a> {
    recipe: &'a Recipe,
    args: &'a TrainArgs,
    data: &'a Data,
    device: &'a Device,
    out: &'a mut dyn Write,
}

impl Task for Training<'_> {
    type Output = Result<(), Error>;

    fn run<N: Network>(self, mut model: N) -> Result<(), Error> {
        let Self {
            recipe,
            args,
            data,
            device,
            out,
        } = self;
        writeln!(out, "{}", recipe.title())?;
        if let Some(path) = &args.init {
            model = state::load(model, files::read_weights(path)?).map_err(Error::in_file(path))?;
            let score = evaluate(&model, &data.test, recipe.source, device);
            writeln!(
                out,
                "weights from {}: test accuracy {:.2} %",
                path.display(),
                100.0 * score.accuracy
            )?;
        }
        let other = compare(args.compare.as_deref(), &model)?;
        let control = Control {
            folder: args.out.clone(),
            resume: args.resume,
            stop_after: args.stop_after,
            checkpoint_every: args.checkpoint_every,
        };
        let mut progress = Progress::detect(out);
        let trained = train(model, recipe, data, &control, device, &mut progress)?;
        drop(progress);
        if !trained.finished {
            writeln!(out, "stopped before the end; --resume goes on")?;
            return Ok(());
        }
        let weights = state::read(&trained.model);
        let proved = norms::prove(&trained.model)?;
        let other = other
            .as_ref()
            .map(|(name, layers)| (name.as_str(), &layers[..]));
        if let Some(folder) = &args.out {
            files::write_safetensors(&folder.join(MODEL), &weights, None)?;
            let page = report::page(recipe, &trained.history, &proved, other);
            files::write_atomically(&folder.join(REPORT), page.as_bytes())?;
        }
        norms::print(&proved, other, out)
    }
}

/// Proves the norms of the model in another run's folder.
fn compare<N: Network>(
    folder: Option<&Path>,
    model: &N,
) -> Result<Option<(String, Vec<ProvedLayer>)>, Error> {
    let Some(folder) = folder else {
        return Ok(None);
    };
    let path = folder.join(MODEL);
    let weights = files::read_weights(&path)?;
    let other = state::load(model.clone(), weights).map_err(Error::in_file(&path))?;
    let proved = norms::prove(&other)?;
    Ok(Some((folder.display().to_string(), proved)))
}

fn evaluate_command(args: &EvaluateArgs, out: &mut dyn Write) -> Result<(), Error> {
    let folder = cli::folder(args.source, args.data.as_ref())?;
    let mut test = args.source.read_test(&folder)?;
    if let Some(limit) = args.limit {
        test = test.first(limit);
    }
    let device = Device::flex();
    let task = Evaluation {
        args,
        test: &test,
        device: &device,
        out,
    };
    args.model.with(test.shape, 0, &device, task)
}

struct Evaluation<'a> {
    args: &'a EvaluateArgs,
    test: &'a crate::data::Images,
    device: &'a Device,
    out: &'a mut dyn Write,
}

impl Task for Evaluation<'_> {
    type Output = Result<(), Error>;

    fn run<N: Network>(self, model: N) -> Result<(), Error> {
        let path = &self.args.checkpoint;
        let weights = files::read_weights(path)?;
        let model = state::load(model, weights).map_err(Error::in_file(path))?;
        let score = evaluate(&model, self.test, self.args.source, self.device);
        writeln!(
            self.out,
            "{} test images: accuracy {:.2} %, loss {:.4}",
            self.test.len(),
            100.0 * score.accuracy,
            score.loss
        )?;
        let proved = norms::prove(&model)?;
        norms::print(&proved, None, self.out)
    }
}

//! Tightness at the end of training: bounds, estimates and proved norms, layer by layer, of a plain
//! run and of a penalised one.

use std::io::Write;

use burn::tensor::Device;
use sigmax_burn::ProvedLayer;

use crate::cli::{self, TightnessArgs};
use crate::data::Data;
use crate::error::Error;
use crate::model::{Network, Task};
use crate::norms::{self, Row};
use crate::penalty::Penalty;
use crate::progress::Progress;
use crate::recipe::{PenaltyKind, Recipe};
use crate::train::{Control, train};

/// Trains twice, with the penalty of the options (by default the four) and without, and prints.
///
/// # Errors
/// Bad input, bad options, files that cannot be written.
pub fn print(args: &TightnessArgs, out: &mut dyn Write) -> Result<(), Error> {
    let mut options = args.train.clone();
    options.penalty.get_or_insert(PenaltyKind::Four);
    let penalised = options.recipe(args.source)?;
    if penalised.penalty == PenaltyKind::None {
        return Err(Error::Usage(
            "--penalty: the penalised run needs one".into(),
        ));
    }
    let plain = Recipe {
        penalty: PenaltyKind::None,
        beta: 0.0,
        ..penalised.clone()
    };
    let folder = cli::folder(args.source, options.data.as_ref())?;
    let data = args.source.read(&folder)?;
    let device = Device::flex().autodiff();
    for (name, recipe) in [("plain", &plain), ("penalised", &penalised)] {
        let control = Control {
            folder: options.out.as_ref().map(|folder| folder.join(name)),
            resume: true,
            ..Control::default()
        };
        if let Some(folder) = &control.folder {
            std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
        }
        let task = Single {
            recipe,
            data: &data,
            control: &control,
            device: &device,
        };
        let rows = recipe
            .model
            .with(data.train.shape, recipe.seed, &device, task)?;
        table(recipe, &rows, out)?;
    }
    Ok(())
}

/// A layer at the end of a run.
struct Line {
    proved: ProvedLayer,
    /// Estimates of the four bounds, of the weighted four and of the norm, as the penalties track
    /// them; `None` for dense layers beside convolutions.
    estimates: [Option<f64>; 3],
    /// What the penalty of the run itself held at its last step.
    tracked: Option<f64>,
}

struct Outcome {
    rows: Vec<Line>,
    accuracy: f64,
}

struct Single<'a> {
    recipe: &'a Recipe,
    data: &'a Data,
    control: &'a Control,
    device: &'a Device,
}

const KINDS: [PenaltyKind; 3] = [PenaltyKind::Four, PenaltyKind::Weighted, PenaltyKind::Norm];

impl Task for Single<'_> {
    type Output = Result<Outcome, Error>;

    fn run<N: Network>(self, model: N) -> Self::Output {
        let mut silent = Progress::Silent;
        let trained = train(
            model,
            self.recipe,
            self.data,
            self.control,
            self.device,
            &mut silent,
        )?;
        let model = &trained.model;
        let proved = norms::prove(model)?;
        let mut estimates = Vec::new();
        for penalty in KINDS {
            let recipe = Recipe {
                penalty,
                beta: 1.0,
                ..self.recipe.clone()
            };
            estimates.push(Penalty::new(&recipe, model)?.estimates(model, 100)?);
        }
        let tracked = trained.penalty.estimates(model, 0)?;
        let of = |list: &[(String, f64)], path: &str| {
            list.iter()
                .find(|(p, _)| p == path)
                .map(|(_, value)| *value)
        };
        let rows = proved
            .into_iter()
            .map(|proved| Line {
                estimates: [0, 1, 2].map(|i| of(&estimates[i], &proved.layer().path)),
                tracked: of(&tracked, &proved.layer().path),
                proved,
            })
            .collect();
        Ok(Outcome {
            rows,
            accuracy: trained.history.last().map_or(f64::NAN, |e| e.test_accuracy),
        })
    }
}

fn table(recipe: &Recipe, outcome: &Outcome, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(
        out,
        "{}, {} epochs, test accuracy {:.2} %. Columns marked ~ are estimates from power iteration \
         (100 steps from random vectors; \"tracked\" is what the run's own penalty held at the end); \
         the others are proved, their quotients rounded to nearest.\n\n\
         | layer | norm ≥ | norm ≤ | four | weighted | four/norm | weighted/norm | ~four | ~weighted | ~norm | ~tracked |\n\
         |---|---|---|---|---|---|---|---|---|---|---|",
        recipe.title(),
        recipe.epochs,
        100.0 * outcome.accuracy
    )?;
    let shown = |value: Option<f64>| value.map_or("–".to_owned(), |v| format!("{v:.4}"));
    for row in &outcome.rows {
        let (text, audit) = (Row::new(&row.proved), row.proved.audit());
        let lower = audit.norm().bracket().lower().get();
        writeln!(
            out,
            "| {} | {} | {} | {} | {} | {:.3} | {:.3} | {} | {} | {} | {} |",
            text.path,
            text.lower,
            text.upper,
            text.four,
            text.weighted,
            audit.four().min().get() / lower,
            audit.weighted_four().upper().get() / lower,
            shown(row.estimates[0]),
            shown(row.estimates[1]),
            shown(row.estimates[2]),
            shown(row.tracked),
        )?;
    }
    let proved: Vec<ProvedLayer> = outcome.rows.iter().map(|row| row.proved.clone()).collect();
    let product = norms::product(&proved);
    let product = product.map_or("–".into(), norms::at_most);
    writeln!(out, "\nProduct of the proved upper ends: {product}\n")?;
    out.flush()?;
    Ok(())
}

//! Generalisation: every method with its factor chosen on validation images, over several seeds.

use std::io::Write;

use sigmax_formats::report::{Rounding, decimal};

use super::{Finished, Grid, read, run_all};
use crate::cli::TableArgs;
use crate::error::Error;
use crate::recipe::{PenaltyKind, Recipe};

/// A method: its name, and the settings to choose from.
struct Method {
    name: &'static str,
    settings: Vec<Recipe>,
}

/// What was chosen for a method.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Which of the settings.
    pub setting: usize,
    /// Its results, one per seed.
    pub runs: Vec<Finished>,
}

/// The setting with the best mean accuracy on the validation images; of equals, the first. The
/// test images have no say. `results` has `seeds` runs of the first setting, then of the second, …
///
/// # Panics
/// Without settings or seeds.
#[must_use]
pub fn choose(results: &[Finished], seeds: usize) -> Choice {
    let mut best: Option<(f64, usize)> = None;
    for (setting, runs) in results.chunks(seeds).enumerate() {
        let (mean, _) = mean_and_deviation(runs.iter().map(|r| r.validation));
        if best.is_none_or(|(best, _)| mean > best) {
            best = Some((mean, setting));
        }
    }
    let (_, setting) = best.expect("a method has settings and seeds");
    let runs = &results[setting * seeds..][..seeds];
    Choice {
        setting,
        runs: runs.to_vec(),
    }
}

/// Mean, and standard deviation of the sample (n − 1).
#[allow(clippy::cast_precision_loss, reason = "a handful of seeds")]
pub(crate) fn mean_and_deviation(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0)).sqrt())
}

fn percent((mean, deviation): (f64, f64)) -> String {
    format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation)
}

/// Runs the grid and prints a row per data set, number of images and method.
pub(super) fn run(grid: &Grid, args: &TableArgs, out: &mut dyn Write) -> Result<(), Error> {
    if grid.seeds == 0 {
        return Err(Error::Usage("--seeds must be at least 1".into()));
    }
    let seeds = usize::try_from(grid.seeds).unwrap_or(usize::MAX);
    let mut rows = Vec::new();
    for &source in &grid.sources {
        let data = read(source, args)?;
        for &images in &grid.images {
            let base = Recipe {
                epochs: grid.epochs,
                limit: Some(images),
                validation: grid.validation,
                weight_decay: grid.base_decay.unwrap_or(0.0),
                ..Recipe::new(source, None)
            };
            let mut plain = Vec::new();
            for method in methods(grid, &base) {
                let recipes: Vec<Recipe> = method
                    .settings
                    .iter()
                    .flat_map(|setting| {
                        (0..grid.seeds).map(|seed| Recipe {
                            seed,
                            ..setting.clone()
                        })
                    })
                    .collect();
                // Lines of progress go to standard error: standard output is the table.
                let mut lines = std::io::stderr();
                let results = run_all(&recipes, &data, &args.out, args.jobs, &mut lines)?;
                let choice = choose(&results, seeds);
                if method.name == PenaltyKind::None.name() {
                    plain.clone_from(&choice.runs);
                }
                rows.push(row(&method, &choice, &plain));
            }
        }
    }
    writeln!(
        out,
        "{} epochs, {} seeds, accuracy in % after the final epoch (training: during it), mean ± \
         standard deviation. Factors were chosen on {} validation images that are never trained on, \
         from the settings listed; one at the end of its list is marked *: a better one may lie \
         beyond. The difference is seed by seed, with its standard deviation. The product is that of \
         the proved upper ends of all layers, the largest of the seeds.\n\n\
         | data | images | method | chosen from | validation | test | test − none | training | product of norms |\n\
         |---|---|---|---|---|---|---|---|---|",
        grid.epochs, grid.seeds, grid.validation
    )?;
    for row in rows {
        writeln!(out, "{row}")?;
    }
    Ok(())
}

fn methods(grid: &Grid, base: &Recipe) -> Vec<Method> {
    let mut methods = vec![Method {
        name: PenaltyKind::None.name(),
        settings: vec![base.clone()],
    }];
    if !grid.decays.is_empty() {
        let decays = grid.decays.iter().map(|&weight_decay| Recipe {
            weight_decay,
            ..base.clone()
        });
        methods.push(Method {
            name: "weight decay",
            settings: decays.collect(),
        });
    }
    for &penalty in &grid.penalties {
        if penalty == PenaltyKind::None || grid.betas.is_empty() {
            continue;
        }
        let betas = grid.betas.iter().map(|&beta| Recipe {
            penalty,
            beta,
            ..base.clone()
        });
        methods.push(Method {
            name: penalty.name(),
            settings: betas.collect(),
        });
    }
    methods
}

fn row(method: &Method, choice: &Choice, plain: &[Finished]) -> String {
    let (name, chosen) = (method.name, &method.settings[choice.setting]);
    let over = |value: fn(&Finished) -> f64| mean_and_deviation(choice.runs.iter().map(value));
    let differences = choice.runs.iter().zip(plain).map(|(a, b)| a.test - b.test);
    let setting = if name == PenaltyKind::None.name() {
        "–".to_owned()
    } else {
        listed(method, choice.setting)
    };
    let difference = match name {
        "none" => "–".to_owned(),
        _ => percent(mean_and_deviation(differences)),
    };
    format!(
        "| {} | {} | {name} | {setting} | {} | {} | {difference} | {} | ≤ {} |",
        chosen.source.name(),
        chosen.limit.map_or("all".into(), |n| n.to_string()),
        percent(over(|r| r.validation)),
        percent(over(|r| r.test)),
        percent(over(|r| r.train)),
        largest_product(&choice.runs),
    )
}

/// The factors of a method in its order, the chosen one in bold and marked where it is the first or
/// the last of several.
fn listed(method: &Method, chosen: usize) -> String {
    let last = method.settings.len() - 1;
    let factors = method.settings.iter().enumerate().map(|(i, setting)| {
        let factor = match setting.penalty {
            PenaltyKind::None => setting.weight_decay,
            _ => setting.beta,
        };
        match (i == chosen, last > 0 && (i == 0 || i == last)) {
            (true, true) => format!("**{factor}**\\*"),
            (true, false) => format!("**{factor}**"),
            (false, _) => factor.to_string(),
        }
    });
    let symbol = match method.settings[chosen].penalty {
        PenaltyKind::None => "λ",
        _ => "β",
    };
    format!("{symbol}: {}", factors.collect::<Vec<_>>().join(", "))
}

/// The largest of the products: true of every run.
fn largest_product(runs: &[Finished]) -> String {
    let value = |r: &&Finished| r.product.parse().unwrap_or(f64::INFINITY);
    let largest = runs.iter().max_by(|a, b| value(a).total_cmp(&value(b)));
    largest.map_or("–".to_owned(), |r| decimal(value(&r), 3, Rounding::Up))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(validation: f64, test: f64) -> Finished {
        Finished {
            validation,
            test,
            train: 1.0,
            product: "1.0e1".into(),
            seconds: 1.0,
        }
    }

    #[test]
    fn the_choice_is_made_on_validation_and_not_on_test() {
        let results = [
            finished(0.5, 0.9),
            finished(0.5, 0.9),
            finished(0.7, 0.1),
            finished(0.5, 0.1),
        ];
        let choice = choose(&results, 2);
        assert_eq!(choice.setting, 1);
        assert_eq!(choice.runs, results[2..]);
    }

    #[test]
    fn a_choice_at_the_end_of_its_list_is_marked() {
        let method = |betas: &[f64]| Method {
            name: "four",
            settings: betas
                .iter()
                .map(|&beta| Recipe {
                    penalty: PenaltyKind::Four,
                    beta,
                    ..Recipe::new(crate::data::Source::Mnist, None)
                })
                .collect(),
        };
        let three = method(&[0.1, 0.2, 0.3]);
        assert_eq!(listed(&three, 0), "β: **0.1**\\*, 0.2, 0.3");
        assert_eq!(listed(&three, 1), "β: 0.1, **0.2**, 0.3");
        assert_eq!(listed(&three, 2), "β: 0.1, 0.2, **0.3**\\*");
        assert_eq!(listed(&method(&[0.1]), 0), "β: **0.1**");
    }

    #[test]
    fn deviation_is_of_the_sample() {
        let (mean, deviation) = mean_and_deviation([1.0, 2.0, 3.0].into_iter());
        assert!((mean - 2.0).abs() < 1e-12 && (deviation - 1.0).abs() < 1e-12);
    }
}

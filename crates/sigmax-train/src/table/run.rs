//! Runs of a table: those that are not in the folder yet, some at a time.

use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::Device;
use serde_json::{Value, json};

use crate::data::Data;
use crate::error::Error;
use crate::files::write_atomically;
use crate::model::{Network, Task};
use crate::norms;
use crate::progress::Progress;
use crate::recipe::Recipe;
use crate::train::{Control, train};

/// What is kept of a finished run.
#[derive(Clone, Debug, PartialEq)]
pub struct Finished {
    /// Share of right answers on the validation images after the final epoch.
    pub validation: f64,
    /// Share of right answers on the test images after the final epoch.
    pub test: f64,
    /// Share of right answers during the final epoch of training.
    pub train: f64,
    /// Product of the proved upper ends of all layers, as text that was rounded up.
    pub product: String,
    /// Seconds.
    pub seconds: f64,
}

impl Finished {
    fn to_json(&self, recipe: &Recipe, test_images: usize) -> Value {
        json!({
            "recipe": recipe.to_json(),
            "test_images": test_images,
            "validation": self.validation,
            "test": self.test,
            "train": self.train,
            "product": self.product,
            "seconds": self.seconds,
        })
    }

    /// Reads a result, if it is of this recipe and these test images.
    fn read(path: &Path, recipe: &Recipe, test_images: usize) -> Option<Self> {
        let text = std::fs::read_to_string(path).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        if value["recipe"] != recipe.to_json() || value["test_images"] != json!(test_images) {
            return None;
        }
        Some(Self {
            validation: value["validation"].as_f64()?,
            test: value["test"].as_f64()?,
            train: value["train"].as_f64()?,
            product: value["product"].as_str()?.to_owned(),
            seconds: value["seconds"].as_f64()?,
        })
    }
}

/// A file name for a recipe: readable, and different for different recipes.
fn name(recipe: &Recipe) -> String {
    let text = recipe.to_json().to_string();
    // FNV-1a: the same with every version of the compiler.
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!(
        "{}-{}-{}-b{}-wd{}-s{}-{:08x}.json",
        recipe.source.name(),
        recipe.limit.map_or("all".into(), |n| n.to_string()),
        recipe.penalty.name(),
        recipe.beta,
        recipe.weight_decay,
        recipe.seed,
        hash & 0xffff_ffff
    )
}

/// Carries out the runs that `folder` has no result of, `jobs` at a time, and returns the results in
/// the order of the recipes. A line goes to `out` for each.
///
/// # Errors
/// The first error of a run; finished runs stay in the folder.
pub fn run_all(
    recipes: &[Recipe],
    data: &Data,
    folder: &Path,
    jobs: usize,
    out: &mut (dyn Write + Send),
) -> Result<Vec<Finished>, Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let next = AtomicUsize::new(0);
    let out = Mutex::new(out);
    let slots: Vec<Mutex<Option<Result<Finished, Error>>>> =
        recipes.iter().map(|_| Mutex::new(None)).collect();
    let work = || {
        // One thread per run: small layers gain nothing from more, and runs do not wait.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let Some(recipe) = recipes.get(i) else {
                break;
            };
            let path = folder.join(name(recipe));
            let result = match (Finished::read(&path, recipe, data.test.len()), &pool) {
                (Some(kept), _) => Ok(kept),
                (None, Ok(pool)) if jobs > 1 => pool.install(|| one(recipe, data, &path)),
                (None, _) => one(recipe, data, &path),
            };
            if let (Ok(done), Ok(mut out)) = (&result, out.lock()) {
                // Progress lines are a courtesy: the results are in the files.
                let _ = writeln!(
                    out,
                    "{}/{} {}: test {:.2} %, {:.1} s",
                    i + 1,
                    recipes.len(),
                    recipe.title(),
                    100.0 * done.test,
                    done.seconds
                );
            }
            let failed = result.is_err();
            if let Ok(mut slot) = slots[i].lock() {
                *slot = Some(result);
            }
            if failed {
                next.store(recipes.len(), Ordering::Relaxed);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, 64) {
            scope.spawn(work);
        }
    });
    let mut results = Vec::with_capacity(recipes.len());
    let mut missing = None;
    for slot in slots {
        match slot.into_inner().unwrap_or_default() {
            Some(result) => results.push(result?),
            None => missing = Some(Error::Usage("a run of the table was given up".into())),
        }
    }
    match missing {
        Some(error) => Err(error),
        None => Ok(results),
    }
}

fn one(recipe: &Recipe, data: &Data, path: &Path) -> Result<Finished, Error> {
    let device = Device::flex().autodiff();
    let task = Single {
        recipe,
        data,
        device: &device,
    };
    let done = recipe
        .model
        .with(data.train.shape, recipe.seed, &device, task)?;
    let text = done.to_json(recipe, data.test.len()).to_string();
    write_atomically(path, text.as_bytes())?;
    Ok(done)
}

struct Single<'a> {
    recipe: &'a Recipe,
    data: &'a Data,
    device: &'a Device,
}

impl Task for Single<'_> {
    type Output = Result<Finished, Error>;

    fn run<N: Network>(self, model: N) -> Self::Output {
        let control = Control {
            evaluate_last_only: true,
            ..Control::default()
        };
        let mut silent = Progress::Silent;
        let trained = train(
            model,
            self.recipe,
            self.data,
            &control,
            self.device,
            &mut silent,
        )?;
        let product = norms::product(&norms::prove(&trained.model)?);
        let last = trained
            .history
            .last()
            .ok_or_else(|| Error::Usage("a run of a table needs at least one epoch".into()))?;
        Ok(Finished {
            validation: last.validation_accuracy,
            test: last.test_accuracy,
            train: last.train_accuracy,
            product: product.map_or("-".into(), norms::at_most),
            seconds: trained.history.iter().map(|e| e.seconds).sum(),
        })
    }
}

//! The layers of a model, audited in parallel.
//!
//! As many workers as threads take layers in the order of the file; each reads one weight, unless a
//! network holds it, audits it in a thread pool they all share, and drops it. So without a network
//! at most that many kernels are in memory, a
//! large layer at the end is still computed by all threads, and the first rows are there early.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use rayon::ThreadPool;
use sigmax::{Kernel, Options};
use sigmax_formats::report::{Outcome, Row};
use sigmax_formats::{Error, LayerId, LayerSpec, Model};

use crate::failure::Failure;
use crate::share::Shares;

/// The next layer and its share of the time.
struct Queue {
    next: usize,
    shares: Shares,
}

/// What the workers have in common.
struct Work {
    model: Arc<Model>,
    kernels: HashMap<LayerId, Kernel>,
    options: Options,
    pool: ThreadPool,
    queue: Mutex<Queue>,
}

/// Starts the audit of all layers, with the weights that were read before; their rows arrive with their index, in the order they are done.
///
/// The workers are not joined: whoever drops the receiver stops them after their current layer.
pub(crate) fn start(
    model: Arc<Model>,
    kernels: HashMap<LayerId, Kernel>,
    tolerance: f64,
    deadline: Option<Instant>,
    threads: usize,
) -> Result<Receiver<(usize, Row)>, Failure> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|error| Failure::Input(format!("cannot start {threads} threads: {error}")))?;
    let workers = threads.min(model.layers.len());
    let work = Arc::new(Work {
        queue: Mutex::new(Queue {
            next: 0,
            shares: Shares::new(deadline, workers, &model.layers),
        }),
        options: Options {
            tolerance,
            ..Options::default()
        },
        model,
        kernels,
        pool,
    });
    let (sender, receiver) = channel();
    for _ in 0..workers {
        let (work, sender) = (Arc::clone(&work), sender.clone());
        thread::Builder::new()
            .name("layer".to_owned())
            .spawn(move || work.run(&sender))
            .map_err(|error| Failure::Input(format!("cannot start a thread: {error}")))?;
    }
    Ok(receiver)
}

impl Work {
    fn run(&self, rows: &Sender<(usize, Row)>) {
        while let Some((index, options)) = self.take() {
            let layer = &self.model.layers[index];
            let start = Instant::now();
            // The core does not panic; if it does, the row is missing and the caller says so.
            let Ok(outcome) = catch_unwind(AssertUnwindSafe(|| self.audit(layer, &options))) else {
                return;
            };
            let row = Row {
                layer: layer.clone(),
                outcome,
                seconds: start.elapsed().as_secs_f64(),
            };
            if rows.send((index, row)).is_err() {
                return;
            }
        }
    }

    fn take(&self) -> Option<(usize, Options)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let index = queue.next;
        let layer = self.model.layers.get(index)?;
        queue.next += 1;
        let mut options = self.options.clone();
        options.budget.time = queue.shares.next(layer);
        Some((index, options))
    }

    fn audit(&self, layer: &LayerSpec, options: &Options) -> Outcome {
        let known = self.kernels.get(&layer.id()).cloned();
        let kernel = match known.map_or_else(|| self.model.read_kernel(layer), Ok) {
            Ok(kernel) => kernel,
            Err(Error::Kernel { source, .. }) if is_limit(&source) => {
                return Outcome::Refused(source.to_string());
            }
            Err(error) => return Outcome::Bad(error.to_string()),
        };
        let audit = self
            .pool
            .install(|| sigmax::audit(&kernel, &layer.conv, options));
        match audit {
            Ok(audit) => Outcome::Audited(Box::new(audit.scaled(layer.scale))),
            Err(error) if is_limit(&error) => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Bad(error.to_string()),
        }
    }
}

/// Whether the layer is fine, and only beyond what sigmax covers.
fn is_limit(error: &sigmax::Error) -> bool {
    matches!(
        error,
        sigmax::Error::NotCovered(_) | sigmax::Error::TooLarge(_)
    )
}

//! The layers of a model, audited in parallel.
//!
//! As many workers as threads take layers in the order of the file; each reads one weight, unless the
//! network holds it already, audits it in a thread pool they all share, and drops it. So at most that
//! many kernels are read at a time, a large layer at the end is still computed by all threads, and the
//! first rows are there early.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rayon::ThreadPool;
use sigmax::weight::Weight;
use sigmax::{Kernel, Options};
use sigmax_formats::report::{Outcome, Row};
use sigmax_formats::{LayerId, LayerSpec, Model};

use crate::error::Error;
use crate::resources::{Cancel, Resources};
use crate::share::Shares;

/// Time between two looks at the clock.
const TICK: Duration = Duration::from_millis(100);

/// The next layer and its share of the time.
struct Queue {
    next: usize,
    shares: Shares,
}

/// What the workers have in common.
struct Work {
    model: Arc<Model>,
    /// The weights that the network holds.
    kernels: HashMap<LayerId, Kernel>,
    tolerance: f64,
    pool: Arc<ThreadPool>,
    queue: Mutex<Queue>,
    cancel: Cancel,
}

/// Layers that are being audited.
///
/// The workers are not joined: when this is dropped, they stop after their current layer.
pub(crate) struct Audited {
    rows: Receiver<(usize, Row)>,
    pool: Arc<ThreadPool>,
    cancel: Cancel,
}

impl Audited {
    /// Starts the audit of all layers, with the weights that were read before.
    pub(crate) fn start(
        model: Arc<Model>,
        kernels: HashMap<LayerId, Kernel>,
        tolerance: f64,
        deadline: Option<Instant>,
        resources: &Resources,
    ) -> Result<Self, Error> {
        let pool = Arc::new(resources.pool()?);
        let threads = pool.current_num_threads();
        let workers = threads.min(model.layers.len());
        let cancel = resources.cancel.clone();
        let work = Arc::new(Work {
            queue: Mutex::new(Queue {
                next: 0,
                shares: Shares::new(deadline, workers, &model.layers),
            }),
            tolerance,
            model,
            kernels,
            pool: Arc::clone(&pool),
            cancel: cancel.clone(),
        });
        let (sender, rows) = channel();
        for _ in 0..workers {
            let (work, sender) = (Arc::clone(&work), sender.clone());
            thread::Builder::new()
                .name("layer".to_owned())
                .spawn(move || work.run(&sender))
                .map_err(|error| Error::Threads {
                    threads: workers,
                    reason: error.to_string(),
                })?;
        }
        Ok(Self { rows, pool, cancel })
    }

    /// Waits a moment for a row: any that is done, with its place among the layers.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, Row)>, Error> {
        self.cancel.check()?;
        match self.rows.recv_timeout(TICK) {
            Ok(row) => Ok(Some(row)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                // Workers that were cancelled leave without a row.
                self.cancel.check()?;
                Err(Error::Lost)
            }
        }
    }

    /// The threads that the layers are computed with.
    pub(crate) fn pool(&self) -> &ThreadPool {
        &self.pool
    }
}

impl Work {
    fn run(&self, rows: &Sender<(usize, Row)>) {
        while let Some((index, options)) = self.take() {
            let layer = &self.model.layers[index];
            let start = Instant::now();
            let audit = || self.audit(layer, &options);
            // The core does not panic; if it does, the row is missing and the caller says so.
            let Ok(outcome) = catch_unwind(AssertUnwindSafe(audit)) else {
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
        self.cancel.check().ok()?;
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let index = queue.next;
        let layer = self.model.layers.get(index)?;
        queue.next += 1;
        let mut options = Options {
            tolerance: self.tolerance,
            ..Options::default()
        };
        options.budget.time = queue.shares.next(layer);
        Some((index, options))
    }

    fn audit(&self, layer: &LayerSpec, options: &Options) -> Outcome {
        let known = self.kernels.get(&layer.id()).cloned();
        let read = || self.model.read_weight(layer);
        let weight = match known.map_or_else(read, |kernel| Ok(Weight::exact(kernel))) {
            Ok(weight) => weight,
            Err(sigmax_formats::Error::Kernel { source, .. }) if is_limit(&source) => {
                return Outcome::Refused(source.to_string());
            }
            Err(error @ sigmax_formats::Error::Mask { .. }) => {
                return Outcome::Refused(error.to_string());
            }
            Err(error) => return Outcome::Bad(error.to_string()),
        };
        let audit = self.pool.install(|| layer.audit(&weight, options));
        match audit {
            Ok(audit) if self.kernels.contains_key(&layer.id()) => {
                Outcome::Audited(Box::new(audit))
            }
            // No network has a use for the weight.
            Ok(audit) => Outcome::Audited(Box::new(audit.released())),
            Err(error) if is_limit(&error) => Outcome::Refused(error.to_string()),
            Err(error) => Outcome::Bad(error.to_string()),
        }
    }
}

/// Whether the layer is fine, and only beyond what sigmax covers.
fn is_limit(error: &sigmax::Error) -> bool {
    matches!(
        error,
        sigmax::Error::NotCovered(_) | sigmax::Error::TooLarge { .. }
    )
}

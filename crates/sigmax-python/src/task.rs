//! [`run`]: work in a thread of its own, while Python stays responsive.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use pyo3::prelude::*;
use sigmax_run::{Cancel, Error, Watch};

use crate::fault::Fault;

/// Time between two looks at signals.
const TICK: Duration = Duration::from_millis(50);

/// What the thread says.
enum Message<T> {
    Progress(usize, usize),
    Done(Result<T, Fault>),
}

/// What the work has of the caller: where it says how far it is, and the flag that stops it.
pub(crate) struct Caller {
    cancel: Cancel,
    report: Box<dyn FnMut(usize, usize) -> Result<(), Error> + Send>,
}

impl Caller {
    /// The flag that stops the work.
    pub(crate) fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }

    /// `done` of `total` are done.
    ///
    /// # Errors
    /// [`Error::Cancelled`] where nobody waits any more.
    pub(crate) fn report(&mut self, done: usize, total: usize) -> Result<(), Error> {
        (self.report)(done, total)
    }
}

impl Watch<Error> for Caller {
    fn progress(&mut self, done: usize, total: usize) -> Result<(), Error> {
        self.report(done, total)
    }
}

/// Runs `work` in a thread with the GIL released, calls `progress(done, total)` when that changes, and
/// looks at signals twenty times a second: Ctrl-C ends the call at once. The work is told to stop and
/// ends in the background, at the latest after the layer or the images that it is at.
pub(crate) fn run<T: Send + 'static>(
    py: Python<'_>,
    progress: Option<&Bound<'_, PyAny>>,
    work: impl FnOnce(&mut Caller) -> Result<T, Fault> + Send + 'static,
) -> PyResult<T> {
    let cancel = Cancel::default();
    let (sender, mut receiver) = channel();
    let mut caller = caller(cancel.clone(), sender.clone());
    let started = thread::Builder::new()
        .name("sigmax".to_owned())
        .spawn(move || {
            let outcome = work(&mut caller);
            // The caller may have left.
            let _ = sender.send(Message::Done(outcome));
        });
    started.map_err(|error| Fault::Input(format!("cannot start a thread: {error}")))?;
    let mut shown = None;
    loop {
        let message;
        (receiver, message) = py.detach(move || wait(receiver));
        let signals = py.check_signals();
        let outcome = match message {
            Ok(Message::Done(outcome)) => return signals.and(outcome.map_err(PyErr::from)),
            Ok(Message::Progress(done, total)) => match progress {
                Some(progress) if shown != Some((done, total)) => {
                    shown = Some((done, total));
                    signals.and_then(|()| progress.call1((done, total)).map(|_| ()))
                }
                _ => signals,
            },
            Err(RecvTimeoutError::Timeout) => signals,
            Err(RecvTimeoutError::Disconnected) => {
                let text =
                    "the work ended without a result; this is a bug of sigmax, please report it";
                return Err(pyo3::exceptions::PySystemError::new_err(text));
            }
        };
        if let Err(error) = outcome {
            cancel.cancel();
            return Err(error);
        }
    }
}

type Waited<T> = (Receiver<Message<T>>, Result<Message<T>, RecvTimeoutError>);

fn wait<T>(receiver: Receiver<Message<T>>) -> Waited<T> {
    let message = receiver.recv_timeout(TICK);
    (receiver, message)
}

fn caller<T: Send + 'static>(cancel: Cancel, sender: Sender<Message<T>>) -> Caller {
    let report = move |done, total| {
        let sent = sender.send(Message::Progress(done, total));
        sent.map_err(|_| Error::Cancelled)
    };
    Caller {
        cancel,
        report: Box::new(report),
    }
}

//! How far the audit is, on stderr: a bar on a terminal, otherwise a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Runs shorter than this show no bar.
const QUIET: Duration = Duration::from_secs(1);
/// Time between lines where stderr is not a terminal.
const LINES: Duration = Duration::from_secs(10);

/// Progress of a run over `total` layers.
pub(crate) struct Progress {
    started: Instant,
    total: usize,
    done: usize,
    terminal: bool,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Progress {
    pub(crate) fn new(total: usize) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            total,
            done: 0,
            terminal: std::io::stderr().is_terminal(),
            bar: None,
            last_line: now,
        }
    }

    /// One more layer is done.
    pub(crate) fn advance(&mut self) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            bar.set_position(self.done as u64);
        }
    }

    /// Time passes: shows what is due.
    pub(crate) fn tick(&mut self) {
        if self.terminal {
            if self.started.elapsed() >= QUIET {
                let (total, done) = (self.total, self.done);
                self.bar.get_or_insert_with(|| bar(total, done)).tick();
            }
        } else if self.last_line.elapsed() >= LINES {
            self.last_line = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            // There is nobody to tell if stderr is closed.
            let _ = writeln!(
                std::io::stderr(),
                "sigmax: {} of {} layers, {seconds} s",
                self.done,
                self.total
            );
        }
    }

    /// Runs `write`, which writes to the terminal, with the bar out of its way.
    pub(crate) fn suspend<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: usize, done: usize) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(total as u64), target);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos} of {len} layers, {elapsed}") {
        bar.set_style(style);
    }
    bar.set_position(done as u64);
    bar
}

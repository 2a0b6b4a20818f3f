//! How far a command is, on stderr: a bar on a terminal, otherwise a line now and then.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sigmax_run::Watch;

use crate::failure::Failure;

/// Runs shorter than this show no bar.
const QUIET: Duration = Duration::from_secs(1);
/// Time between lines where stderr is not a terminal.
const LINES: Duration = Duration::from_secs(10);

/// Progress of a run over layers, images, …
pub(crate) struct Progress {
    started: Instant,
    total: usize,
    done: usize,
    what: &'static str,
    terminal: bool,
    bar: Option<ProgressBar>,
    last_line: Instant,
}

impl Watch<Failure> for Progress {
    fn progress(&mut self, done: usize, total: usize) -> Result<(), Failure> {
        self.show(done, total);
        Ok(())
    }
}

impl Progress {
    pub(crate) fn new(what: &'static str) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            total: 0,
            done: 0,
            what,
            terminal: std::io::stderr().is_terminal(),
            bar: None,
            last_line: now,
        }
    }

    /// `done` of `total` are done: shows what is due.
    pub(crate) fn show(&mut self, done: usize, total: usize) {
        (self.done, self.total) = (done, total);
        if self.terminal {
            if self.started.elapsed() >= QUIET {
                let what = self.what;
                let bar = self.bar.get_or_insert_with(|| bar(total, done, what));
                bar.set_length(total as u64);
                bar.set_position(done as u64);
                bar.tick();
            }
        } else if self.last_line.elapsed() >= LINES {
            self.last_line = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            let left = self.left().map_or_else(String::new, |left| {
                format!(", about {} s left", left.as_secs() + 1)
            });
            // There is nobody to tell if stderr is closed.
            let _ = writeln!(
                std::io::stderr(),
                "sigmax: {} of {} {}, {seconds} s{left}",
                self.done,
                self.total,
                self.what
            );
        }
    }

    /// The time that is left if the rest goes as what is done.
    fn left(&self) -> Option<Duration> {
        let share = self.total.checked_sub(self.done)? as f64 / self.done as f64;
        Duration::try_from_secs_f64(self.started.elapsed().as_secs_f64() * share).ok()
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

fn bar(total: usize, done: usize, what: &str) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    let bar = ProgressBar::with_draw_target(Some(total as u64), target);
    let template = format!("{{bar:30}} {{pos}} of {{len}} {what}, {{elapsed}}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.set_position(done as u64);
    bar
}

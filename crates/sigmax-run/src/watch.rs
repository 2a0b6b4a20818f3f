//! [`Watch`]: who sees a run while it goes on.

use sigmax_formats::report::Row;

/// Sees a run while it goes on, and may end it by an error of its own kind. `()` sees nothing.
pub trait Watch<E> {
    /// A layer is done: rows come in the order of the file.
    ///
    /// # Errors
    /// Ends the run.
    fn row(&mut self, row: &Row) -> Result<(), E> {
        let _ = row;
        Ok(())
    }

    /// `done` of `total` layers, or images, are done, in whatever order. Called for every one, and
    /// about ten times a second meanwhile.
    ///
    /// # Errors
    /// Ends the run.
    fn progress(&mut self, done: usize, total: usize) -> Result<(), E> {
        let _ = (done, total);
        Ok(())
    }
}

impl<E> Watch<E> for () {}

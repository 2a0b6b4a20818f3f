//! Ctrl-C: removes unfinished output files and ends.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The unfinished output files.
static UNFINISHED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// What shells report for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Takes over SIGINT, SIGTERM and SIGHUP (Ctrl-C and closing the window on Windows).
pub(crate) fn install() {
    // If it cannot be installed the program still works; only a temporary file may stay behind.
    let _ = ctrlc::set_handler(|| {
        let mut files = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        for path in files.drain(..) {
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(INTERRUPTED);
    });
}

/// Names a file to remove.
pub(crate) fn guard(path: &Path) {
    let mut files = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    files.push(path.to_owned());
}

/// The file is finished or gone.
pub(crate) fn release(path: &Path) {
    let mut files = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
    files.retain(|guarded| guarded != path);
}

//! Ctrl-C: removes the unfinished output file and ends.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The unfinished output file.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// What shells report for a program that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Takes over SIGINT, SIGTERM and SIGHUP (Ctrl-C and closing the window on Windows).
pub(crate) fn install() {
    // If it cannot be installed the program still works; only a temporary file may stay behind.
    let _ = ctrlc::set_handler(|| {
        let mut file = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = file.take() {
            let _ = std::fs::remove_file(path);
        }
        std::process::exit(INTERRUPTED);
    });
}

/// Names the file to remove; none once it is finished or gone.
pub(crate) fn guard(path: Option<&Path>) {
    *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = path.map(Path::to_owned);
}

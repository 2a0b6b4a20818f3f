//! `sigmax merge`.

use std::io::Write;
use std::path::{Path, PathBuf};

use sigmax_formats::certificate::merge;

use crate::args::MergeArgs;
use crate::failure::Failure;
use crate::output::Output;

/// Runs the command.
pub(crate) fn run(args: &MergeArgs) -> Result<u8, Failure> {
    let files: Vec<&Path> = args.parts.iter().map(PathBuf::as_path).collect();
    let mut output = Output::open(args.output.as_deref(), &files)?;
    let images = merge(&args.parts, |line| output.write(line))?;
    if let Some(expected) = args.images.filter(|expected| *expected != images) {
        let text = format!("{images} images are in these files, and not {expected}");
        return Err(Failure::Input(text));
    }
    output.finish()?;
    // There is nobody to tell if stderr is closed.
    let _ = writeln!(
        std::io::stderr(),
        "{images} images in {} files; not confirmed",
        args.parts.len()
    );
    Ok(0)
}

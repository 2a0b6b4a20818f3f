//! `sigmax check`.

use std::fs::File;
use std::io::{BufReader, Write};
use std::process::ExitCode;

use sigmax_formats::certificate::confirm;

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::{resources, screen};

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let path = &args.certificates;
    let file = File::open(path)
        .map_err(|error| Failure::Input(format!("cannot open {}: {error}", path.display())))?;
    let outcome = resources::install(args.threads, || {
        Ok(confirm(path, &mut BufReader::new(file), &args.model))
    })?;
    match outcome {
        Ok(confirmed) => {
            // There is nobody to tell if stdout is closed.
            let _ = writeln!(
                std::io::stdout(),
                "confirmed: {} images, {} with a radius above 0",
                confirmed.images,
                confirmed.certified
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ sigmax_formats::Error::NotConfirmed { .. }) => {
            let text = screen::escaped(&error.to_string());
            let _ = writeln!(std::io::stderr(), "not confirmed: {text}");
            Ok(ExitCode::from(1))
        }
        Err(error) => Err(error.into()),
    }
}

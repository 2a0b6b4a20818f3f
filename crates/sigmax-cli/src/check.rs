//! `sigmax check`.

use std::fs::File;
use std::io::{BufReader, Write};
use std::time::Instant;

use sigmax::network::Arithmetic;
use sigmax_formats::certificate::confirm_until;

use crate::args::CheckArgs;
use crate::failure::Failure;
use crate::{resources, screen};

/// Runs the command.
pub(crate) fn run(args: &CheckArgs) -> Result<u8, Failure> {
    let started = Instant::now();
    let deadline = args.budget.and_then(|budget| started.checked_add(budget));
    let path = &args.certificates;
    let file = File::open(path)
        .map_err(|error| Failure::Input(format!("cannot open {}: {error}", path.display())))?;
    let outcome = resources::of(args.threads, args.budget).install(|| {
        let input = &mut BufReader::new(file);
        confirm_until(path, input, &args.model, deadline)
    })?;
    match outcome {
        // The end of the file may be lost; that nothing follows is no result.
        Ok(confirmed) if confirmed.images == 0 => Err(Failure::Input(format!(
            "nothing to confirm: {} states no image; only what its first line states of the model \
             is confirmed",
            path.display()
        ))),
        Ok(confirmed) => {
            // There is nobody to tell if stdout is closed.
            let _ = writeln!(
                std::io::stdout(),
                "confirmed: {} images, {} with a radius above 0{}{}",
                confirmed.images,
                confirmed.certified,
                match confirmed.range {
                    Some([least, most]) => format!(
                        ", within which only inputs count whose pixels are all between {least} and {most}"
                    ),
                    None => String::new(),
                },
                match confirmed.arithmetic {
                    Arithmetic::Float32 => ", also for an execution in float32",
                    Arithmetic::Real => "",
                }
            );
            Ok(0)
        }
        Err(error @ sigmax_formats::Error::NotConfirmed { .. }) => {
            let text = screen::escaped(&error.to_string());
            let _ = writeln!(std::io::stderr(), "not confirmed: {text}");
            Ok(1)
        }
        Err(error) => Err(error.into()),
    }
}

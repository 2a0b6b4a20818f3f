//! The command `sigmax`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(sigmax_cli::main(std::env::args_os()))
}

//! The arguments, and the help that explains them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Proved bounds on the norms of the convolutions of a trained model.
#[derive(Debug, Parser)]
#[command(name = "sigmax", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Audit(AuditArgs),
}

const WHAT: &str = "\
Audit the convolution and dense layers of a model: how far can each stretch its input?

For every layer the report holds

  norm       the layer's ℓ₂ norm between two ends, both proved, rounding errors included;
             this is the Lipschitz constant of the layer
  four       four cheap upper bounds (Singla & Feizi), proved; the smallest and its name
  weighted   a tighter relative of these four, proved
  spectral_norm
             an estimate of the number that the spectral_norm of the frameworks controls;
             it is no bound of the convolution, and often several times too small

ONNX files state the geometry of their layers (stride, padding, groups). safetensors and
PyTorch files do not: then the upper ends are valid for any stride, dilation, groups and
zero padding, and --layers can state the geometry for sharper ones. No pickle is executed.";

const AFTER: &str = "\
Examples:
  sigmax audit                                  a small network that comes with sigmax
  sigmax audit model.onnx
  sigmax audit model.onnx --max-norm 1          a gate: exit code 1 unless all norms are ≤ 1
  sigmax audit model.safetensors --layers geometry.toml --output audit.json
  sigmax audit model.pt --only 'layer3.*' --tolerance 1e-6

Geometry file (--layers), one entry per pattern; later entries override earlier ones:
  [[layer]]
  name = \"layer*.0.conv1\"
  stride = 2
  padding = 1
  # also: padding_mode, dilation, groups, transposed, output_padding, input_size

Exit codes:
  0  done
  1  --max-norm was given and some layer is not proved to be within it
  2  wrong input or usage (also: a layer has NaN or infinite weights)";

/// Audit the convolution and dense layers of a model.
#[derive(Debug, clap::Args)]
#[command(long_about = WHAT, after_long_help = AFTER)]
pub(crate) struct AuditArgs {
    /// ONNX, safetensors or PyTorch file; without it, the example
    ///
    /// The format is recognised by content, not by the name. ONNX files may be compressed with
    /// gzip.
    pub(crate) model: Option<PathBuf>,

    /// Audit the network that comes with sigmax (a digit classifier)
    #[arg(long, conflicts_with = "model")]
    pub(crate) example: bool,

    /// Relative width aimed at: upper end ≤ (1 + TOLERANCE) · lower end
    #[arg(long, default_value = "1e-3", value_parser = positive)]
    pub(crate) tolerance: f64,

    /// Spatial size of the model's input, e.g. 224,224
    ///
    /// Only for models with a graph (ONNX) that leaves it open. With zero padding it changes
    /// nothing: the norm is that over all input sizes. It matters for the other padding modes.
    #[arg(long, value_name = "H,W", value_parser = size)]
    pub(crate) input_size: Option<Size>,

    /// TOML file that states the geometry of layers (see below)
    #[arg(long, value_name = "FILE")]
    pub(crate) layers: Option<PathBuf>,

    /// Only layers whose name or tensor matches; * matches any characters; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Vec<String>,

    /// Form of the report; by default that of --output's extension, otherwise a table
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,

    /// Write the report to FILE, all of it or nothing, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Exit with 1 unless every norm is proved to be at most X
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) max_norm: Option<f64>,

    /// Threads to compute with; by default all cores. The numbers do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Seconds for the whole audit; what is not finished then is proved, only wider
    ///
    /// The time that is left is shared among the layers that are left, larger ones more. Reading
    /// and the four bounds of every layer are done in any case, so very short budgets are
    /// exceeded. The report says which layers stopped early.
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub(crate) budget: Option<Duration>,

    /// When to colour the table; auto heeds NO_COLOR
    #[arg(long, value_enum, default_value_t)]
    pub(crate) color: Color,
}

/// A spatial size.
#[derive(Clone, Debug)]
pub(crate) struct Size(pub(crate) Vec<usize>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ReportFormat {
    /// For people
    Table,
    /// Exact numbers; documented in docs/json.md
    Json,
    /// Exact numbers, one line per layer
    Csv,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal
    #[default]
    Auto,
    Always,
    Never,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "expected a number".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    let x = number(text)?;
    if x > 0.0 && x.is_finite() {
        Ok(x)
    } else {
        Err("expected a number above 0".to_owned())
    }
}

fn not_negative(text: &str) -> Result<f64, String> {
    let x = number(text)?;
    if x >= 0.0 && x.is_finite() {
        Ok(x)
    } else {
        Err("expected a number of at least 0".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(positive(text)?).map_err(|_| "expected fewer seconds".to_owned())
}

fn size(text: &str) -> Result<Size, String> {
    let parts: Result<Vec<usize>, _> = text.split([',', 'x']).map(str::parse).collect();
    match parts {
        Ok(values) if values.len() <= 3 && values.iter().all(|&n| n > 0) => Ok(Size(values)),
        _ => Err("expected one to three numbers of at least 1, e.g. 224,224".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }
}

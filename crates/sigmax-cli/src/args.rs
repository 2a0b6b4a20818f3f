//! The arguments, and the help that explains them.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use sigmax_formats::report::{Rounding, limit};
use sigmax_run::Shard;

/// Proved bounds on the norms of the convolutions of a trained model, on the Lipschitz constant of
/// the whole network, and radii inside which a classification cannot change.
#[derive(Debug, Parser)]
#[command(name = "sigmax", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Audit(AuditArgs),
    Certify(CertifyArgs),
    Check(CheckArgs),
    Merge(MergeArgs),
    Compare(CompareArgs),
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

ONNX files state how the layers are connected: then the report says how far the whole network can
stretch its input, a proved upper bound of its Lipschitz constant (ℓ₂ to ℓ₂), and where that comes
from, or which node has no finite rule.

ONNX files state the geometry of their layers (stride, padding, groups). safetensors and
PyTorch files do not: then the upper ends are valid for any stride, dilation, groups and
zero padding, and --layers can state the geometry for sharper ones. No pickle is executed.";

const AFTER: &str = "\
Examples:
  sigmax audit                                  a small network that comes with sigmax
  sigmax audit model.onnx
  sigmax audit model.onnx --max-norm 1          a gate: exit code 1 unless all norms are ≤ 1
  sigmax audit model.onnx --max-lipschitz 50 --html report.html
  sigmax audit model.safetensors --layers geometry.toml --output audit.json
  sigmax audit model.pt --only 'layer3.*' --tolerance 1e-6
  sigmax audit model.pt --max-norm 4 --exclude '*.attn.bias'    masks are no layers

Geometry file (--layers), one entry per pattern; later entries override earlier ones:
  [[layer]]
  name = \"layer*.0.conv1\"
  stride = 2
  padding = 1
  # also: padding_mode, dilation, groups, transposed, output_padding, input_size

Exit codes:
  0  done
  1  --max-norm was given and some layer (but those of --exclude) is not proved to be within it,
     or --max-lipschitz and the network is not
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

    /// The model has no batch axis: all axes of its input are of the one input that it takes
    ///
    /// The lengths of all of them have to be stated in the file. Not needed where there is one axis only,
    /// or where the first is 1 long.
    #[arg(long, conflicts_with = "no_network")]
    pub(crate) no_batch: bool,

    /// TOML file that states the geometry of layers (see below)
    #[arg(long, value_name = "FILE")]
    pub(crate) layers: Option<PathBuf>,

    /// Only layers whose name or tensor matches; * matches any characters; may be repeated
    #[arg(long, value_name = "PATTERN")]
    pub(crate) only: Vec<String>,

    /// Leave layers out whose name or tensor matches: a mask, say; may be repeated
    ///
    /// The report names each of them. A gate on norms is about the other layers then, and says so; the
    /// network has them all the same, and its constant and the gate on it hold with them.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) exclude: Vec<String>,

    /// Form of the report; by default that of --output's extension, otherwise a table
    #[arg(long, value_enum)]
    pub(crate) format: Option<ReportFormat>,

    /// Write the report to FILE, all of it or nothing, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Exit with 1 unless every norm is proved to be at most X
    #[arg(long, value_name = "X", value_parser = at_most)]
    pub(crate) max_norm: Option<f64>,

    /// Exit with 1 unless the network's Lipschitz constant is proved to be at most X
    ///
    /// A network without a proved constant (or a file without a graph) does not pass.
    #[arg(long, value_name = "X", value_parser = at_most)]
    pub(crate) max_lipschitz: Option<f64>,

    /// Audit the layers only, not the network as a whole
    #[arg(long, conflicts_with = "max_lipschitz")]
    pub(crate) no_network: bool,

    /// Also write a report one can look at: one HTML file, without scripts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

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

const CERTIFY: &str = "\
Certify the classifications of a network: how far must an image move to become another class?

For every image the radius is a proved lower bound of that distance, in ℓ₂ over all pixels and
channels, in pixel units (bytes are divided by 255; see --pixel-range for floats). It is the
smallest, over all other classes t, of (z_y − z_t) / (L · ‖w_y − w_t‖), where z are the logits,
w the rows of the last layer, and L is a proved Lipschitz constant of everything before it; the
rounding of the evaluation is subtracted from the margin. Ties and wrong predictions have radius 0.

Of a network with one layer of smooth activations (Softplus, Tanh, …; no ReLU, no max-pooling) the
curvature is bounded too, and the radius is that of the best tangent to the margin that a search near the
image finds: any point proves a radius, so nothing rests on the search. Inputs of another class that it
meets are proved to be of one, and the summary states both ends: certified accuracy, and the accuracy that
there is at most. These inputs may have pixels that no picture has.

The input normalisation belongs to the network: --mean and --std, or a model that has it inside.";

const CERTIFY_AFTER: &str = "\
Examples:
  sigmax certify model.onnx --images t10k-images-idx3-ubyte.gz --labels t10k-labels-idx1-ubyte.gz \\
      --eps 0.3,1.58
  sigmax certify model.onnx --images cifar-10-batches-bin --mean 0.485,0.456,0.406 \\
      --std 0.229,0.224,0.225 --certificates c.jsonl --html report.html
  sigmax check c.jsonl model.onnx

Images: idx (also gzip), CIFAR-10 binary, .npy, .npz, or a folder with one folder of PNG or JPEG
files per class. CIFAR-10 files, .npz files and folders hold their labels.

Images fit the model by equal shapes, with an axis of 1 for one channel or without, flattened for a
flat input, or transposed where the model has its channels at the other end ([N, H, W, C]). Where
that leaves two orders, --layout has to be given. The summary says how they were read.

Exit codes: 0 done, 2 wrong input or usage (also: the network has no finite constant)";

/// Certify the classifications of a network.
#[derive(Debug, clap::Args)]
#[command(long_about = CERTIFY, after_long_help = CERTIFY_AFTER)]
pub(crate) struct CertifyArgs {
    /// ONNX file
    pub(crate) model: PathBuf,

    /// Images: a file or a folder
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) images: PathBuf,

    /// Labels, where they are not with the images
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,

    /// Distances at which to state the certified accuracy
    #[arg(long, value_name = "X,…", value_delimiter = ',', value_parser = at_least)]
    pub(crate) eps: Vec<f64>,

    /// Mean per channel that is subtracted from the pixels
    #[arg(long, value_name = "X,…", value_delimiter = ',', value_parser = finite, allow_hyphen_values = true)]
    pub(crate) mean: Vec<f64>,

    /// Standard deviation per channel that they are divided by then; may be a quotient like 1/255
    #[arg(long, value_name = "X,…", value_delimiter = ',', value_parser = divisor)]
    pub(crate) std: Vec<f64>,

    /// Where the channels of the model's input are, if its shape does not say so
    ///
    /// A flat input holds a colour picture one channel after the other (chw, as PyTorch flattens
    /// it) or one pixel after the other (hwc); an input of 3×3×3 may be either. With arrays that
    /// have the shape of the input, it says which axis --mean and --std go along.
    #[arg(long, value_enum)]
    pub(crate) layout: Option<LayoutName>,

    /// Range of the values of a float array, if it is not 0,1; e.g. 0,255
    ///
    /// Radii and --eps are in the units of the values. Values outside of [0, 1] are refused
    /// without this, --mean or --std, for a distance that is meant for [0, 1] is a tiny one among
    /// values up to 255.
    #[arg(long, value_name = "A,B", value_parser = range, allow_hyphen_values = true)]
    pub(crate) pixel_range: Option<Range>,

    /// Speak only of inputs that are pictures: with all pixels between 0 and 1, or in --pixel-range
    ///
    /// Without this, radii hold for all inputs, also those with pixels that no picture has. Radii by bounds
    /// around images may be larger with it; constants and curvature make no use of it, and inputs of
    /// another class are not looked for.
    #[arg(long)]
    pub(crate) valid_pixels: bool,

    /// Only the first N images
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,

    /// Only part M of N of the images: numbered from 1, those with number ≡ M modulo N
    ///
    /// For many machines: each writes the --certificates of its part, and `sigmax merge` puts them together.
    #[arg(long, value_name = "M/N", value_parser = shard)]
    pub(crate) shard: Option<Shard>,

    /// Take the constants from the first line of certificates of this model, and confirm them only
    ///
    /// It has to be made with the same options (a part of the images, or --limit 1, will do). Parts that are
    /// made with the same constants have the same first line, on any machine.
    #[arg(long, value_name = "FILE", conflicts_with = "tolerance")]
    pub(crate) constants: Option<PathBuf>,

    /// What radii follow from
    ///
    /// Bounds around an image take about a tenth of a second for every image and distance, for a network
    /// of some thousand neurons, and far longer for large ones: --image-budget ends that, and what is
    /// proved by then counts. With best, a network without a known curvature does without, and the summary says why;
    /// with curvature it is refused.
    #[arg(long, value_enum, default_value_t)]
    pub(crate) method: MethodName,

    /// Seconds for bounds around each image; what is proved by then counts
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub(crate) image_budget: Option<Duration>,

    /// Memory for bounds around images, in bytes or with k, M or G: 500M
    ///
    /// Besides that of the network, its constants and the images. With less of it, fewer images are worked on at once;
    /// where it is not enough for one, nothing is done.
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    pub(crate) memory: Option<usize>,

    /// Only whether radii reach the largest of --eps, which is faster than full radii
    ///
    /// Radii by curvature and adversarial inputs are searched until that is decided, so a radius may
    /// stop there, and the median is of radii that do.
    #[arg(long, requires = "eps")]
    pub(crate) only_eps: bool,

    /// Certificates that also hold for an execution in float32
    ///
    /// Whatever the order in which sums are formed; crates/sigmax/docs/theory.md, T29, has what is assumed.
    #[arg(long)]
    pub(crate) float32: bool,

    /// Write a certificate per image as a line of JSON (docs/certificates.md)
    ///
    /// `sigmax check` confirms them. Certificates that are there already are replaced; no other file is.
    /// Those by curvature hold the points that prove them: one to four characters per pixel and point.
    #[arg(long, value_name = "FILE")]
    pub(crate) certificates: Option<PathBuf>,

    /// Go on with the file of certificates of a run that was interrupted
    ///
    /// What is there is confirmed first.
    #[arg(long, requires = "certificates")]
    pub(crate) resume: bool,

    /// Form of the summary
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,

    /// Write the summary to FILE, all of it or nothing, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Also write a report one can look at: one HTML file, without scripts
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Spatial size of the model's input where the file leaves it open, e.g. 224,224
    #[arg(long, value_name = "H,W", value_parser = size)]
    pub(crate) input_size: Option<Size>,

    /// The model has no batch axis: all axes of its input are of the one input that it takes
    ///
    /// The lengths of all of them have to be stated in the file. Not needed where there is one axis only,
    /// or where the first is 1 long.
    #[arg(long)]
    pub(crate) no_batch: bool,

    /// Relative width to which norms are proved
    #[arg(long, default_value = "1e-3", value_parser = positive)]
    pub(crate) tolerance: f64,

    /// Seconds for the whole certification; norms that are not finished then are proved, only
    /// wider, and the images that are not reached are left out
    ///
    /// The summary says how many were not done; --resume goes on with them if the norms were
    /// finished. What is begun is completed, so very short budgets are exceeded.
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub(crate) budget: Option<Duration>,

    /// Threads to compute with; by default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// When to colour the summary; auto heeds NO_COLOR
    #[arg(long, value_enum, default_value_t)]
    pub(crate) color: Color,
}

/// Confirm certificates from their file and the model alone.
///
/// The norms are confirmed on a cover of the frequencies that is made anew, without the search that
/// found them, the curvature is proved again, and every image is evaluated again, with a gradient for
/// every point that is given as evidence, or bounds around it by the slopes that are.
///
/// Exit codes: 0 all confirmed, 1 something is not, 2 wrong input or usage (also: what is no file of
/// certificates, or one without an image).
#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// File that `sigmax certify --certificates` wrote
    pub(crate) certificates: PathBuf,

    /// The model that it is about
    pub(crate) model: PathBuf,

    /// Seconds for the whole check; what is not confirmed then is not confirmed
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub(crate) budget: Option<Duration>,

    /// Threads to compute with; by default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

/// Put the certificates of parts of a set of images together.
///
/// The parts are files that `sigmax certify --shard` wrote: their first lines are the same, and every image
/// is in one of them. How many images there are is not stated, so nobody notices here that the last ones are
/// missing: whether a part is complete, its run says. Nothing is confirmed: `sigmax check` does that.
/// Without --output, lines are written before all are read.
///
/// Exit codes: 0 done, 2 wrong input or usage (also: an image that is in two files or in none).
#[derive(Debug, clap::Args)]
pub(crate) struct MergeArgs {
    /// Files that `sigmax certify --certificates` wrote
    #[arg(required = true)]
    pub(crate) parts: Vec<PathBuf>,

    /// Number of images that there have to be: the last ones are not missed otherwise
    #[arg(long, value_name = "N")]
    pub(crate) images: Option<usize>,

    /// Write the certificates to FILE, all of them or nothing, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Compare two models layer by layer: before and after regularisation, say.
///
/// Layers are paired by name. The quotient of the norms is given between two proved ends.
///
/// Exit codes: 0 done, 2 wrong input or usage.
#[derive(Debug, clap::Args)]
pub(crate) struct CompareArgs {
    /// The first model
    pub(crate) a: PathBuf,

    /// The second model
    pub(crate) b: PathBuf,

    /// Relative width to which norms are proved
    #[arg(long, default_value = "1e-3", value_parser = positive)]
    pub(crate) tolerance: f64,

    /// TOML file that states the geometry of the layers of both; see `sigmax audit --help`
    #[arg(long, value_name = "FILE")]
    pub(crate) layers: Option<PathBuf>,

    /// Form of the comparison
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: SummaryFormat,

    /// Write it to FILE, all of it or nothing, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Seconds for both audits; what is not finished then is proved, only wider
    #[arg(long, value_name = "SECONDS", value_parser = duration)]
    pub(crate) budget: Option<Duration>,

    /// Threads to compute with; by default all cores
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
}

/// A range of values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range(pub(crate) [f64; 2]);

/// What radii follow from.
#[derive(Clone, Copy, Debug, Default, clap::ValueEnum)]
pub(crate) enum MethodName {
    /// Lipschitz constants, curvature where the network has a bound of it, and for the distances of
    /// --eps that these do not reach, bounds around the image
    #[default]
    Best,
    /// Lipschitz constants alone
    Global,
    /// Lipschitz constants and curvature, only for networks that have a bound of it
    Curvature,
    /// Lipschitz constants and bounds around every image, with full radii
    Local,
}

/// Where the channels of an input are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LayoutName {
    /// Channels, height, width
    Chw,
    /// Height, width, channels
    Hwc,
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
pub(crate) enum SummaryFormat {
    /// For people
    #[default]
    Text,
    /// Exact numbers; documented in docs/json.md
    Json,
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

fn finite(text: &str) -> Result<f64, String> {
    let x = number(text)?;
    if x.is_finite() {
        Ok(x)
    } else {
        Err("expected a finite number".to_owned())
    }
}

/// Two numbers in order.
fn range(text: &str) -> Result<Range, String> {
    let expected = || "expected two numbers in order, e.g. 0,255".to_owned();
    let (a, b) = text.split_once(',').ok_or_else(expected)?;
    let (a, b) = (finite(a)?, finite(b)?);
    if a < b {
        Ok(Range([a, b]))
    } else {
        Err(expected())
    }
}

/// A positive number, or a quotient of two.
fn divisor(text: &str) -> Result<f64, String> {
    match text.split_once('/') {
        None => positive(text),
        Some((a, b)) => {
            let quotient = positive(a)? / positive(b)?;
            if quotient > 0.0 && quotient.is_finite() {
                Ok(quotient)
            } else {
                Err("expected a number above 0".to_owned())
            }
        }
    }
}

/// A limit from above: what passes is at most the decimal number that was typed.
fn at_most(text: &str) -> Result<f64, String> {
    limit(text, Rounding::Down).ok_or_else(|| "expected a number of at least 0".to_owned())
}

/// A limit from below.
fn at_least(text: &str) -> Result<f64, String> {
    limit(text, Rounding::Up).ok_or_else(|| "expected a number of at least 0".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    Duration::try_from_secs_f64(positive(text)?).map_err(|_| "expected fewer seconds".to_owned())
}

/// Bytes, with k, M or G for 2¹⁰, 2²⁰ or 2³⁰ of them.
fn memory(text: &str) -> Result<usize, String> {
    let units = [('k', 10), ('K', 10), ('M', 20), ('G', 30)];
    let unit = units.iter().find(|(unit, _)| text.ends_with(*unit));
    let digits = unit.map_or(text, |(unit, _)| text.trim_end_matches(*unit));
    let number: Option<usize> = digits.parse().ok().filter(|number| *number > 0);
    number
        .and_then(|number| number.checked_mul(1 << unit.map_or(0, |(_, power)| *power)))
        .ok_or_else(|| "expected a number of bytes above 0, with k, M or G".to_owned())
}

fn shard(text: &str) -> Result<Shard, String> {
    let wrong = || "expected M/N with 1 ≤ M ≤ N, e.g. 3/16".to_owned();
    let (part, parts) = text.split_once('/').ok_or_else(wrong)?;
    let numbers = part.parse().ok().zip(parts.parse().ok());
    let shard = numbers.and_then(|(part, parts)| Shard::new(part, parts));
    shard.ok_or_else(wrong)
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

//! [`GeometryFile`]: TOML that states what files without a graph do not.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;
use sigmax::{Conv, PaddingMode};

use crate::error::Error;
use crate::model::layer::{GeometrySource, LayerKind, LayerSpec};

/// Longest geometry file.
const MAX_BYTES: u64 = 1 << 20;

/// The geometry of layers, by patterns of their names.
///
/// One `[[layer]]` per entry; `name` is a name or a glob (`*` matches any characters), compared
/// with the layer's name and with that of its weight tensor. Later entries override earlier ones,
/// key by key. What no entry states of a layer that is matched has the default: stride 1, padding
/// 0, dilation 1, one group.
///
/// # Example
/// ```
/// use sigmax_formats::GeometryFile;
/// let text = r#"
/// [[layer]]
/// name = "features.*.conv1"
/// stride = [2, 2]         # or 2
/// padding = [[0, 1], 1]   # or one number, or one per axis; [before, after]
/// padding_mode = "zeros"  # or "circular", "reflect", "replicate"
/// dilation = 1
/// groups = 1
/// transposed = false
/// output_padding = 0
/// input_size = [32, 32]
/// "#;
/// assert!(GeometryFile::parse("geometry.toml".as_ref(), text).is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct GeometryFile {
    file: PathBuf,
    entries: Vec<(GlobMatcher, Entry)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    layer: Vec<Entry>,
}

/// One `[[layer]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    stride: Option<PerAxis<usize>>,
    padding: Option<PerAxis<Sides>>,
    padding_mode: Option<Mode>,
    dilation: Option<PerAxis<usize>>,
    groups: Option<usize>,
    transposed: Option<bool>,
    output_padding: Option<PerAxis<usize>>,
    input_size: Option<PerAxis<usize>>,
}

/// One value for all axes, or one per axis.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum PerAxis<T> {
    All(T),
    Each(Vec<T>),
}

/// The same on both sides, or `[before, after]`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
enum Sides {
    Both(usize),
    Each(usize, usize),
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Zeros,
    Circular,
    Reflect,
    Replicate,
}

impl GeometryFile {
    /// Reads a geometry file.
    ///
    /// # Errors
    /// [`Error::Io`], and as [`GeometryFile::parse`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io {
            file: path.to_owned(),
            action: "read",
            source,
        };
        let metadata = std::fs::metadata(path).map_err(io)?;
        if metadata.len() > MAX_BYTES {
            return Err(Error::TooLarge {
                file: path.to_owned(),
                what: "the length of the geometry file",
                limit: MAX_BYTES,
                got: metadata.len(),
            });
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        Self::parse(path, &text)
    }

    /// Parses the text of a geometry file; `name` stands for it in errors.
    ///
    /// # Errors
    /// [`Error::Geometry`] for invalid TOML, keys that are not listed above, and invalid patterns.
    pub fn parse(name: &Path, text: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::Geometry {
            file: name.to_owned(),
            reason,
        };
        let document: Document = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start).min(text.len());
            let number = text.as_bytes()[..start]
                .iter()
                .filter(|&&b| b == b'\n')
                .count();
            let line = text.lines().nth(number).unwrap_or_default().trim();
            let message = error.message().replace('\n', ", ");
            wrong(format!("line {}, {line:?}: {message}", number + 1))
        })?;
        let mut entries = Vec::with_capacity(document.layer.len());
        for entry in document.layer {
            let glob = GlobBuilder::new(&entry.name)
                .literal_separator(false)
                .build()
                .map_err(|error| wrong(format!("name = {:?}: {error}", entry.name)))?;
            entries.push((glob.compile_matcher(), entry));
        }
        Ok(Self {
            file: name.to_owned(),
            entries,
        })
    }

    pub(crate) fn error(&self, reason: String) -> Error {
        Error::Geometry {
            file: self.file.clone(),
            reason,
        }
    }

    /// Applies the entries in order.
    pub(crate) fn apply(&self, layers: &mut [LayerSpec]) -> Result<(), Error> {
        for (glob, entry) in &self.entries {
            let mut matched = false;
            for layer in layers.iter_mut() {
                let names = [&layer.name, &layer.tensor];
                if names.iter().any(|&n| *n == entry.name || glob.is_match(n)) {
                    matched = true;
                    entry.apply(layer).map_err(|reason| {
                        self.error(format!(
                            "name = {:?}: layer {:?}: {reason}",
                            entry.name, layer.name
                        ))
                    })?;
                }
            }
            if !matched {
                return Err(self.error(format!(
                    "name = {:?} matches no layer{}",
                    entry.name,
                    examples(layers)
                )));
            }
        }
        Ok(())
    }
}

/// Some names that would match.
fn examples(layers: &[LayerSpec]) -> String {
    match layers {
        [] => "; the model has none".to_owned(),
        [first] => format!("; the only layer is {:?}", first.name),
        [first, .., last] => format!(
            "; there are {} layers, from {:?} to {:?}",
            layers.len(),
            first.name,
            last.name
        ),
    }
}

impl Entry {
    fn apply(&self, layer: &mut LayerSpec) -> Result<(), String> {
        let axes = layer.shape.len().saturating_sub(2);
        let mut conv = layer.conv.clone();
        set(&mut conv.stride, self.stride.as_ref(), axes, "stride")?;
        set(&mut conv.dilation, self.dilation.as_ref(), axes, "dilation")?;
        set(
            &mut conv.output_padding,
            self.output_padding.as_ref(),
            axes,
            "output_padding",
        )?;
        if let Some(padding) = &self.padding {
            let sides = padding.per_axis(axes, "padding")?;
            conv.padding = sides.into_iter().map(Sides::pair).collect();
        }
        if let Some(size) = &self.input_size {
            conv.input_size = Some(size.per_axis(axes, "input_size")?);
        }
        if let Some(mode) = self.padding_mode {
            conv.padding_mode = mode.into();
        }
        conv.groups = self.groups.unwrap_or(conv.groups);
        conv.transposed = self.transposed.unwrap_or(conv.transposed);
        check(&conv, axes, layer.shape.first().copied().unwrap_or(1))?;
        if axes > 0 {
            layer.op = if conv.transposed {
                LayerKind::ConvTranspose
            } else {
                LayerKind::Conv
            };
            layer.op_type = layer.op.name().to_owned();
        }
        layer.conv = conv;
        layer.geometry = GeometrySource::Given;
        Ok(())
    }
}

/// What can be said before the weight is read; [`Conv::check`] says the rest.
fn check(conv: &Conv, axes: usize, channels: usize) -> Result<(), String> {
    if axes == 0 && conv.transposed {
        return Err("transposed = true on a tensor of rank 2, which is a dense layer".to_owned());
    }
    for (key, values) in [("stride", &conv.stride), ("dilation", &conv.dilation)] {
        if values.contains(&0) {
            return Err(format!("{key} = {values:?}; expected values of at least 1"));
        }
    }
    if conv.groups == 0 || !channels.is_multiple_of(conv.groups) {
        return Err(format!(
            "groups = {}; expected a divisor of the {channels} channels on the weight's first axis",
            conv.groups
        ));
    }
    Ok(())
}

fn set(
    field: &mut Vec<usize>,
    value: Option<&PerAxis<usize>>,
    axes: usize,
    key: &str,
) -> Result<(), String> {
    if let Some(value) = value {
        *field = value.per_axis(axes, key)?;
    }
    Ok(())
}

impl<T: Copy> PerAxis<T> {
    fn per_axis(&self, axes: usize, key: &str) -> Result<Vec<T>, String> {
        match self {
            Self::All(value) => Ok(vec![*value; axes]),
            Self::Each(values) if values.len() == axes => Ok(values.clone()),
            Self::Each(values) => Err(format!(
                "{key} has {} values; expected one number, or {axes}: one per spatial axis",
                values.len()
            )),
        }
    }
}

impl Sides {
    fn pair(self) -> (usize, usize) {
        match self {
            Self::Both(n) => (n, n),
            Self::Each(before, after) => (before, after),
        }
    }
}

impl From<Mode> for PaddingMode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Zeros => Self::Zeros,
            Mode::Circular => Self::Circular,
            Mode::Reflect => Self::Reflect,
            Mode::Replicate => Self::Replicate,
        }
    }
}

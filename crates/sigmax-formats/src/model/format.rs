//! [`Format`]: recognised by content, never by the file's name.

use crate::bytes::cursor::Cursor;
use crate::bytes::source::Source;
use crate::bytes::wire::Payload;
use crate::error::Error;

/// The format of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// ONNX, plain or compressed with gzip.
    Onnx,
    /// safetensors.
    Safetensors,
    /// PyTorch since 1.6: a zip archive.
    TorchZip,
    /// PyTorch before 1.6: pickles one after another.
    TorchLegacy,
    /// A module that a program holds in memory: no file.
    TorchModule,
}

impl Format {
    /// The name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Onnx => "ONNX",
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (legacy)",
            Self::TorchModule => "PyTorch module",
        }
    }
}

/// What the first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    Model(Format),
    Gzip,
}

/// What a text form of ONNX is called.
const ONNX_TEXT: &str = "an ONNX model as text (save it as binary: onnx.save(onnx.load(FILE), \
                         \"model.onnx\"))";

/// Beginnings of files that are mistaken for models.
const KNOWN: [(usize, &[u8], &str); 11] = [
    (
        0,
        b"version https://git-lfs",
        "a Git LFS pointer (fetch the file with `git lfs pull`)",
    ),
    (0, b"\x89HDF", "an HDF5 file (Keras?)"),
    (0, b"GGUF", "a GGUF file"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (4, b"TFL3", "a TensorFlow Lite model"),
    (257, b"ustar", "a tar archive"),
    (0, b"ir_version:", ONNX_TEXT),
    (0, b"<", "a web page or XML (a download that failed?)"),
    (0, b"{", "JSON text"),
    (0, b"\xfd7zXZ", "an xz archive"),
    (0, b"\x28\xb5\x2f\xfd", "a zstd archive"),
];

/// Recognises the content of `source`.
pub(crate) fn recognise(source: &Source) -> Result<Content, Error> {
    let head = source.read(0, source.len().min(512))?;
    // First: the length that it begins with may look like the magic bytes of anything else.
    if is_safetensors(&head) {
        return Ok(Content::Model(Format::Safetensors));
    }
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok(Content::Gzip);
    }
    let format = if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Format::TorchZip
    } else if matches!(head[..], [0x80, 2..=5, ..]) {
        Format::TorchLegacy
    } else if head.starts_with(b"{") && head.windows(12).any(|text| text == b"\"weight_map\"") {
        let found =
            "the index of a sharded model (pass one of the files that its weight_map lists)";
        return Err(unknown(source, found.to_owned()));
    } else if let Some(found) = known(&head) {
        return Err(unknown(source, found.to_owned()));
    } else if is_onnx(source, &head) {
        Format::Onnx
    } else {
        return Err(unknown(source, first_bytes(&head)));
    };
    Ok(Content::Model(format))
}

/// What begins with `head` and is neither a model nor a set of images, where that is known.
pub(crate) fn known(head: &[u8]) -> Option<&'static str> {
    let begins = |&&(offset, magic, _): &&(usize, &[u8], _)| {
        head.get(offset..)
            .is_some_and(|rest| rest.starts_with(magic))
    };
    // The text form begins as XML does: <ir_version: 10, opset_import: …>.
    if head.starts_with(b"<") && head.windows(11).any(|text| text == b"ir_version:") {
        return Some(ONNX_TEXT);
    }
    KNOWN.iter().find(begins).map(|&(_, _, found)| found)
}

/// The first bytes of `head`, for errors.
pub(crate) fn first_bytes(head: &[u8]) -> String {
    let first: Vec<_> = head.iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("the bytes {}", first.join(" "))
}

/// [`Error::UnknownFormat`].
pub(crate) fn unknown(source: &Source, found: String) -> Error {
    Error::UnknownFormat {
        file: source.file().to_owned(),
        found,
    }
}

/// A length below 2⁴⁰, then the start of a JSON object. No other format has these four bytes there:
/// in gzip the ninth is a level, in zip a method, in pickles the high end of a frame's length or
/// (the magic number of legacy files) the sixth is not zero.
fn is_safetensors(head: &[u8]) -> bool {
    matches!(head[..], [_, _, _, _, _, 0, 0, 0, b'{', ..])
}

/// A file that starts with a small `ir_version`, as all writers do, or whose fields are all those
/// of a ModelProto with a graph among them.
fn is_onnx(source: &Source, head: &[u8]) -> bool {
    matches!(head[..], [0x08, 1..=63, ..]) || has_model_fields(source).unwrap_or(false)
}

fn has_model_fields(source: &Source) -> Result<bool, Error> {
    let mut cursor = Cursor::new(source, 0..source.len())?;
    let mut graph = false;
    while let Some((number, payload)) = cursor.field()? {
        match (number, payload) {
            (7, Payload::Bytes(_)) => graph = true,
            (1 | 5, Payload::Varint(_)) => {}
            (2 | 3 | 4 | 6 | 8 | 14 | 20 | 25 | 26, Payload::Bytes(_)) => {}
            _ => return Ok(false),
        }
    }
    Ok(graph)
}

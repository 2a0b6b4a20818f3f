//! Formats are recognised by content; what is none of them is named.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use sigmax_formats::{Format, Model};

use crate::inspect::{counting, fails, path, values};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn what_is_not_a_model_is_named() {
    let index =
        br#"{"metadata": {"total_size": 9}, "weight_map": {"fc.weight": "model-1.safetensors"}}"#;
    for (bytes, found) in [
        (&b""[..], "an empty file"),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "git lfs pull",
        ),
        (b"<!DOCTYPE html>", "web page"),
        (
            b"<\n   ir_version: 10,\n   opset_import: [\"\" : 17]\n>\ng (float[n,4] x) => (float[n,4] y) {}",
            "ONNX model as text",
        ),
        (b"ir_version: 10\ngraph {\n}", "ONNX model as text"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"GGUF\x03\0\0\0", "GGUF"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        (b"\xfd7zXZ\0", "xz"),
        (b"{\"a\": 1}", "JSON"),
        (index, "sharded model"),
        (b"hello", "the bytes 68 65 6c 6c 6f"),
        (b"\x80\x02K\x01.", "a pickle that torch.save did not write"),
    ] {
        fails(bytes.to_vec(), &[found, "expected an ONNX model"]);
    }
    let mut tar = vec![0; 512];
    tar[257..262].copy_from_slice(b"ustar");
    tar[0] = b'a';
    fails(tar, &["tar archive"]);
}

#[test]
fn what_is_not_a_file() {
    let text = |path: std::path::PathBuf| Model::open(&path).unwrap_err().to_string();
    assert!(text(path("")).contains("a directory"));
    assert!(text(path("missing.pt")).contains("cannot open"));
}

#[test]
fn names_do_not_matter() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights.onnx");
    std::fs::copy(path("net.pt"), &file).unwrap();
    assert_eq!(Model::open(&file).unwrap().format, Format::TorchZip);
}

#[test]
fn gzip_around_every_format() {
    for (file, format) in [
        ("net.pt", Format::TorchZip),
        ("net-legacy.pt", Format::TorchLegacy),
        ("types.safetensors", Format::Safetensors),
    ] {
        let bytes = gzip(&std::fs::read(path(file)).unwrap());
        let model = Model::from_bytes("input", bytes).unwrap();
        assert_eq!(model.format, format);
        let (layer, entries) = if format == Format::Safetensors {
            ("conv", 8)
        } else {
            ("fc", 8)
        };
        assert_eq!(values(&model, layer), counting(entries));
    }
}

#[test]
fn gzip_that_is_hostile() {
    fails(gzip(b""), &["an empty gzip file"]);
    fails(gzip(&gzip(b"x")), &["gzip inside gzip"]);
    fails(gzip(&vec![0; 64 << 20]), &["decompressed size", "limit"]);
    let whole = gzip(&std::fs::read(path("net.pt")).unwrap());
    for length in [3, 12, whole.len() / 2, whole.len() - 1] {
        let error = Model::from_bytes("input", whole[..length].to_vec())
            .unwrap_err()
            .to_string();
        assert!(error.contains("input"), "{length}: {error}");
    }
}

//! safetensors files: a real one, and hostile ones.

use sigmax_formats::{Format, Model};

use crate::inspect::{counting, error, fails, layers, open, path, skipped, survives, values};

/// A file with this header and `data` zero bytes.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn entry(name: &str, dtype: &str, shape: &str, from: u64, to: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{from},{to}]}}"#)
}

#[test]
fn a_real_file() {
    let model = open("types.safetensors");
    assert_eq!(model.format, Format::Safetensors);
    let mut names = layers(&model);
    names.sort();
    let expected = [
        "bfloat16 [1, 2]",
        "conv [2, 1, 2, 2]",
        "float16 [1, 2]",
        "float32 [1, 2]",
        "float64 [1, 2]",
    ];
    assert_eq!(names, expected);
    for name in ["float16", "bfloat16", "float32", "float64"] {
        assert_eq!(values(&model, name), [1.5, -2.0]);
    }
    assert_eq!(values(&model, "conv"), counting(8));
    assert_eq!(skipped(&model), ["I64: steps"]);
}

#[test]
fn a_header_length_that_looks_like_another_format() {
    // Pickles of protocol 2 to 5, gzip.
    for length in [0x0280, 0x0380, 0x0480, 0x0580, 0x8b1f] {
        let mut header = format!("{{{}}}", entry("fc.weight", "F32", "[1,2]", 0, 8));
        header.push_str(&" ".repeat(length - header.len()));
        let model = Model::from_bytes("input", file(&header, 8)).unwrap();
        assert_eq!(model.format, Format::Safetensors, "{length:#x}");
        assert_eq!(values(&model, "fc"), [0.0, 0.0], "{length:#x}");
    }
}

#[test]
fn cut_or_changed_at_every_byte() {
    let bytes = std::fs::read(path("types.safetensors")).unwrap();
    for length in 0..bytes.len() {
        error(bytes[..length].to_vec());
    }
    for at in 0..bytes.len() {
        for flip in [0x01, 0x20, 0xff] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            survives(bytes);
        }
    }
}

#[test]
fn headers_that_lie() {
    let f32s = |name, from, to| entry(name, "F32", "[1,2]", from, to);
    let of = |tensors: &[String]| format!("{{{}}}", tensors.join(","));
    fails(
        file(&of(&[f32s("a", 0, 8), f32s("b", 4, 12)]), 12),
        &["malformed at offset 8", "b"],
    );
    fails(
        file(&of(&[f32s("a", 0, 8), f32s("b", 12, 20)]), 20),
        &["malformed at offset 8"],
    );
    fails(
        file(&of(&[f32s("a", 0, 8)]), 9),
        &["1 bytes after the last tensor"],
    );
    fails(
        file(&of(&[f32s("a", 0, 8)]), 7),
        &["8 bytes are needed", "7 are there"],
    );
    fails(file(&of(&[f32s("a", 0, 9)]), 9), &["malformed"]);
    fails(file(&of(&[f32s("a", 8, 0)]), 8), &["malformed"]);
    fails(
        file(&of(&[f32s("a", 0, 8), f32s("a", 8, 16)]), 16),
        &["\"a\" occurs twice"],
    );
    fails(
        file(&of(&[entry("a", "F128", "[1]", 0, 16)]), 16),
        &["F128"],
    );
    fails(
        file(&of(&[entry("a", "F32", "[-1]", 0, 4)]), 4),
        &["malformed"],
    );
    let huge = "[4294967296,4294967296,4294967296]";
    fails(
        file(&of(&[entry("a", "F32", huge, 0, 8)]), 8),
        &["malformed"],
    );
    fails(file("{\"a\":[]}", 0), &["malformed"]);
    fails(file("{\"a\"", 0), &["malformed"]);
}

#[test]
fn header_lengths_that_lie() {
    let mut bytes = file("{}", 0);
    bytes[4] = 0x7f; // about 500 GB
    fails(bytes, &["length of the safetensors header", "limit"]);
    let mut bytes = file("{}", 0);
    bytes[0] = 200;
    fails(bytes, &["200 bytes are needed at offset 8"]);
}

#[test]
fn deep_json() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let nested = format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
        survives(file(&format!("{{\"__metadata__\":{nested}}}"), 0));
        fails(file(&format!("{{\"a\":{nested}}}"), 0), &["malformed"]);
    }
}

#[test]
fn weights_that_are_not_numbers() {
    let mut bytes = file(
        &format!("{{{}}}", entry("fc.weight", "F32", "[1,2]", 0, 8)),
        8,
    );
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    let model = Model::from_bytes("input", bytes).unwrap();
    let text = model.read_kernel(&model.layers[0]).unwrap_err().to_string();
    assert!(
        text.contains("\"fc.weight\"") && text.contains("index [0, 1]"),
        "{text}"
    );
}

#[test]
fn weights_that_are_computed_are_refused() {
    let names = [
        "c.weight_v",
        "c.parametrizations.weight.original0",
        "d.weight_orig",
    ];
    let tensors: Vec<_> = (0..3)
        .map(|i| entry(names[i as usize], "F32", "[1,2]", 8 * i, 8 * i + 8))
        .collect();
    let model =
        Model::from_bytes("input", file(&format!("{{{}}}", tensors.join(",")), 24)).unwrap();
    assert!(model.layers.is_empty());
    assert!(
        model
            .skipped
            .refused
            .iter()
            .all(|r| r.kind == "parametrised weight")
    );
    assert_eq!(model.skipped.refused.len(), 3);
}

//! safetensors files: a real one, and hostile ones.

use sigmax_formats::{Format, Model};

use crate::inspect::{
    counting, error, fails, layers, open, path, refused, skipped, survives, values,
};

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

/// A file of zeros with these tensors, in this order: name, type, shape, bytes.
fn zeros(metadata: &str, tensors: &[(&str, &str, &str, u64)]) -> Model {
    let mut from = 0;
    let mut entries = vec![format!("\"__metadata__\":{metadata}")];
    for &(name, dtype, shape, bytes) in tensors {
        entries.push(entry(name, dtype, shape, from, from + bytes));
        from += bytes;
    }
    let header = format!("{{{}}}", entries.join(","));
    Model::from_bytes("input", file(&header, from as usize)).unwrap()
}

#[test]
fn what_may_be_a_weight_and_is_not_read_is_refused_by_name() {
    let model = zeros(
        "{}",
        &[
            ("complex", "C64", "[1,2]", 16),
            ("packed", "F4", "[2,2]", 2),
            ("six", "F6_E2M3", "[2,2]", 3),
            ("signed", "I8", "[2,2]", 4),
            ("a.qweight", "I32", "[1,2]", 8),
            ("b.weight", "U8", "[2,2]", 4),
            ("long", "F32", "[1,1,1,1,1,2]", 8),
            ("c._flat_param", "F32", "[8]", 32),
            ("ids", "I64", "[1,2]", 16),
            ("seen", "BOOL", "[2,2]", 4),
            ("weight_of", "I8", "[4]", 4),
            ("vector", "C64", "[1]", 8),
        ],
    );
    assert_eq!(layers(&model), [""; 0]);
    let expected = [
        "C64: complex",
        "F4: packed",
        "F6_E2M3: six",
        "I8: signed",
        "I32: a.qweight",
        "U8: b.weight",
        "rank 6: long",
        "flattened weights: c._flat_param",
    ];
    assert_eq!(refused(&model), expected);
    let others = ["BOOL: seen", "C64: vector", "I64: ids", "I8: weight_of"];
    assert_eq!(skipped(&model), others);
}

#[test]
fn a_weight_beside_its_scale_is_not_the_weight() {
    let eight = ("a.weight", "F8_E4M3", "[2,2]", 4);
    assert_eq!(layers(&zeros("{}", &[eight])), ["a [2, 2]"]);
    for scale in [
        ("a.weight_scale", "F32", "[]", 4),
        ("a.weight_scale_inv", "F32", "[1,1]", 4),
        ("a.input_scale", "F32", "[1]", 4),
        ("a.scale_weight", "F32", "[1]", 4),
        ("a.weight.absmax", "F32", "[1]", 4),
        ("a._extra_state", "U8", "[4]", 4),
    ] {
        let model = zeros("{}", &[eight, scale]);
        assert_eq!(layers(&model), [""; 0], "{scale:?}");
        assert_eq!(refused(&model), ["quantised weight: a"], "{scale:?}");
        let reason = &model.skipped.refused[0].reason;
        assert!(reason.contains(scale.0), "{reason}");
    }
    // Of a type that is read exactly, but scaled all the same.
    for scale in ["a.weight_scale", "a.weight_fake_quant.scale"] {
        let half = ("a.weight", "BF16", "[1,2]", 4);
        let model = zeros("{}", &[half, (scale, "F32", "[1]", 4)]);
        assert_eq!(refused(&model), ["quantised weight: a"], "{scale}");
    }
    let blocks = [
        ("experts.up_blocks", "U8", "[2,2]", 4),
        ("experts.up_scales", "U8", "[2,1]", 2),
    ];
    assert_eq!(
        refused(&zeros("{}", &blocks)),
        ["quantised weight: experts.up_blocks"]
    );
    // A scale of something else.
    let attention = [
        ("a.weight", "F32", "[1,2]", 8),
        ("a.logit_scale", "F32", "[1,1,1]", 4),
    ];
    assert_eq!(
        layers(&zeros("{}", &attention)),
        ["a [1, 2]", "a.logit_scale [1, 1, 1]"]
    );
}

#[test]
fn factors_are_no_layers_under_any_name() {
    let pair = |a: &'static str, b: &'static str| {
        zeros("{}", &[(a, "F32", "[2,2]", 16), (b, "F32", "[2,2]", 16)])
    };
    for (a, b, name) in [
        ("m.in_proj_weight_orig", "m.other", "m.in_proj_weight"),
        ("m.kernel_orig", "m.other", "m.kernel"),
        ("m.weight_hh_l0_v", "m.other", "m.weight_hh_l0_v"),
        ("m.weight_bar", "m.weight_u", "m"),
        ("m.weight_g", "m.weight_v", "m"),
        ("m.weight", "m.mask", "m"),
        ("m.weight", "m.weight_mask", "m"),
        ("m.weight", "m.u", "m"),
        (
            "m.parametrizations.weight.original",
            "m.parametrizations.weight.0.base",
            "m",
        ),
        (
            "m.parametrizations.w.original0",
            "m.parametrizations.w.original2",
            "m.w",
        ),
        ("m.lora_A.default.weight", "m.lora_B.default.weight", "m"),
        ("m.base_layer.weight", "m.hada_w1_a.default", "m"),
        ("m.base_layer.weight", "m.unheard_of.default", "m"),
    ] {
        let model = pair(a, b);
        let names: Vec<&str> = model.skipped.refused.iter().map(|r| &*r.name).collect();
        assert_eq!(names, [name], "{a} {b}");
        let others = usize::from(b == "m.other");
        assert_eq!(model.layers.len(), others, "{a} {b}: {:?}", layers(&model));
    }
    // Query, key, value and gate; a mask of another shape; biases.
    let plain = zeros(
        "{}",
        &[
            ("m.w_v", "F32", "[2,2]", 16),
            ("m.w_g", "F32", "[2,2]", 16),
            ("m.bar", "F32", "[2,2]", 16),
            ("m.weight", "F32", "[2,2]", 16),
            ("m.mask", "F32", "[1,2]", 8),
            ("m.bias_orig", "F32", "[2]", 8),
            ("m.bias_mask", "F32", "[2]", 8),
            ("n.base_layer.weight", "F32", "[2,2]", 16),
        ],
    );
    assert_eq!(refused(&plain), [""; 0]);
    assert_eq!(plain.layers.len(), 6);
}

#[test]
fn an_adapter_is_only_counted_where_the_file_says_how() {
    let update = |metadata: &str, square: bool| {
        let (wide, bytes) = if square { ("[2,2]", 16) } else { ("[2,3]", 24) };
        let a = if square { "[1,2]" } else { "[1,3]" };
        let tensors = [
            ("m.base_layer.weight", "F32", wide, bytes),
            ("m.lora_A.default.weight", "F32", a, bytes / 2),
            ("m.lora_B.default.weight", "F32", "[2,1]", 8),
        ];
        let model = zeros(metadata, &tensors);
        assert_eq!(
            model.layers.len() + model.skipped.refused.len(),
            1,
            "{metadata}"
        );
        model.layers.len() == 1
    };
    assert!(update(r#"{"lora_alpha":"2"}"#, false));
    assert!(update(r#"{"lora_alpha":"2","r":"1"}"#, false));
    assert!(update(
        r#"{"adapter_config":"{\"lora_alpha\":2,\"r\":1}"}"#,
        false
    ));
    assert!(update(
        r#"{"lora_alpha":"2","fan_in_fan_out":"false"}"#,
        true
    ));
    for (metadata, square) in [
        (r#"{}"#, false),
        (r#"{"lora_alpha":"x"}"#, false),
        (r#"{"lora_alpha":"2","r":"4"}"#, false),
        (r#"{"lora_alpha":"2","use_rslora":"true"}"#, false),
        (r#"{"lora_alpha":"2","rank_pattern":"{\"m\":1}"}"#, false),
        (r#"{"adapter_config":"{"}"#, false),
        (r#"{"lora_alpha":"2"}"#, true),
        (r#"{"lora_alpha":"2","fan_in_fan_out":"true"}"#, true),
    ] {
        assert!(!update(metadata, square), "{metadata}");
    }
    // Two weights of which either may be the one that is changed: none of them is passed over.
    let two = zeros(
        r#"{"lora_alpha":"2"}"#,
        &[
            ("m.base_layer.weight", "F32", "[2,3]", 24),
            ("m.lora_A.default.weight", "F32", "[1,3]", 12),
            ("m.lora_B.default.weight", "F32", "[2,1]", 8),
            ("m.weight", "F32", "[2,3]", 24),
        ],
    );
    assert!(two.layers.is_empty());
    assert!(two.skipped.refused[0].reason.contains("two weights"));
    // Adapter and weight are both pruned: two masked weights, and no layer that is one of them.
    let pruned = zeros(
        r#"{"lora_alpha":"2"}"#,
        &[
            ("m.base_layer.weight_orig", "F32", "[2,3]", 24),
            ("m.base_layer.weight_mask", "F32", "[2,3]", 24),
            ("m.lora_A.weight_orig", "F32", "[1,3]", 12),
            ("m.lora_A.weight_mask", "F32", "[1,3]", 12),
        ],
    );
    assert_eq!(refused(&pruned), ["weight with an adapter: m"]);
    let two = zeros(
        r#"{"lora_alpha":"2"}"#,
        &[
            ("m.base_layer.weight", "F32", "[2,3]", 24),
            ("m.lora_A.a.weight", "F32", "[1,3]", 12),
            ("m.lora_A.b.weight", "F32", "[1,3]", 12),
            ("m.lora_B.a.weight", "F32", "[2,1]", 8),
            ("m.lora_B.b.weight", "F32", "[2,1]", 8),
        ],
    );
    assert_eq!(refused(&two), ["weight with an adapter: m"]);
    assert!(two.skipped.refused[0].reason.contains("2 matrices A"));
}

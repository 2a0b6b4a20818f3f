//! `--max-norm` and its exit codes.

use crate::run::{Files, unwrapped};

#[test]
fn within_the_limit_passes() {
    let outcome = Files::usual().audit(&["--max-norm", "9.5"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (0, ""));
    assert!(outcome.stdout.contains("Gate passed"), "{}", outcome.stdout);
}

#[test]
fn above_the_limit_fails_and_names_the_layers() {
    let files = Files::usual();
    let outcome = files.audit(&["--max-norm", "4.5"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.starts_with("gate failed: 2 of 3 layers"),
        "{}",
        outcome.stderr
    );
    assert!(outcome.stderr.contains("  blur: the norm is between "));
    assert!(outcome.stderr.contains("  head: the norm is between "));
    assert!(!outcome.stderr.contains("edge"));
    assert!(outcome.stdout.contains("Gate failed"));
    let report = files.json(&["--max-norm", "4.5"]);
    assert_eq!(report["gate"]["passed"], false);
    assert_eq!(
        report["gate"]["exceeded"],
        serde_json::json!(["blur", "head"])
    );
}

#[test]
fn a_bracket_around_the_limit_is_not_proved() {
    // The norm is 9 exactly; the upper end is a little above.
    let outcome = Files::usual().audit(&["--max-norm", "9", "--only", "blur"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("undecided"), "{}", outcome.stderr);
}

#[test]
fn a_gate_on_some_layers_says_so() {
    let outcome = Files::usual().audit(&["--max-norm", "10", "--only", "blur"]);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    let text =
        "Gate passed: every norm of the layers that --only names is proved to be at most 10.";
    assert!(outcome.stdout.contains(text), "{}", outcome.stdout);
}

#[test]
fn a_refused_layer_fails_the_gate_and_nothing_else() {
    let files = Files::new();
    files.model(&[
        ("a.weight", &[1, 1, 3], vec![0.1; 3]),
        ("b.weight_v", &[1, 1, 3], vec![0.1; 3]),
    ]);
    let plain = files.audit(&[]);
    assert_eq!(plain.code, 0, "{}", plain.stderr);
    assert!(
        plain.stdout.contains("Not audited: b.weight_v"),
        "{}",
        plain.stdout
    );
    let gate = files.audit(&["--max-norm", "1"]);
    assert_eq!(gate.code, 1);
    assert!(
        gate.stderr
            .contains("b.weight_v: not audited, so nothing is proved")
    );
    let without = files.audit(&["--max-norm", "1", "--only", "a"]);
    assert_eq!(without.code, 0, "{}", without.stderr);
    let only = files.audit(&["--only", "b*"]);
    assert_eq!(only.code, 2, "nothing was audited");
    let csv = files.audit(&["--format", "csv"]).stdout;
    assert!(
        csv.lines().nth(2).unwrap().starts_with("b.weight_v,"),
        "{csv}"
    );
}

/// The identity in float32, and 96·I₄ in float8_e4m3fn (0x6c is 1.5·2⁶).
#[test]
fn a_weight_of_8_bit_floats_counts() {
    let header = r#"{"ok":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"big":{"dtype":"F8_E4M3","shape":[4,4],"data_offsets":[16,32]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.extend([1f32, 0.0, 0.0, 1.0].iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend((0..16).map(|i| if i % 5 == 0 { 0x6c } else { 0 }));
    let files = Files::new();
    files.write("model.safetensors", bytes);
    let gate = files.audit(&["--max-norm", "2"]);
    assert_eq!(gate.code, 1);
    assert!(
        gate.stderr.starts_with("gate failed: 1 of 2 layers"),
        "{}",
        gate.stderr
    );
    assert!(
        gate.stderr.contains("  big: the norm is between 9"),
        "{}",
        gate.stderr
    );
    assert_eq!(files.audit(&["--max-norm", "96.001"]).code, 0);
}

#[test]
fn a_weight_made_of_factors_is_audited_under_its_module() {
    let files = Files::new();
    // 5·(3, 4)/5 and −13·(5, 12)/13: each factor alone has another norm.
    files.model(&[
        ("fc.weight_g", &[2, 1], vec![5.0, -13.0]),
        ("fc.weight_v", &[2, 2], vec![0.3, 0.4, 50.0, 120.0]),
    ]);
    let report = files.json(&["--only", "fc", "--max-norm", "14"]);
    assert_eq!(report["layers"].as_array().unwrap().len(), 1);
    let layer = &report["layers"][0];
    assert_eq!(
        (&layer["name"], &layer["tensor"]),
        (&"fc".into(), &"fc.weight".into())
    );
    // [[3, 4], [−5, −12]]: λ = (194 ± √(194² − 4·16²))/2.
    let norm = ((194.0 + f64::sqrt(194.0 * 194.0 - 1024.0)) / 2.0).sqrt();
    let ends = [&layer["norm"]["lower"], &layer["norm"]["upper"]].map(|v| v.as_f64().unwrap());
    assert!(
        ends[0] <= norm * 1.000_001 && norm * 0.999_999 <= ends[1],
        "{ends:?}"
    );
    assert!(ends[1] <= norm * 1.01, "{ends:?}");
    assert_eq!(report["gate"]["passed"], true);
    assert_eq!(files.audit(&["--max-norm", "13.8"]).code, 1);
}

#[test]
fn an_adapter_that_is_not_merged_fails_the_gate() {
    let files = Files::new();
    files.model(&[
        (
            "fc.base_layer.weight",
            &[2, 3],
            vec![1.0, 0.0, 0.0, 0.0, 1.0, 0.0],
        ),
        ("fc.lora_A.default.weight", &[1, 3], vec![1.0, 0.0, 0.0]),
        ("fc.lora_B.default.weight", &[2, 1], vec![1.0, 0.0]),
    ]);
    let gate = files.audit(&["--max-norm", "5"]);
    assert_eq!(gate.code, 1, "{}", gate.stdout);
    let text = "fc: not audited, so nothing is proved: the weight is W + (α/r)·B·A";
    assert!(gate.stderr.contains(text), "{}", gate.stderr);
}

#[test]
fn a_gate_is_answered_even_if_nobody_reads_the_report() {
    let files = Files::many(3);
    for (limit, code) in [("1e9", 0), ("1e-9", 1)] {
        let mut child = files
            .command(&["audit", "model.safetensors", "--max-norm", limit])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(code));
    }
}

/// A proved end that is printed as 0.1 may be a float above one tenth. Such an end does not meet the
/// limit 0.1, and one below it does.
#[test]
fn a_limit_is_the_decimal_number_that_was_typed() {
    let files = Files::new();
    let mut passed = [0; 2];
    for i in 0..24 {
        files.model(&[("head.weight", &[1, 1], vec![0.1 + i as f32 / 64.0])]);
        let report = files.json(&[]);
        let upper = report["layers"][0]["norm"]["upper"].as_f64().unwrap();
        // All decimal digits of the float, and its shortest text, as long.
        let (exact, typed) = (format!("{upper:.60}"), format!("{upper:0<62}"));
        assert_eq!(exact.len(), typed.len());
        let outcome = files.audit(&["--max-norm", &upper.to_string()]);
        assert_eq!(outcome.code, i32::from(exact > typed), "{exact} {typed}");
        passed[usize::from(exact > typed)] += 1;
    }
    assert!(passed[0] > 0 && passed[1] > 0, "{passed:?}");
}

#[test]
fn a_limit_is_a_number_of_at_least_zero() {
    for wrong in ["-1", "inf", "nan", "", "1/2"] {
        assert_eq!(
            Files::usual().audit(&["--max-norm", wrong]).code,
            2,
            "{wrong}"
        );
    }
}

/// The causal mask of an attention of four tokens.
fn mask() -> Vec<f32> {
    (0..16)
        .map(|i| {
            if i % 4 > i / 4 {
                f32::NEG_INFINITY
            } else {
                0.0
            }
        })
        .collect()
}

fn attention() -> Files {
    let files = Files::new();
    files.model(&[
        ("attn.bias", &[1, 1, 4, 4], mask()),
        ("fc.weight", &[2, 2], vec![3.0, 0.0, 0.0, 5.0]),
        ("out.weight", &[1, 2], vec![0.6, 0.8]),
    ]);
    files
}

#[test]
fn a_mask_is_refused_by_name_and_the_rest_is_audited() {
    let files = attention();
    let plain = files.audit(&[]);
    assert_eq!((plain.code, plain.stderr.as_str()), (0, ""));
    let text = unwrapped(&plain.stdout);
    assert!(text.contains("2 layers audited"), "{text}");
    let reason = "Not audited: attn.bias (Conv): model.safetensors: layer \"attn.bias\" (tensor \
                  \"attn.bias\"): 6 of its 16 entries are -inf";
    assert!(text.contains(reason), "{text}");
    let gate = files.audit(&["--max-norm", "6"]);
    assert_eq!(gate.code, 1, "{}", gate.stdout);
    assert!(gate.stderr.starts_with("gate failed: 1 of 3 layers"));
    assert!(
        gate.stderr.contains("  attn.bias: not audited"),
        "{}",
        gate.stderr
    );
}

#[test]
fn infinite_weights_that_are_no_mask_are_bad_input() {
    let rest = [f32::INFINITY, f32::NAN];
    for wild in rest {
        let files = Files::new();
        files.model(&[
            ("a.weight", &[2, 2], vec![f32::NEG_INFINITY, wild, 0.0, 1.0]),
            ("b.weight", &[2, 2], vec![1.0; 4]),
        ]);
        assert_eq!(files.audit(&[]).code, 2);
    }
    let all = Files::new();
    all.model(&[
        ("a.weight", &[2, 2], vec![f32::NEG_INFINITY; 4]),
        ("b.weight", &[2, 2], vec![1.0; 4]),
    ]);
    assert_eq!(all.audit(&[]).code, 2);
    // Somebody says that it is a layer.
    let stated = attention();
    stated.write(
        "geometry.toml",
        "[[layer]]\nname = \"attn.bias\"\npadding = 1\n",
    );
    assert_eq!(stated.audit(&["--layers", "geometry.toml"]).code, 2);
}

#[test]
fn a_gate_is_not_about_what_is_excluded_and_says_so() {
    let files = attention();
    let args = ["--exclude", "attn.*", "--max-norm", "6"];
    let passed = files.audit(&args);
    assert_eq!((passed.code, passed.stderr.as_str()), (0, ""));
    let text = unwrapped(&passed.stdout);
    for part in [
        "Excluded by --exclude, not audited: attn.bias (Conv).",
        "Gate passed for the other layers: every norm but of 1 excluded layer is proved to be at most 6; \
         of the excluded nothing is proved: attn.bias.",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let report = files.json(&args);
    assert_eq!(report["options"]["exclude"], serde_json::json!(["attn.*"]));
    assert_eq!(
        report["excluded"],
        serde_json::json!([{"name": "attn.bias", "kind": "Conv"}])
    );
    assert_eq!(report["gate"]["passed"], true);
    assert_eq!(report["gate"]["excluded"], serde_json::json!(["attn.bias"]));
    let csv = files
        .audit(&["--exclude", "attn.*", "--format", "csv"])
        .stdout;
    let last = csv.lines().last().unwrap();
    assert!(
        last.starts_with("attn.bias,,Conv,") && last.contains("excluded by --exclude"),
        "{csv}"
    );
    let page = files.audit(&["--exclude", "attn.*", "--max-norm", "6", "--html", "p.html"]);
    assert_eq!(page.code, 0);
    let page = std::fs::read_to_string(files.path("p.html")).unwrap();
    for part in [
        "Of the layers that are not excluded",
        "2 audited, 0 refused, 1 excluded",
        "left out by name",
        "excluded attn.*",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn what_is_not_excluded_still_fails_the_gate() {
    let files = attention();
    let gate = files.audit(&["--exclude", "attn.bias", "--max-norm", "4"]);
    assert_eq!(gate.code, 1);
    assert!(
        gate.stderr.starts_with("gate failed: 1 of 2 layers"),
        "{}",
        gate.stderr
    );
    for part in [
        "  fc: the norm is between",
        "  attn.bias: excluded, so nothing is proved",
    ] {
        assert!(gate.stderr.contains(part), "{}", gate.stderr);
    }
    // `--only` first, then `--exclude`.
    let both = ["--only", "fc", "--exclude", "out*", "--max-norm", "6"];
    let report = files.json(&both);
    assert_eq!(report["excluded"], serde_json::json!([]));
    assert_eq!(report["layers"].as_array().unwrap().len(), 1);
}

#[test]
fn a_gate_about_nothing_is_refused() {
    let files = attention();
    for args in [
        ["--exclude", "*", "--max-norm", "1"],
        ["--exclude", "nothing", "--max-norm", "1"],
        ["--exclude", "[a", "--max-norm", "1"],
    ] {
        let outcome = files.audit(&args);
        assert_eq!(outcome.code, 2, "{args:?}: {}", outcome.stdout);
    }
    let all = files.audit(&["--only", "fc", "--exclude", "f*"]);
    assert_eq!(all.code, 2);
    let text = "--only and --exclude leave nothing to audit of:";
    assert!(all.stderr.contains(text), "{}", all.stderr);
}

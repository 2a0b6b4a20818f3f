//! `--max-norm` and its exit codes.

use crate::run::Files;

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

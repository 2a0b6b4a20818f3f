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

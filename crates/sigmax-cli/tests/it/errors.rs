//! Wrong input: exit code 2 and a text that says what and where.

use crate::run::Files;

fn fails(files: &Files, args: &[&str], parts: &[&str]) {
    let outcome = files.run(args);
    assert_eq!(
        outcome.code, 2,
        "{args:?}: {} {}",
        outcome.stdout, outcome.stderr
    );
    for part in parts {
        assert!(
            outcome.stderr.contains(part),
            "{args:?}: {part}: {}",
            outcome.stderr
        );
    }
}

#[test]
fn files_that_are_no_models() {
    let files = Files::usual();
    files.write("empty", "");
    files.write("text", "hello, world, this is not a model\n");
    fails(
        &files,
        &["audit", "missing.onnx"],
        &["missing.onnx", "cannot open"],
    );
    fails(&files, &["audit", "empty"], &["an empty file"]);
    fails(
        &files,
        &["audit", "text"],
        &["text: found", "expected an ONNX model"],
    );
    fails(&files, &["audit", "."], &["a directory"]);
}

#[test]
fn nan_names_tensor_and_index_and_the_rest_is_still_audited() {
    let files = Files::new();
    let mut bad = vec![1.0; 9];
    bad[5] = f32::NAN;
    files.model(&[
        ("a.weight", &[1, 1, 3, 3], bad),
        ("b.weight", &[1, 1, 3], vec![1.0; 3]),
    ]);
    let outcome = files.audit(&[]);
    assert_eq!(outcome.code, 2);
    for part in [
        "error: model.safetensors",
        "\"a.weight\"",
        "NaN",
        "[0, 0, 1, 2]",
    ] {
        assert!(outcome.stderr.contains(part), "{part}: {}", outcome.stderr);
    }
    assert!(
        outcome.stdout.contains("not audited, see below"),
        "{}",
        outcome.stdout
    );
    assert!(
        outcome.stdout.contains("1 layer audited"),
        "{}",
        outcome.stdout
    );
    let gate = files.audit(&["--max-norm", "100"]);
    assert_eq!(gate.code, 2, "bad input comes before a failed gate");
}

#[test]
fn arguments_out_of_range() {
    let files = Files::usual();
    for wrong in [
        ["--tolerance", "0"],
        ["--tolerance", "nan"],
        ["--tolerance", "inf"],
        ["--max-norm", "-1"],
        ["--max-norm", "nan"],
        ["--max-norm", "inf"],
        ["--budget", "0"],
        ["--budget", "1e300"],
        ["--threads", "0"],
        ["--input-size", "0,4"],
        ["--input-size", "1,2,3,4"],
        ["--format", "xml"],
        ["--color", "blue"],
    ] {
        let wrong = format!("{}={}", wrong[0], wrong[1]);
        fails(
            &files,
            &["audit", "model.safetensors", &wrong],
            &["error: invalid value"],
        );
    }
    fails(
        &files,
        &["audit", "model.safetensors", "--example"],
        &["cannot be used with"],
    );
    fails(&files, &["audti"], &["unrecognized subcommand"]);
}

#[test]
fn options_that_do_not_fit_the_model() {
    let files = Files::usual();
    files.write(
        "geometry.toml",
        "[[layer]]\nname = \"nothing\"\nstride = 2\n",
    );
    files.write("broken.toml", "[[layer]\n");
    let model = ["audit", "model.safetensors"];
    fails(
        &files,
        &[&model[..], &["--input-size", "8,8"]].concat(),
        &["has no graph"],
    );
    fails(
        &files,
        &[&model[..], &["--layers", "geometry.toml"]].concat(),
        &["\"nothing\" matches no layer"],
    );
    fails(
        &files,
        &[&model[..], &["--layers", "broken.toml"]].concat(),
        &["broken.toml"],
    );
    fails(
        &files,
        &[&model[..], &["--only", "conv*"]].concat(),
        &["matches no layer", "\n  blur\n  edge\n  head\n"],
    );
    fails(
        &files,
        &[&model[..], &["--only", "[a"]].concat(),
        &["--only or --exclude \"[a\""],
    );
}

#[test]
fn a_model_without_layers() {
    let files = Files::new();
    files.model(&[("bias", &[3], vec![1.0; 3])]);
    fails(
        &files,
        &["audit", "model.safetensors"],
        &["no convolution or dense layer found", "1 rank 1"],
    );
}

#[test]
fn names_from_the_file_do_not_reach_the_terminal_raw() {
    let files = Files::new();
    let name = "evil\u{1b}[31m\u{9b}2J\u{202e}\n.weight";
    let short = name.strip_suffix(".weight").unwrap();
    files.model(&[
        (name, &[1, 1, 3], vec![1.0; 3]),
        ("=cmd", &[1, 1], vec![1.0]),
    ]);
    let hidden = |text: &str| {
        text.chars()
            .any(|c| matches!(c, '\u{1b}' | '\u{9b}' | '\u{202e}'))
    };
    for args in [
        ["--format", "table"],
        ["--format", "csv"],
        ["--format", "json"],
        ["--max-norm", "0"],
        ["--only", "nothing"],
    ] {
        let outcome = files.audit(&args);
        let text = outcome.stdout + &outcome.stderr;
        assert!(text.contains(r"evil\u"), "{text}");
        assert!(!hidden(&text), "{text:?}");
    }
    assert_eq!(files.json(&[])["layers"][0]["name"], short);
    let csv = files.audit(&["--format", "csv"]).stdout;
    assert!(csv.contains("\n'=cmd,"), "{csv}");
}

/// A name with a line end and a colour in it is one word of the line that it stands in.
#[test]
fn names_write_no_lines_of_their_own() {
    let files = Files::new();
    let name = "a\nFORGED\u{1b}[31m.weight";
    let broken = "b\nFORGED.weight";
    files.model(&[
        (name, &[2, 2], vec![3.0, 0.0, 0.0, 5.0]),
        (broken, &[1, 1], vec![f32::NAN]),
    ]);
    let runs: [&[&str]; 6] = [
        &["audit", "model.safetensors"],
        &["audit", "model.safetensors", "--max-norm", "1"],
        &["audit", "model.safetensors", "--only", "zzz"],
        &["audit", "model.safetensors", "--layers", "geometry.toml"],
        &["compare", "model.safetensors", "model.safetensors"],
        &["check", "model.safetensors", "model.safetensors"],
    ];
    files.write(
        "geometry.toml",
        "[[layer]]\nname = \"a\"\n\"FORGED\\nFORGED\" = 1\n",
    );
    for args in runs {
        let outcome = files.run(args);
        assert_eq!(outcome.code, 2, "{args:?}");
        let all = outcome.stdout + &outcome.stderr;
        assert!(!all.contains('\u{1b}'), "{args:?}: {all}");
        assert!(
            !all.lines().any(|line| line.starts_with("FORGED")),
            "{args:?}: {all}"
        );
    }
}

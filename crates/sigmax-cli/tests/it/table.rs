//! The table at several widths.

use crate::run::{Files, unwrapped};

/// The report without its file line and its times.
fn table(files: &Files, args: &[&str], columns: Option<usize>) -> String {
    let mut all = vec!["audit", "model.safetensors"];
    all.extend(args);
    let outcome = files.run_wide(&all, columns);
    assert_eq!(outcome.code, 0, "{}", outcome.stderr);
    outcome.stdout
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let files = Files::new();
    files.model(&[
        (
            "a.very.long.name.of.a.layer.that.does.not.fit.weight",
            &[1, 1, 3, 3],
            vec![1.0; 9],
        ),
        ("層.weight", &[1, 1, 3], vec![1e-30; 3]),
        ("dense.weight", &[2, 2], vec![3.0, 0.0, 0.0, 5e20]),
    ]);
    for columns in [60, 80, 120, 140] {
        let text = table(&files, &[], Some(columns));
        for line in text.lines() {
            assert!(line.chars().count() <= columns, "{columns}: {line}");
            assert_eq!(line, line.trim_end());
        }
        let has = |part: &str| text.lines().take(4).any(|line| line.contains(part));
        assert!(has("at least") && has("at most") && has("four"), "{text}");
        assert_eq!(has("÷ est."), columns >= 80, "{text}");
        assert_eq!(
            has("time") && has("stride") && has("weighted"),
            columns >= 120,
            "{text}"
        );
    }
}

#[test]
fn uppers_are_rounded_up_and_lowers_down() {
    let files = Files::usual();
    let text = table(&files, &["--only", "head"], None);
    let row = text.lines().find(|line| line.starts_with("head")).unwrap();
    let ends: Vec<f64> = row
        .split_whitespace()
        .skip(4)
        .take(2)
        .map(|n| n.parse().unwrap())
        .collect();
    assert!(ends[0] <= 5.0 && 5.0 < ends[1], "{row}");
}

#[test]
fn colour_only_where_asked_for() {
    let files = Files::usual();
    let wide = ["--budget", "1e-9"];
    assert!(!table(&files, &wide, None).contains('\u{1b}'));
    let coloured = table(&files, &["--budget", "1e-9", "--color", "always"], None);
    assert!(
        coloured.contains("\u{1b}[33m") && coloured.contains("\u{1b}[0m"),
        "{coloured}"
    );
}

#[test]
fn what_is_assumed_and_what_is_claimed_is_said() {
    let text = table(&Files::usual(), &[], None);
    let text = unwrapped(&text);
    for part in [
        "valid for any stride, dilation, groups and zero padding",
        "the real layer may lie below them",
        "over all input sizes",
        "It is not a bound",
        "Skipped, not a layer: 1 rank 1.",
        "3 layers audited",
        "Geometry assumed for 2 convolutions",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn padding_that_copies_pixels_is_explained() {
    let files = Files::usual();
    files.write(
        "geometry.toml",
        b"[[layer]]\nname = \"blur\"\npadding = 1\npadding_mode = \"reflect\"\n",
    );
    let text = unwrapped(&table(&files, &["--layers", "geometry.toml"], None));
    for part in [
        "Padding that copies pixels: blur.",
        "the lower ends do not include it",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

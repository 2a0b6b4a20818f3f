//! The commands that print a table.

use sigmax_train::data::Source;

use crate::{data, program};

#[test]
fn the_tightness_table_has_proved_ends_around_the_estimates() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 20, 10);
    let text = program(&[
        "tightness",
        "--data",
        folder.path().to_str().unwrap(),
        "--epochs",
        "1",
    ])
    .unwrap();
    let rows: Vec<Vec<&str>> = text
        .lines()
        .filter(|line| line.starts_with("| conv"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 4, "{text}");
    for row in rows {
        let number = |i: usize| row[i].parse::<f64>().unwrap();
        let [lower, upper, four, weighted] = [1, 2, 3, 4].map(number);
        assert!(
            lower <= upper && upper <= weighted + 1e-4 && weighted <= four + 1e-4,
            "{row:?}"
        );
        // The estimates are f32 from power iteration that may not have converged: from below.
        assert!(
            number(7) <= four * 1.0001 && number(9) <= upper * 1.0001,
            "{row:?}"
        );
        assert!(
            number(7) >= 0.9 * four && number(9) >= 0.9 * lower,
            "{row:?}"
        );
    }
}

#[test]
fn the_overhead_table_has_a_row_per_penalty() {
    let text = program(&["overhead", "--rounds", "2", "--warm-up", "1"]).unwrap();
    for kind in ["none", "four", "weighted", "norm"] {
        assert!(text.contains(&format!("| {kind} | ")), "{text}");
    }
    assert!(
        text.contains("| none | ") && text.contains("1.000 [1.000, 1.000]"),
        "{text}"
    );
}

//! Tables: few runs on few images, kept and not repeated.

use sigmax_train::data::Source;

use crate::{data, program};

#[test]
fn the_table_of_few_images_is_not_for_cifar() {
    let error = program(&[
        "table",
        "small-data",
        "--source",
        "cifar10",
        "--out",
        "nowhere",
    ]);
    assert!(error.unwrap_err().contains("a table of its own"));
}

#[test]
fn a_table_is_made_kept_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    for (name, source) in [
        ("mnist", Source::Mnist),
        ("fashion-mnist", Source::FashionMnist),
    ] {
        let inside = folder.path().join(name);
        std::fs::create_dir(&inside).unwrap();
        data(source, &inside, 60, 10);
    }
    let out = folder.path().join("out");
    let make = || {
        program(&[
            "table",
            "small-data",
            "--data",
            folder.path().to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
            "--seeds",
            "2",
            "--epochs",
            "1",
            "--images",
            "16",
            "--betas",
            "0.001,0.01",
            "--decays",
            "0.001",
            "--penalties",
            "four",
            "--validation",
            "20",
            "--jobs",
            "2",
        ])
        .unwrap()
    };
    let first = make();
    // Two data sets, three methods.
    assert_eq!(first.matches("\n| mnist | 16 |").count(), 3, "{first}");
    assert_eq!(
        first.matches("\n| fashion-mnist | 16 |").count(),
        3,
        "{first}"
    );
    // (1 + 1 + 2) settings × 2 seeds × 2 data sets.
    let files = || -> Vec<_> {
        let mut files: Vec<_> = std::fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (
                    entry.file_name(),
                    entry.metadata().unwrap().modified().unwrap(),
                )
            })
            .collect();
        files.sort();
        files
    };
    let kept = files();
    assert_eq!(kept.len(), 16);
    assert_eq!(make(), first);
    assert_eq!(files(), kept, "finished runs are not repeated");
    // One that is missing is made again, with the same result.
    std::fs::remove_file(out.join(&kept[3].0)).unwrap();
    assert_eq!(make(), first);
    assert_eq!(files().len(), 16);
}

#[test]
fn the_tightness_table_has_proved_ends_around_the_estimates() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 20, 10);
    let text = program(&[
        "table",
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

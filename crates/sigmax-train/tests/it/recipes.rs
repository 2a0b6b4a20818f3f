//! The main path of every recipe, for a few steps.

use std::path::Path;

use sigmax::bound::norm_bracket;
use sigmax::{Conv, Kernel, Options};
use sigmax_train::data::Source;
use sigmax_train::files;

use crate::{data, program};

fn run(source: &str, folder: &Path, more: &[&str]) -> Result<String, String> {
    let start = [source, "--data", folder.to_str().unwrap()];
    program(&[&start, more].concat())
}

#[test]
fn lenet_learns_and_its_layers_are_proved() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 300, 100);
    let out = folder.path().join("out");
    let more = [
        "--epochs",
        "4",
        "--batch",
        "20",
        "--rate",
        "0.05",
        "--penalty",
        "four",
        "--beta",
        "0.001",
        "--validation",
        "40",
        "--out",
        out.to_str().unwrap(),
    ];
    let text = run("mnist", folder.path(), &more).unwrap();
    assert!(text.contains("epoch   4/4"), "{text}");
    assert!(text.contains("product of the proved upper ends"), "{text}");
    assert!(text.contains("is not a Lipschitz constant"), "{text}");
    let csv = std::fs::read_to_string(out.join("metrics.csv")).unwrap();
    let last = sigmax_train::metrics::Epoch::from_line(csv.lines().last().unwrap()).unwrap();
    assert!(
        last.test_accuracy > 0.5,
        "ten classes of bars are easy: {text}"
    );
    assert!(last.validation_accuracy > 0.5 && last.penalty > 0.0);
    assert_eq!(last.bounds.len(), 5);
}

#[test]
fn a_strong_penalty_shrinks_the_norms() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 200, 20);
    // The proved norms of the two convolutions.
    let norms = |penalty: &[&str]| {
        let out = tempfile::tempdir().unwrap();
        let more = [
            "--epochs",
            "8",
            "--batch",
            "20",
            "--out",
            out.path().to_str().unwrap(),
        ];
        run("mnist", folder.path(), &[&more, penalty].concat()).unwrap();
        let weights = files::read_weights(&out.path().join("model.safetensors")).unwrap();
        ["conv1.weight", "conv2.weight"].map(|name| {
            let kernel = Kernel::from_f32(&weights[name].shape, &weights[name].values).unwrap();
            norm_bracket(&kernel, &Conv::new(2), &Options::default())
                .unwrap()
                .bracket()
        })
    };
    let plain = norms(&[]);
    // The tracked norm sees one peak at a time, and others rise until the next search.
    for (penalty, factor) in [("four", 0.85), ("weighted", 0.85), ("norm", 0.98)] {
        let penalised = norms(&["--penalty", penalty, "--beta", "0.1"]);
        for (penalised, plain) in penalised.iter().zip(&plain) {
            assert!(
                penalised.upper().get() < factor * plain.lower().get(),
                "{penalty}: {penalised:?} {plain:?}"
            );
        }
    }
}

#[test]
fn cifar_runs_from_a_weight_file_and_beside_another_run() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Cifar10, folder.path(), 16, 10);
    let (first, second) = (folder.path().join("first"), folder.path().join("second"));
    let common = ["--epochs", "1", "--batch", "8", "--limit", "12"];
    let out = ["--out", first.to_str().unwrap()];
    run("cifar10", folder.path(), &[&common[..], &out].concat()).unwrap();
    let model = first.join("model.safetensors");
    let more = [
        "--init",
        model.to_str().unwrap(),
        "--compare",
        first.to_str().unwrap(),
        "--penalty",
        "norm",
        "--out",
        second.to_str().unwrap(),
        "--rate",
        "0",
    ];
    let text = run("cifar10", folder.path(), &[&common[..], &more].concat()).unwrap();
    assert!(
        text.contains("weights from") && text.contains("the same for"),
        "{text}"
    );
    assert!(text.contains("layer3.0.conv1"), "{text}");
    // With rate 0 the weights stay, and only the running statistics move.
    let (before, _) = files::read_safetensors(&model).unwrap();
    let (after, _) = files::read_safetensors(&second.join("model.safetensors")).unwrap();
    for (name, array) in &before {
        let same = *array == after[name];
        assert_eq!(same, !name.contains("running"), "{name}");
    }
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 10, 5);
    let refuse = |more: &[&str], word: &str| {
        let error = run("mnist", folder.path(), more).unwrap_err();
        assert!(error.contains(word), "{error} should say {word}");
    };
    refuse(&["--epochs", "0"], "--epochs must be at least 1");
    refuse(&["--limit", "0"], "--limit must be at least 1");
    refuse(&["--beta", "0.1"], "give one");
    refuse(
        &["--penalty", "four", "--beta", "NaN"],
        "--beta must be a finite number",
    );
    refuse(&["--rate=-1"], "--rate must be a finite number");
    refuse(&["--resume"], "--out");
    refuse(&["--validation", "10"], "no training images are left");
    refuse(&["--rate", "1e30"], "lower --rate");
    assert!(
        program(&["cifar10"])
            .unwrap_err()
            .contains("--data DIR is needed")
    );
}

//! Resuming gives the same bits; weight files are read back; damage is refused.

use std::path::Path;

use sigmax_train::data::Source;
use sigmax_train::files;

use crate::{data, program};

/// Trains for 2 epochs of 3 steps in `folder`, with extra arguments.
fn train(
    source: &str,
    data: &Path,
    penalty: &str,
    out: &Path,
    more: &[&str],
) -> Result<String, String> {
    let mut arguments = vec![
        source,
        "--data",
        data.to_str().unwrap(),
        "--epochs",
        "2",
        "--batch",
        "8",
        "--seed",
        "5",
        "--weight-decay",
        "0.001",
        "--out",
        out.to_str().unwrap(),
        "--penalty",
        penalty,
    ];
    if penalty != "none" {
        arguments.extend(["--beta", "0.01"]);
    }
    arguments.extend(more);
    program(&arguments)
}

fn resumes(source: (Source, &str), penalty: &str, model: &str) {
    let folder = tempfile::tempdir().unwrap();
    data(source.0, folder.path(), 20, 10);
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let run = |out: &Path, more: &[&str]| {
        let more = [&["--model", model], more].concat();
        train(source.1, folder.path(), penalty, out, &more).unwrap()
    };
    run(&whole, &[]);
    // In the middle of the first epoch, and in the middle of the second.
    let text = run(&parts, &["--stop-after", "2"]);
    assert!(text.contains("--resume goes on"), "{text}");
    assert!(!parts.join("model.safetensors").exists());
    run(&parts, &["--resume", "--stop-after", "2"]);
    run(&parts, &["--resume"]);
    let bytes = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
    assert_eq!(bytes(&whole), bytes(&parts));
    // So do the metrics, but for the times.
    let metrics = |folder: &Path| {
        let text = std::fs::read_to_string(folder.join("metrics.csv")).unwrap();
        let cut = |line: &str| {
            let mut fields: Vec<&str> = line.split(',').collect();
            fields.remove(9);
            fields.join(",")
        };
        text.lines().map(cut).collect::<Vec<_>>()
    };
    assert_eq!(metrics(&whole), metrics(&parts));
    assert_eq!(metrics(&whole).len(), 3);
    // Nothing temporary is left.
    assert_eq!(std::fs::read_dir(&parts).unwrap().count(), 4);
}

#[test]
fn resuming_is_exact_with_the_four() {
    resumes((Source::Mnist, "mnist"), "four", "lenet");
}

#[test]
fn resuming_is_exact_with_the_weighted_four() {
    resumes((Source::Mnist, "mnist"), "weighted", "lenet");
}

#[test]
fn resuming_is_exact_with_the_tracked_norm() {
    resumes((Source::Mnist, "mnist"), "norm", "lenet");
}

#[test]
fn resuming_is_exact_without_penalty_and_for_dense_layers() {
    resumes((Source::FashionMnist, "fashion-mnist"), "none", "mlp");
    resumes((Source::FashionMnist, "fashion-mnist"), "four", "mlp");
}

#[test]
fn resuming_is_exact_with_batch_norm_and_augmentation() {
    resumes((Source::Cifar10, "cifar10"), "four", "resnet20");
}

#[test]
fn a_checkpoint_of_another_recipe_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 20, 10);
    let out = folder.path().join("out");
    train("mnist", folder.path(), "none", &out, &["--stop-after", "1"]).unwrap();
    let error = train("mnist", folder.path(), "four", &out, &["--resume"]).unwrap_err();
    assert!(
        error.contains("penalty is \"none\" there and \"four\" here"),
        "{error}"
    );
    assert!(!error.contains("epochs is"), "{error}");
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 20, 10);
    let out = folder.path().join("out");
    train("mnist", folder.path(), "none", &out, &["--stop-after", "1"]).unwrap();
    let path = out.join("checkpoint.safetensors");
    let bytes = std::fs::read(&path).unwrap();
    for cut in [0, 7, 100, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..cut]).unwrap();
        let error = train("mnist", folder.path(), "none", &out, &["--resume"]).unwrap_err();
        assert!(error.contains("checkpoint.safetensors"), "{error}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    data(Source::Mnist, folder.path(), 20, 10);
    let out = folder.path().join("out");
    train("mnist", folder.path(), "none", &out, &[]).unwrap();
    let path = out.join("model.safetensors");
    let evaluate = |path: &Path| {
        program(&[
            "evaluate",
            "--source",
            "mnist",
            "--model",
            "lenet",
            "--data",
            folder.path().to_str().unwrap(),
            "--checkpoint",
            path.to_str().unwrap(),
        ])
    };
    let good = evaluate(&path).unwrap();
    assert!(good.contains("10 test images: accuracy"), "{good}");
    let (state, _) = files::read_safetensors(&path).unwrap();
    let changed = folder.path().join("changed.safetensors");
    let refuse = |change: &dyn Fn(&mut sigmax_train::state::StateDict), words: &[&str]| {
        let mut state = state.clone();
        change(&mut state);
        files::write_safetensors(&changed, &state, None).unwrap();
        let error = evaluate(&changed).unwrap_err();
        for word in words.iter().chain([&"changed.safetensors"]) {
            assert!(error.contains(word), "{error} should say {word}");
        }
    };
    refuse(
        &|s| drop(s.remove("fc2.bias")),
        &["fc2.bias", "shape [84]", "found none"],
    );
    refuse(
        &|s| s.get_mut("fc1.weight").unwrap().shape = vec![400, 120],
        &["fc1.weight", "[120, 400]", "[400, 120]"],
    );
    refuse(
        &|s| s.get_mut("conv1.bias").unwrap().values[3] = f32::NAN,
        &["conv1.bias", "NaN", "index 3"],
    );
    refuse(
        &|s| {
            let extra = s["fc3.bias"].clone();
            s.insert("fc4.bias".into(), extra);
        },
        &["fc4.bias", "only tensors that the model has"],
    );
    std::fs::write(&changed, b"neither pickle nor safetensors").unwrap();
    assert!(
        evaluate(&changed)
            .unwrap_err()
            .contains("changed.safetensors")
    );
}

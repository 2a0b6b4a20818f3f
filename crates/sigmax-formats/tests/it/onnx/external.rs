//! External data: beside the model, never outside its folder.

use std::fs;
use std::path::Path;

use super::{graph, read};
use crate::proto::{Message, external, f32s, model, node};
use sigmax_formats::{Error, Model};

fn message(entries: &[(&str, &str)]) -> Message {
    let weight = external("w", &[2, 2], entries);
    model(
        17,
        &graph(&[3, 2], &[weight], &[node("MatMul", "x w", "y", &[])]),
    )
}

fn open(folder: &Path, entries: &[(&str, &str)]) -> Result<Model, Error> {
    let path = folder.join("model.onnx");
    fs::write(&path, message(entries).0).unwrap();
    Model::open(&path)
}

/// A folder with a model folder and data inside and outside of it.
fn folders() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("model/data");
    fs::create_dir_all(&inside).unwrap();
    let values = f32s(&[9.0, 1.0, 2.0, 3.0, 4.0]);
    fs::write(inside.join("weights.bin"), &values).unwrap();
    fs::write(folder.path().join("secret.bin"), &values).unwrap();
    folder
}

#[test]
fn data_beside_the_model() {
    let folder = folders();
    let root = folder.path().join("model");
    let location = ("location", "data/weights.bin");
    for (entries, first) in [
        (vec![location, ("offset", "4"), ("length", "16")], 1.0),
        (vec![location, ("offset", "4"), ("checksum", "?")], 1.0),
        (vec![location], 9.0),
        (vec![("location", "./data/weights.bin")], 9.0),
    ] {
        let model = open(&root, &entries).unwrap();
        let kernel = model.read_kernel(&model.layers[0]).unwrap();
        let rest = if first > 1.0 {
            [2.0, 1.0, 3.0]
        } else {
            [3.0, 2.0, 4.0]
        };
        let expected = [first, rest[0], rest[1], rest[2]].to_vec();
        assert_eq!(kernel, sigmax::Kernel::new(&[2, 2], expected).unwrap());
    }
}

#[test]
fn locations_that_are_refused() {
    let folder = folders();
    let root = folder.path().join("model");
    let absolute = folder.path().join("secret.bin");
    for location in [
        "",
        "..",
        "../secret.bin",
        "data/../../secret.bin",
        "data/../data/weights.bin",
        absolute.to_str().unwrap(),
        "data\\weights.bin",
        "..\\secret.bin",
        "C:secret.bin",
        "C:/secret.bin",
        "data/weights.bin\0",
        "missing.bin",
        "data",
    ] {
        let error = open(&root, &[("location", location)]).unwrap_err();
        assert!(
            matches!(error, Error::ExternalData { .. }),
            "{location:?}: {error}"
        );
    }
}

#[cfg(unix)]
#[test]
fn links_that_lead_out_are_refused() {
    use std::os::unix::fs::symlink;
    let folder = folders();
    let root = folder.path().join("model");
    symlink("../secret.bin", root.join("file")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("data", root.join("within")).unwrap();
    for location in ["file", "up/secret.bin"] {
        let error = open(&root, &[("location", location)])
            .unwrap_err()
            .to_string();
        assert!(error.contains("leads out"), "{error}");
    }
    assert!(open(&root, &[("location", "within/weights.bin")]).is_ok());
}

#[test]
fn sizes_that_do_not_fit() {
    let folder = folders();
    let root = folder.path().join("model");
    let location = ("location", "data/weights.bin");
    for (key, value) in [
        ("offset", "5"),
        ("offset", "18446744073709551615"),
        ("offset", "-1"),
        ("offset", "1e3"),
        ("length", "15"),
        ("length", "20"),
    ] {
        let error = open(&root, &[location, (key, value)]).unwrap_err();
        assert!(
            matches!(error, Error::ExternalData { .. }),
            "{key} {value}: {error}"
        );
    }
}

#[test]
fn in_memory_there_is_no_folder() {
    let error = read(&message(&[("location", "data/weights.bin")])).unwrap_err();
    assert!(error.to_string().contains("from memory"), "{error}");
}

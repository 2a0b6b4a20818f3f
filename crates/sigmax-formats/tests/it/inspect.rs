//! What the tests look at.

use std::path::PathBuf;

use sigmax::estimate::Operator;
use sigmax::{Conv, Kernel};
use sigmax_formats::{LayerSpec, Model};

/// A file of `testdata/models`.
pub(crate) fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../testdata/models")
        .join(name)
}

/// That file, opened.
pub(crate) fn open(name: &str) -> Model {
    Model::open(&path(name)).unwrap()
}

/// `name shape` of every layer.
pub(crate) fn layers(model: &Model) -> Vec<String> {
    let text = |layer: &LayerSpec| format!("{} {:?}", layer.name, layer.shape);
    model.layers.iter().map(text).collect()
}

/// The layer of that name.
#[track_caller]
pub(crate) fn layer<'a>(model: &'a Model, name: &str) -> &'a LayerSpec {
    let layer = model.layers.iter().find(|layer| layer.name == name);
    layer.unwrap_or_else(|| panic!("no layer {name:?} in {:?}", layers(model)))
}

/// The entries of a layer's kernel, in row-major order.
pub(crate) fn values(model: &Model, name: &str) -> Vec<f64> {
    entries(&model.read_kernel(layer(model, name)).unwrap())
}

/// The entries of a kernel, in row-major order: what it makes of every unit image of its own size.
pub(crate) fn entries(kernel: &Kernel) -> Vec<f64> {
    let size = kernel.spatial().to_vec();
    let conv = Conv::new(size.len()).with_input_size(&size);
    let operator = Operator::new(kernel, &conv).unwrap();
    let columns = operator.input_len();
    let mut values = vec![0.0; columns * operator.output_len()];
    for column in 0..columns {
        let mut image = vec![0.0; columns];
        image[column] = 1.0;
        for (row, value) in operator.apply(&image).into_iter().enumerate() {
            values[row * columns + column] = value;
        }
    }
    values
}

/// 0, 1, … up to `end`, without it.
pub(crate) fn counting(end: u32) -> Vec<f64> {
    (0..end).map(f64::from).collect()
}

/// `kind: names` of what is skipped.
pub(crate) fn skipped(model: &Model) -> Vec<String> {
    let others = model.skipped.others.iter();
    others
        .map(|(kind, names)| format!("{kind}: {}", names.join(" ")))
        .collect()
}

/// `kind: name` of what is refused.
pub(crate) fn refused(model: &Model) -> Vec<String> {
    let refused = model.skipped.refused.iter();
    refused
        .map(|refused| format!("{}: {}", refused.kind, refused.name))
        .collect()
}

/// The error of opening these bytes.
#[track_caller]
pub(crate) fn error(bytes: Vec<u8>) -> String {
    match Model::from_bytes("input", bytes) {
        Ok(model) => panic!("opened, with layers {:?}", layers(&model)),
        Err(error) => error.to_string(),
    }
}

/// Checks that opening these bytes fails with a text that has all `parts` in it.
#[track_caller]
pub(crate) fn fails(bytes: Vec<u8>, parts: &[&str]) {
    let text = error(bytes);
    assert!(text.starts_with("input: "), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in: {text}");
    }
}

/// Opens bytes and reads all weights; errors are fine.
pub(crate) fn survives(bytes: Vec<u8>) {
    if let Ok(model) = Model::from_bytes("input", bytes) {
        for layer in &model.layers {
            let _ = model.read_weight(layer);
        }
    }
}

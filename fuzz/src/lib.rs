//! What the fuzz targets have in common.

use sigmax_formats::{Format, Model};

/// Most entries of kernels that are read per input: reading is linear in them.
const MAX_ENTRIES: usize = 1 << 22;

/// Opens `bytes`, and if they are a model of one of `formats`, reads every kernel. Errors are fine;
/// what must not happen is a panic, a hang or memory without end.
pub fn open_and_read(bytes: &[u8], formats: &[Format]) {
    let model = match Model::from_bytes("input", bytes.to_vec()) {
        Ok(model) => model,
        Err(error) => {
            // The text of an error is written by code too.
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    if formats.contains(&model.format) {
        read(&model, bytes.len());
        lower(&model);
    }
}

/// Builds the network of `model`, if it has one.
pub fn lower(model: &Model) {
    match model.network() {
        Ok(found) => assert!(found.layers().count() <= model.layers.len()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Reads the kernels of `model`, which is a file of `length` bytes.
pub fn read(model: &Model, length: usize) {
    let mut left = MAX_ENTRIES;
    for layer in &model.layers {
        let entries: usize = layer.shape.iter().product();
        // gzip apart, an entry takes at least a byte of the file.
        assert!(model.format == Format::Onnx || entries <= length);
        let Some(rest) = left.checked_sub(entries) else {
            return;
        };
        left = rest;
        if let Ok(weight) = model.read_weight(layer) {
            assert_eq!(weight.kernel().shape(), layer.shape);
        }
    }
}

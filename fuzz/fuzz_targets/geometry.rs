//! A geometry file, applied to a model with layers of every rank.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sigmax_formats::{GeometryFile, Model};

const SHAPES: [(&str, &[usize]); 4] = [
    ("fc.weight", &[2, 3]),
    ("conv1.weight", &[4, 2, 3]),
    ("layer1.0.conv2.weight", &[2, 2, 3, 2]),
    ("up.weight", &[2, 1, 2, 2, 2]),
];

static MODEL: OnceLock<Vec<u8>> = OnceLock::new();

/// A safetensors file with these tensors, all zeros.
fn model() -> Vec<u8> {
    let mut header = Vec::new();
    let mut data = 0;
    for (name, shape) in SHAPES {
        let end = data + 4 * shape.iter().product::<usize>();
        header.push(format!(
            r#""{name}":{{"dtype":"F32","shape":{shape:?},"data_offsets":[{data},{end}]}}"#
        ));
        data = end;
    }
    let header = format!("{{{}}}", header.join(","));
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.into_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fuzz_target!(|text: &str| {
    let Ok(geometry) = GeometryFile::parse("geometry.toml".as_ref(), text) else {
        return;
    };
    let bytes = MODEL.get_or_init(model).clone();
    let length = bytes.len();
    let mut model = Model::from_bytes("input", bytes).expect("the model is valid");
    let before = model.layers.len();
    if model.apply_geometry(&geometry).is_ok() {
        sigmax_fuzz::read(&model, length);
    }
    assert_eq!(model.layers.len(), before);
});

//! 8-bit floats: every code against PyTorch (`testdata/models/make_factors.py`).

use std::collections::HashMap;

use sigmax_formats::NamedTensor;

use crate::inspect::open;

#[test]
fn every_code_of_every_format_widens_as_pytorch_does() {
    for file in ["float8.pt", "float8.safetensors"] {
        let tensors: HashMap<String, NamedTensor> = open(file)
            .read_tensors()
            .unwrap()
            .into_iter()
            .map(|tensor| (tensor.name.clone(), tensor))
            .collect();
        for format in ["e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0fnu"] {
            let found = &tensors[format].values;
            let expected = &tensors[&format!("{format}_float32")].values;
            assert_eq!(found.len(), 256);
            for (code, (found, expected)) in found.iter().zip(expected).enumerate() {
                let same = found.to_bits() == expected.to_bits();
                let nan = found.is_nan() && expected.is_nan();
                assert!(same || nan, "{file} {format} {code:#x}: {found} {expected}");
            }
        }
    }
}

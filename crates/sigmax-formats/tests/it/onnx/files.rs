//! Real files.

use std::io::Write;
use std::path::{Path, PathBuf};

use sigmax::Conv;
use sigmax_formats::{Format, Model};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn assert_example(model: &Model) {
    assert_eq!(model.format, Format::Onnx);
    let two = |n: usize| Conv::new(2).with_input_size(&[n, n]);
    let expected = [
        (
            "stem",
            vec![12, 1, 5, 5],
            two(28).with_padding(&[(2, 2); 2]),
        ),
        (
            "down",
            vec![24, 12, 3, 3],
            two(28).with_padding(&[(1, 1); 2]).with_stride(&[2, 2]),
        ),
        (
            "depthwise",
            vec![24, 1, 3, 3],
            two(14).with_padding(&[(1, 1); 2]).with_groups(24),
        ),
        ("pointwise", vec![32, 24, 1, 1], two(14)),
        (
            "dilated",
            vec![32, 32, 3, 3],
            two(14).with_padding(&[(2, 2); 2]).with_dilation(&[2, 2]),
        ),
        ("classifier", vec![10, 32 * 49], Conv::new(0)),
    ];
    assert_eq!(model.layers.len(), expected.len());
    for (layer, (name, shape, conv)) in model.layers.iter().zip(expected) {
        assert_eq!(
            (layer.name.as_str(), &layer.shape, &layer.conv),
            (name, &shape, &conv)
        );
        assert!(layer.notes.is_empty());
        model.read_kernel(layer).unwrap();
    }
    let others: Vec<_> = model.skipped.counts().collect();
    assert_eq!(others, [("AveragePool", 1), ("Flatten", 1), ("Relu", 5)]);
    assert!(model.skipped.refused.is_empty());
}

#[test]
fn the_example() {
    assert_example(&Model::open(&repository().join("examples/mnist-cnn.onnx")).unwrap());
}

#[test]
fn the_example_compressed() {
    let plain = std::fs::read(repository().join("examples/mnist-cnn.onnx")).unwrap();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&plain).unwrap();
    let bytes = encoder.finish().unwrap();
    assert_example(&Model::from_bytes("mnist-cnn.onnx.gz", bytes).unwrap());
}

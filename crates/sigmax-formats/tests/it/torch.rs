//! Files that PyTorch wrote (`testdata/models/make_torch.py`).

use sigmax_formats::{Format, GeometrySource, LayerKind, Model};

use crate::inspect::{counting, error, layers, open, path, refused, skipped, survives, values};

const NET: [&str; 3] = ["conv [3, 2, 3, 2]", "block.0 [3, 1, 3]", "fc [2, 4]"];

#[test]
fn a_state_dict_is_the_same_in_every_layout() {
    for (file, format) in [
        ("net.pt", Format::TorchZip),
        ("net-protocol4.pt", Format::TorchZip),
        ("net-legacy.pt", Format::TorchLegacy),
    ] {
        let model = open(file);
        assert_eq!(model.format, format, "{file}");
        assert_eq!(layers(&model), NET, "{file}");
        let vectors = "rank 1: conv.bias norm.weight norm.bias norm.running_mean \
                       norm.running_var block.0.bias fc.bias";
        let expected = ["int64: norm.num_batches_tracked", vectors];
        assert_eq!(skipped(&model), expected, "{file}");
        for (name, entries) in [("conv", 36), ("block.0", 9), ("fc", 8)] {
            assert_eq!(values(&model, name), counting(entries), "{file} {name}");
        }
        let conv = &model.layers[0];
        assert_eq!(
            (conv.op, conv.geometry),
            (LayerKind::Conv, GeometrySource::Assumed)
        );
        assert_eq!(conv.tensor, "conv.weight");
        assert_eq!(model.layers[2].op, LayerKind::Dense);
    }
}

#[test]
fn a_whole_module_has_the_names_of_its_state_dict() {
    let model = open("net-module.pt");
    assert_eq!(layers(&model), NET);
    assert_eq!(values(&model, "conv"), counting(36));
    assert!(
        skipped(&model)
            .iter()
            .any(|line| line.starts_with("buffer: norm.running_mean"))
    );
}

#[test]
fn every_float_tensor_of_a_state_dict_is_read() {
    for file in ["net.pt", "net-protocol4.pt", "net-legacy.pt"] {
        let tensors = open(file).read_tensors().unwrap();
        let found: Vec<String> = tensors
            .iter()
            .map(|t| format!("{} {:?}", t.name, t.shape))
            .collect();
        let expected = [
            "conv.weight [3, 2, 3, 2]",
            "conv.bias [3]",
            "norm.weight [3]",
            "norm.bias [3]",
            "norm.running_mean [3]",
            "norm.running_var [3]",
            "block.0.weight [3, 1, 3]",
            "block.0.bias [3]",
            "fc.weight [2, 4]",
            "fc.bias [2]",
        ];
        assert_eq!(found, expected, "{file}");
        assert_eq!(tensors[0].values, counting(36), "{file}");
        // A fresh BatchNorm.
        assert_eq!(tensors[4].values, [0.0; 3], "{file}");
        assert_eq!(tensors[5].values, [1.0; 3], "{file}");
    }
}

#[test]
fn the_optimiser_of_a_checkpoint_is_not_a_layer() {
    let model = open("checkpoint.pt");
    assert_eq!(layers(&model), ["0 [2, 1, 1, 1]", "1 [2, 2, 1, 1]"]);
    assert_eq!(values(&model, "0"), [3.0, 4.0]);
    assert_eq!(values(&model, "1"), [0.0, 2.0, -5.0, 0.0]);
    let names = &model.skipped.others["optimiser state"];
    assert_eq!(names.len(), 12); // step, exp_avg and exp_avg_sq of four parameters
    assert_eq!(names[1], "optimizer.state.0.exp_avg");
    // The norm of a 1×1 convolution is that of its matrix: ‖(3, 4)‖ and 5.
    for (layer, norm) in model.layers.iter().zip([5.0, 5.0]) {
        let kernel = model.read_kernel(layer).unwrap();
        let bracket =
            sigmax::bound::norm_bracket(&kernel, &layer.conv, &sigmax::Options::default());
        assert!(bracket.unwrap().bracket().contains(norm));
    }
}

#[test]
fn views_of_one_storage() {
    for file in ["views.pt", "views-legacy.pt"] {
        let model = open(file);
        let expected = [
            "base [4, 6]",
            "tied [4, 6]",
            "transposed [6, 4]",
            "columns [4, 3]",
            "rows [2, 6]",
            "one [1, 1]",
        ];
        assert_eq!(layers(&model), expected);
        assert_eq!(refused(&model), ["expanded tensor: expanded"]);
        assert_eq!(values(&model, "base"), counting(24));
        assert_eq!(values(&model, "tied"), counting(24));
        let transposed: Vec<_> = (0..24).map(|i| f64::from(i % 4 * 6 + i / 4)).collect();
        assert_eq!(values(&model, "transposed"), transposed);
        let columns: Vec<_> = (0..12).map(|i| f64::from(2 * i + 1)).collect();
        assert_eq!(values(&model, "columns"), columns);
        assert_eq!(values(&model, "rows"), counting(24)[12..]);
        assert_eq!(values(&model, "one"), [13.0]);
    }
}

#[test]
fn element_types() {
    let model = open("types.pt");
    let floats = ["float16", "bfloat16", "float32", "float64"];
    let mut expected: Vec<String> = floats.map(|name| format!("{name} [1, 2]")).into();
    expected.push("float8 [2, 2]".to_owned());
    assert_eq!(layers(&model), expected);
    assert_eq!(values(&model, "float8"), counting(4));
    for name in floats {
        assert_eq!(values(&model, name), [1.5, -2.0]);
    }
    let others = [
        "empty: empty",
        "int64: int",
        "rank 0: scalar",
        "rank 1: vector",
        "uint16: uint",
    ];
    assert_eq!(skipped(&model), others);
    let kinds = [
        "complex64: complex",
        "sparse tensor: sparse",
        "quantised tensor: quantised",
        "meta tensor: meta",
        "rank 6: six",
    ];
    assert_eq!(refused(&model), kinds);
}

#[test]
fn torchscript_is_refused_with_advice() {
    let text = Model::open(&path("torchscript.pt"))
        .unwrap_err()
        .to_string();
    assert!(
        text.contains("TorchScript") && text.contains("torch.save(model.state_dict()"),
        "{text}"
    );
}

#[test]
fn files_cut_at_every_byte() {
    for file in ["net.pt", "net-legacy.pt", "views-legacy.pt"] {
        let bytes = std::fs::read(path(file)).unwrap();
        for length in 0..bytes.len() {
            let text = error(bytes[..length].to_vec());
            assert!(text.starts_with("input: "), "{file} {length}: {text}");
        }
    }
}

#[test]
fn files_with_any_byte_changed() {
    for file in ["net.pt", "net-legacy.pt", "types.pt", "net-module.pt"] {
        let bytes = std::fs::read(path(file)).unwrap();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= [0x01, 0x80, 0xff][at % 3];
            survives(bytes);
        }
    }
}

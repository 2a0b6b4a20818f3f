//! Geometry files.

use sigmax::PaddingMode;
use sigmax_formats::{GeometryFile, GeometrySource, LayerKind, Model};

use crate::inspect::{open, path};

/// `net.pt` with this geometry.
fn apply(text: &str) -> Result<Model, String> {
    let geometry =
        GeometryFile::parse("geometry.toml".as_ref(), text).map_err(|e| e.to_string())?;
    let mut model = open("net.pt");
    let before: Vec<_> = model
        .layers
        .iter()
        .map(|l| (l.conv.clone(), l.geometry))
        .collect();
    let result = model.apply_geometry(&geometry).map_err(|e| e.to_string());
    if result.is_err() {
        let after: Vec<_> = model
            .layers
            .iter()
            .map(|l| (l.conv.clone(), l.geometry))
            .collect();
        assert_eq!(
            before, after,
            "nothing is changed by a file that is refused"
        );
    }
    result.map(|()| model)
}

#[track_caller]
fn fails(text: &str, parts: &[&str]) {
    let error = apply(text).unwrap_err();
    assert!(error.starts_with("geometry.toml: "), "{error}");
    for part in parts {
        assert!(error.contains(part), "{part:?} is not in: {error}");
    }
}

#[test]
fn all_keys() {
    let model = apply(
        r#"
        [[layer]]
        name = "conv*"
        stride = 2
        padding = [[0, 1], 1]
        padding_mode = "circular"
        dilation = [1, 2]
        input_size = [8, 9]
        [[layer]]
        name = "block.0.weight"
        groups = 3
        [[layer]]
        name = "conv"
        stride = [1, 2]
        "#,
    )
    .unwrap();
    let conv = &model.layers[0].conv;
    assert_eq!(conv.stride, [1, 2]); // the later entry
    assert_eq!(conv.padding, [(0, 1), (1, 1)]);
    assert_eq!(conv.padding_mode, PaddingMode::Circular);
    assert_eq!(conv.dilation, [1, 2]);
    assert_eq!(conv.input_size, Some(vec![8, 9]));
    assert_eq!(model.layers[1].conv.groups, 3);
    let sources: Vec<_> = model.layers.iter().map(|layer| layer.geometry).collect();
    assert_eq!(
        sources,
        [
            GeometrySource::Given,
            GeometrySource::Given,
            GeometrySource::Assumed
        ]
    );
    assert!(model.read_kernel(&model.layers[0]).is_ok());
}

#[test]
fn transposed_layers() {
    let text = "[[layer]]\nname = 'conv'\ntransposed = true\nstride = 2\noutput_padding = 1";
    let model = apply(text).unwrap();
    let layer = &model.layers[0];
    assert_eq!(
        (layer.op, &*layer.op_type),
        (LayerKind::ConvTranspose, "ConvTranspose")
    );
    assert!(layer.conv.transposed);
    assert_eq!(layer.conv.output_padding, [1, 1]);
}

#[test]
fn what_does_not_fit_is_refused() {
    let conv = |line: &str| format!("[[layer]]\nname = 'conv'\n{line}");
    fails(
        &conv("strides = 2"),
        &["unknown field", "strides", "line 3"],
    );
    fails("[[layers]]\nname = 'conv'", &["layers"]);
    fails("[[layer]]\nstride = 2", &["name"]);
    fails(
        &conv("stride = [1, 2, 3]"),
        &["\"conv\"", "stride has 3 values", "or 2"],
    );
    fails(&conv("stride = []"), &["0 values"]);
    fails(&conv("stride = 0"), &["at least 1"]);
    fails(&conv("stride = -1"), &["stride"]);
    fails(&conv("stride = 1.5"), &["stride"]);
    fails(&conv("stride = 99999999999999999999"), &["stride"]);
    fails(&conv("padding = [[1, 2, 3], 1]"), &["padding"]);
    fails(&conv("padding_mode = 'mirror'"), &["mirror"]);
    fails(&conv("groups = 2"), &["groups = 2", "3 channels"]);
    fails(&conv("groups = 0"), &["groups = 0"]);
    fails("[[layer]]\nname = 'fc'\ntransposed = true", &["dense"]);
    fails(
        "[[layer]]\nname = 'fc'\nstride = [1]",
        &["stride has 1 values"],
    );
    fails(
        "[[layer]]\nname = 'head*'",
        &["\"head*\" matches no layer", "3 layers", "\"fc\""],
    );
    fails("[[layer]]\nname = '[z-a'", &["[z-a"]);
    fails("not toml", &["not"]);
}

#[test]
fn geometry_that_the_kernel_does_not_fit_is_found_when_it_is_read() {
    let mut model = open("net.pt");
    let text = "[[layer]]\nname = 'conv'\ninput_size = [1, 1]";
    let geometry = GeometryFile::parse("geometry.toml".as_ref(), text).unwrap();
    model.apply_geometry(&geometry).unwrap();
    let error = model.read_kernel(&model.layers[0]).unwrap_err().to_string();
    assert!(error.contains("layer \"conv\""), "{error}");
}

#[test]
fn no_input_size_without_a_graph() {
    let error = open("net.pt")
        .set_input_size(&[32, 32])
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("geometry file") && error.contains("[32, 32]"),
        "{error}"
    );
}

#[test]
fn files_on_disk() {
    let error = GeometryFile::open(&path("missing.toml"))
        .unwrap_err()
        .to_string();
    assert!(error.contains("missing.toml"), "{error}");
    let error = GeometryFile::open(&path("net.pt")).unwrap_err().to_string();
    assert!(error.contains("net.pt"), "{error}");
}

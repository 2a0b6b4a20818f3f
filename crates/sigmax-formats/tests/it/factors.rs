//! Weights that a file holds as factors, against PyTorch (`testdata/models/make_factors.py`).

use serde::Deserialize;
use sigmax::bound::{dense_norm, norm_bracket};
use sigmax::{Bracket, Conv, Kernel, Options};
use sigmax_formats::{GeometryFile, Model};

use crate::inspect::{entries, layer, layers, open, path, refused};

/// A weight that PyTorch computed in float64.
#[derive(Deserialize)]
struct Exact {
    name: String,
    shape: Vec<usize>,
    values: Vec<f64>,
}

impl Exact {
    fn kernel(&self) -> Kernel {
        Kernel::new(&self.shape, self.values.clone()).unwrap()
    }
}

fn exact() -> Vec<Exact> {
    #[derive(Deserialize)]
    struct Document {
        weight: Vec<Exact>,
    }
    let text = std::fs::read_to_string(path("factors.toml")).unwrap();
    toml::from_str::<Document>(&text).unwrap().weight
}

fn options() -> Options {
    Options {
        tolerance: 1e-5,
        ..Options::default()
    }
}

/// The ends of a layer with a computed weight.
fn bracket(model: &Model, name: &str) -> Bracket {
    let layer = layer(model, name);
    let weight = model.read_weight(layer).unwrap();
    weight
        .audit(&layer.conv, &options())
        .unwrap()
        .norm()
        .bracket()
}

/// PyTorch's evaluation rounds σ, lengths and entries, in float64, a few hundred times.
const ROUNDINGS: f64 = 1e-13;

#[track_caller]
fn compare(model: &Model, exact: &Exact) {
    let layer = layer(model, &exact.name);
    assert_eq!(layer.shape, exact.shape, "{}", exact.name);
    let weight = model.read_weight(layer).unwrap();
    let largest = exact.values.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    // The factor is that of an absolute value.
    let factor = weight.factor().get();
    let sign = entries(weight.kernel())
        .iter()
        .zip(&exact.values)
        .map(|(a, b)| a * b)
        .sum::<f64>()
        .signum();
    for (found, expected) in entries(weight.kernel()).iter().zip(&exact.values) {
        let error = (sign * factor * found - expected).abs();
        assert!(error <= ROUNDINGS * largest, "{}: {error}", exact.name);
    }
    let found = bracket(model, &exact.name);
    let norm = norm_bracket(&exact.kernel(), &layer.conv, &options()).unwrap();
    let (found, norm) = ((found.lower().get(), found.upper().get()), norm.bracket());
    assert!(
        found.0 <= norm.upper().get() * (1.0 + ROUNDINGS),
        "{}",
        exact.name
    );
    assert!(
        found.1 >= norm.lower().get() * (1.0 - ROUNDINGS),
        "{}",
        exact.name
    );
    assert!(found.1 <= found.0 * (1.0 + 1.1e-5), "{}", exact.name);
    let axes = layer.conv.axes();
    let sized = Conv::new(axes).with_input_size(&vec![4; axes]);
    let sized = sized.with_padding(&vec![(1, 1); axes]);
    let dense = dense_norm(&exact.kernel(), &sized).unwrap();
    assert!(
        found.1 >= dense.lower().get() * (1.0 - ROUNDINGS),
        "{}",
        exact.name
    );
}

#[test]
fn computed_weights_are_those_that_pytorch_evaluates() {
    for file in ["factors.pt", "factors.safetensors"] {
        let model = open(file);
        assert_eq!(refused(&model), [""; 0], "{file}");
        let all = exact();
        let found: Vec<&Exact> = all.iter().filter(|e| !e.name.contains('@')).collect();
        assert_eq!(found.len(), 19);
        for exact in found {
            compare(&model, exact);
        }
        // No factor is a layer.
        let mut names: Vec<&str> = model.layers.iter().map(|l| &*l.name).collect();
        names.sort_unstable();
        let mut expected: Vec<&str> = all.iter().map(|e| &*e.name).collect();
        expected.retain(|name| !name.contains('@'));
        expected.extend([
            "attention.out_proj",
            "every.module",
            "recurrent.weight_ih_l0",
        ]);
        expected.sort_unstable();
        assert_eq!(names, expected, "{file}");
    }
}

#[test]
fn modules_saved_whole_have_the_same_weights() {
    let model = open("factors-module.pt");
    assert_eq!(refused(&model), [""; 0]);
    for exact in exact() {
        if !["@", "new", "step"]
            .iter()
            .any(|part| exact.name.contains(part))
        {
            compare(&model, &exact);
        }
    }
    assert_eq!(model.layers.len(), 14, "{:?}", layers(&model));
}

#[test]
fn power_steps_at_every_evaluation_are_enclosed_whatever_their_number() {
    let found = bracket(&open("factors.pt"), "every.module");
    let mut steps = 0;
    for exact in exact()
        .iter()
        .filter(|e| e.name.starts_with("every.module@"))
    {
        let norm = norm_bracket(&exact.kernel(), &Conv::new(2), &options()).unwrap();
        assert!(
            found.upper().get() >= norm.bracket().lower().get(),
            "{}",
            exact.name
        );
        assert!(
            found.lower().get() <= norm.bracket().upper().get(),
            "{}",
            exact.name
        );
        steps += 1;
    }
    assert_eq!(steps, 3);
}

#[test]
fn a_kernel_that_no_file_holds_is_not_read_as_one() {
    let model = open("factors.pt");
    let layer = layer(&model, "norm_conv");
    assert_eq!(layer.tensor, "norm_conv.weight");
    assert!(
        layer.notes[0].contains("norm_conv.weight_g"),
        "{:?}",
        layer.notes
    );
    let text = model.read_kernel(layer).unwrap_err().to_string();
    assert!(
        text.contains("\"norm_conv.weight\"") && text.contains("read_weight"),
        "{text}"
    );
}

#[test]
fn a_geometry_file_names_the_module() {
    let mut model = open("factors.pt");
    let text = "[[layer]]\nname = 'old_transposed'\ntransposed = true\nstride = 2\n\
                [[layer]]\nname = 'norm_conv.weight'\nstride = 2";
    let geometry = GeometryFile::parse("geometry.toml".as_ref(), text).unwrap();
    model.apply_geometry(&geometry).unwrap();
    for name in ["old_transposed", "norm_conv"] {
        let layer = layer(&model, name);
        assert_eq!(layer.conv.stride, [2, 2]);
        let audit = model.read_weight(layer).unwrap();
        let audit = audit.audit(&layer.conv, &options()).unwrap();
        let exact = exact().into_iter().find(|e| e.name == name).unwrap();
        let norm = norm_bracket(&exact.kernel(), &layer.conv, &options()).unwrap();
        assert!(audit.upper().get() >= norm.bracket().lower().get());
        assert!(audit.upper().get() <= norm.bracket().upper().get() * 1.001);
    }
}

#[test]
fn a_low_rank_update_counts_where_the_file_states_alpha() {
    let model = open("lora.safetensors");
    assert_eq!(layers(&model), ["conv [2, 3, 2, 2]", "fc [2, 3]"]);
    // [[1, 0, 0], [0, 1, 0]] + 12/2·[[2, 0, 0], [0, 0, 0]].
    let fc = bracket(&model, "fc");
    assert!(fc.contains(13.0), "{fc:?}");
    // W and ±W once more, six times: 7·W in the first row, −5·W in the second.
    let values: Vec<f64> = (0..24)
        .map(|i| f64::from(if i < 12 { 7 * i } else { -5 * i }))
        .collect();
    let kernel = Kernel::new(&[2, 3, 2, 2], values).unwrap();
    let norm = norm_bracket(&kernel, &Conv::new(2), &options())
        .unwrap()
        .bracket();
    let conv = bracket(&model, "conv");
    assert!(conv.lower().get() <= norm.upper().get() && norm.lower().get() <= conv.upper().get());
    assert!(conv.relative_width() <= 1.1e-5);
}

#[test]
fn a_low_rank_update_without_alpha_is_refused() {
    let model = open("lora-unstated.safetensors");
    assert_eq!(layers(&model), [""; 0]);
    assert_eq!(
        refused(&model),
        ["weight with an adapter: conv", "weight with an adapter: fc"]
    );
    let reason = &model.skipped.refused[0].reason;
    assert!(reason.contains("does not state α"), "{reason}");
}

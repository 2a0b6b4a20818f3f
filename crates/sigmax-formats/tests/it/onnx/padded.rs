//! Pad nodes in front of convolutions.

use super::{only, open};
use crate::proto::{Message, counting, int, ints, list, node, text};
use sigmax::PaddingMode;
use sigmax_formats::Model;

fn padded(mode: &str, input: &[i64], pads: &[i64], conv: &[Message]) -> Model {
    open(
        input,
        &[counting("w", &[1, 1, 3, 3]), list("pads", pads)],
        &[
            node("Pad", "x pads", "p", &[text("mode", mode)]).text(3, "border"),
            node("Conv", "p w", "y", conv),
        ],
    )
}

const ONE: [i64; 8] = [0, 0, 1, 1, 0, 0, 1, 2];

#[test]
fn copying_modes_are_part_of_the_layer() {
    for (mode, expected) in [
        ("reflect", PaddingMode::Reflect),
        ("edge", PaddingMode::Replicate),
        ("wrap", PaddingMode::Circular),
    ] {
        let model = padded(mode, &[1, 1, 8, 6], &ONE, &[]);
        let layer = only(&model);
        assert_eq!(layer.conv.padding_mode, expected);
        assert_eq!(layer.conv.padding, [(1, 1), (1, 2)]);
        assert_eq!(layer.conv.input_size, Some(vec![8, 6]));
        assert!(layer.notes[0].contains("\"border\""), "{:?}", layer.notes);
        model.read_kernel(layer).unwrap();
    }
}

#[test]
fn a_constant_border_is_a_bias() {
    let model = padded("constant", &[1, 1, 8, 6], &ONE, &[]);
    let layer = only(&model);
    assert_eq!(
        (layer.conv.padding_mode, layer.notes.len()),
        (PaddingMode::Zeros, 0)
    );
    assert_eq!(layer.conv.padding, [(0, 0), (0, 0)]);
    assert_eq!(layer.conv.input_size, Some(vec![10, 9]));
}

#[test]
fn what_cannot_be_folded_is_said() {
    let zero_too = [ints("pads", &[1, 1, 1, 1])];
    let channels = [0, 1, 1, 1, 0, 0, 1, 1];
    for (model, reason) in [
        (
            padded("edge", &[1, 1, 8, 6], &ONE, &zero_too),
            "zero padding too",
        ),
        (padded("edge", &[1, -1, 8, 6], &channels, &[]), "channels"),
        (
            padded("edge", &[1, 1, 8, 6], &[0, 0, -1, 0, 0, 0, 0, 0], &[]),
            "cuts",
        ),
        (padded("edge", &[1, 1, 8, 6], &[0, 0, 1], &[]), "not known"),
        (padded("reflect", &[1, 1, 8, 2], &ONE, &[]), "shorter"),
        (padded("mirror", &[1, 1, 8, 6], &ONE, &[]), "mode"),
    ] {
        let layer = only(&model);
        assert_eq!(layer.conv.padding_mode, PaddingMode::Zeros);
        assert!(
            layer.notes[0].contains(reason),
            "{reason}: {:?}",
            layer.notes
        );
        model.read_kernel(layer).unwrap();
    }
    let shared = open(
        &[1, 1, 8, 6],
        &[counting("w", &[1, 1, 3, 3]), list("pads", &ONE)],
        &[
            node("Pad", "x pads", "p", &[text("mode", "edge")]),
            node("Conv", "p w", "y", &[]),
            node("Relu", "p", "z", &[]),
        ],
    );
    assert!(only(&shared).notes[0].contains("other nodes"));
}

#[test]
fn unknown_sizes_state_what_is_assumed() {
    let reflect = padded("reflect", &[1, 1, -1, -1], &ONE, &[]);
    assert!(only(&reflect).notes[0].contains("assuming"));
    assert_eq!(only(&reflect).conv.padding_mode, PaddingMode::Reflect);
    let edge = padded("edge", &[1, 1, -1, -1], &ONE, &[]);
    assert!(!only(&edge).notes[0].contains("assuming"));
}

#[test]
fn amounts_as_an_attribute_and_with_axes() {
    let weight = counting("w", &[1, 1, 3, 3]);
    let old = open(
        &[1, 1, 8, 6],
        std::slice::from_ref(&weight),
        &[
            node("Pad", "x", "p", &[text("mode", "edge"), ints("pads", &ONE)]),
            node("Conv", "p w", "y", &[]),
        ],
    );
    assert_eq!(only(&old).conv.padding, [(1, 1), (1, 2)]);
    let axes = open(
        &[1, 1, 8, 6],
        &[weight, list("pads", &[2, 1]), list("axes", &[-1])],
        &[
            node("Pad", "x pads _ axes", "p", &[text("mode", "edge")]),
            node("Conv", "p w", "y", &[]),
        ],
    );
    assert_eq!(only(&axes).conv.padding, [(0, 0), (2, 1)]);
}

/// The amounts as PyTorch's exporter computes them: pairs from the last axis to the first, filled
/// up with zeros, reversed, transposed.
#[test]
fn amounts_through_a_chain() {
    let shape = || crate::proto::value("value", &list("", &[0]));
    let model = open(
        &[1, 1, 8, 6],
        &[
            counting("w", &[1, 1, 3, 3]),
            list("given", &[1, 2, 3, 0]),
            list("four", &[4]),
            list("pairs", &[-1, 2]),
            list("zero", &[0]),
            list("last", &[-1]),
            list("least", &[-i64::MAX]),
            list("flat", &[-1]),
        ],
        &[
            node("ConstantOfShape", "four", "zeros", &[shape()]),
            node("Concat", "given zeros", "all", &[int("axis", 0)]),
            node("Reshape", "all pairs", "rows", &[]),
            node("Slice", "rows last least zero last", "reversed", &[]),
            node("Transpose", "reversed", "columns", &[ints("perm", &[1, 0])]),
            node("Reshape", "columns flat", "list", &[]),
            node("Cast", "list", "pads", &[int("to", 7)]),
            node("Pad", "x pads", "p", &[text("mode", "edge")]),
            node("Conv", "p w", "y", &[]),
        ],
    );
    assert_eq!(only(&model).conv.padding, [(3, 0), (1, 2)]);
}

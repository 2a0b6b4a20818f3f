//! The attributes of convolutions.

use super::{error, only, open};
use crate::proto::{Message, counting, int, ints, node, text};
use sigmax::Conv;

/// The geometry of a 3×2 convolution of a 1×2×10×9 input, of 2 to 4 channels.
fn conv(attributes: &[Message]) -> Conv {
    sized(&[1, 2, 10, 9], attributes).0
}

fn sized(input: &[i64], attributes: &[Message]) -> (Conv, Vec<String>) {
    let weight = [counting("w", &[4, 2, 3, 2])];
    let model = open(input, &weight, &[node("Conv", "x w", "y", attributes)]);
    let layer = only(&model);
    model.read_kernel(layer).unwrap();
    (layer.conv.clone(), layer.notes.clone())
}

fn transposed(input: &[i64], attributes: &[Message]) -> (Conv, Vec<String>) {
    let weight = [counting("w", &[2, 4, 3, 2])];
    let model = open(
        input,
        &weight,
        &[node("ConvTranspose", "x w", "y", attributes)],
    );
    let layer = only(&model);
    model.read_kernel(layer).unwrap();
    (layer.conv.clone(), layer.notes.clone())
}

#[test]
fn defaults() {
    assert_eq!(conv(&[]), Conv::new(2).with_input_size(&[10, 9]));
}

#[test]
fn all_attributes() {
    let conv = conv(&[
        ints("kernel_shape", &[3, 2]),
        ints("strides", &[2, 1]),
        ints("dilations", &[1, 3]),
        ints("pads", &[1, 0, 2, 4]),
        text("auto_pad", "NOTSET"),
    ]);
    let expected = Conv::new(2)
        .with_stride(&[2, 1])
        .with_dilation(&[1, 3])
        .with_padding(&[(1, 2), (0, 4)])
        .with_input_size(&[10, 9]);
    assert_eq!(conv, expected);
}

#[test]
fn groups() {
    let weight = [counting("w", &[4, 1, 3, 2])];
    let nodes = [node("Conv", "x w", "y", &[int("group", 2)])];
    assert_eq!(only(&open(&[1, 2, 10, 9], &weight, &nodes)).conv.groups, 2);
    let wrong = error(
        &[1, 2, 10, 9],
        &weight,
        &[node("Conv", "x w", "y", &[int("group", 3)])],
    );
    assert!(wrong.contains("group = 3"), "{wrong}");
}

#[test]
fn one_and_three_axes() {
    for (input, weight) in [
        (&[1, 2, 7][..], &[4, 2, 3][..]),
        (&[1, 2, 7, 7, 7], &[4, 2, 3, 3, 3]),
    ] {
        let model = open(
            input,
            &[counting("w", weight)],
            &[node("Conv", "x w", "y", &[])],
        );
        assert_eq!(only(&model).conv.axes(), weight.len() - 2);
    }
    let four = open(
        &[1, 2, 7, 7, 7, 7],
        &[counting("w", &[4, 2, 3, 3, 3, 3])],
        &[node("Conv", "x w", "y", &[])],
    );
    assert!(super::refused(&four).reason.contains("4 spatial axes"));
}

#[test]
fn auto_pad() {
    let strides = || ints("strides", &[2, 4]);
    assert_eq!(conv(&[text("auto_pad", "VALID")]).padding, [(0, 0), (0, 0)]);
    // ⌈10/2⌉ = 5 outputs need 4·2 + 3 = 11 pixels; ⌈9/4⌉ = 3 need 2·4 + 2 = 10.
    let upper = conv(&[text("auto_pad", "SAME_UPPER"), strides()]);
    assert_eq!(upper.padding, [(0, 1), (0, 1)]);
    let lower = conv(&[text("auto_pad", "SAME_LOWER"), strides()]);
    assert_eq!(lower.padding, [(1, 0), (1, 0)]);
    // With stride 1 the input size does not matter.
    let (free, notes) = sized(
        &[1, 2, -1, -1],
        &[text("auto_pad", "SAME_UPPER"), ints("dilations", &[2, 1])],
    );
    assert_eq!(
        (free.padding, free.input_size),
        (vec![(2, 2), (0, 1)], None)
    );
    assert!(notes.is_empty());
    let (free, notes) = sized(&[1, 2, -1, 9], &[text("auto_pad", "SAME_LOWER"), strides()]);
    assert_eq!(
        (free.padding, free.input_size),
        (vec![(0, 0), (1, 0)], None)
    );
    assert!(notes[0].contains("any amount"), "{notes:?}");
}

#[test]
fn wrong_attributes() {
    let weight = [counting("w", &[4, 2, 3, 2])];
    for (attribute, expected) in [
        (ints("kernel_shape", &[3, 3]), "kernel_shape = [3, 3]"),
        (ints("strides", &[0, 1]), "strides = [0, 1]"),
        (ints("strides", &[1]), "strides = [1]"),
        (ints("dilations", &[1, -1]), "dilations = [1, -1]"),
        (ints("dilations", &[1, 1 << 40]), "dilations"),
        (ints("pads", &[1, 1]), "pads = [1, 1]"),
        (ints("pads", &[i64::MAX; 4]), "pads"),
        (int("pads", 1), "\"pads\""),
        (int("group", 0), "group = 0"),
        (text("auto_pad", "SAME"), "auto_pad = \"SAME\""),
        (ints("dilations", &[5, 1]), "10 pixels on spatial axis 0"),
    ] {
        let text = error(
            &[1, 2, 10, 9],
            &weight,
            &[node("Conv", "x w", "y", &[attribute]).text(3, "c1")],
        );
        assert!(text.contains(expected) && text.contains("\"c1\""), "{text}");
    }
    for input in [&[1, 3, 10, 9][..], &[1, 2, 10], &[1, 2, 2, 9]] {
        let text = error(input, &weight, &[node("Conv", "x w", "y", &[])]);
        assert!(text.contains("its input has"), "{text}");
    }
    let negative = [node("Conv", "x w", "y", &[ints("pads", &[-1, 0, 0, 0])])];
    assert!(
        super::refused(&open(&[1, 2, 10, 9], &weight, &negative))
            .reason
            .contains("negative")
    );
}

#[test]
fn transposed_convolutions() {
    let (conv, _) = transposed(
        &[1, 2, 5, 5],
        &[
            ints("strides", &[2, 3]),
            ints("pads", &[1, 0, 2, 1]),
            ints("output_padding", &[1, 2]),
        ],
    );
    let expected = Conv::new(2)
        .with_stride(&[2, 3])
        .with_padding(&[(1, 2), (0, 1)])
        .transposed(&[1, 2])
        .with_input_size(&[5, 5]);
    assert_eq!(conv, expected);
    let (groups, _) = transposed(&[1, 2, 5, 5], &[int("group", 2)]);
    assert_eq!(groups.groups, 2);
}

#[test]
fn transposed_auto_pad_and_output_shape() {
    // The output is stride·n: 3 − 2 = 1 pixel is cut off on axis 0, none on axis 1.
    let (upper, _) = transposed(
        &[1, 2, -1, -1],
        &[text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])],
    );
    assert_eq!(upper.padding, [(0, 1), (0, 0)]);
    let (lower, _) = transposed(
        &[1, 2, -1, -1],
        &[text("auto_pad", "SAME_LOWER"), ints("strides", &[2, 2])],
    );
    assert_eq!(lower.padding, [(1, 0), (0, 0)]);
    // Strides above the kernel leave a gap that zeros fill.
    let (gap, notes) = transposed(
        &[1, 2, 5, 5],
        &[text("auto_pad", "SAME_UPPER"), ints("strides", &[4, 1])],
    );
    assert_eq!((gap.padding, gap.input_size), (vec![(0, 0), (0, 1)], None));
    assert!(notes[0].contains("zeros"), "{notes:?}");
    // The full output is 4·2 + 3 = 11 and 4·1 + 2 = 6 long.
    let shape = || [ints("output_shape", &[8, 6]), ints("strides", &[2, 1])];
    let (stated, _) = transposed(&[1, 2, 5, 5], &shape());
    assert_eq!(
        (stated.padding, stated.input_size),
        (vec![(2, 1), (0, 0)], Some(vec![5, 5]))
    );
    // Longer than 11 by less than the stride: zeros at the end, as by output_padding.
    let filled = |auto: &str, rows: i64| {
        let shape = ints("output_shape", &[rows, 6]);
        let attributes = [shape, ints("strides", &[3, 1]), text("auto_pad", auto)];
        transposed(&[1, 2, 5, 5], &attributes)
    };
    for (auto, rows, zeros) in [("NOTSET", 16, 1), ("NOTSET", 17, 2), ("SAME_LOWER", 16, 1)] {
        let (conv, notes) = filled(auto, rows);
        assert_eq!(
            (conv.padding, conv.output_padding),
            (vec![(0, 0); 2], vec![zeros, 0])
        );
        assert!(conv.input_size.is_some() && notes.is_empty(), "{notes:?}");
    }
    // Here runtimes differ, or refuse.
    for (auto, rows) in [("NOTSET", 18), ("SAME_LOWER", 17), ("SAME_UPPER", 16)] {
        let (conv, notes) = filled(auto, rows);
        assert_eq!((conv.output_padding, conv.input_size), (vec![0, 0], None));
        assert!(notes[0].contains("zeros"), "{notes:?}");
    }
    let (free, notes) = transposed(&[1, 2, -1, 5], &shape());
    assert_eq!(free.padding, [(0, 0), (0, 0)]);
    assert!(notes[0].contains("any amount"), "{notes:?}");
}

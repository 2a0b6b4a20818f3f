//! Input sizes, as far as the graph gives them.

use super::{graph, open, read};
use crate::proto::{Message, counting, f32s, info, int, ints, list, model, node, tensor, text};

/// The input size of a 1×1 convolution behind `nodes`, which make `z` from `x` of 1×4×12×9.
fn size(initializers: &[Message], nodes: &[Message]) -> Option<Vec<usize>> {
    size_of(&[1, 4, 12, 9], 4, initializers, nodes)
}

fn size_of(
    input: &[i64],
    channels: i64,
    initializers: &[Message],
    nodes: &[Message],
) -> Option<Vec<usize>> {
    let mut initializers = initializers.to_vec();
    initializers.push(counting("w", &[1, channels, 1, 1]));
    let mut nodes = nodes.to_vec();
    nodes.push(node("Conv", "z w", "y", &[]).text(3, "last"));
    let model = open(input, &initializers, &nodes);
    let layer = model
        .layers
        .iter()
        .find(|layer| layer.name == "last")
        .unwrap();
    layer.conv.input_size.clone()
}

#[test]
fn convolutions_in_a_row() {
    let k = [counting("k", &[4, 4, 3, 3])];
    let strided = [node(
        "Conv",
        "x k",
        "z",
        &[ints("strides", &[2, 2]), ints("pads", &[1, 0, 1, 0])],
    )];
    assert_eq!(size(&k, &strided), Some(vec![6, 4]));
    let same = [node(
        "Conv",
        "x k",
        "z",
        &[ints("strides", &[5, 2]), text("auto_pad", "SAME_UPPER")],
    )];
    assert_eq!(size(&k, &same), Some(vec![3, 5]));
    let up = [node(
        "ConvTranspose",
        "x k",
        "z",
        &[ints("strides", &[2, 2]), ints("output_padding", &[1, 0])],
    )];
    assert_eq!(size(&k, &up), Some(vec![26, 19]));
    let stated = [node(
        "ConvTranspose",
        "x k",
        "z",
        &[ints("output_shape", &[13, 10])],
    )];
    assert_eq!(size(&k, &stated), Some(vec![13, 10]));
}

#[test]
fn pools() {
    let pool = |op, attributes: &[Message]| {
        let mut all = vec![ints("kernel_shape", &[3, 2])];
        all.extend_from_slice(attributes);
        size(&[], &[node(op, "x", "z", &all)])
    };
    let strides = || ints("strides", &[2, 2]);
    assert_eq!(pool("MaxPool", &[]), Some(vec![10, 8]));
    assert_eq!(pool("AveragePool", &[strides()]), Some(vec![5, 4]));
    assert_eq!(
        pool("LpPool", &[strides(), text("auto_pad", "SAME_LOWER")]),
        Some(vec![6, 5])
    );
    assert_eq!(
        pool("MaxPool", &[strides(), text("auto_pad", "VALID")]),
        Some(vec![5, 4])
    );
    // (12 − 3)/2 + 1 = 5.5, (9 − 2)/2 + 1 = 4.5.
    assert_eq!(
        pool("MaxPool", &[strides(), int("ceil_mode", 1)]),
        Some(vec![6, 5])
    );
    assert_eq!(
        pool("MaxPool", &[ints("dilations", &[2, 3])]),
        Some(vec![8, 6])
    );
    // The extra window would start in the padding, at 12 and at 10: it is none.
    let only_padding = [
        ints("kernel_shape", &[1, 1]),
        ints("strides", &[2, 2]),
        ints("pads", &[0, 0, 0, 1]),
        int("ceil_mode", 1),
    ];
    assert_eq!(
        size(&[], &[node("MaxPool", "x", "z", &only_padding)]),
        Some(vec![6, 5])
    );
    assert_eq!(
        size(&[], &[node("GlobalAveragePool", "x", "z", &[])]),
        Some(vec![1, 1])
    );
}

#[test]
fn elementwise() {
    let b = [counting("b", &[4, 1, 1])];
    assert_eq!(size(&[], &[node("Relu", "x", "z", &[])]), Some(vec![12, 9]));
    assert_eq!(size(&b, &[node("Add", "x b", "z", &[])]), Some(vec![12, 9]));
    assert_eq!(size(&b, &[node("Mul", "b x", "z", &[])]), Some(vec![12, 9]));
    assert_eq!(
        size(&b, &[node("BatchNormalization", "x b b b b", "z", &[])]),
        Some(vec![12, 9])
    );
    // What is not understood is unknown.
    assert_eq!(size(&[], &[node("NonZero", "x", "z", &[])]), None);
    assert_eq!(
        size(&[], &[node("Relu", "x", "z", &[]).text(7, "com.example")]),
        None
    );
}

#[test]
fn moves() {
    let x = &[1, 4, 12, 9];
    let concat = [node("Concat", "x x", "z", &[int("axis", 1)])];
    assert_eq!(size_of(x, 8, &[], &concat), Some(vec![12, 9]));
    let below = [node("Concat", "x x", "z", &[int("axis", -2)])];
    assert_eq!(size(&[], &below), Some(vec![24, 9]));
    let turned = [node("Transpose", "x", "z", &[ints("perm", &[0, 1, 3, 2])])];
    assert_eq!(size(&[], &turned), Some(vec![9, 12]));
    let split = [node("Split", "x", "z v", &[int("axis", 1)])];
    assert_eq!(size_of(x, 2, &[], &split), Some(vec![12, 9]));
    let parts = [list("parts", &[3, 1])];
    let uneven = [node("Split", "x parts", "z v", &[int("axis", 1)])];
    assert_eq!(size_of(x, 3, &parts, &uneven), Some(vec![12, 9]));
    let cut = [list("s", &[1]), list("e", &[-1]), list("a", &[2])];
    assert_eq!(
        size(&cut, &[node("Slice", "x s e a", "z", &[])]),
        Some(vec![10, 9])
    );
    let attributes = [
        ints("starts", &[1]),
        ints("ends", &[-1]),
        ints("axes", &[3]),
    ];
    assert_eq!(
        size(&[], &[node("Slice", "x", "z", &attributes)]),
        Some(vec![12, 7])
    );
    let blocks = [node("DepthToSpace", "x", "z", &[int("blocksize", 2)])];
    assert_eq!(size_of(x, 1, &[], &blocks), Some(vec![24, 18]));
    let shape = [list("s", &[0, 4, -1, 18])];
    assert_eq!(
        size(&shape, &[node("Reshape", "x s", "z", &[])]),
        Some(vec![6, 18])
    );
    let mean = [node("ReduceMean", "x", "z", &[ints("axes", &[3])])];
    assert_eq!(size(&[], &mean), Some(vec![12, 1]));
}

#[test]
fn an_unknown_batch_cancels_in_a_reshape() {
    let shape = [list("s", &[0, -1, 6, 18])];
    let nodes = [node("Reshape", "x s", "z", &[])];
    assert_eq!(
        size_of(&[-1, 4, 12, 9], 4, &shape, &nodes),
        Some(vec![6, 18])
    );
    let shape = [list("s", &[-1, 4, 6, 18])];
    assert_eq!(
        size_of(&[-1, 4, 12, 9], 4, &shape, &nodes),
        Some(vec![6, 18])
    );
}

#[test]
fn resizing() {
    let scales = [tensor("s", 1, &[4], &f32s(&[1.0, 1.0, 2.0, 0.5]))];
    assert_eq!(
        size(&scales, &[node("Resize", "x _ s", "z", &[])]),
        Some(vec![24, 4])
    );
    assert_eq!(size(&scales, &[node("Resize", "x s", "z", &[])]), None);
    let sizes = [list("s", &[1, 4, 7, 8])];
    assert_eq!(
        size(&sizes, &[node("Resize", "x _ _ s", "z", &[])]),
        Some(vec![7, 8])
    );
    let sizes = [list("s", &[7, 8])];
    let axes = [node("Resize", "x _ _ s", "z", &[ints("axes", &[2, 3])])];
    assert_eq!(size(&sizes, &axes), Some(vec![7, 8]));
    let policy = [
        ints("axes", &[2, 3]),
        text("keep_aspect_ratio_policy", "not_larger"),
    ];
    assert_eq!(
        size(&sizes, &[node("Resize", "x _ _ s", "z", &policy)]),
        None
    );
    let crop = [text("coordinate_transformation_mode", "tf_crop_and_resize")];
    assert_eq!(size(&scales, &[node("Resize", "x _ s", "z", &crop)]), None);
    let floats = Message::new()
        .text(1, "scales")
        .int(20, 6)
        .bytes(7, &f32s(&[1.0, 1.0, 2.0, 2.0]));
    assert_eq!(
        size(&[], &[node("Upsample", "x", "z", &[floats])]),
        Some(vec![24, 18])
    );
}

/// The size of the output is computed from that of the input, as PyTorch's exporter does.
#[test]
fn sizes_from_a_chain() {
    let numbers = [
        list("two", &[2]),
        list("three", &[3]),
        list("four", &[4]),
        list("factor", &[2]),
        list("front", &[1, 4]),
    ];
    let nodes = [
        node("Shape", "x", "shape", &[]),
        node("Gather", "shape two", "h", &[int("axis", 0)]),
        node("Slice", "shape three four", "w_", &[]),
        node("Mul", "h factor", "h2", &[]),
        node("Div", "w_ factor", "w2", &[]),
        node("Concat", "front h2 w2", "sizes", &[int("axis", 0)]),
        node("Resize", "x _ _ sizes", "z", &[]),
    ];
    assert_eq!(size(&numbers, &nodes), Some(vec![24, 4]));
    assert_eq!(size_of(&[1, 4, -1, 9], 4, &numbers, &nodes), None);
}

/// What the file states about a value that is computed is not checked by anybody.
#[test]
fn declared_sizes_are_not_believed() {
    let graph = graph(
        &[1, 4, 12, 9],
        &[counting("w", &[1, 4, 1, 1])],
        &[
            node("NonZero", "x", "z", &[]),
            node("Relu", "z", "v", &[]),
            node("Conv", "v w", "y", &[]),
        ],
    );
    let graph = graph
        .message(13, &info("v", &[1, 4, 5, 6]))
        .message(13, &info("z", &[1, 4, 5, 6]));
    let model = read(&model(17, &graph)).unwrap();
    assert_eq!(model.layers[0].conv.input_size, None);
}

#[test]
fn the_input_size_can_be_set() {
    let dynamic = |input: &[i64]| {
        open(
            input,
            &[
                counting("a", &[4, 4, 3, 3]),
                counting("b", &[2, 4, 1, 1]),
                counting("c", &[9, 9]),
            ],
            &[
                node("Conv", "x a", "u", &[ints("strides", &[2, 2])]),
                node(
                    "Conv",
                    "u b",
                    "v",
                    &[text("auto_pad", "SAME_UPPER"), ints("strides", &[2, 2])],
                ),
                node("MatMul", "v c", "y", &[]),
            ],
        )
    };
    let mut model = dynamic(&[-1, 4, -1, -1]);
    assert!(
        model
            .layers
            .iter()
            .all(|layer| layer.conv.input_size.is_none())
    );
    assert_eq!(model.layers[1].notes.len(), 1);
    assert_eq!(model.set_input_size(&[11, 12]).unwrap(), 2);
    assert_eq!(model.layers[1].conv.input_size, Some(vec![5, 5]));
    assert!(model.layers[1].notes.is_empty());
    // It stays free, and a size that is refused changes nothing.
    assert!(
        model
            .set_input_size(&[2, 2])
            .unwrap_err()
            .to_string()
            .contains("2 pixels")
    );
    assert!(
        model
            .set_input_size(&[11])
            .unwrap_err()
            .to_string()
            .contains("1 spatial axes")
    );
    assert!(model.set_input_size(&[0, 3]).is_err());
    assert_eq!(model.layers[1].conv.input_size, Some(vec![5, 5]));
    assert_eq!(model.set_input_size(&[33, 33]).unwrap(), 2);
    assert_eq!(model.layers[0].conv.input_size, Some(vec![33, 33]));

    let mut half = dynamic(&[-1, 4, 20, -1]);
    let text = half.set_input_size(&[21, 20]).unwrap_err().to_string();
    assert!(text.contains("20×?"), "{text}");
    assert_eq!(half.set_input_size(&[20, 30]).unwrap(), 2);
    assert_eq!(
        dynamic(&[1, 4, 20, 20]).set_input_size(&[20, 20]).unwrap(),
        2
    );
}

//! What every group of operators becomes: shapes, and constants known by hand.

use super::{assert_constant, at, net, one, shape, values};
use crate::proto::{Message, counting, f32s, float, int, ints, list, node, tensor, text};

fn number(name: &str, value: f32) -> Message {
    tensor(name, 1, &[], &f32s(&[value]))
}

#[test]
fn layers_with_biases_and_factors() {
    // 2·[[1, 2], [3, 4]] and a bias.
    let model = net(
        &[-1, 2],
        &[counting("w", &[2, 2]), counting("b", &[1, 2])],
        &[node(
            "Gemm",
            "x w b",
            "y",
            &[float("alpha", 2.0), float("beta", 0.5)],
        )],
        &["y"],
    );
    let found = model.network().unwrap();
    assert_constant(&found, 2.0 * 5.464_985_704_219_043);
    // The layer has a factor that its node does not have.
    assert_eq!(found.layers().count(), 0);
    let found = one(
        &[-1, 2, 6],
        &[counting("w", &[4, 1, 3]), counting("b", &[4])],
        "Conv",
        "x w b",
        &[
            int("group", 2),
            text("auto_pad", "SAME_UPPER"),
            ints("strides", &[2]),
        ],
    )
    .unwrap();
    assert_eq!(shape(&found), [4, 3]);
    let found = one(
        &[-1, 2, 6],
        &[counting("w", &[2, 4, 3])],
        "ConvTranspose",
        "x w",
        &[ints("strides", &[2]), ints("output_padding", &[1])],
    )
    .unwrap();
    assert_eq!(shape(&found), [4, 14]);
    assert_eq!(found.layers().count(), 1);
}

#[test]
fn matrices_on_either_side() {
    let found = one(&[-1, 3, 4], &[counting("w", &[4, 2])], "MatMul", "x w", &[]).unwrap();
    assert_eq!(shape(&found), [3, 2]);
    let found = one(&[-1, 3, 4], &[counting("w", &[2, 3])], "MatMul", "w x", &[]).unwrap();
    assert_eq!(shape(&found), [2, 4]);
    assert_eq!(found.layers().count(), 1);
    let found = one(&[-1, 3, 4], &[counting("w", &[3])], "MatMul", "w x", &[]).unwrap();
    assert_eq!(shape(&found), [4]);
    assert_constant(&found, 14f64.sqrt());
}

#[test]
fn a_border_that_copies_is_part_of_the_layer() {
    let initializers = [counting("w", &[1, 1, 3]), list("pads", &[0, 0, 1, 0, 0, 1])];
    let padded = |mode: &str| {
        let nodes = [
            node("Pad", "x pads", "p", &[text("mode", mode)]),
            node("Conv", "p w", "y", &[]),
        ];
        net(&[-1, 1, 5], &initializers, &nodes, &["y"])
            .network()
            .unwrap()
    };
    let found = padded("reflect");
    assert_eq!(found.network.nodes().len(), 2);
    assert_eq!(found.layers().count(), 1);
    let found = padded("constant");
    assert_eq!(found.network.nodes().len(), 3);
    assert_eq!(shape(&found), [1, 5]);
}

#[test]
fn sums_and_differences() {
    let nodes = [
        node("Relu", "x", "r", &[]),
        node("ReduceMean", "r", "m", &[ints("axes", &[2])]),
        node("Sub", "x m", "y", &[]),
    ];
    let found = net(&[-1, 3, 4], &[], &nodes, &["y"]).network().unwrap();
    assert_eq!(shape(&found), [3, 4]);
    // 1, and √¼ of the mean times √4 of its copies.
    assert_constant(&found, 2.0);
    let found = one(&[-1, 3, 1], &[counting("c", &[4])], "Sub", "c x", &[]).unwrap();
    assert_eq!(shape(&found), [3, 4]);
    assert_constant(&found, 2.0);
    let nodes = [node("Neg", "x", "n", &[]), node("Mean", "x n c", "y", &[])];
    let found = net(&[-1, 3], &[counting("c", &[3])], &nodes, &["y"]);
    assert_constant(&found.network().unwrap(), 2.0 / 3.0);
}

#[test]
fn factors() {
    let found = one(&[-1, 2, 3], &[counting("c", &[2, 1])], "Mul", "x c", &[]).unwrap();
    assert_constant(&found, 2.0);
    let found = one(&[-1, 2, 3], &[counting("c", &[1, 2, 1])], "Mul", "c x", &[]).unwrap();
    assert_constant(&found, 2.0);
    let found = one(&[-1, 2, 3], &[number("c", 3.0)], "Div", "x c", &[]).unwrap();
    assert_constant(&found, 1.0 / 3.0);
}

#[test]
fn activations() {
    for (op, attributes, slope) in [
        ("Relu", vec![], 1.0),
        ("LeakyRelu", vec![float("alpha", 2.0)], 2.0),
        ("Sigmoid", vec![], 0.25),
        ("HardSigmoid", vec![float("alpha", 0.5)], 0.5),
        ("HardSwish", vec![], 1.5),
        ("Erf", vec![], std::f64::consts::FRAC_2_SQRT_PI),
        ("Softmax", vec![], 0.5),
        ("Gelu", vec![text("approximate", "none")], 1.128_904),
        ("Gelu", vec![text("approximate", "tanh")], 1.128_993),
        ("Identity", vec![], 1.0),
        ("Dropout", vec![], 1.0),
        ("Cast", vec![int("to", 11)], 1.0),
    ] {
        let found = one(&[-1, 3], &[], op, "x", &attributes).unwrap();
        assert_constant(&found, slope);
    }
    let found = one(&[-1, 3, 2], &[counting("s", &[3, 1])], "PRelu", "x s", &[]).unwrap();
    assert_constant(&found, 3.0);
    let bounds = [number("low", 0.0), number("high", 6.0)];
    for (op, inputs) in [
        ("Clip", "x low high"),
        ("Clip", "x _ high"),
        ("Max", "x low"),
        ("Min", "high x"),
    ] {
        assert_constant(&one(&[-1, 3], &bounds, op, inputs, &[]).unwrap(), 1.0);
    }
}

#[test]
fn softmax_of_older_releases_takes_all_further_axes() {
    let nodes = [node("LogSoftmax", "x", "y", &[])];
    let found = at(11, &[-1, 4, 9], &[], &nodes, &["y"]).network().unwrap();
    assert_eq!(shape(&found), [4, 9]);
    assert_constant(&found, 6.0);
    let found = at(13, &[-1, 4, 9], &[], &nodes, &["y"]).network().unwrap();
    assert_constant(&found, 3.0);
}

#[test]
fn products_that_are_activations() {
    let swish = [node("Sigmoid", "x", "s", &[]), node("Mul", "s x", "y", &[])];
    let found = net(&[-1, 3], &[], &swish, &["y"]).network().unwrap();
    assert_eq!(found.network.nodes().len(), 2);
    assert_constant(&found, 1.099_839);
    let mish = [
        node("Softplus", "x", "p", &[]),
        node("Tanh", "p", "t", &[]),
        node("Mul", "x t", "y", &[]),
    ];
    assert_constant(
        &net(&[-1, 3], &[], &mish, &["y"]).network().unwrap(),
        1.088_498,
    );
    // A rounded √2 makes it GELU of a slightly longer input.
    let gelu = [
        node("Div", "x r", "d", &[]),
        node("Erf", "d", "e", &[]),
        node("Add", "e one", "a", &[]),
        node("Mul", "x a", "m", &[]),
        node("Mul", "m h", "y", &[]),
    ];
    let numbers = [
        number("r", std::f32::consts::SQRT_2),
        number("one", 1.0),
        number("h", 0.5),
    ];
    assert_constant(
        &net(&[-1, 3], &numbers, &gelu, &["y"]).network().unwrap(),
        1.128_904,
    );
    let swish = [
        node("Add", "x three", "a", &[]),
        node("Clip", "a zero six", "c", &[]),
        node("Mul", "c x", "m", &[]),
        node("Div", "m six", "y", &[]),
    ];
    let numbers = [
        number("three", 3.0),
        number("zero", 0.0),
        number("six", 6.0),
    ];
    assert_constant(
        &net(&[-1, 3], &numbers, &swish, &["y"]).network().unwrap(),
        1.5,
    );
}

#[test]
fn batch_norm_at_inference() {
    let parameter = |name: &str, values: [f32; 2]| tensor(name, 1, &[2], &f32s(&values));
    let found = one(
        &[-1, 2, 3],
        &[
            parameter("s", [1.0, -3.0]),
            parameter("b", [0.0, 1.0]),
            parameter("m", [5.0, 1.0]),
            parameter("v", [1.0, 4.0]),
        ],
        "BatchNormalization",
        "x s b m v",
        &[float("epsilon", 0.0)],
    )
    .unwrap();
    assert_constant(&found, 1.5);
}

#[test]
fn pools_and_reductions() {
    let kernel = ints("kernel_shape", &[3, 3]);
    let attributes = [
        kernel.clone(),
        ints("strides", &[2, 2]),
        ints("pads", &[1, 1, 1, 1]),
    ];
    let found = one(&[-1, 2, 9, 9], &[], "MaxPool", "x", &attributes).unwrap();
    assert_eq!(shape(&found), [2, 5, 5]);
    assert_constant(&found, 2.0);
    let found = one(
        &[-1, 2, 9, 9],
        &[],
        "AveragePool",
        "x",
        &[kernel, int("ceil_mode", 1), ints("strides", &[3, 3])],
    )
    .unwrap();
    assert_eq!(shape(&found), [2, 3, 3]);
    assert_constant(&found, 1.0 / 3.0);
    // Rounded up, a window that would hold nothing but padding is none; values are onnxruntime's.
    for (n, stride, pads, count) in [
        (3, 2, [1, 1], 2),
        (3, 3, [0, 0], 1),
        (4, 3, [1, 1], 2),
        (5, 2, [0, 0], 3),
        (6, 4, [1, 1], 2),
    ] {
        for op in ["MaxPool", "AveragePool"] {
            let attributes = [
                ints("kernel_shape", &[2]),
                int("ceil_mode", 1),
                ints("strides", &[stride]),
                ints("pads", &pads),
            ];
            let found = one(&[-1, 1, n], &[], op, "x", &attributes).unwrap();
            assert_eq!(shape(&found), [1, count], "{op} {n} {stride}");
        }
    }
    for (op, norm) in [("GlobalAveragePool", 0.25), ("GlobalMaxPool", 1.0)] {
        let found = one(&[-1, 2, 4, 4], &[], op, "x", &[]).unwrap();
        assert_eq!(shape(&found), [2, 1, 1]);
        assert_constant(&found, norm);
    }
    for (op, norm) in [
        ("ReduceMean", 0.5),
        ("ReduceSum", 2.0),
        ("ReduceMax", 1.0),
        ("ReduceMin", 1.0),
    ] {
        let axes = if op == "ReduceSum" {
            vec![]
        } else {
            vec![ints("axes", &[-2])]
        };
        let inputs = if op == "ReduceSum" { "x a" } else { "x" };
        let attributes = [axes, vec![int("keepdims", 0)]].concat();
        let found = one(&[-1, 4, 3], &[list("a", &[1])], op, inputs, &attributes).unwrap();
        assert_eq!(shape(&found), [3]);
        assert_constant(&found, norm);
    }
}

#[test]
fn entries_moved_left_out_and_repeated() {
    let lists = [
        list("s", &[1]),
        list("e", &[100]),
        list("a", &[2]),
        list("t", &[2]),
        list("i", &[1, 0, -1]),
        list("to", &[1, 2, 3, 6]),
        list("r", &[1, 1, 2, 1]),
        list("p", &[0, 0, 1, 0, 0, 0, 0, -2]),
    ];
    for (op, inputs, attributes, expected, norm) in [
        ("Slice", "x s e a t", vec![], vec![2, 0, 6], 1.0),
        (
            "Gather",
            "x i",
            vec![int("axis", 1)],
            vec![3, 1, 6],
            2f64.sqrt(),
        ),
        ("Expand", "x to", vec![], vec![2, 3, 6], 3f64.sqrt()),
        ("Tile", "x r", vec![], vec![2, 2, 6], 2f64.sqrt()),
        ("Pad", "x p", vec![], vec![2, 2, 4], 1.0),
        (
            "Transpose",
            "x",
            vec![ints("perm", &[0, 3, 1, 2])],
            vec![6, 2, 1],
            1.0,
        ),
        ("Flatten", "x", vec![], vec![12], 1.0),
        ("Squeeze", "x a", vec![], vec![2, 6], 1.0),
        ("Unsqueeze", "x a", vec![], vec![2, 1, 1, 6], 1.0),
    ] {
        let result = one(&[-1, 2, 1, 6], &lists, op, inputs, &attributes);
        if expected.contains(&0) {
            assert!(result.is_err());
            continue;
        }
        let found = result.unwrap();
        assert_eq!(shape(&found), expected, "{op}");
        assert_constant(&found, norm);
    }
    for (op, expected) in [("DepthToSpace", [1, 4, 12]), ("SpaceToDepth", [16, 1, 3])] {
        let found = one(&[-1, 4, 2, 6], &[], op, "x", &[int("blocksize", 2)]).unwrap();
        assert_eq!(shape(&found), expected);
        assert_constant(&found, 1.0);
    }
}

#[test]
fn the_two_sorted_halves() {
    let nodes = [
        node("Split", "x", "a b", &[int("axis", 1)]),
        node("Max", "a b", "p", &[]),
        node("Min", "a b", "q", &[]),
        node("Concat", "p q", "y", &[int("axis", -1)]),
    ];
    let found = net(&[-1, 6], &[], &nodes, &["y"]).network().unwrap();
    assert_eq!(shape(&found), [6]);
    assert_constant(&found, 1.0);
}

/// Parts of an axis as a sequence, which is what `chunk` is exported as without optimisation.
#[test]
fn parts_of_a_sequence() {
    let x = [1.0, 2.0, 3.0, 4.0, 5.0];
    let constants = |lengths: Message, at: i64| [lengths, tensor("i", 7, &[], &at.to_le_bytes())];
    let network = |lengths: Message, at: i64, axis: i64| {
        let nodes = [
            node("SplitToSequence", "x n", "s", &[int("axis", axis)]),
            node("SequenceAt", "s i", "y", &[]),
        ];
        net(&[1, 5], &constants(lengths, at), &nodes, &["y"]).network()
    };
    let each = |n: i64| tensor("n", 7, &[], &n.to_le_bytes());
    for (lengths, at, expected) in [
        (each(2), 0, &x[..2]),
        (each(2), 2, &x[4..]),
        (each(2), -1, &x[4..]),
        (each(5), 0, &x[..]),
        (list("n", &[1, 4]), 1, &x[1..]),
        (list("n", &[1, 4]), -2, &x[..1]),
    ] {
        let found = network(lengths, at, 1).unwrap();
        assert_eq!(values(&found.network, &x), expected);
        assert_constant(&found, 1.0);
    }
    for (lengths, at, axis) in [
        (each(2), 3, 1),
        (each(0), 0, 1),
        (list("n", &[1, 3]), 0, 1),
        (list("n", &[5, 0]), 1, 1),
        (each(2), 0, 2),
    ] {
        assert!(network(lengths, at, axis).is_err(), "{at} {axis}");
    }
    // In parts of 1, kept or not.
    for (keep, rank) in [(1, Some(1)), (0, None)] {
        let nodes = [
            node(
                "SplitToSequence",
                "x",
                "s",
                &[int("axis", 1), int("keepdims", keep)],
            ),
            node("SequenceAt", "s i", "y", &[]),
        ];
        let found = net(&[1, 5], &constants(each(1), 3), &nodes, &["y"]).network();
        let found = found.ok().map(|found| values(&found.network, &x).len());
        assert_eq!(found, rank);
    }
}

//! Axis 0 is the batch: what leaves it alone, and what does not.

use super::{assert_constant, net, one, reason, shape};
use crate::onnx::read;
use crate::proto::{Message, counting, int, ints, list, model, node, tensor};

#[test]
fn reshapes_that_keep_the_samples_apart() {
    for (batch, target) in [
        (-1, vec![-1, 12]),
        (-1, vec![0, -1]),
        (-1, vec![0, 12]),
        (-1, vec![1, 12]),
        (-1, vec![-1, 3, 4]),
        (1, vec![1, -1]),
        (5, vec![5, -1]),
        (5, vec![-1, 12]),
    ] {
        let found = one(
            &[batch, 3, 2, 2],
            &[list("s", &target)],
            "Reshape",
            "x s",
            &[],
        )
        .unwrap();
        assert_eq!(shape(&found).iter().product::<usize>(), 12, "{target:?}");
    }
    for (batch, target) in [
        (-1, vec![1, -1]),
        (-1, vec![-1]),
        (-1, vec![-1, 6]),
        (5, vec![1, -1]),
        (5, vec![12, 5]),
        (5, vec![-1, 24]),
    ] {
        let result = one(
            &[batch, 3, 2, 2],
            &[list("s", &target)],
            "Reshape",
            "x s",
            &[],
        );
        assert!(reason(result).contains("batch"), "{target:?}");
    }
}

#[test]
fn a_shape_that_is_computed_while_the_model_runs() {
    let index = tensor("zero", 7, &[], &[0; 8]);
    let nodes = |factor: i64| {
        [
            node("Shape", "x", "s", &[]),
            node("Gather", "s zero", "n", &[]),
            node("Constant", "", "f", &[int("value_int", factor)]),
            node("Mul", "n f", "m", &[]),
            node("Unsqueeze", "m first", "u", &[]),
            node("Concat", "u rest", "t", &[int("axis", 0)]),
            node("Reshape", "x t", "y", &[]),
        ]
    };
    let initializers = [index, list("first", &[0]), list("rest", &[-1])];
    let model = net(&[-1, 3, 4], &initializers, &nodes(1), &["y"]);
    assert_eq!(shape(&model.network().unwrap()), [12]);
    let model = net(&[-1, 3, 4], &initializers, &nodes(2), &["y"]);
    assert!(reason(model.network()).contains("batch"));
}

#[test]
fn what_mixes_the_samples() {
    let lists: [Message; 6] = [
        list("zero", &[0]),
        list("one", &[1]),
        list("two", &[2, 1]),
        list("p", &[1, 0, 0, 0]),
        counting("w", &[3, 4]),
        counting("c", &[4, 1]),
    ];
    for (op, inputs, attributes) in [
        ("Transpose", "x", vec![]),
        ("Flatten", "x", vec![int("axis", 0)]),
        ("Concat", "x x", vec![int("axis", 0)]),
        ("Slice", "x zero one zero", vec![]),
        ("Gather", "x zero", vec![]),
        ("Split", "x", vec![]),
        ("Squeeze", "x zero", vec![]),
        ("Unsqueeze", "x zero", vec![]),
        ("ReduceMean", "x", vec![ints("axes", &[0])]),
        ("ReduceMean", "x", vec![]),
        ("Softmax", "x", vec![int("axis", -2)]),
        ("Tile", "x two", vec![]),
        ("Pad", "x p", vec![]),
        ("MatMul", "w x", vec![]),
        ("Gemm", "x w", vec![int("transA", 1)]),
        ("Gemm", "w x", vec![]),
        ("Add", "x c", vec![]),
    ] {
        let reason = reason(one(&[4, 4], &lists, op, inputs, &attributes));
        assert!(reason.contains("batch"), "{op}: {reason}");
    }
}

#[test]
fn sizes_have_to_be_known() {
    let nodes = [node("GlobalMaxPool", "x", "y", &[])];
    let mut model = net(&[-1, 3, -1, -1], &[], &nodes, &["y"]);
    assert!(reason(model.network()).contains("--input-size"));
    model.set_input_size(&[8, 8]).unwrap();
    assert_eq!(model.network().unwrap().network.input().shape, [3, 8, 8]);
    let model = net(&[-1, -1, 8, 8], &[], &nodes, &["y"]);
    assert!(reason(model.network()).contains("axis 1"));
}

#[test]
fn an_input_of_integers_is_refused() {
    let axis = Message::new().int(1, 4);
    let bytes = Message::new()
        .int(1, 2)
        .message(2, &Message::new().message(1, &axis));
    let input = Message::new()
        .text(1, "x")
        .message(2, &Message::new().message(1, &bytes));
    let graph = Message::new()
        .message(11, &input)
        .message(1, &node("Relu", "x", "y", &[]))
        .message(12, &Message::new().text(1, "y"));
    let model = read(&model(17, &graph)).unwrap();
    assert!(reason(model.network()).contains("uint8"));
}

/// The norm of the matrix of rows (1, 2, 3) and (4, 5, 6).
const NORM: f64 = 9.508_032_000_695_7;
const NOTE: &str = "without a batch axis";

#[test]
fn an_input_of_one_axis_is_one_sample() {
    let lists = [
        counting("w", &[2, 3]),
        list("zero", &[0]),
        counting("b", &[2]),
    ];
    let squeezed = [
        node("Unsqueeze", "x zero", "u", &[]),
        node("Gemm", "u w b", "g", &[int("transB", 1)]),
        node("Squeeze", "g zero", "y", &[]),
    ];
    let column = [
        node("MatMul", "w x", "c", &[]),
        node("Add", "c b", "y", &[]),
    ];
    let row = [
        node("Transpose", "w", "t", &[ints("perm", &[1, 0])]),
        node("MatMul", "x t", "y", &[]),
    ];
    for nodes in [&squeezed[..], &column, &row] {
        let found = net(&[3], &lists, nodes, &["y"]).network().unwrap();
        assert_eq!(
            (&found.network.input().shape[..], shape(&found)),
            (&[3][..], vec![2])
        );
        assert_constant(&found, NORM);
        assert!(found.notes[0].contains(NOTE));
    }
    // Its length is another one in every run: a batch of single numbers.
    let open = net(&[-1], &lists, &squeezed, &["y"]);
    assert!(reason(open.network()).contains("batch"));
}

#[test]
fn a_batch_of_one_that_is_transposed() {
    let lists = [counting("w", &[2, 3]), counting("b", &[2, 1])];
    let back = ints("perm", &[1, 0]);
    let nodes = [
        node("Transpose", "x", "t", std::slice::from_ref(&back)),
        node("MatMul", "w t", "c", &[]),
        node("Add", "c b", "d", &[]),
        node("Relu", "d", "e", &[]),
        node("Transpose", "e", "y", &[back]),
    ];
    let found = net(&[1, 3], &lists, &nodes, &["y"]).network().unwrap();
    assert_eq!(found.network.input().shape, [3]);
    assert_constant(&found, NORM);
    assert!(found.notes[0].contains(NOTE));
    // A batch that is left alone stays one.
    let relu = net(&[1, 3], &[], &[node("Relu", "x", "y", &[])], &["y"]);
    let found = relu.network().unwrap();
    assert!(found.notes.is_empty());
    // More samples would be moved.
    let two = net(&[2, 3], &lists, &nodes, &["y"]);
    assert!(reason(two.network()).contains("--no-batch"));
}

#[test]
fn a_model_without_a_batch_if_somebody_says_so() {
    let lists = [
        counting("k", &[2, 3, 1, 1]),
        list("zero", &[0]),
        list("flat", &[-1]),
        counting("m", &[2, 4]),
    ];
    let nodes = [
        node("Unsqueeze", "x zero", "u", &[]),
        node("Conv", "u k", "c", &[]),
        node("Reshape", "c flat", "f", &[]),
        node("Slice", "f zero four zero", "y", &[]),
    ];
    let lists = [&lists[..], &[list("four", &[4])]].concat();
    let mut model = net(&[3, 2, 2], &lists, &nodes, &["y"]);
    assert!(reason(model.network()).contains("--no-batch"));
    model.set_no_batch().unwrap();
    let found = model.network().unwrap();
    assert_eq!(found.network.input().shape, [3, 2, 2]);
    assert_eq!(shape(&found), [4]);
    assert_constant(&found, NORM);

    let nodes = [node("MatMul", "m x", "y", &[])];
    let mut matrix = net(&[4, 5], &lists, &nodes, &["y"]);
    assert!(reason(matrix.network()).contains("--no-batch"));
    matrix.set_no_batch().unwrap();
    let found = matrix.network().unwrap();
    assert_eq!(
        (&found.network.input().shape[..], shape(&found)),
        (&[4, 5][..], vec![2, 5])
    );

    let mut open = net(&[-1, 5], &[], &[node("Relu", "x", "y", &[])], &["y"]);
    open.set_no_batch().unwrap();
    assert!(reason(open.network()).contains("axis 0 is not known"));
}

#[test]
fn convolutions_of_several_samples_take_no_whole_input() {
    // Without a batch, axis 0 of the input of a convolution has to be 1 long.
    let mut model = net(
        &[2, 3, 4, 4],
        &[counting("k", &[1, 3, 1, 1])],
        &[node("Conv", "x k", "y", &[])],
        &["y"],
    );
    assert!(model.network().is_ok());
    model.set_no_batch().unwrap();
    assert!(reason(model.network()).contains("has to be 1 long"));
}

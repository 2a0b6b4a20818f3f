//! Integers that become values: only what every run of the model has.

use super::{assert_constant, at, constant, net, reason, shape};
use crate::onnx::{graph, read};
use crate::proto::{Message, f32s, info, int, list, model, node, tensor};
use sigmax_formats::{Model, NetworkError, NetworkModel};

fn int32s(name: &str, values: &[i32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, 6, &[values.len() as i64], &raw)
}

fn identity() -> Message {
    let entries: Vec<f32> = (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
    tensor("eye", 1, &[4, 4], &f32s(&entries))
}

/// I₄·x, times or over the float that `nodes` make the integers `k` of.
fn with(
    batch: i64,
    op: &str,
    initializers: &[Message],
    nodes: &[Message],
) -> Result<NetworkModel, NetworkError> {
    let mut all = nodes.to_vec();
    all.push(node("Cast", "k", "f", &[int("to", 1)]));
    all.push(node(op, "x f", "v", &[]));
    all.push(node("MatMul", "v eye", "y", &[]));
    let mut constants = initializers.to_vec();
    constants.extend([
        identity(),
        list("zero", &[0]),
        list("one", &[1]),
        list("prime", &[65_521]),
    ]);
    net(&[batch, 4], &constants, &all, &["y"]).network()
}

#[track_caller]
fn refuses_the_batch(result: Result<NetworkModel, NetworkError>) {
    let reason = reason(result);
    assert!(
        reason.contains("the length of the batch (axis 0 of \"x\")") && reason.contains("fixed"),
        "{reason}"
    );
}

#[test]
fn a_batch_that_is_open_is_no_number() {
    let length = [
        node("Shape", "x", "s", &[]),
        node("Gather", "s zero", "k", &[]),
    ];
    for op in ["Mul", "Div"] {
        refuses_the_batch(with(-1, op, &[], &length));
    }
    let over = [
        node("Shape", "x", "s", &[]),
        node("Slice", "s zero one", "n", &[]),
        node("Div", "prime n", "k", &[]),
    ];
    refuses_the_batch(with(-1, "Mul", &[], &over));
    refuses_the_batch(with(-1, "Div", &[], &[node("Size", "x", "k", &[])]));
    // Computed from a float that is computed from it.
    let chain = [
        node("Shape", "x", "s", &[]),
        node("Gather", "s zero", "n", &[]),
        node("Cast", "n", "g", &[int("to", 1)]),
        node("Exp", "g", "e", &[]),
        node("Identity", "e", "k", &[]),
    ];
    refuses_the_batch(with(-1, "Mul", &[], &chain));
    // Another axis of the same shape is a number.
    let other = [
        node("Shape", "x", "s", &[]),
        node("Gather", "s one", "k", &[]),
    ];
    assert_constant(&with(-1, "Mul", &[], &other).unwrap(), 4.0);
}

/// The model takes no other batch: runtimes refuse what an input does not state.
#[test]
fn a_batch_that_is_stated_is_a_number() {
    let length = [
        node("Shape", "x", "s", &[]),
        node("Gather", "s zero", "k", &[]),
    ];
    assert_constant(&with(2, "Mul", &[], &length).unwrap(), 2.0);
    assert_constant(&with(2, "Div", &[], &length).unwrap(), 0.5);
    let size = [node("Size", "x", "k", &[])];
    assert_constant(&with(2, "Mul", &[], &size).unwrap(), 8.0);
}

#[test]
fn integers_keep_to_their_type() {
    let nodes = [
        node("Mul", "a a", "b", &[]),
        node("Add", "b c", "d", &[]),
        node("Div", "d c", "k", &[]),
    ];
    let wide = [list("a", &[1 << 16]), list("c", &[1 << 20])];
    assert_constant(&with(-1, "Mul", &wide, &nodes).unwrap(), 4097.0);
    let narrow = [int32s("a", &[1 << 16]), int32s("c", &[1 << 20])];
    let reason = reason(with(-1, "Mul", &narrow, &nodes));
    assert!(reason.contains("int32"), "{reason}");
    // A cast that does not fit.
    let cast = [
        node("Cast", "a", "n", &[int("to", 6)]),
        node("Identity", "n", "k", &[]),
    ];
    let reason = super::reason(with(-1, "Mul", &[list("a", &[1 << 32])], &cast));
    assert!(reason.contains("int32"), "{reason}");
    // Within the type nothing changes.
    let small = [int32s("a", &[2]), int32s("c", &[2])];
    assert_constant(&with(-1, "Mul", &small, &nodes).unwrap(), 3.0);
    let by_zero = [node("Div", "one zero", "k", &[])];
    let reason = super::reason(with(-1, "Mul", &[], &by_zero));
    assert!(reason.contains("divides by 0"), "{reason}");
}

#[test]
fn an_int32_that_is_none() {
    let wrong = Message::new()
        .ints(1, &[1])
        .int(2, 6)
        .text(8, "a")
        .ints(5, &[1 << 32]);
    let graph = graph(&[-1, 4], &[wrong], &[node("Reshape", "x a", "y", &[])]);
    let error = read(&model(17, &graph)).unwrap_err().to_string();
    assert!(error.contains("no int32"), "{error}");
}

/// x·n with the float n of the second number of the shape of `z`, which the file states.
fn stated(op: &str) -> Model {
    let nodes = [
        node(op, "x", "z", &[]),
        node("Shape", "z", "s", &[]),
        node("Gather", "s one", "k", &[]),
        node("Cast", "k", "f", &[int("to", 1)]),
        node("Mul", "x f", "y", &[]),
    ];
    let graph = graph(&[4], &[list("one", &[1])], &nodes)
        .message(13, &info("z", &[2, 1]))
        .message(12, &Message::new().text(1, "y"));
    read(&model(17, &graph)).unwrap()
}

#[test]
fn a_shape_that_is_only_stated_is_none() {
    let reason = reason(stated("NonZero").network());
    assert!(
        reason.contains("the shape of \"z\"") && reason.contains("value_info"),
        "{reason}"
    );
}

/// The same for the output of the graph.
#[test]
fn a_shape_that_an_output_states_is_none() {
    let nodes = [
        node("NonZero", "x", "z", &[]),
        node("Conv", "z w", "y", &[]),
    ];
    let weight = tensor("w", 1, &[1, 4, 1, 1], &f32s(&[1.0; 4]));
    let graph = graph(&[1, 4, 12, 9], &[weight], &nodes).message(12, &info("z", &[1, 4, 5, 6]));
    let model = read(&model(17, &graph)).unwrap();
    assert_eq!(model.layers[0].conv.input_size, None);
}

/// A default that a caller may replace by one of another shape.
#[test]
fn the_shape_of_a_default_is_not_that_of_the_input() {
    let with = |ir: i64| {
        let nodes = [
            node("Shape", "d", "k", &[]),
            node("Cast", "k", "f", &[int("to", 1)]),
            node("Mul", "x f", "y", &[]),
        ];
        let graph = graph(&[-1, 4], &[tensor("d", 1, &[3], &f32s(&[0.0; 3]))], &nodes)
            .message(11, &info("d", &[-1]))
            .message(12, &Message::new().text(1, "y"));
        let opset = Message::new().text(1, "").int(2, 17);
        let model = Message::new()
            .int(1, ir)
            .message(7, &graph)
            .message(8, &opset);
        read(&model).unwrap().network()
    };
    let reason = reason(with(8));
    assert!(reason.contains("axis 0 of \"d\""), "{reason}");
    // Before IR version 4 a default cannot be replaced.
    let found = with(3).unwrap();
    assert_constant(&found, 3.0);
    assert_eq!(found.notes, [""; 0]);
}

/// Numbers that happened to stand for the batch are numbers.
#[test]
fn no_number_stands_for_the_batch() {
    let targets = [
        list("split", &[65_521, -1]),
        list("wide", &[65_521, 4]),
        list("zero", &[0]),
        list("prime", &[65_521]),
        list("most", &[70_000]),
        list("end", &[i64::MAX]),
    ];
    for (op, inputs) in [
        ("Reshape", "x split"),
        ("Expand", "x wide"),
        ("Slice", "x zero prime zero"),
        ("Slice", "x zero most zero"),
    ] {
        let nodes = [node(op, inputs, "y", &[])];
        let reason = reason(net(&[-1, 4], &targets, &nodes, &["y"]).network());
        assert!(reason.contains("batch"), "{op} {inputs}: {reason}");
    }
    let nodes = [node("Slice", "x zero end zero", "y", &[])];
    assert_eq!(
        shape(&net(&[-1, 4], &targets, &nodes, &["y"]).network().unwrap()),
        [4]
    );
}

/// At a batch of 1 it removes that axis, at others it does not.
#[test]
fn a_squeeze_without_axes_needs_the_batch() {
    let nodes = [node("Squeeze", "x", "y", &[])];
    let reason = reason(net(&[-1, 4, 1], &[], &nodes, &["y"]).network());
    assert!(reason.contains("batch"), "{reason}");
    assert_eq!(
        shape(&net(&[2, 4, 1], &[], &nodes, &["y"]).network().unwrap()),
        [4]
    );
}

/// The batch of another input need not be that of the data.
#[test]
fn the_batch_of_another_input_is_not_this_one() {
    let with = |other: &str| {
        let nodes = [
            node("Shape", other, "s", &[]),
            node("Slice", "s zero one", "n", &[]),
            node("Concat", "n rest", "t", &[int("axis", 0)]),
            node("Reshape", "x t", "y", &[]),
        ];
        let constants = [list("zero", &[0]), list("one", &[1]), list("rest", &[-1])];
        let graph = graph(&[-1, 2, 3], &constants, &nodes)
            .message(11, &info("z", &[-1]))
            .message(12, &Message::new().text(1, "y"));
        read(&model(17, &graph)).unwrap().network()
    };
    assert_eq!(shape(&with("x").unwrap()), [6]);
    assert!(reason(with("z")).contains("batch"));
}

/// What exporters write: the batch goes from a shape to the first place of a target, in int32 too.
#[test]
fn the_batch_may_be_that_of_a_target() {
    let nodes = |op: &str| {
        [
            node("Shape", "x", "s", &[]),
            node("Cast", "s", "narrow", &[int("to", 6)]),
            node("Slice", "narrow zero one", "n", &[]),
            node("Concat", "n rest", "t", &[int("axis", 0)]),
            node("Cast", "t", "target", &[int("to", 7)]),
            node(op, "x target", "y", &[]),
        ]
    };
    let constants = |rest: &[i32]| [list("zero", &[0]), list("one", &[1]), int32s("rest", rest)];
    let reshaped = net(&[-1, 2, 3], &constants(&[-1]), &nodes("Reshape"), &["y"]);
    assert_eq!(shape(&reshaped.network().unwrap()), [6]);
    let reshaped = net(&[-1, 2, 3], &constants(&[3, 2]), &nodes("Reshape"), &["y"]);
    assert_eq!(shape(&reshaped.network().unwrap()), [3, 2]);
    let expanded = net(&[-1, 1, 3], &constants(&[2, 3]), &nodes("Expand"), &["y"]);
    assert_constant(&expanded.network().unwrap(), 2f64.sqrt());
    // Not in another place.
    let moved = [
        node("Shape", "x", "s", &[]),
        node("Slice", "s zero one", "n", &[]),
        node("Concat", "keep n", "t", &[int("axis", 0)]),
        node("Reshape", "x t", "y", &[]),
    ];
    let constants = [list("zero", &[0]), list("one", &[1]), list("keep", &[0])];
    let reason = reason(net(&[-1, 2, 3], &constants, &moved, &["y"]).network());
    assert!(reason.contains("axis 0 of \"x\""), "{reason}");
}

/// PyTorch's exporter puts the batch in front of the sizes of a Resize.
#[test]
fn the_batch_may_be_that_of_sizes() {
    let nodes = [
        node("Shape", "x", "s", &[]),
        node("Slice", "s zero two", "n", &[]),
        node("Concat", "n rest", "t", &[int("axis", 0)]),
        node("Resize", "x _ _ t", "y", &[]),
    ];
    let constants = [list("zero", &[0]), list("two", &[2]), list("rest", &[6, 6])];
    let found = at(17, &[-1, 2, 3, 3], &constants, &nodes, &["y"])
        .network()
        .unwrap();
    assert_eq!(shape(&found), [2, 6, 6]);
    assert!(constant(&found.network) >= 2.0);
}

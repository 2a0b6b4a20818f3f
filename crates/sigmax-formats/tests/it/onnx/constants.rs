//! Weights wherever they are, and behind whatever moves them.

use super::{assert_kernel, error, graph, only, open, read, refused};
use crate::proto::{Message, counting, f32s, info, int, ints, list, model, node, tensor, value};
use sigmax_formats::Model;

/// A 2×2 weight given by `initializers` and `nodes` as the value `w`, multiplied from the right.
fn through(initializers: &[Message], nodes: &[Message]) -> Model {
    let mut nodes = nodes.to_vec();
    nodes.push(node("MatMul", "x w", "y", &[]));
    open(&[3, 2], initializers, &nodes)
}

fn assert_weight(model: &Model) {
    assert_eq!(only(model).shape, [2, 2]);
    // [in, out] = [[1, 2], [3, 4]] is transposed.
    assert_kernel(model, only(model), &[1.0, 3.0, 2.0, 4.0]);
}

#[test]
fn element_types() {
    let raw = |data_type, bytes: &[u8]| tensor("w", data_type, &[2, 2], bytes);
    let doubles: Vec<u8> = [1f64, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    let halves = [0, 0x3c, 0, 0x40, 0, 0x42, 0, 0x44];
    let brains = [0x80, 0x3f, 0, 0x40, 0x40, 0x40, 0x80, 0x40];
    let field = |data_type| {
        Message::new()
            .ints(1, &[2, 2])
            .int(2, data_type)
            .text(8, "w")
    };
    let floats = [1f32, 2.0, 3.0, 4.0];
    let unpacked = floats
        .iter()
        .fold(field(1), |tensor, &v| tensor.float(4, v));
    for weight in [
        raw(1, &f32s(&floats)),
        raw(11, &doubles),
        raw(10, &halves),
        raw(16, &brains),
        field(1).bytes(4, &f32s(&floats)),
        unpacked,
        field(11).bytes(10, &doubles),
        field(10).packed(5, &[0x3c00, 0x4000, 0x4200, 0x4400]),
        field(16).ints(5, &[0x3f80, 0x4000, 0x4040, 0x4080]),
        // Packed dims, as some writers have them.
        Message::new()
            .packed(1, &[2, 2])
            .int(2, 1)
            .text(8, "w")
            .bytes(9, &f32s(&floats)),
    ] {
        assert_weight(&through(&[weight], &[]));
    }
}

#[test]
fn wrong_amounts_of_data() {
    let multiply = [node("MatMul", "x w", "y", &[])];
    let field = || Message::new().ints(1, &[2, 2]).int(2, 1).text(8, "w");
    for weight in [
        tensor("w", 1, &[2, 2], &[0; 15]),
        tensor("w", 1, &[2, 2], &[0; 17]),
        field(),
        field().bytes(4, &[0; 12]),
        field().bytes(4, &[0; 20]),
    ] {
        let text = error(&[3, 2], &[weight], &multiply);
        assert!(
            text.contains("tensor \"w\"") && text.contains("needs"),
            "{text}"
        );
    }
    // The number of values of a list of integers shows when it is read.
    let few = Message::new()
        .ints(1, &[2, 2])
        .int(2, 10)
        .text(8, "w")
        .packed(5, &[0, 0, 0]);
    let model = open(&[3, 2], &[few], &multiply);
    let text = model.read_kernel(&model.layers[0]).unwrap_err().to_string();
    assert!(text.contains("needs 4 values, got 3"), "{text}");
}

#[test]
fn constant_nodes() {
    let weight = counting("", &[2, 2]);
    assert_weight(&through(
        &[],
        &[node("Constant", "", "w", &[value("value", &weight)])],
    ));
    let model = through(
        &[],
        &[node("Constant", "", "w", &[value("value", &weight)]).text(3, "c")],
    );
    assert_eq!(only(&model).tensor, "c");
    let floats = Message::new().text(1, "value_floats").int(20, 6);
    let floats = floats.bytes(7, &f32s(&[1.0, 2.0, 3.0, 4.0]));
    let nodes = [
        node("Constant", "", "f", &[floats]),
        node("Constant", "", "s", &[ints("value_ints", &[2, -1])]),
        node("Reshape", "f s", "w", &[]),
    ];
    assert_weight(&through(&[], &nodes));
    let number = node(
        "Constant",
        "",
        "w",
        &[crate::proto::float("value_float", 2.0)],
    );
    assert!(
        refused(&through(&[], &[number]))
            .reason
            .contains("single number")
    );
}

#[test]
fn chains() {
    let flat = [counting("a", &[4]), list("s", &[2, 2])];
    assert_weight(&through(&flat, &[node("Reshape", "a s", "w", &[])]));
    let matrix = [counting("a", &[2, 2])];
    for chain in [
        vec![node("Identity", "a", "w", &[])],
        vec![
            node("Transpose", "a", "b", &[]),
            node("Transpose", "b", "w", &[ints("perm", &[1, 0])]),
        ],
        vec![node("Cast", "a", "w", &[int("to", 11)])],
        vec![
            node("Cast", "a", "b", &[int("to", 10)]),
            node("Cast", "b", "w", &[int("to", 1)]),
        ],
        vec![node("Flatten", "a", "w", &[])],
    ] {
        assert_weight(&through(&matrix, &chain));
    }
    let axes = list("axes", &[0, 3]);
    let cube = [counting("a", &[1, 2, 2, 1]), axes];
    assert_weight(&through(&cube, &[node("Squeeze", "a axes", "w", &[])]));
    assert_weight(&through(&cube, &[node("Squeeze", "a", "w", &[])]));
    let chain = [
        node("Unsqueeze", "a axes", "b", &[]),
        node("Squeeze", "b axes", "w", &[]),
    ];
    assert_weight(&through(
        &[counting("a", &[2, 2]), list("axes", &[-1, 0])],
        &chain,
    ));
}

#[test]
fn reshape_rules() {
    let keeps = [counting("a", &[2, 2, 1]), list("s", &[0, -1])];
    assert_weight(&through(&keeps, &[node("Reshape", "a s", "w", &[])]));
    // With allowzero a 0 is a 0, which does not hold 4 entries.
    let zero = through(
        &keeps,
        &[node("Reshape", "a s", "w", &[int("allowzero", 1)])],
    );
    assert!(refused(&zero).reason.contains("not followed"));
    let five = [counting("a", &[4]), list("s", &[5, -1])];
    let five = through(&five, &[node("Reshape", "a s", "w", &[])]);
    assert!(refused(&five).reason.contains("not followed"));
}

#[test]
fn a_cast_rounds() {
    let weight = [tensor("a", 1, &[1, 1], &f32s(&[1.0 + 1.0 / 4096.0]))];
    let nodes = [
        node("Cast", "a", "w", &[int("to", 10)]),
        node("MatMul", "x w", "y", &[]),
    ];
    let model = open(&[3, 1], &weight, &nodes);
    assert_kernel(&model, only(&model), &[1.0]);
    let nodes = [
        node("Cast", "a", "w", &[int("to", 7)]),
        node("MatMul", "x w", "y", &[]),
    ];
    assert!(
        refused(&open(&[3, 1], &weight, &nodes))
            .reason
            .contains("int64")
    );
}

#[test]
fn constants_by_operators_without_a_rule_are_refused() {
    let model = through(
        &[counting("a", &[2, 2])],
        &[node("Exp", "a", "w", &[]).text(3, "scale")],
    );
    assert!(refused(&model).reason.contains("node \"scale\" (Exp)"));
}

#[test]
fn long_chains_end() {
    let mut nodes = Vec::new();
    for i in 0..5000 {
        nodes.push(node(
            "Transpose",
            &format!("a{i}"),
            &format!("a{}", i + 1),
            &[],
        ));
    }
    nodes.push(node("Identity", "a5000", "w", &[]));
    let model = through(&[counting("a0", &[2, 2])], &nodes);
    let reason = &refused(&model).reason;
    assert!(reason.contains("more than 128 nodes"), "{reason}");
}

#[test]
fn a_replaced_shape_is_not_used() {
    let nodes = [
        node("Reshape", "a s", "w", &[]),
        node("MatMul", "x w", "y", &[]),
    ];
    let weights = [counting("a", &[4]), list("s", &[2, 2])];
    let graph = graph(&[3, 2], &weights, &nodes).message(11, &info("s", &[2]));
    let now = read(&model(17, &graph)).unwrap();
    assert_eq!(now.layers.len(), 0);
    // Before IR version 4 all initializers were inputs.
    let opset = Message::new().int(2, 8);
    let old = Message::new()
        .int(1, 3)
        .message(7, &graph)
        .message(8, &opset);
    assert_weight(&read(&old).unwrap());
}

#[test]
fn values_that_are_not_finite() {
    let weight = [tensor("w", 1, &[1, 2], &f32s(&[1.0, f32::NAN]))];
    let model = open(
        &[3, 1],
        &weight,
        &[node("MatMul", "x w", "y", &[]).text(3, "dense")],
    );
    let text = model.read_kernel(&model.layers[0]).unwrap_err().to_string();
    assert!(
        text.contains("dense") && text.contains("\"w\"") && text.contains("[1, 0]"),
        "{text}"
    );
}

//! Constants as operands: where they come from.

use super::{assert_constant, net, shape};
use crate::onnx::read;
use crate::proto::{Message, counting, f32s, float, info, int, list, model, node, tensor, value};

#[test]
fn numbers_in_attributes_and_integers_made_floats() {
    let fill = value("value", &tensor("", 1, &[1], &f32s(&[2.0])));
    for nodes in [
        vec![node("Constant", "", "c", &[float("value_float", 2.0)])],
        vec![node(
            "Constant",
            "",
            "c",
            &[value("value", &tensor("", 1, &[], &f32s(&[2.0])))],
        )],
        vec![node("Cast", "two", "c", &[int("to", 1)])],
        vec![node("ConstantOfShape", "three", "c", &[fill])],
        vec![
            node("Constant", "", "d", &[float("value_float", 2.0)]),
            node("Unsqueeze", "d zero", "c", &[]),
        ],
    ] {
        let nodes = [nodes, vec![node("Mul", "x c", "y", &[])]].concat();
        let lists = [list("two", &[2]), list("three", &[3]), list("zero", &[0])];
        let found = net(&[-1, 3], &lists, &nodes, &["y"]).network().unwrap();
        assert_constant(&found, 2.0);
    }
}

#[test]
fn a_default_that_may_be_replaced_is_said() {
    let graph = Message::new()
        .message(11, &info("x", &[1, 2]))
        .message(11, &info("w", &[2, 2]))
        .message(5, &counting("w", &[2, 2]))
        .message(1, &node("MatMul", "x w", "m", &[]))
        .message(1, &node("Add", "m w", "y", &[]))
        .message(12, &Message::new().text(1, "m"));
    let found = read(&model(17, &graph)).unwrap().network().unwrap();
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    assert!(found.notes[0].contains("\"w\""), "{:?}", found.notes);
}

/// Exports without optimisation write the bias of a convolution that has none in this way.
#[test]
fn a_zero_of_the_type_of_the_data_is_a_constant() {
    let zero = |value: f32| {
        let initializers = [
            counting("k", &[2, 3, 1, 1]),
            tensor("zero", 1, &[], &f32s(&[value])),
            list("shape", &[2]),
        ];
        let nodes = [
            node("CastLike", "zero x", "like", &[]),
            node("Expand", "like shape", "bias", &[]),
            node("Conv", "x k bias", "y", &[]),
        ];
        net(&[-1, 3, 2, 2], &initializers, &nodes, &["y"]).network()
    };
    assert_eq!(shape(&zero(0.0).unwrap()), [2, 2, 2]);
    // Another number may be rounded.
    assert!(zero(0.1).is_err());
}

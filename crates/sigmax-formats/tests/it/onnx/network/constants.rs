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

#[test]
fn so_are_scales_that_may_be_replaced() {
    let graph = Message::new()
        .message(11, &info("x", &[1, 1, 3]))
        .message(11, &info("s", &[3]))
        .message(5, &tensor("s", 1, &[3], &f32s(&[1.0, 1.0, 2.0])))
        .message(1, &node("Resize", "x _ s", "y", &[]))
        .message(12, &Message::new().text(1, "y"));
    let found = read(&model(17, &graph)).unwrap().network().unwrap();
    assert!(
        found.notes.iter().any(|note| note.contains("\"s\"")),
        "{:?}",
        found.notes
    );
}

/// Exports without optimisation write the bias of a convolution that has none in this way.
#[test]
fn a_constant_of_the_type_of_the_data_is_one() {
    let constant = |value: f32, element: i64| {
        let shape = [-1, 3, 2, 2].map(|n: i64| match n {
            -1 => Message::new().text(2, "N"),
            n => Message::new().int(1, n),
        });
        let axes = shape
            .iter()
            .fold(Message::new(), |axes, n| axes.message(1, n));
        let declared = Message::new().message(1, &Message::new().int(1, element).message(2, &axes));
        let mut graph =
            Message::new().message(11, &Message::new().text(1, "x").message(2, &declared));
        for initializer in [
            counting("k", &[2, 3, 1, 1]),
            tensor("value", 1, &[], &f32s(&[value])),
            list("shape", &[2]),
        ] {
            graph = graph.message(5, &initializer);
        }
        for node in [
            node("Relu", "x", "z", &[]),
            node("CastLike", "value z", "like", &[]),
            node("Expand", "like shape", "bias", &[]),
            node("Conv", "z k bias", "y", &[]),
        ] {
            graph = graph.message(1, &node);
        }
        let graph = graph.message(12, &Message::new().text(1, "y"));
        read(&model(17, &graph)).unwrap().network()
    };
    for element in [1, 11] {
        assert_eq!(shape(&constant(0.0, element).unwrap()), [2, 2, 2]);
    }
    // A number of the type of the data is not cast at all. In another type it may be rounded.
    let found = constant(0.1, 1).unwrap();
    assert_eq!(shape(&found), [2, 2, 2]);
    assert!(constant(0.1, 11).is_err());
    assert!(constant(0.1, 10).is_err());
}

/// As ReLU6 is exported without optimisation.
#[test]
fn a_number_of_the_type_of_the_data_is_a_constant() {
    let clipped = |limit: &[Message], last: Message| {
        let nodes = [
            node("Neg", "x", "z", &[]),
            node("Constant", "", "zero", &[float("value_float", 0.0)]),
            node("CastLike", "zero z", "low", &[]),
        ];
        let nodes = [&nodes[..], limit, &[last]].concat();
        net(&[-1, 3], &[list("one", &[1])], &nodes, &["y"]).network()
    };
    let six = |element: i64, value: &[u8]| {
        let fill = self::value("value", &tensor("", element, &[1], value));
        [
            node("ConstantOfShape", "one", "ones", &[fill]),
            node("Squeeze", "ones", "six", &[]),
            node("CastLike", "six z", "high", &[]),
        ]
    };
    let clip = || node("Clip", "z low high", "y", &[]);
    let constant = [
        node("Constant", "", "six", &[float("value_float", 6.0)]),
        node("CastLike", "six z", "high", &[]),
    ];
    assert_constant(&clipped(&constant, clip()).unwrap(), 1.0);
    assert_constant(&clipped(&six(1, &f32s(&[6.0])), clip()).unwrap(), 1.0);
    assert_constant(
        &clipped(&six(11, &6f64.to_le_bytes()), clip()).unwrap(),
        1.0,
    );
    // 0.1 of f64 is rounded to f32.
    assert!(clipped(&six(11, &0.1f64.to_le_bytes()), clip()).is_err());
    // Of an integer type it would be cut.
    let half = [
        node("Constant", "", "half", &[float("value_float", 0.5)]),
        node("Cast", "z", "whole", &[int("to", 7)]),
        node("CastLike", "half whole", "high", &[]),
    ];
    assert!(clipped(&half, clip()).is_err());
}

#[test]
fn a_shape_is_that_of_a_weight_cut_and_expanded() {
    let initializers = [
        counting("k", &[2, 3, 1, 1]),
        tensor("zero", 1, &[], &f32s(&[0.0])),
        list("one", &[1]),
    ];
    let nodes = [
        node("Shape", "k", "whole", &[int("end", 1)]),
        node("Expand", "whole one", "shape", &[]),
        node("CastLike", "zero x", "like", &[]),
        node("Expand", "like shape", "bias", &[]),
        node("Conv", "x k bias", "y", &[]),
    ];
    let found = net(&[-1, 3, 2, 2], &initializers, &nodes, &["y"]).network();
    assert_eq!(shape(&found.unwrap()), [2, 2, 2]);
}

/// As a view of pooled features is exported.
#[test]
fn many_entries_are_gathered() {
    let indices = |last: i64| {
        let order: Vec<u8> = (0..100)
            .map(|i| if i == 0 { last } else { 99 - i })
            .flat_map(i64::to_le_bytes)
            .collect();
        let initializers = [list("all", &[-1]), tensor("i", 7, &[1, 100, 1, 1], &order)];
        let nodes = [
            node("Reshape", "x all", "r", &[]),
            node("Gather", "r i", "g", &[int("axis", 0)]),
        ];
        net(&[1, 100, 1, 1], &initializers, &nodes, &["g"]).network()
    };
    assert_constant(&indices(99).unwrap(), 1.0);
    // An entry that is there twice.
    assert_constant(&indices(98).unwrap(), 2f64.sqrt());
    for beyond in [100, -101, i64::MAX] {
        assert!(indices(beyond).is_err());
    }
}

#[test]
fn integers_that_are_repeated_or_counted() {
    // Expand of one entry, Range in both directions; no entries at all make no shape of this input.
    for (from, to, step, expected) in [(2, 4, 1, true), (3, 1, -1, false), (2, 3, 1, false)] {
        let number = |name: &str, n: i64| tensor(name, 7, &[], &n.to_le_bytes());
        let initializers = [
            number("from", from),
            number("to", to),
            number("step", step),
            list("minus", &[-1]),
            list("three", &[1]),
        ];
        let nodes = [
            node("Range", "from to step", "r", &[]),
            node("Expand", "minus three", "e", &[]),
            node("Concat", "e r", "s", &[int("axis", 0)]),
            node("Reshape", "x s", "y", &[]),
        ];
        let found = net(&[-1, 6], &initializers, &nodes, &["y"]).network();
        match expected {
            true => assert_eq!(shape(&found.unwrap()), [2, 3]),
            // (−1, 3, 2) and (−1, 2): the second mixes the batch.
            false if step < 0 => assert_eq!(shape(&found.unwrap()), [3, 2]),
            false => assert!(found.is_err()),
        }
    }
}

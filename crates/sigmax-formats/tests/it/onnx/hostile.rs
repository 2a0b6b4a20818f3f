//! Files that were damaged, or made to do harm: an error that says where, soon and in little
//! memory.

use super::{error, graph, read};
use crate::proto::{
    Message, counting, f32s, graph as graph_attribute, info, ints, list, model, node, tensor, value,
};

fn multiply() -> Vec<Message> {
    vec![node("MatMul", "x w", "y", &[])]
}

#[test]
fn truncated_anywhere() {
    let whole = model(
        17,
        &graph(
            &[1, 1, 4, 4],
            &[counting("w", &[1, 1, 3, 3]), list("s", &[1, 1, 4, 4])],
            &[
                node("Constant", "", "c", &[value("value", &list("", &[1]))]),
                node("Reshape", "x s", "r", &[]),
                node("Conv", "r w", "y", &[ints("pads", &[1, 1, 1, 1])]),
            ],
        ),
    );
    assert!(read(&whole).is_ok());
    for length in 0..whole.0.len() {
        let result = read(&Message(whole.0[..length].to_vec()));
        assert!(result.is_err(), "{length} of {} bytes", whole.0.len());
    }
}

#[test]
fn absurd_dims() {
    for (dims, reason) in [
        (&[-1, 2][..], "negative"),
        (&[1 << 58, 2], "needs"),
        (&[1 << 62, 1 << 62], "overflows"),
        (&[i64::MAX, i64::MAX], "overflows"),
        (&[i64::MAX, 1], "overflows"),
        (&[1; 17], "16 axes"),
    ] {
        for weight in [
            tensor("w", 1, dims, &f32s(&[1.0])),
            tensor("w", 7, dims, &[]),
        ] {
            let text = error(&[3, 2], &[weight], &multiply());
            assert!(
                text.contains("tensor \"w\"") && text.contains(reason),
                "{dims:?}: {text}"
            );
        }
        let bits = Message::new()
            .ints(1, dims)
            .int(2, 10)
            .text(8, "w")
            .packed(5, &[1]);
        if let Ok(model) = read(&model(17, &graph(&[3, 2], &[bits], &multiply()))) {
            assert!(
                model
                    .layers
                    .iter()
                    .all(|layer| model.read_kernel(layer).is_err())
            );
        }
    }
}

/// Parsers of protobuf merge messages that stand twice, field by field; ours would take the last.
#[test]
fn messages_that_may_stand_once() {
    let axis = |n: i64| Message::new().int(1, n);
    let shape = |dims: &[i64]| {
        dims.iter()
            .fold(Message::new(), |all, &n| all.message(1, &axis(n)))
    };
    let typed = |shapes: &[&Message]| {
        let tensor = Message::new().int(1, 1);
        shapes.iter().fold(tensor, |all, s| all.message(2, s))
    };
    let whole = |input: &Message| {
        Message::new()
            .message(1, &node("MatMul", "x w", "y", &[]))
            .message(5, &counting("w", &[4, 4]))
            .message(11, &input.clone())
            .message(12, &info("y", &[1, 4]))
    };
    let input = |kinds: &[Message]| {
        let named = Message::new().text(1, "x");
        kinds.iter().fold(named, |all, kind| all.message(2, kind))
    };
    let (one, two) = (shape(&[1, 3]), shape(&[1, 4]));
    let kind = |tensors: &[Message]| {
        tensors
            .iter()
            .fold(Message::new(), |all, tensor| all.message(1, tensor))
    };
    let good = input(&[kind(&[typed(&[&two])])]);
    assert!(read(&model(17, &whole(&good))).is_ok());
    for twice in [
        input(&[kind(&[typed(&[&one, &two])])]),
        input(&[kind(&[typed(&[&one]), typed(&[&two])])]),
        input(&[kind(&[typed(&[&one])]), kind(&[typed(&[&two])])]),
    ] {
        let error = read(&model(17, &whole(&twice))).unwrap_err().to_string();
        assert!(error.contains("stands twice"), "{error}");
    }
    // The tensor of an attribute.
    let constant = value("value", &tensor("", 1, &[1, 1], &f32s(&[1.0])));
    let twice = constant.message(5, &tensor("", 1, &[1], &f32s(&[1.0])));
    let nodes = [node("Constant", "", "c", &[twice])];
    let error = error(&[3, 2], &[], &nodes);
    assert!(error.contains("stands twice"), "{error}");
}

/// A dimension is a number or a name, and of both the last one.
#[test]
fn a_dimension_that_is_a_number_and_then_a_name_is_open() {
    let axis = |both: Message| {
        let shape = Message::new()
            .message(1, &Message::new().int(1, 1))
            .message(1, &both);
        let tensor = Message::new().int(1, 1).message(2, &shape);
        let input = Message::new()
            .text(1, "x")
            .message(2, &Message::new().message(1, &tensor));
        let graph = Message::new()
            .message(1, &node("ReduceMean", "x", "y", &[ints("axes", &[1])]))
            .message(11, &input)
            .message(12, &info("y", &[1, 1]));
        read(&model(13, &graph)).unwrap().network().is_ok()
    };
    assert!(axis(Message::new().int(1, 4)));
    assert!(axis(Message::new().text(2, "n").int(1, 4)));
    assert!(!axis(Message::new().int(1, 4).text(2, "n")));
}

#[test]
fn places_of_data_that_nobody_defined() {
    for (place, good) in [(0, true), (2, false), ((1 << 32) + 1, false), (-1, false)] {
        let weight = counting("w", &[2, 2]).int(14, place);
        let result = read(&model(17, &graph(&[3, 2], &[weight], &multiply())));
        assert_eq!(result.is_ok(), good, "{place}");
    }
}

#[test]
fn cycles() {
    for nodes in [
        vec![node("Identity", "a", "a", &[])],
        vec![
            node("Transpose", "b", "a", &[]),
            node("Reshape", "a x", "b", &[]),
            node("MatMul", "x b", "y", &[]),
        ],
    ] {
        let text = error(&[3, 2], &[], &nodes);
        assert!(text.contains("cycle"), "{text}");
    }
    // The node that is named lies on the cycle, not behind it.
    let behind = [
        node("Relu", "b", "c", &[]).text(3, "behind"),
        node("Relu", "a", "b", &[]).text(3, "on"),
        node("Relu", "b", "a", &[]).text(3, "on too"),
    ];
    assert!(error(&[3, 2], &[], &behind).contains("node \"on"));
}

#[test]
fn nodes_in_any_order() {
    let nodes = [
        node("MatMul", "x w", "y", &[]),
        node("Identity", "v", "w", &[]),
    ];
    let model = super::open(&[3, 2], &[counting("v", &[2, 2])], &nodes);
    super::only(&model);
}

#[test]
fn names_that_are_made_twice_or_never() {
    let w = || counting("w", &[2, 2]);
    let twice = error(&[3, 2], &[w(), w()], &multiply());
    assert!(twice.contains("initialised twice"), "{twice}");
    let nodes = [node("Relu", "x", "a", &[]), node("Relu", "x", "a", &[])];
    assert!(error(&[3, 2], &[], &nodes).contains("made elsewhere"));
    assert!(error(&[3, 2], &[], &[node("Relu", "x", "x", &[])]).contains("made elsewhere"));
    let missing = error(&[3, 2], &[], &multiply());
    assert!(
        missing.contains("\"w\"") && missing.contains("node \"y\""),
        "{missing}"
    );
    let inputs = graph(&[3, 2], &[], &[]).message(11, &info("x", &[1]));
    assert!(
        read(&model(17, &inputs))
            .unwrap_err()
            .to_string()
            .contains("two graph inputs")
    );
    let attributes = [ints("pads", &[1]), ints("pads", &[2])];
    assert!(error(&[3, 2], &[], &[node("Relu", "x", "y", &attributes)]).contains("twice"));
    let short = error(&[3, 2], &[w()], &[node("Conv", "x", "y", &[])]);
    assert!(short.contains("input 1 is missing"), "{short}");
    // A node without inputs and outputs is odd, not harmful.
    assert!(
        read(&model(
            17,
            &graph(&[3, 2], &[], &[node("MatMul", "", "", &[])])
        ))
        .is_ok()
    );
    assert!(
        read(&model(
            17,
            &graph(&[3, 2], &[], &[node("Pad", "x", "", &[])])
        ))
        .is_ok()
    );
}

#[test]
fn deep_nesting() {
    let mut inner = Message::new().message(1, &node("Conv", "a b", "c", &[]));
    for _ in 0..1000 {
        let branch = graph_attribute("then_branch", &inner);
        inner = Message::new().message(1, &node("If", "q", "y", &[branch]));
    }
    let branch = graph_attribute("then_branch", &inner);
    let text = error(&[3, 2], &[], &[node("If", "x", "y", &[branch])]);
    assert!(text.contains("32 deep"), "{text}");
}

#[test]
fn many_nodes_are_read_in_linear_time() {
    // Each Reshape of the chain would copy all views before it if chains had no end.
    let mut nodes = Vec::new();
    for i in 0..20_000 {
        let op = if i % 2 == 0 { "Transpose" } else { "Identity" };
        nodes.push(node(op, &format!("a{i}"), &format!("a{}", i + 1), &[]));
    }
    nodes.push(node("MatMul", "x a20000", "y", &[]));
    let model = super::open(&[3, 2], &[counting("a0", &[2, 2])], &nodes);
    assert_eq!(model.skipped.refused.len(), 1);
}

#[test]
fn too_many_nodes() {
    let mut message = graph(&[3, 2], &[], &[]);
    for _ in 0..=1 << 18 {
        message.0.extend([0x0a, 0x00]);
    }
    let text = read(&model(17, &message)).unwrap_err().to_string();
    assert!(text.contains("nodes"), "{text}");
}

#[test]
fn bytes_that_are_no_protobuf() {
    let prefix = model(17, &graph(&[3, 2], &[], &[])).0;
    for (tail, reason) in [
        (&[0xff; 12][..], "64 bits"),
        (&[0x00, 0x00], "field number"),
        (&[0x0b], "wire type 3"),
        (&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f], "bytes are needed"),
        (&[0x3a, 0x00], "second graph"),
    ] {
        let text = read(&Message([&prefix[..], tail].concat()))
            .unwrap_err()
            .to_string();
        assert!(
            text.contains(reason) && text.contains("test.onnx"),
            "{text}"
        );
    }
    let name = Message::new().bytes(1, &[0xff]).text(4, "Relu");
    let text = read(&model(17, &graph(&[3, 2], &[], &[name])))
        .unwrap_err()
        .to_string();
    assert!(text.contains("UTF-8"), "{text}");
    let long = node("Relu", "x", "y", &[]).text(3, &"n".repeat(20_000));
    assert!(
        read(&model(17, &graph(&[3, 2], &[], &[long])))
            .unwrap_err()
            .to_string()
            .contains("name")
    );
    let none = Message::new()
        .int(1, 8)
        .message(8, &Message::new().int(2, 17))
        .message(7, &Message::new());
    assert!(read(&none).unwrap().layers.is_empty());
}

#[test]
fn attributes_with_extreme_numbers() {
    let extremes = [i64::MIN, -1, 0, 1 << 24, i64::MAX];
    let shape = [1, 1, 9, 9];
    for n in extremes {
        for (op, inputs, attributes) in [
            ("MaxPool", "x", vec![ints("kernel_shape", &[n, 3])]),
            (
                "MaxPool",
                "x",
                vec![ints("kernel_shape", &[1, 1]), ints("strides", &[n, 1])],
            ),
            ("Transpose", "x", vec![ints("perm", &[n, 0, 1, 2])]),
            ("Flatten", "x", vec![crate::proto::int("axis", n)]),
            ("Concat", "x x", vec![crate::proto::int("axis", n)]),
            ("Split", "x", vec![crate::proto::int("axis", n)]),
            ("DepthToSpace", "x", vec![crate::proto::int("blocksize", n)]),
            ("Reshape", "x n", vec![]),
            ("Unsqueeze", "x n", vec![]),
            ("Squeeze", "x n", vec![]),
            ("Pad", "x n", vec![]),
            ("Pad", "x eight", vec![]),
            ("Slice", "x n n n n", vec![]),
            ("Slice", "x zero n zero n", vec![]),
            ("Gather", "n n", vec![]),
            ("Div", "n zero", vec![]),
            ("Div", "n minus", vec![]),
            ("Mul", "n n", vec![]),
            (
                "ConstantOfShape",
                "n",
                vec![value("value", &list("", &[1]))],
            ),
            ("Expand", "x n", vec![]),
            ("Resize", "x _ _ four", vec![]),
            ("ReduceMean", "x n", vec![]),
        ] {
            let initializers = [
                list("n", &[n]),
                list("zero", &[0]),
                list("minus", &[-1]),
                list("four", &[n; 4]),
                list("eight", &[n; 8]),
                counting("w", &[1, 1, 1, 1]),
            ];
            let nodes = [
                node(op, inputs, "z", &attributes),
                node("Conv", "z w", "y", &[]),
            ];
            // Whether it is refused is not the point here.
            if let Ok(model) = read(&model(13, &graph(&shape, &initializers, &nodes))) {
                for layer in &model.layers {
                    let _ = model.read_kernel(layer);
                }
            }
        }
    }
}

//! What has no rule.

use super::{blockers, net, one, reason};
use crate::proto::{Message, counting, f32s, float, int, ints, list, node, tensor, text};

#[test]
fn operators_without_a_rule() {
    let constants: [Message; 3] = [
        counting("c", &[4]),
        counting("w", &[4, 4]),
        tensor("half", 1, &[], &f32s(&[0.5])),
    ];
    for (op, inputs, part) in [
        ("MeanVarianceNormalization", "x", "over the batch"),
        ("LpNormalization", "x", "norm"),
        ("MatMul", "x x", "attention"),
        ("Gemm", "x w x", "more than one"),
        ("Mul", "x x", "two branches"),
        ("Div", "half x", "divides"),
        ("Pow", "x half", "power"),
        ("Exp", "x", "slope"),
        ("Reciprocal", "x", "slope"),
        ("Round", "x", "jumps"),
        ("TopK", "x c", "how many entries"),
        ("ArgMax", "x", "jumps"),
        ("LSTM", "x w w", "recurrent"),
        ("QLinearConv", "x c c w c c c c", "quantised"),
        ("If", "x", "subgraph"),
        ("Einsum", "x x", "attention"),
        ("CumSum", "x", "no rule is known"),
        ("LRN", "x", "no rule is known"),
        ("Frobnicate", "x", "no rule is known"),
        ("RandomUniformLike", "x", "random"),
    ] {
        let blockers = blockers(one(&[1, 4], &constants, op, inputs, &[]));
        assert_eq!(blockers[0].kind, op);
        assert!(
            blockers[0].reason.contains(part),
            "{op}: {}",
            blockers[0].reason
        );
    }
}

/// onnxruntime takes the kernel without its dilation, moves windows where SAME would crop, and rounds
/// VALID up; the standard does not.
#[test]
fn pools_on_which_runtimes_differ() {
    let pool = |op: &str, size: i64, pad: &str, more: &[Message]| {
        let mut attributes = vec![ints("kernel_shape", &[2, 2]), text("auto_pad", pad)];
        attributes.extend_from_slice(more);
        one(&[1, 1, size, size], &[], op, "x", &attributes)
    };
    let strides = |s: i64| ints("strides", &[s, s]);
    for op in ["MaxPool", "AveragePool"] {
        for (size, pad, more) in [
            (
                5,
                "SAME_UPPER",
                vec![strides(2), ints("dilations", &[2, 2])],
            ),
            (
                6,
                "SAME_LOWER",
                vec![strides(3), ints("dilations", &[1, 2])],
            ),
            (7, "SAME_UPPER", vec![strides(4)]),
            (5, "VALID", vec![strides(2), int("ceil_mode", 1)]),
        ] {
            let blockers = blockers(pool(op, size, pad, &more));
            assert!(
                blockers[0].reason.contains("runtimes differ"),
                "{op} {pad}: {}",
                blockers[0].reason
            );
        }
        for (size, pad, more) in [
            (5, "SAME_UPPER", vec![strides(2)]),
            (7, "SAME_LOWER", vec![strides(3)]),
            (6, "VALID", vec![strides(2), int("ceil_mode", 1)]),
            (5, "VALID", vec![strides(2), ints("dilations", &[2, 2])]),
        ] {
            assert!(pool(op, size, pad, &more).is_ok(), "{op} {pad} {size}");
        }
    }
}

#[test]
fn all_of_them_are_listed_in_the_order_of_the_file() {
    let nodes = [
        node("LpNormalization", "x", "a", &[]).text(3, "first"),
        node("MatMul", "a w", "b", &[]),
        node("MatMul", "b a", "d", &[]).text(3, "second"),
        node("Exp", "d", "dead", &[]),
        node("Gelu", "d", "e", &[])
            .text(7, "com.microsoft")
            .text(3, "third"),
        node("Relu", "e", "y", &[]),
    ];
    let constants = [counting("c", &[4]), counting("w", &[4, 4])];
    let model = net(&[-1, 4], &constants, &nodes, &["y"]);
    let error = model.network().unwrap_err().to_string();
    assert!(
        error.contains("\"first\"") && error.contains("2 more"),
        "{error}"
    );
    let blockers = blockers(model.network());
    let names: Vec<_> = blockers.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(names, ["first", "second", "third"]);
    assert_eq!(blockers[2].kind, "com.microsoft::Gelu");
}

#[test]
fn attributes_and_inputs_that_are_not_covered() {
    let lists = [
        counting("c", &[4]),
        counting("w", &[4, 4]),
        list("indices", &[7]),
        list("big", &[1, 1 << 30]),
    ];
    let kernel = ints("kernel_shape", &[2, 2]);
    for (op, inputs, attributes, part) in [
        (
            "BatchNormalization",
            "x c c c c",
            vec![int("training_mode", 1)],
            "training",
        ),
        ("Cast", "x", vec![int("to", 10)], "16 bits"),
        ("Cast", "x", vec![int("to", 7)], "jumps"),
        ("Gather", "x indices", vec![int("axis", 1)], "beyond"),
        ("Gather", "c x", vec![], "depend on the input"),
        ("Concat", "x w", vec![int("axis", 1)], "constant"),
        ("MaxPool", "x", vec![kernel], "spatial"),
        ("Pad", "x c", vec![], "amounts"),
        (
            "Gelu",
            "x",
            vec![text("approximate", "best")],
            "approximate",
        ),
        ("Celu", "x", vec![float("alpha", -1.0)], "alpha"),
        ("Tile", "x big", vec![], "entries"),
        ("Resize", "x", vec![text("mode", "cubic")], "size"),
        ("Squeeze", "x", vec![ints("axes", &[])], "empty"),
    ] {
        let reason = reason(one(&[1, 4], &lists, op, inputs, &attributes));
        assert!(reason.contains(part), "{op}: {reason}");
    }
}

#[test]
fn a_product_that_is_nearly_an_activation() {
    // β is not ½.
    let nodes = [
        node("HardSigmoid", "x", "s", &[float("beta", 0.25)]),
        node("Mul", "x s", "y", &[]),
    ];
    assert!(reason(net(&[-1, 3], &[], &nodes, &["y"]).network()).contains("two branches"));
    let nodes = [
        node("Sigmoid", "x", "s", &[]),
        node("Relu", "x", "r", &[]),
        node("Mul", "r s", "y", &[]),
    ];
    assert!(reason(net(&[-1, 3], &[], &nodes, &["y"]).network()).contains("two branches"));
}

#[test]
fn outputs_that_are_not_values_of_the_network() {
    let indices = [node("MaxPool", "x", "m i", &[ints("kernel_shape", &[2])])];
    let model = net(&[-1, 3, 4], &[], &indices, &["m", "i"]);
    assert!(reason(model.network()).contains("output 1"));
    let model = net(&[2, 3], &[], &[node("Shape", "x", "y", &[])], &["y"]);
    assert!(reason(model.network()).contains("does not depend"));
    let model = net(&[2, 3], &[], &[], &[]);
    assert!(reason(model.network()).contains("none"));
}

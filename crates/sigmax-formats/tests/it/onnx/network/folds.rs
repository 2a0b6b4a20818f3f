//! Norms and logarithms of sums over windows and axes (T44), as nodes and written out.
#![allow(
    clippy::disallowed_methods,
    reason = "values are compared with plain arithmetic, up to 1e-12"
)]

use super::{assert_constant, at, blockers, constant, net, one, reason, shape};
use crate::proto::{Message, f32s, int, ints, list, node, tensor};
use sigmax::Options;
use sigmax::network::{Forward, lipschitz};
use sigmax_formats::NetworkModel;

const X: [f64; 12] = [
    0.5, -1.0, 1.5, -2.0, 2.5, -3.0, 3.5, -4.0, 4.5, -5.0, 5.5, -6.0,
];

#[track_caller]
fn assert_values(found: &NetworkModel, expected: &[f64]) {
    let bounds = lipschitz(&found.network, &Options::default()).unwrap();
    let forward = Forward::new(&bounds).unwrap();
    let found = forward.evaluate(&X).unwrap().remove(0);
    assert_eq!(found.values().len(), expected.len());
    for (y, expected) in found.values().iter().zip(expected) {
        assert!((y - expected).abs() < 1e-12, "{y} for {expected}");
    }
}

fn norm(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn log_sum_exp(x: impl IntoIterator<Item = f64>) -> f64 {
    x.into_iter().map(f64::exp).sum::<f64>().ln()
}

/// Of the rows of X as 3 by 4, and of its columns.
fn rows(of: impl Fn(Vec<f64>) -> f64) -> Vec<f64> {
    X.chunks(4).map(|row| of(row.to_vec())).collect()
}

fn columns(of: impl Fn(Vec<f64>) -> f64) -> Vec<f64> {
    (0..4)
        .map(|j| of(X.chunks(4).map(|row| row[j]).collect()))
        .collect()
}

/// Without axes nothing may be reduced, and the norm of one entry is its size.
#[test]
fn over_no_axes() {
    for (op, expected) in [
        ("ReduceL2", X.map(f64::abs)),
        ("ReduceLogSumExp", X),
        ("ReduceMax", X),
        ("ReduceMin", X),
        ("ReduceMean", X),
        ("ReduceSum", X),
    ] {
        for inputs in ["x", "x none"] {
            let attributes = [int("noop_with_empty_axes", 1), int("keepdims", 0)];
            let nodes = [node(op, inputs, "y", &attributes)];
            let found = at(18, &[-1, 3, 4], &[list("none", &[])], &nodes, &["y"]);
            assert_values(&found.network().unwrap(), &expected);
        }
    }
    // Between layers that would be taken together if it were nothing.
    let nodes = [
        node("MatMul", "x a", "u", &[]),
        node("ReduceL2", "u", "v", &[int("noop_with_empty_axes", 1)]),
        node("MatMul", "v b", "y", &[]),
    ];
    let a = tensor("a", 1, &[1, 2], &f32s(&[1.0, -1.0]));
    let b = tensor("b", 1, &[2, 1], &f32s(&[1.0, 1.0]));
    let found = at(18, &[-1, 1], &[a, b], &nodes, &["y"]);
    assert_constant(&found.network().unwrap(), 2.0);
}

#[test]
fn over_axes() {
    for op in ["ReduceL2", "ReduceLogSumExp"] {
        let of = |x: Vec<f64>| match op {
            "ReduceL2" => norm(x),
            _ => log_sum_exp(x),
        };
        let reduced = |axes: &[i64], keep: i64| {
            let attributes = [ints("axes", axes), int("keepdims", keep)];
            one(&[-1, 3, 4], &[], op, "x", &attributes)
        };
        for (axes, keep, expected, values) in [
            (&[-1][..], 1, &[3, 1][..], rows(of)),
            (&[2], 0, &[3], rows(of)),
            (&[1], 0, &[4], columns(of)),
            (&[1, 2], 1, &[1, 1], vec![of(X.to_vec())]),
        ] {
            let found = reduced(axes, keep).unwrap();
            assert_eq!(shape(&found), expected);
            assert_constant(&found, 1.0);
            assert_values(&found, &values);
        }
        assert!(reason(reduced(&[0], 1)).contains("mixes the samples"));
        // Axes as an input.
        let nodes = [node(op, "x a", "y", &[])];
        let found = at(18, &[-1, 3, 4], &[list("a", &[-1])], &nodes, &["y"]);
        assert_values(&found.network().unwrap(), &rows(of));
    }
}

#[test]
fn over_windows() {
    let pool = |more: &[Message]| {
        let attributes = [&[ints("kernel_shape", &[2])], more].concat();
        one(&[-1, 3, 4], &[], "LpPool", "x", &attributes)
    };
    let found = pool(&[ints("strides", &[2])]).unwrap();
    assert_eq!(shape(&found), [3, 2]);
    assert_constant(&found, 1.0);
    let expected: Vec<f64> = X.chunks(2).map(|x| norm(x.to_vec())).collect();
    assert_values(&found, &expected);
    let found = pool(&[ints("pads", &[1, 1])]).unwrap();
    assert_eq!(shape(&found), [3, 5]);
    assert_constant(&found, 2f64.sqrt());
    for p in [1, 3] {
        assert!(reason(pool(&[int("p", p)])).contains("only p = 2"));
        let all = one(&[-1, 3, 4], &[], "GlobalLpPool", "x", &[int("p", p)]);
        assert!(reason(all).contains("only p = 2"));
    }
    let found = one(&[-1, 3, 4], &[], "GlobalLpPool", "x", &[]).unwrap();
    assert_constant(&found, 1.0);
    assert_values(&found, &rows(norm));
}

#[test]
fn written_out() {
    let two = tensor("two", 1, &[], &f32s(&[2.0]));
    let three = tensor("three", 1, &[], &f32s(&[3.0]));
    let constants = [two, three, list("a", &[-1])];
    let sum = |input: &str| {
        node(
            "ReduceSum",
            &format!("{input} a"),
            "s",
            &[int("keepdims", 0)],
        )
    };
    let network = |nodes: &[Message]| net(&[-1, 3, 4], &constants, nodes, &["y"]).network();
    for first in [
        vec![node("Mul", "x x", "q", &[]), sum("q")],
        vec![node("Pow", "x two", "q", &[]), sum("q")],
        vec![node(
            "ReduceSumSquare",
            "x",
            "s",
            &[ints("axes", &[2]), int("keepdims", 0)],
        )],
    ] {
        let found = network(&[first, vec![node("Sqrt", "s", "y", &[])]].concat()).unwrap();
        assert_eq!(shape(&found), [3]);
        assert_constant(&found, 1.0);
        assert_values(&found, &rows(norm));
    }
    let nodes = [
        node("Exp", "x", "q", &[]),
        sum("q"),
        node("Log", "s", "y", &[]),
    ];
    let found = network(&nodes).unwrap();
    assert_constant(&found, 1.0);
    assert_values(&found, &rows(log_sum_exp));
    // Other functions of the same kind.
    for nodes in [
        [
            node("Pow", "x three", "q", &[]),
            sum("q"),
            node("Sqrt", "s", "y", &[]),
        ],
        [
            node("Exp", "x", "q", &[]),
            sum("q"),
            node("Sqrt", "s", "y", &[]),
        ],
        [
            node("Mul", "x x", "q", &[]),
            sum("q"),
            node("Log", "s", "y", &[]),
        ],
    ] {
        assert!(!blockers(network(&nodes)).is_empty());
    }
}

/// m + ln Σe^{x − m}, with the largest entries m written in several ways.
#[test]
fn the_largest_entry_subtracted_first() {
    let constants = [list("a", &[-1]), list("b", &[1])];
    let largest = |name: &str, axis: i64, keep: i64| {
        let attributes = [ints("axes", &[axis]), int("keepdims", keep)];
        node("ReduceMax", "x", name, &attributes)
    };
    let logarithm = |keep: i64| {
        [
            node("Sub", "x m", "d", &[]),
            node("Exp", "d", "q", &[]),
            node("ReduceSum", "q a", "s", &[int("keepdims", keep)]),
            node("Log", "s", "l", &[]),
        ]
    };
    let network = |first: &[Message], keep: i64, last: &[Message]| {
        let nodes = [first, &logarithm(keep), last].concat();
        net(&[-1, 3, 4], &constants, &nodes, &["y"]).network()
    };
    let m = largest("m", 2, 1);
    let squeezed = [
        node("Squeeze", "m a", "n", &[]),
        node("Add", "l n", "y", &[]),
    ];
    for (first, keep, last) in [
        (vec![m.clone()], 1, vec![node("Add", "l m", "y", &[])]),
        (vec![m.clone()], 0, squeezed.to_vec()),
        (
            vec![m.clone(), largest("n", -1, 0)],
            0,
            vec![node("Add", "n l", "y", &[])],
        ),
    ] {
        let found = network(&first, keep, &last).unwrap();
        assert_constant(&found, 1.0);
        assert_values(&found, &rows(log_sum_exp));
    }
    // Over other axes, of another value, or the smallest ones.
    let smallest = node("ReduceMin", "x", "m", &[ints("axes", &[2])]);
    let other = [
        node("Abs", "x", "z", &[]),
        node("ReduceMax", "z", "n", &[ints("axes", &[2])]),
    ];
    for (first, last) in [
        (vec![largest("m", 1, 1)], "l m"),
        (vec![smallest], "l m"),
        ([vec![m.clone()], other.to_vec()].concat(), "l n"),
    ] {
        let result = network(&first, 1, &[node("Add", last, "y", &[])]);
        let upper = result.map_or(f64::INFINITY, |found| constant(&found.network));
        assert!(upper > 1.5, "{last}: {upper}");
    }
    let wrong = [
        node("Squeeze", "m b", "n", &[]),
        node("Add", "l n", "y", &[]),
    ];
    assert!(network(&[largest("m", 1, 1)], 0, &wrong).is_err());
}

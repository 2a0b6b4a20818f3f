//! Functions of shared entries as exporters write them (T43): MaxMin and CReLU.

use super::{assert_constant, at, net, shape, values};
use crate::proto::{Message, int, ints, list, node};
use sigmax_formats::NetworkModel;

/// Channels 3, −1, 2, 5 of one pixel.
const X: [f64; 4] = [3.0, -1.0, 2.0, 5.0];

#[track_caller]
fn assert_values(found: &NetworkModel, expected: &[f64]) {
    let found = values(&found.network, &X);
    assert!(
        found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() <= 0.0)
    );
    assert_eq!(found.len(), expected.len());
}

fn named(op: &str, inputs: &str, output: &str, attributes: &[Message]) -> Message {
    node(op, inputs, output, attributes)
}

#[test]
fn the_larger_and_the_smaller_of_halves() {
    let axis = || int("axis", 1);
    // One Split for both, or slices that are written twice.
    let split = [
        named("Split", "x", "a b", &[axis()]),
        named("Max", "a b", "l", &[]),
        named("Min", "b a", "s", &[]),
        named("Concat", "l s", "y", &[axis()]),
    ];
    let sliced = [
        named("Slice", "x zero two one", "a", &[]),
        named("Slice", "x two four one", "b", &[]),
        named("Max", "a b", "l", &[]),
        named("Slice", "x zero two one", "c", &[]),
        named("Slice", "x two four one", "d", &[]),
        named("Min", "c d", "s", &[]),
        named("Concat", "l s", "y", &[axis()]),
    ];
    let lists = [("zero", 0), ("one", 1), ("two", 2), ("four", 4)];
    let lists = lists.map(|(name, n)| list(name, &[n]));
    for (nodes, what) in [(&split[..], "split"), (&sliced, "sliced")] {
        let found = net(&[-1, 4, 1, 1], &lists, nodes, &["y"]).network();
        let found = found.unwrap_or_else(|error| panic!("{what}: {error:?}"));
        assert_eq!(shape(&found), [4, 1, 1]);
        assert_constant(&found, 1.0);
        assert_values(&found, &[3.0, 5.0, 2.0, -1.0]);
    }
}

#[test]
fn reductions_over_an_axis_of_pairs() {
    let lists = [list("pairs", &[0, 2, 2, 1, 1]), list("all", &[0, 4, 1, 1])];
    for keep in [0, 1] {
        let reduce = |op: &str, output: &str| {
            named(
                op,
                "p",
                output,
                &[ints("axes", &[2]), int("keepdims", keep)],
            )
        };
        let mut nodes = vec![
            named("Reshape", "x pairs", "p", &[]),
            reduce("ReduceMax", "l"),
            reduce("ReduceMin", "s"),
        ];
        if keep == 1 {
            nodes.push(named("Concat", "l s", "c", &[int("axis", 2)]));
            nodes.push(named("Reshape", "c all", "y", &[]));
        } else {
            nodes.push(named("Concat", "l s", "y", &[int("axis", 1)]));
        }
        let found = at(13, &[-1, 4, 1, 1], &lists, &nodes, &["y"]);
        let found = found.network().unwrap();
        assert_eq!(shape(&found), [4, 1, 1]);
        assert_constant(&found, 1.0);
        let expected = if keep == 1 {
            [3.0, -1.0, 5.0, 2.0]
        } else {
            [3.0, 5.0, -1.0, 2.0]
        };
        assert_values(&found, &expected);
    }
}

#[test]
fn what_is_no_pair_has_the_constant_of_two_parts() {
    let axis = || int("axis", 1);
    let nodes = |second: &str| {
        [
            named("Split", "x", "a b c d", &[axis()]),
            named("Max", "a b", "l", &[]),
            named("Min", second, "s", &[]),
            named("Concat", "l s", "y", &[axis()]),
        ]
    };
    for (second, expected) in [("a b", 1.0), ("c d", 1.0), ("a c", 2f64.sqrt())] {
        let found = net(&[-1, 4], &[], &nodes(second), &["y"]).network();
        assert_constant(&found.unwrap(), expected);
    }
}

#[test]
fn both_signs_of_a_value() {
    let axis = || int("axis", 1);
    for (op, expected) in [("Relu", 1.0), ("Abs", 2f64.sqrt()), ("Tanh", 2f64.sqrt())] {
        let nodes = [
            named("Neg", "x", "n", &[]),
            named(op, "x", "a", &[]),
            named(op, "n", "b", &[]),
            named("Concat", "a b", "y", &[axis()]),
        ];
        let found = net(&[-1, 4, 1, 1], &[], &nodes, &["y"]).network().unwrap();
        assert_constant(&found, expected);
        // The concatenation first.
        let nodes = [
            named("Neg", "x", "n", &[]),
            named("Concat", "x n", "c", &[axis()]),
            named(op, "c", "y", &[]),
        ];
        let found = net(&[-1, 4, 1, 1], &[], &nodes, &["y"]).network().unwrap();
        assert_constant(&found, expected);
        if op == "Relu" {
            assert_values(&found, &[3.0, 0.0, 2.0, 5.0, 0.0, 1.0, 0.0, 0.0]);
        }
    }
}

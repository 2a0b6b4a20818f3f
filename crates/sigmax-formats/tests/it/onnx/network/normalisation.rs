//! Normalisations by statistics of one sample, as nodes and written out (T41).
#![allow(
    clippy::disallowed_methods,
    reason = "values are compared with plain arithmetic, up to 1e-12"
)]

use super::{assert_constant, at, blockers, constant, net, reason};
use crate::proto::{Message, counting, f32s, float, int, ints, list, node, tensor};
use sigmax::Options;
use sigmax::network::{Forward, Network, lipschitz};
use sigmax_formats::Model;

const EPSILON: f32 = 1e-3;

fn scalar(name: &str, value: f32) -> Message {
    tensor(name, 1, &[], &f32s(&[value]))
}

fn row(name: &str, values: &[f32]) -> Message {
    let n = i64::try_from(values.len()).unwrap();
    tensor(name, 1, &[n], &f32s(values))
}

/// factor/√ε.
fn steep(factor: f64) -> f64 {
    factor / f64::from(EPSILON).sqrt()
}

#[track_caller]
fn assert_values(network: &Network, x: &[f64], expected: &[f64]) {
    let bounds = lipschitz(network, &Options::default()).unwrap();
    let found = Forward::new(&bounds).unwrap().evaluate(x).unwrap();
    assert_eq!(found[0].values().len(), expected.len());
    for (value, expected) in found[0].values().iter().zip(expected) {
        assert!((value - expected).abs() < 1e-12, "{value} for {expected}");
    }
}

/// A lane normalised by its mean and variance, or by its mean of squares.
fn lane(x: &[f64], centred: bool) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = if centred {
        x.iter().sum::<f64>() / n
    } else {
        0.0
    };
    let squares = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / n;
    let root = (squares + f64::from(EPSILON)).sqrt();
    x.iter().map(|x| (x - mean) / root).collect()
}

fn lanes(x: &[f64], n: usize, centred: bool) -> Vec<f64> {
    x.chunks(n).flat_map(|x| lane(x, centred)).collect()
}

/// Entries 0.5, −1, 1.5, ….
fn entries(n: usize) -> Vec<f64> {
    let entry = |i: usize| (i + 1) as f64 * [0.5, -0.5][i % 2];
    (0..n).map(entry).collect()
}

#[test]
fn over_the_last_axes() {
    let epsilon = || float("epsilon", EPSILON);
    let parameters = [
        counting("g", &[4]),
        counting("b", &[4]),
        row("h", &[2.0; 12]),
    ];
    for (op, opset) in [("LayerNormalization", 17), ("RMSNormalization", 23)] {
        let centred = op == "LayerNormalization";
        let inputs = if centred { "x g b" } else { "x g" };
        let nodes = [node(op, inputs, "y", &[epsilon()])];
        let found = at(opset, &[-1, 3, 4], &parameters, &nodes, &["y"]);
        let found = found.network().unwrap();
        assert_constant(&found, steep(4.0));
        let x = entries(12);
        let mut expected = lanes(&x, 4, centred);
        for (i, y) in expected.iter_mut().enumerate() {
            let factor = (i % 4 + 1) as f64;
            *y = *y * factor + if centred { factor } else { 0.0 };
        }
        assert_values(&found.network, &x, &expected);
        // Two axes at once.
        let both = counting("g", &[3, 4]);
        let nodes = [node(op, "x g", "y", &[epsilon(), int("axis", -2)])];
        let found = at(opset, &[-1, 3, 4], &[both], &nodes, &["y"]);
        assert_constant(&found.network().unwrap(), steep(12.0));
        // The batch, or factors that do not fit.
        let nodes = [node(op, "x g", "y", &[int("axis", 0)])];
        let found = at(opset, &[-1, 3, 4], &parameters, &nodes, &["y"]);
        assert!(reason(found.network()).contains("mixes the samples"));
        let nodes = [node(op, "x h", "y", &[])];
        let found = at(opset, &[-1, 3, 4], &parameters, &nodes, &["y"]);
        assert!(found.network().is_err());
    }
}

#[test]
fn an_epsilon_has_to_keep_the_divisor_from_0() {
    for epsilon in [0.0, -1e-5, f32::NAN, f32::INFINITY] {
        for (op, inputs) in [
            ("LayerNormalization", "x g"),
            ("InstanceNormalization", "x b b"),
        ] {
            let parameters = [counting("g", &[4]), counting("b", &[3])];
            let nodes = [node(op, inputs, "y", &[float("epsilon", epsilon)])];
            let found = net(&[-1, 3, 4], &parameters, &nodes, &["y"]);
            assert!(
                reason(found.network()).contains("epsilon"),
                "{op} {epsilon}"
            );
        }
    }
}

#[test]
fn over_the_pixels_of_a_channel_or_of_a_group() {
    let nodes = [node(
        "InstanceNormalization",
        "x g b",
        "y",
        &[float("epsilon", EPSILON)],
    )];
    let parameters = [counting("g", &[4]), counting("b", &[4])];
    let found = net(&[-1, 4, 2, 3], &parameters, &nodes, &["y"]);
    let found = found.network().unwrap();
    assert_constant(&found, steep(4.0));
    let x = entries(24);
    let scaled = |y: Vec<f64>, per: usize| -> Vec<f64> {
        let factor = |i: usize| (i / per + 1) as f64;
        let all = y.iter().enumerate();
        all.map(|(i, y)| y * factor(i) + factor(i)).collect()
    };
    assert_values(&found.network, &x, &scaled(lanes(&x, 6, true), 6));
    // Factors are per group until opset 20, and per channel since.
    for (opset, parameters, largest, per) in [
        (18, [counting("g", &[2]), counting("b", &[2])], 2.0, 12),
        (21, [counting("g", &[4]), counting("b", &[4])], 4.0, 6),
    ] {
        let attributes = [float("epsilon", EPSILON), int("num_groups", 2)];
        let nodes = [node("GroupNormalization", "x g b", "y", &attributes)];
        let input = [-1, 4, 2, 3];
        let found = at(opset, &input, &parameters, &nodes, &["y"]);
        let found = found.network().unwrap();
        assert_constant(&found, steep(largest));
        assert_values(&found.network, &x, &scaled(lanes(&x, 12, true), per));
        let other = if opset == 18 { 21 } else { 18 };
        let found = at(other, &input, &parameters, &nodes, &["y"]);
        assert!(reason(found.network()).contains("expected ["));
        let attributes = [int("num_groups", 3)];
        let nodes = [node("GroupNormalization", "x g b", "y", &attributes)];
        let found = at(opset, &input, &parameters, &nodes, &["y"]);
        assert!(reason(found.network()).contains("num_groups"));
    }
}

/// How (x − x̄)/√(variance + ε) over the last axis may be written out.
struct Written {
    /// Axes of the first mean, and of the second.
    axes: [i64; 2],
    keep: i64,
    /// What is squared.
    squared: &'static str,
    exponent: f32,
    /// ε added to the variance, or to its root.
    inside: bool,
    epsilon: f32,
    reciprocal: bool,
}

const PLAIN: Written = Written {
    axes: [-1, -1],
    keep: 1,
    squared: "d",
    exponent: 2.0,
    inside: true,
    epsilon: EPSILON,
    reciprocal: false,
};

impl Written {
    fn model(&self) -> Model {
        let mean = |place: usize| {
            [
                ints("axes", &[self.axes[place]]),
                int("keepdims", self.keep),
            ]
        };
        let mut nodes = vec![
            node("ReduceMean", "x", "m", &mean(0)),
            node("Sub", "x m", "d", &[]),
            node("Pow", &format!("{} two", self.squared), "q", &[]),
            node("ReduceMean", "q", "v", &mean(1)),
        ];
        nodes.extend(match self.inside {
            true => [node("Add", "v e", "a", &[]), node("Sqrt", "a", "s", &[])],
            false => [node("Sqrt", "v", "a", &[]), node("Add", "a e", "s", &[])],
        });
        if self.reciprocal {
            nodes.push(node("Reciprocal", "s", "r", &[]));
            nodes.push(node("Mul", "d r", "y", &[]));
        } else {
            nodes.push(node("Div", "d s", "y", &[]));
        }
        let constants = [scalar("two", self.exponent), scalar("e", self.epsilon)];
        net(&[-1, 4, 4], &constants, &nodes, &["y"])
    }
}

#[test]
fn written_out() {
    let x = entries(16);
    for reciprocal in [false, true] {
        let written = Written {
            reciprocal,
            ..PLAIN
        };
        let found = written.model().network().unwrap();
        assert_constant(&found, steep(1.0));
        assert_values(&found.network, &x, &lanes(&x, 4, true));
    }
    // The mean over one axis, the squares over the other: two normalisations of other values, and the
    // mean counts by itself.
    let found = Written {
        axes: [-2, -1],
        ..PLAIN
    }
    .model()
    .network()
    .unwrap();
    assert!(constant(&found.network) >= steep(1.0) * 1.999);
    // The square as a product, axes as an input, of several axes that are no neighbours.
    let nodes = [
        node("ReduceMean", "x axes", "m", &[]),
        node("Sub", "x m", "d", &[]),
        node("Sub", "x m", "d2", &[]),
        node("Mul", "d2 d2", "q", &[]),
        node("ReduceMean", "q axes", "v", &[]),
        node("Add", "e v", "a", &[]),
        node("Pow", "a half", "s", &[]),
        node("Div", "d s", "y", &[]),
    ];
    let constants = [
        scalar("half", 0.5),
        scalar("e", EPSILON),
        list("axes", &[-1, 1]),
    ];
    let found = at(18, &[-1, 2, 3, 2], &constants, &nodes, &["y"]);
    let found = found.network().unwrap();
    assert_constant(&found, steep(1.0));
    let x = entries(12);
    // Entries of axis 2 in turn.
    let turn = |x: &[f64]| -> Vec<f64> {
        let place = |i: usize| (i % 4 / 2) * 6 + i / 4 * 2 + i % 2;
        (0..12).map(|i| x[place(i)]).collect()
    };
    let expected = lanes(&turn(&x), 4, true);
    let bounds = lipschitz(&found.network, &Options::default()).unwrap();
    let values = Forward::new(&bounds).unwrap().evaluate(&x).unwrap();
    for (y, expected) in turn(values[0].values()).iter().zip(expected) {
        assert!((y - expected).abs() < 1e-12);
    }
}

#[test]
fn by_the_mean_of_squares() {
    for written in ["Reciprocal", "Div", "Pow"] {
        let mut nodes = vec![
            node("Pow", "x two", "q", &[]),
            node("ReduceMean", "q", "v", &[ints("axes", &[-1])]),
            node("Add", "v e", "a", &[]),
        ];
        match written {
            "Pow" => nodes.push(node("Pow", "a power", "r", &[])),
            "Div" => nodes.extend([node("Sqrt", "a", "s", &[]), node("Div", "one s", "r", &[])]),
            _ => nodes.extend([
                node("Sqrt", "a", "s", &[]),
                node("Reciprocal", "s", "r", &[]),
            ]),
        }
        nodes.push(node("Mul", "r x", "y", &[]));
        let constants = [
            scalar("two", 2.0),
            scalar("power", -0.5),
            scalar("one", 1.0),
            scalar("e", EPSILON),
        ];
        let found = net(&[-1, 3, 4], &constants, &nodes, &["y"]);
        let found = found.network().unwrap();
        assert_constant(&found, steep(1.0));
        let x = entries(12);
        assert_values(&found.network, &x, &lanes(&x, 4, false));
    }
}

/// What looks like a normalisation and is another function.
#[test]
fn what_is_written_otherwise_is_refused() {
    for (written, what) in [
        (
            Written {
                squared: "x",
                ..PLAIN
            },
            "the variance is that of another value",
        ),
        (
            Written {
                exponent: 3.0,
                ..PLAIN
            },
            "a cube is no square",
        ),
        (
            Written {
                inside: false,
                ..PLAIN
            },
            "ε outside of the root",
        ),
        (
            Written {
                epsilon: 0.0,
                ..PLAIN
            },
            "no ε",
        ),
        (
            Written {
                epsilon: -1e-3,
                ..PLAIN
            },
            "an ε below 0",
        ),
        (
            Written {
                epsilon: f32::NAN,
                ..PLAIN
            },
            "no number",
        ),
        (
            Written { keep: 0, ..PLAIN },
            "means broadcast along another axis",
        ),
        (
            Written {
                axes: [0, 0],
                ..PLAIN
            },
            "over the batch",
        ),
        (
            Written {
                axes: [-1, 0],
                ..PLAIN
            },
            "squares over the batch",
        ),
        (
            Written {
                axes: [0, -1],
                ..PLAIN
            },
            "a mean over the batch",
        ),
    ] {
        assert!(!blockers(written.model().network()).is_empty(), "{what}");
    }
}

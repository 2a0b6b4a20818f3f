//! Products and steps that have a constant although they do not look like it.
#![allow(
    clippy::disallowed_methods,
    reason = "the platform's functions are compared with, up to 1e-12"
)]

use super::{assert_constant, at, net, one, reason, values};
use crate::onnx::network::constant;
use crate::proto::{Message, f32s, float, list, node, tensor};
use sigmax::network::Network;

/// Slopes of T26.
const SILU: f64 = 1.099_839_320_128_86;
const GELU: f64 = 1.128_904_145_185_15;
const GELU_TANH: f64 = 1.128_993_068_658_77;

fn scalar(name: &str, value: f32) -> Message {
    tensor(name, 1, &[], &f32s(&[value]))
}

const POINTS: [f64; 6] = [-3.0, -0.5, 0.0, 0.25, 1.5, 4.0];

#[track_caller]
fn assert_values(network: &Network, expected: impl Fn(f64) -> f64) {
    let found = values(network, &POINTS);
    for (x, value) in POINTS.into_iter().zip(found) {
        assert!(
            (value - expected(x)).abs() < 1e-12,
            "at {x}: {value}, {}",
            expected(x)
        );
    }
}

fn swish(beta: f64) -> impl Fn(f64) -> f64 {
    move |x| x / (1.0 + (-beta * x).exp())
}

/// x·σ(βx) has the slope of x·σ(x) for every β ≠ 0.
#[test]
fn sigmoid_gates() {
    for (op, by, beta) in [
        ("Mul", 1.702f32, 1.702f32.into()),
        ("Mul", -2.0, -2.0),
        ("Div", 4.0, 0.25),
    ] {
        let nodes = [
            node(op, "x k", "z", &[]),
            node("Sigmoid", "z", "s", &[]),
            node("Mul", "s x", "y", &[]),
        ];
        let found = net(&[-1, 6], &[scalar("k", by)], &nodes, &["y"])
            .network()
            .unwrap();
        assert_constant(&found, SILU);
        assert_values(&found.network, swish(beta));
    }
    for (alpha, slope) in [(1.0f32, SILU), (1.702, SILU), (-3.0, SILU), (0.0, 0.5)] {
        let nodes = [node("Swish", "x", "y", &[float("alpha", alpha)])];
        let found = at(24, &[-1, 6], &[], &nodes, &["y"]).network().unwrap();
        assert_constant(&found, slope);
        assert_values(&found.network, swish(alpha.into()));
    }
}

/// x·(αx + ½ cut to [0, 1]) reaches the slope 3/2 where it is cut, whatever α is.
#[test]
fn hard_gates() {
    for alpha in [1.0f32 / 6.0, 0.2, -1.0] {
        let nodes = [
            node("HardSigmoid", "x", "s", &[float("alpha", alpha)]),
            node("Mul", "x s", "y", &[]),
        ];
        let found = net(&[-1, 6], &[], &nodes, &["y"]).network().unwrap();
        assert_constant(&found, 1.5);
        assert_values(&found.network, |x| {
            x * (f64::from(alpha) * x + 0.5).clamp(0.0, 1.0)
        });
    }
}

/// Gelu before opset 20, in the forms that exporters write.
#[test]
fn gelu_of_tanh() {
    let (linear, cubic) = (0.797_884_6_f32, 0.044_715_f32);
    let constants = [
        scalar("half", 0.5),
        scalar("one", 1.0),
        scalar("three", 3.0),
        scalar("b", linear),
        scalar("c", cubic),
    ];
    let cube = [
        vec![node("Pow", "x three", "x3", &[])],
        vec![
            node("Mul", "x x", "x2", &[]),
            node("Mul", "x x2", "x3", &[]),
        ],
    ];
    let mut inner = Vec::new();
    for cube in cube {
        inner.push(
            [
                &cube[..],
                &[
                    node("Mul", "c x3", "cx3", &[]),
                    node("Add", "x cx3", "sum", &[]),
                    node("Mul", "sum b", "z", &[]),
                ],
            ]
            .concat(),
        );
    }
    // b·x·(1 + c·x²).
    inner.push(vec![
        node("Mul", "x x", "x2", &[]),
        node("Mul", "x2 c", "cx2", &[]),
        node("Add", "one cx2", "p", &[]),
        node("Mul", "b x", "bx", &[]),
        node("Mul", "bx p", "z", &[]),
    ]);
    let outer = [
        [
            node("Mul", "x g", "v", &[]),
            node("Mul", "v half", "y", &[]),
        ],
        [
            node("Mul", "x half", "v", &[]),
            node("Mul", "v g", "y", &[]),
        ],
        [
            node("Mul", "g half", "v", &[]),
            node("Mul", "v x", "y", &[]),
        ],
    ];
    let (b, c) = (f64::from(linear), f64::from(cubic));
    for inner in &inner {
        for outer in &outer {
            let gate = [node("Tanh", "z", "t", &[]), node("Add", "t one", "g", &[])];
            let nodes = [&inner[..], &gate, outer].concat();
            let found = net(&[-1, 6], &constants, &nodes, &["y"]).network().unwrap();
            assert_constant(&found, GELU_TANH);
            assert_values(&found.network, |x| {
                0.5 * x * (1.0 + (b * (x + c * x * x * x)).tanh())
            });
        }
    }
    // The factor ½ beside erf.
    let nodes = [
        node("Mul", "x b", "z", &[]),
        node("Erf", "z", "t", &[]),
        node("Add", "t one", "g", &[]),
        node("Mul", "g half", "v", &[]),
        node("Mul", "v x", "y", &[]),
    ];
    let found = net(&[-1, 6], &constants, &nodes, &["y"]).network().unwrap();
    assert_constant(&found, GELU);
    // Another polynomial is none of these, and nothing false is said of it.
    let nodes = [
        node("Tanh", "x", "t", &[]),
        node("Add", "t one", "g", &[]),
        node("Mul", "x g", "y", &[]),
    ];
    let text = reason(net(&[-1, 6], &constants, &nodes, &["y"]).network());
    assert!(text.contains("in general not"), "{text}");
}

#[test]
fn soft_thresholds() {
    let shrink = |lambd, bias| {
        let attributes = [float("lambd", lambd), float("bias", bias)];
        one(&[-1, 6], &[], "Shrink", "x", &attributes)
    };
    let found = shrink(0.25, 0.25).unwrap();
    assert_constant(&found, 1.0);
    assert_values(&found.network, |x| x - x.clamp(-0.25, 0.25));
    for (lambd, bias) in [(0.5, 0.0), (0.5, 0.25)] {
        assert!(reason(shrink(lambd, bias)).contains("jumps"));
    }
    assert!(reason(shrink(-1.0, -1.0)).contains("lambd"));
    let relu = one(
        &[-1, 6],
        &[],
        "ThresholdedRelu",
        "x",
        &[float("alpha", 0.0)],
    );
    assert!((constant(&relu.unwrap().network) - 1.0).abs() < 1e-9);
    let jump = one(&[-1, 6], &[], "ThresholdedRelu", "x", &[]);
    assert!(reason(jump).contains("jumps"));
}

#[test]
fn what_is_said_of_sizes_and_axes() {
    use crate::proto::{counting, ints};
    // Longer than its input gives.
    let attributes = [ints("output_shape", &[9])];
    let text = reason(one(
        &[-1, 1, 4],
        &[counting("w", &[1, 1, 2])],
        "ConvTranspose",
        "x w",
        &attributes,
    ));
    assert!(text.contains("zeros of the rest"), "{text}");
    // No batch axis.
    let matrix = [counting("w", &[3, 4])];
    let text = reason(one(&[4, 5], &matrix, "MatMul", "w x", &[]));
    assert!(
        text.contains("4 entries") && text.contains("no batch axis"),
        "{text}"
    );
    let text = reason(one(&[-1, 4], &[list("p", &[1, 0])], "Transpose", "x", &[]));
    assert!(text.contains("moves the batch axis"), "{text}");
    // A constant that is not folded: what helps.
    let nodes = [node("Exp", "c", "e", &[]), node("Mul", "x e", "y", &[])];
    let text = reason(net(&[-1, 4], &[counting("c", &[4])], &nodes, &["y"]).network());
    assert!(text.contains("fold the constants"), "{text}");
}

/// The reference of ONNX and onnxruntime differ where a scale does not come out even.
#[test]
fn corners_of_sizes_that_are_rounded() {
    use crate::proto::text;
    let corners = text("coordinate_transformation_mode", "align_corners");
    for mode in ["nearest", "linear"] {
        let resize = |scale: f32| {
            let scales = tensor("s", 1, &[3], &f32s(&[1.0, 1.0, scale]));
            one(
                &[-1, 1, 5],
                &[scales],
                "Resize",
                "x _ s",
                &[corners.clone(), text("mode", mode)],
            )
        };
        let refused = reason(resize(1.5));
        assert!(refused.contains("onnxruntime differ"), "{refused}");
        assert!(resize(2.0).is_ok(), "{mode}");
    }
}

/// max(x, c) and min(x, c) with one c per entry.
#[test]
fn extrema_with_a_vector() {
    let c = [-1.0f32, 0.5, 0.25, -0.5, 2.0, 3.0];
    let constant = tensor("c", 1, &[6], &f32s(&c));
    for op in ["Max", "Min"] {
        let found = one(&[-1, 6], std::slice::from_ref(&constant), op, "c x", &[]).unwrap();
        assert_constant(&found, 1.0);
        let found = values(&found.network, &POINTS);
        for ((x, c), y) in POINTS.into_iter().zip(c).zip(found) {
            let c = f64::from(c);
            let expected = if op == "Max" { x.max(c) } else { x.min(c) };
            assert!((y - expected).abs() < 1e-12, "{op} at {x}: {y}");
        }
    }
}

/// All entries along an axis in the order of size, and what is another function of them.
#[test]
fn sorted_entries() {
    let k = |k: i64| [list("k", &[k])];
    for (largest, expected) in [
        (1, [4.0, 1.5, 0.25, 0.0, -0.5, -3.0]),
        (0, [-3.0, -0.5, 0.0, 0.25, 1.5, 4.0]),
    ] {
        let attributes = [crate::proto::int("largest", largest)];
        let nodes = [node("TopK", "x k", "y i", &attributes)];
        let found = at(11, &[-1, 6], &k(6), &nodes, &["y"]).network().unwrap();
        assert_constant(&found, 1.0);
        let shuffled = [0.25, 4.0, -3.0, 1.5, -0.5, 0.0];
        assert_eq!(values(&found.network, &shuffled), expected);
    }
    // Pairs of neighbours: 1 as well.
    let constants = [list("k", &[2]), list("pairs", &[-1, 3, 2])];
    let nodes = [
        node("Reshape", "x pairs", "p", &[]),
        node("TopK", "p k", "y i", &[]),
    ];
    let found = at(11, &[1, 6], &constants, &nodes, &["y"])
        .network()
        .unwrap();
    assert_constant(&found, 1.0);
    assert_eq!(
        values(&found.network, &POINTS),
        [-0.5, -3.0, 0.25, 0.0, 4.0, 1.5]
    );
    // Fewer of them, the batch, no order, and the places, which jump.
    let attribute = |name, value| vec![crate::proto::int(name, value)];
    for (k_of, attributes, outputs) in [
        (5, vec![], "y"),
        (6, attribute("axis", 0), "y"),
        (6, attribute("sorted", 0), "y"),
        (6, vec![], "i"),
    ] {
        let nodes = [node("TopK", "x k", "y i", &attributes)];
        let found = at(11, &[-1, 6], &k(k_of), &nodes, &[outputs]);
        assert!(found.network().is_err(), "{attributes:?} {outputs}");
    }
}

/// ln of a sigmoid is a softplus; ln of anything else has no bounded slope.
#[test]
fn logarithms_of_sigmoids() {
    let nodes = [node("Sigmoid", "x", "s", &[]), node("Log", "s", "y", &[])];
    let found = net(&[-1, 6], &[], &nodes, &["y"]).network().unwrap();
    assert_constant(&found, 1.0);
    assert_values(&found.network, |x| -(1.0 + (-x).exp()).ln());
    let nodes = [node("Softplus", "x", "s", &[]), node("Log", "s", "y", &[])];
    assert!(net(&[-1, 6], &[], &nodes, &["y"]).network().is_err());
}

/// x where it is positive and αx elsewhere; what jumps, or bends elsewhere, is refused.
#[test]
fn a_choice_by_the_sign() {
    let constants = |limit: f32| [scalar("a", 0.2), scalar("zero", limit)];
    let leaky = |x: f64| if x > 0.0 { x } else { f64::from(0.2f32) * x };
    for (compare, choice) in [("Greater", "c x z"), ("LessOrEqual", "c z x")] {
        let nodes = [
            node("Mul", "a x", "z", &[]),
            node(compare, "x zero", "c", &[]),
            node("Where", choice, "y", &[]),
        ];
        let found = net(&[-1, 6], &constants(0.0), &nodes, &["y"]);
        let found = found.network().unwrap();
        assert_constant(&found, 1.0);
        assert_values(&found.network, leaky);
        // Another limit, or the branches exchanged.
        let found = net(&[-1, 6], &constants(0.5), &nodes, &["y"]);
        assert!(found.network().is_err());
        let mut nodes = nodes;
        nodes[1] = node(compare, "zero x", "c", &[]);
        let found = net(&[-1, 6], &constants(0.0), &nodes, &["y"]);
        assert!(found.network().is_err());
    }
    let nodes = [
        node("Greater", "x zero", "c", &[]),
        node("Where", "c x zero", "y", &[]),
    ];
    let found = net(&[-1, 6], &constants(0.0), &nodes, &["y"]);
    let found = found.network().unwrap();
    assert_values(&found.network, |x| x.max(0.0));
    let nodes = [
        node("Greater", "x zero", "c", &[]),
        node("Where", "c x a", "y", &[]),
    ];
    let found = net(&[-1, 6], &constants(0.0), &nodes, &["y"]);
    assert!(found.network().is_err());
}

/// The type of the second input counts: one of 16 bits rounds.
#[test]
fn casts_to_the_type_of_another_value() {
    let wide = tensor("w", 1, &[1], &f32s(&[2.0]));
    let narrow = tensor("w", 10, &[1], &[0, 60]);
    let whole = list("w", &[1]);
    for (like, constant, fits) in [
        ("x", &wide, true),
        ("w", &wide, true),
        ("w", &narrow, false),
        ("w", &whole, false),
    ] {
        let nodes = [
            node("Relu", "x", "r", &[]),
            node("CastLike", &format!("r {like}"), "y", &[]),
        ];
        let found = net(&[-1, 6], std::slice::from_ref(constant), &nodes, &["y"]).network();
        assert_eq!(found.is_ok(), fits, "{like}");
    }
}

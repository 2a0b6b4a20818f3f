//! Constants that the graph computes (T40).

use sigmax::network::{Arithmetic, Certifier, lipschitz};
use sigmax::{Bracket, Options};
use sigmax_formats::Model;

use super::network::{assert_constant, net, reason};
use super::{assert_kernel, only, open, refused};
use crate::proto::{Message, counting, f32s, float, int, ints, list, node, tensor};

/// The weight `w` that nodes compute, multiplied from the right.
fn through(initializers: &[Message], nodes: &[Message]) -> Model {
    let nodes = [nodes, &[node("MatMul", "x w", "y", &[])]].concat();
    open(&[3, 2], initializers, &nodes)
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    tensor(name, 1, dims, &f32s(values))
}

/// The norm of the only layer between its ends.
#[track_caller]
fn ends(model: &Model) -> Bracket {
    let layer = only(model);
    let weight = model.read_weight(layer).unwrap();
    let audit = layer.audit(&weight, &Options::default()).unwrap();
    audit.norm().bracket()
}

/// Nodes that compute `s` = (2⁶⁰ + b) − 2⁶⁰, in f64 a multiple of 256, and what they read.
fn cancelled(b: f32) -> (Vec<Message>, Vec<Message>) {
    let values = [
        floats("a", &[], &[(1u64 << 60) as f32]),
        floats("b", &[], &[b]),
    ];
    let nodes = [node("Add", "a b", "t", &[]), node("Sub", "t a", "s", &[])];
    (values.to_vec(), nodes.to_vec())
}

#[test]
fn quantised_weights_are_exact() {
    let int8 = |values: &[i8]| -> Vec<u8> { values.iter().map(|v| v.cast_unsigned()).collect() };
    let halves = [0, 0x38, 0, 0x40]; // ½ and 2
    let brains = [0x00, 0x3f, 0x00, 0x40];
    for (weights, attributes, expected) in [
        // Per tensor, with a zero point.
        (
            vec![
                tensor("q", 3, &[2, 2], &int8(&[-128, 127, 1, 2])),
                floats("s", &[], &[0.5]),
                tensor("z", 3, &[], &int8(&[1])),
            ],
            vec![],
            [-64.5, 0.0, 63.0, 0.5],
        ),
        // Per column, counted from the end and from the start, in 16 bits.
        (
            vec![
                tensor("q", 2, &[2, 2], &[0, 255, 1, 2]),
                tensor("s", 10, &[2], &halves),
                tensor("z", 2, &[2], &[128, 1]),
            ],
            vec![int("axis", -1)],
            [-64.0, -63.5, 508.0, 2.0],
        ),
        (
            vec![
                tensor("q", 5, &[2, 2], &[0, 0x80, 0xff, 0x7f, 1, 0, 2, 0]),
                tensor("s", 16, &[2], &brains),
                tensor("z", 5, &[2], &[0; 4]),
            ],
            vec![int("axis", 0)],
            [-16384.0, 2.0, 16383.5, 4.0],
        ),
        // E4M3: 1, −2, 0.5, 448.
        (
            vec![
                tensor("q", 17, &[2, 2], &[0x38, 0xc0, 0x30, 0x7e]),
                floats("s", &[1], &[2.0]),
                tensor("z", 17, &[1], &[0]),
            ],
            vec![],
            [2.0, 1.0, -4.0, 896.0],
        ),
        // Of 4 bits, the first in the lower half; blocks of one row.
        (
            vec![
                tensor("q", 22, &[2, 2], &[0xf8, 0x17]),
                floats("s", &[2, 2], &[1.0, 2.0, 3.0, 4.0]),
                tensor("z", 22, &[2, 2], &[0x00, 0x10]),
            ],
            vec![int("axis", 0), int("block_size", 1)],
            [-8.0, 21.0, -2.0, 0.0],
        ),
        // The last block is shorter.
        (
            vec![
                tensor("q", 21, &[2, 2], &[0x21, 0x43]),
                floats("s", &[2, 1], &[1.0, 10.0]),
                tensor("z", 21, &[2, 1], &[0x21]),
            ],
            vec![int("axis", 1), int("block_size", 3)],
            [0.0, 10.0, 1.0, 20.0],
        ),
    ] {
        let model = through(
            &weights,
            &[node("DequantizeLinear", "q s z", "w", &attributes)],
        );
        assert_kernel(&model, only(&model), &expected);
        assert!(
            only(&model).notes[0].contains("exactly"),
            "{:?}",
            only(&model).notes
        );
    }
}

#[test]
fn a_large_int32_weight_and_one_in_fields() {
    let values: Vec<u8> = (0..128i32).flat_map(|v| (v - 3).to_le_bytes()).collect();
    let q = tensor("q", 6, &[2, 64], &values);
    let scale = floats("s", &[], &[0.25]);
    let nodes = [
        node("DequantizeLinear", "q s", "d", &[]),
        node("Transpose", "d", "e", &[]),
        node("MatMul", "x e", "y", &[]),
    ];
    let model = open(&[3, 64], &[q, scale.clone()], &nodes);
    let expected: Vec<f64> = (0..128).map(|v| (f64::from(v) - 3.0) / 4.0).collect();
    assert_eq!(only(&model).shape, [2, 64]);
    assert_kernel(&model, only(&model), &expected);
    let fields = |value: i64| {
        let q = Message::new().ints(1, &[2, 2]).int(2, 3).text(8, "q");
        let q = q.packed(5, &[1, -2, 3, value]);
        through(
            &[q, scale.clone()],
            &[node("DequantizeLinear", "q s", "w", &[])],
        )
    };
    let model = fields(-128);
    assert_kernel(&model, only(&model), &[0.25, 0.75, -0.5, -32.0]);
    assert!(refused(&fields(128)).reason.contains("128 is no Int8"));
}

#[test]
fn quantisation_that_does_not_fit() {
    let q = tensor("q", 3, &[2, 2], &[1, 2, 3, 4]);
    let fails = |scale: Message, zero: Option<Message>, attributes: &[Message]| {
        let inputs = if zero.is_some() { "q s z" } else { "q s" };
        let weights: Vec<Message> = [Some(q.clone()), Some(scale), zero]
            .into_iter()
            .flatten()
            .collect();
        let nodes = [node("DequantizeLinear", inputs, "w", attributes).text(3, "dq")];
        let reason = refused(&through(&weights, &nodes)).reason.clone();
        assert!(
            reason.contains("node \"dq\" (DequantizeLinear)"),
            "{reason}"
        );
    };
    fails(floats("s", &[3], &[1.0; 3]), None, &[]);
    fails(floats("s", &[2], &[1.0; 2]), None, &[int("axis", 2)]);
    fails(floats("s", &[2], &[1.0; 2]), None, &[int("axis", -3)]);
    fails(
        floats("s", &[2, 2], &[1.0; 4]),
        None,
        &[int("block_size", 2)],
    );
    fails(floats("s", &[2, 2], &[1.0; 4]), None, &[]);
    let zero = tensor("z", 3, &[2], &[0; 2]);
    fails(
        floats("s", &[2, 1], &[1.0; 2]),
        Some(zero),
        &[int("block_size", 2)],
    );
    // A scale that is no number.
    fails(floats("s", &[], &[f32::INFINITY]), None, &[]);
}

#[test]
fn moves_are_exact() {
    let cube = || counting("a", &[2, 4]);
    for (weights, nodes) in [
        (
            vec![
                cube(),
                list("starts", &[0, 3]),
                list("ends", &[9, -9]),
                list("axes", &[0, 1]),
                list("steps", &[1, -2]),
            ],
            vec![node("Slice", "a starts ends axes steps", "w", &[])],
        ),
        (
            vec![cube(), list("i", &[3, -3])],
            vec![node("Gather", "a i", "w", &[int("axis", 1)])],
        ),
        (
            vec![
                floats("p", &[2, 1], &[4.0, 8.0]),
                floats("q", &[2, 1], &[2.0, 6.0]),
            ],
            vec![node("Concat", "p q", "w", &[int("axis", -1)])],
        ),
        (
            vec![cube(), list("parts", &[1, 1, 1, 1])],
            vec![
                node("Split", "a parts", "b c d e", &[int("axis", 1)]),
                node("Concat", "e c", "w", &[int("axis", 1)]),
            ],
        ),
        (
            vec![
                floats("b", &[2, 1], &[4.0, 8.0]),
                floats("c", &[1, 2], &[1.0, 1.0]),
                list("to", &[2, 2]),
                floats("d", &[2, 2], &[0.0, 2.0, 0.0, 2.0]),
            ],
            vec![
                node("Expand", "b to", "e", &[]),
                node("Mul", "e c", "f", &[]),
                node("Sub", "f d", "w", &[]),
            ],
        ),
        (
            // A number of an attribute, cast to the type of the weight.
            vec![floats("b", &[2, 2], &[2.0, 1.0, 4.0, 3.0])],
            vec![
                node("Constant", "", "two", &[float("value_float", 2.0)]),
                node("CastLike", "two b", "c", &[]),
                node("Mul", "b c", "w", &[]),
            ],
        ),
        (
            vec![
                floats("b", &[1, 2], &[4.0, 2.0]),
                list("pads", &[0, 0, 1, 0]),
                floats("c", &[2, 2], &[0.0, 0.0, 8.0, 6.0]),
            ],
            vec![
                node("Pad", "b pads", "e", &[]),
                node("Add", "e c", "w", &[]),
            ],
        ),
    ] {
        let model = through(&weights, &nodes);
        // [in, out] = [[4, 2], [8, 6]].
        assert_kernel(&model, only(&model), &[4.0, 8.0, 2.0, 6.0]);
    }
}

#[test]
fn arithmetic_that_is_exact() {
    let a = || floats("a", &[2, 2], &[1.0, -2.0, 3.0, 4.0]);
    for (weights, nodes, expected) in [
        (
            vec![a()],
            vec![node("Abs", "a", "b", &[]), node("Neg", "b", "w", &[])],
            [-1.0, -3.0, -2.0, -4.0],
        ),
        (
            vec![a()],
            vec![node("MatMul", "a a", "w", &[])],
            [-5.0, 15.0, -10.0, 10.0],
        ),
        (
            vec![a(), list("axes", &[1])],
            vec![
                node("ReduceSum", "a axes", "m", &[]),
                node("Mul", "a m", "w", &[]),
            ],
            [-1.0, 21.0, 2.0, 28.0],
        ),
        (
            vec![a()],
            vec![
                node(
                    "ReduceMax",
                    "a",
                    "m",
                    &[ints("axes", &[0]), int("keepdims", 0)],
                ),
                node("Max", "a m", "w", &[]),
            ],
            [3.0, 3.0, 4.0, 4.0],
        ),
        (
            vec![a(), floats("two", &[], &[2.0])],
            vec![node("Pow", "a two", "s", &[]), node("Sqrt", "s", "w", &[])],
            [1.0, 3.0, 2.0, 4.0],
        ),
        (
            vec![a()],
            vec![node(
                "Gemm",
                "a a a",
                "w",
                &[float("alpha", 2.0), float("beta", -1.0), int("transB", 1)],
            )],
            [9.0, -13.0, -8.0, 46.0],
        ),
    ] {
        let model = through(&weights, &nodes);
        assert_kernel(&model, only(&model), &expected);
    }
}

#[test]
fn an_error_is_part_of_both_ends() {
    // 100 becomes 0 and 200 becomes 256.
    for (b, computed) in [(100.0f32, 0.0), (200.0, 256.0)] {
        let (values, nodes) = cancelled(b);
        let weights = [values, vec![floats("one", &[2, 2], &[1.0; 4])]].concat();
        let nodes = [nodes, vec![node("Mul", "one s", "w", &[])]].concat();
        let model = through(&weights, &nodes);
        let ends = ends(&model);
        let exact = 2.0 * f64::from(b);
        assert!(
            ends.contains(exact),
            "{ends:?} for {exact}, computed {computed}"
        );
        assert!(ends.upper().get() < 1000.0);
        let error = model.read_kernel(only(&model)).unwrap_err().to_string();
        assert!(error.contains("read_weight"), "{error}");
        assert!(only(&model).notes[0].contains("rounds beside"));
    }
}

#[test]
fn the_error_of_a_scalar_counts_in_every_entry() {
    let (values, nodes) = cancelled(200.0);
    let weights = [values.clone(), vec![floats("one", &[3, 3], &[1.0; 9])]].concat();
    let dense = [
        nodes.clone(),
        vec![
            node("Add", "one s", "w", &[]),
            node("MatMul", "x w", "y", &[]),
        ],
    ];
    // Every entry is 201 and computed as 257.
    let dense = ends(&open(&[3, 3], &weights, &dense.concat()));
    assert!(dense.contains(603.0), "{dense:?}");
    // Nine taps of one channel: more than ‖E‖_F = 3·56 apart.
    let weights = [values, vec![floats("one", &[1, 1, 3, 3], &[1.0; 9])]].concat();
    let conv = [
        nodes,
        vec![
            node("Add", "one s", "w", &[]),
            node("Conv", "x w", "y", &[ints("pads", &[1, 1, 1, 1])]),
        ],
    ];
    let conv = ends(&open(&[1, 1, -1, -1], &weights, &conv.concat()));
    assert!(conv.contains(1809.0), "{conv:?}");
}

#[test]
fn networks_carry_the_error() {
    for (b, name) in [(100.0f32, "w"), (200.0, "w")] {
        let (values, nodes) = cancelled(b);
        let weights = [values, vec![floats("one", &[2, 2], &[1.0; 4])]].concat();
        let layers = [
            node("Mul", "one s", name, &[]),
            node("MatMul", "x w", "h", &[]),
            node("Relu", "h", "r", &[]),
            node("MatMul", "r one", "y", &[]),
        ];
        let nodes = [nodes, layers.to_vec()].concat();
        let model = net(&[-1, 2], &weights, &nodes, &["y"]);
        let found = model.network().unwrap();
        let bounds = lipschitz(&found.network, &Options::default()).unwrap();
        let exact = 4.0 * f64::from(b);
        assert!(
            (exact..2000.0).contains(&bounds.upper().get()),
            "{}",
            bounds.upper().get()
        );
        assert_eq!(found.network.inexact().unwrap().name, "h");
        // Nobody takes the kernel for the weight.
        assert_eq!(found.kernel(model.layers[0].id()), None);
        assert!(found.kernel(model.layers[1].id()).is_some());
        let certifier = Certifier::new(&found.network, &Options::default(), Arithmetic::Real);
        let error = certifier.unwrap_err().to_string();
        assert!(
            error.contains("\"h\"") && error.contains("store the weight"),
            "{error}"
        );
    }
}

#[test]
fn what_is_no_number_is_refused_by_name() {
    let w = || floats("a", &[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let zero = floats("zero", &[], &[0.0]);
    for (nodes, part) in [
        (
            vec![node("Div", "a zero", "w", &[]).text(3, "n")],
            "may be 0",
        ),
        (
            vec![
                node("Neg", "a", "b", &[]),
                node("Sqrt", "b", "w", &[]).text(3, "n"),
            ],
            "root",
        ),
        (
            vec![node("Mul", "a inf", "w", &[]).text(3, "n")],
            "no finite number",
        ),
        (vec![node("Exp", "a", "w", &[]).text(3, "n")], "not folded"),
    ] {
        let weights = [w(), zero.clone(), floats("inf", &[], &[f32::NEG_INFINITY])];
        let reason = refused(&through(&weights, &nodes)).reason.clone();
        assert!(
            reason.contains("node \"n\"") && reason.contains(part),
            "{reason}"
        );
    }
    // Computed as 0, and 100: what may be 0 divides nothing.
    let (values, nodes) = cancelled(100.0);
    let nodes = [nodes, vec![node("Div", "a4 s", "w", &[])]].concat();
    let weights = [values, vec![floats("a4", &[2, 2], &[1.0; 4])]].concat();
    assert!(
        refused(&through(&weights, &nodes))
            .reason
            .contains("may be 0")
    );
    let model = net(
        &[-1, 2],
        &weights,
        &[nodes, vec![node("MatMul", "x w", "y", &[])]].concat(),
        &["y"],
    );
    assert!(reason(model.network()).contains("may be 0"));
}

#[test]
fn division_by_tiny_values_and_long_sums() {
    let weights = [
        floats("a", &[2, 2], &[1e-45, 0.0, 0.0, 1e-45]),
        floats("b", &[], &[1e-45]),
    ];
    let model = through(&weights, &[node("Div", "a b", "w", &[])]);
    assert_kernel(&model, only(&model), &[1.0, 0.0, 0.0, 1.0]);
    // A square that leaves the range of f64 is no 0.
    let small = 1e-200f64.to_le_bytes();
    let weights = [tensor("a", 11, &[1, 2], &[small, small].concat())];
    let nodes = [
        node("Mul", "a a", "s", &[]),
        node("MatMul", "x t", "y", &[]),
        node("Transpose", "s", "t", &[]),
    ];
    let ends = ends(&open(&[3, 2], &weights, &nodes));
    assert!(
        ends.lower().get() <= 0.0 && ends.upper().get() > 0.0,
        "{ends:?}"
    );
    // 10⁵ numbers of 24 bits: their sum is exact in f64.
    let weights = [
        floats("a", &[100_000, 2], &[0.1; 200_000]),
        list("axes", &[0]),
        floats("o", &[2, 2], &[1.0, 0.0, 0.0, 1.0]),
    ];
    let nodes = [
        node("ReduceSum", "a axes", "s", &[]),
        node("Mul", "o s", "w", &[]),
    ];
    let sum = 1e5 * f64::from(0.1f32);
    let model = through(&weights, &nodes);
    assert_kernel(&model, only(&model), &[sum, 0.0, 0.0, sum]);
}

#[test]
fn a_spectral_norm_comes_out_at_one() {
    // σ = uᵀWv of rotated diag(1, 3)/… with its own vectors.
    let (c, s) = (0.6f32, 0.8f32);
    let entries = [
        3.0 * c * c + s * s,
        2.0 * c * s,
        2.0 * c * s,
        3.0 * s * s + c * c,
    ];
    let weights = [floats("a", &[2, 2], &entries), floats("u", &[2], &[c, s])];
    let nodes = [
        node("MatMul", "a u", "wv", &[]),
        node("Mul", "u wv", "p", &[]),
        node("ReduceSum", "p", "sigma", &[int("keepdims", 0)]),
        node("Div", "a sigma", "w", &[]),
    ];
    let ends = ends(&through(&weights, &nodes));
    assert!(
        ends.upper().get() < 1.0 + 1e-6 && ends.lower().get() > 1.0 - 1e-6,
        "{ends:?}"
    );
}

#[test]
fn weight_norm_and_standardisation() {
    let values = [1.0f32, 2.0, -3.0, 0.5, 4.0, 1.5, -2.5, 0.25];
    let weights = [
        floats("v", &[2, 4], &values),
        floats("g", &[2, 1], &[2.0, 3.0]),
        floats("eps", &[], &[1e-5]),
        list("axes", &[1]),
    ];
    let norm_of = |nodes: &[Message]| {
        let last = [
            node("Transpose", "w", "t", &[]),
            node("MatMul", "x t", "y", &[]),
        ];
        ends(&open(&[3, 4], &weights, &[nodes, &last].concat()))
    };
    let rows = |edit: &dyn Fn(&[f64], usize) -> Vec<f64>| {
        let all: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
        let entries = all
            .chunks(4)
            .enumerate()
            .flat_map(|(i, row)| edit(row, i))
            .collect();
        let kernel = sigmax::Kernel::new(&[2, 4], entries).unwrap();
        let audit = sigmax::audit(&kernel, &sigmax::Conv::new(0), &Options::default()).unwrap();
        audit.norm().bracket().upper().get()
    };
    let found = norm_of(&[
        node("ReduceL2", "v", "n", &[ints("axes", &[1])]),
        node("Div", "v n", "d", &[]),
        node("Mul", "g d", "w", &[]),
    ]);
    let expected = rows(&|row, i| {
        let n = row.iter().map(|v| v * v).sum::<f64>().sqrt();
        row.iter().map(|v| [2.0, 3.0][i] * v / n).collect()
    });
    assert!(
        (found.upper().get() / expected - 1.0).abs() < 1e-6,
        "{found:?} {expected}"
    );
    let found = norm_of(&[
        node("ReduceMean", "v", "m", &[ints("axes", &[-1])]),
        node("Sub", "v m", "c", &[]),
        node("Mul", "c c", "q", &[]),
        node("ReduceMean", "q", "var", &[ints("axes", &[1])]),
        node("Add", "var eps", "e", &[]),
        node("Sqrt", "e", "r", &[]),
        node("Div", "c r", "w", &[]),
    ]);
    let expected = rows(&|row, _| {
        let m = row.iter().sum::<f64>() / 4.0;
        let var = row.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / 4.0;
        row.iter()
            .map(|v| (v - m) / (var + f64::from(1e-5f32)).sqrt())
            .collect()
    });
    assert!(
        (found.upper().get() / expected - 1.0).abs() < 1e-6,
        "{found:?} {expected}"
    );
}

/// Weights that a BatchNormalization standardises by their own statistics, or shifts and scales by stated ones.
#[test]
fn a_batch_norm_of_weights() {
    let values = [1.0f32, 2.0, -3.0, 0.5, 4.0, 1.5, -2.5, 0.25];
    let weights = [
        floats("v", &[1, 2, 4], &values),
        floats("g", &[2], &[2.0, 3.0]),
        floats("b", &[2], &[0.5, -1.0]),
        floats("mean", &[2], &[0.25, 1.0]),
        floats("variance", &[2], &[4.0, 0.5]),
        list("shape", &[2, 4]),
    ];
    for (training, attribute) in [(false, 0), (true, 1)] {
        let attributes = [float("epsilon", 1e-3), int("training_mode", attribute)];
        let outputs = if training { "n m s" } else { "n" };
        let nodes = [
            node(
                "BatchNormalization",
                "v g b mean variance",
                outputs,
                &attributes,
            ),
            node("Reshape", "n shape", "w", &[]),
            node("Transpose", "w", "t", &[]),
            node("MatMul", "x t", "y", &[]),
        ];
        let found = ends(&open(&[3, 4], &weights, &nodes));
        let mut entries = Vec::new();
        for (i, row) in values.chunks(4).enumerate() {
            let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
            let mut mean = [0.25, 1.0][i];
            let mut variance = [4.0, 0.5][i];
            if training {
                mean = row.iter().sum::<f64>() / 4.0;
                variance = row.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / 4.0;
            }
            let root = (variance + f64::from(1e-3f32)).sqrt();
            let entry = |v: &f64| (v - mean) / root * [2.0, 3.0][i] + [0.5, -1.0][i];
            entries.extend(row.iter().map(entry));
        }
        let kernel = sigmax::Kernel::new(&[2, 4], entries).unwrap();
        let audit = sigmax::audit(&kernel, &sigmax::Conv::new(0), &Options::default()).unwrap();
        let (upper, expected) = (found.upper().get(), audit.norm().bracket());
        assert!(upper >= expected.lower().get() && upper <= expected.upper().get() * 1.000_001);
    }
}

#[test]
fn a_batch_norm_in_nodes() {
    // γ(x − μ)/√(σ² + ε) + β of two channels: 3/√0.2525 and −2/√4.0025.
    let channel = |name: &str, values: [f32; 2]| floats(name, &[1, 2, 1, 1], &values);
    let weights = [
        channel("mean", [0.5, 1.0]),
        channel("var", [0.25, 4.0]),
        floats("eps", &[], &[0.0025]),
        channel("gamma", [3.0, -2.0]),
        channel("beta", [1.0, 0.0]),
    ];
    let nodes = [
        node("Sub", "x mean", "a", &[]),
        node("Add", "var eps", "v", &[]),
        node("Sqrt", "v", "r", &[]),
        node("Div", "a r", "b", &[]),
        node("Mul", "b gamma", "c", &[]),
        node("Add", "c beta", "y", &[]),
    ];
    let found = net(&[-1, 2, 3, 3], &weights, &nodes, &["y"])
        .network()
        .unwrap();
    assert_constant(&found, 3.0 / (0.25 + f64::from(0.0025f32)).sqrt() - 1e-12);
}

#[test]
fn what_depends_on_the_run_stays_refused() {
    let weights = [counting("a", &[2, 2]), list("zero", &[0])];
    let shape = node("Shape", "x", "n", &[]);
    for (first, part) in [
        (
            vec![
                shape.clone(),
                node("Gather", "n zero", "i", &[]),
                node("Cast", "i", "f", &[int("to", 1)]),
            ],
            "batch",
        ),
        (vec![node("RandomNormalLike", "a", "f", &[])], "random"),
        (
            vec![
                node("NonZero", "x", "z", &[]),
                node("Shape", "z", "n", &[]),
                node("Gather", "n zero", "i", &[]),
                node("Cast", "i", "f", &[int("to", 1)]),
            ],
            "shape",
        ),
    ] {
        let nodes = [
            first,
            vec![
                node("Mul", "a f", "w", &[]),
                node("MatMul", "x w", "y", &[]),
            ],
        ]
        .concat();
        let reason = refused(&open(&[-1, 2], &weights, &nodes)).reason.clone();
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn executions_in_float32_round_what_is_computed() {
    // (2²⁶ + 1) − 2²⁶ is 1, exactly so in f64, and 0 in float32.
    let exact = [floats("a", &[], &[67_108_864.0]), floats("b", &[], &[1.0])];
    let sums = vec![node("Add", "a b", "t", &[]), node("Sub", "t a", "s", &[])];
    let quantised = [tensor("q", 3, &[], &[3]), floats("h", &[], &[0.1])];
    let scaled = vec![node("DequantizeLinear", "q h", "s", &[])];
    for (weights, nodes, covered) in [(exact, sums, false), (quantised, scaled, true)] {
        let nodes = [nodes, vec![node("Mul", "x s", "y", &[])]].concat();
        let found = net(&[-1, 2], &weights, &nodes, &["y"]).network().unwrap();
        assert!(found.network.inexact().is_none());
        assert!(found.precision.check(Arithmetic::Real).is_ok());
        assert_eq!(found.precision.check(Arithmetic::Float32).is_ok(), covered);
        assert_eq!(found.notes.is_empty(), covered, "{:?}", found.notes);
    }
}

#[test]
fn a_cast_of_what_is_computed_is_no_identity() {
    let weights = [counting("a", &[2, 2]), floats("three", &[], &[3.0])];
    let nodes = |to| {
        [
            node("Div", "a three", "b", &[]),
            node("Cast", "b", "w", &[int("to", to)]),
        ]
    };
    assert!(
        refused(&through(&weights, &nodes(10)))
            .reason
            .contains("narrower")
    );
    assert!(ends(&through(&weights, &nodes(11))).upper().get() < 2.0);
}

#[test]
fn a_small_file_does_not_ask_for_much() {
    let weights = [
        floats("a", &[1, 1], &[1.0]),
        list("to", &[1 << 20, 1 << 20]),
    ];
    let model = through(&weights, &[node("Expand", "a to", "w", &[])]);
    assert!(refused(&model).reason.contains("at most"));
    // Sixty-four doublings of the work.
    let mut nodes = vec![node("Identity", "b", "a0", &[])];
    for i in 0..64 {
        let (from, to) = (format!("a{i} a{i}"), format!("a{}", i + 1));
        nodes.push(node("Mul", &from, &to, &[]));
    }
    nodes.push(node("Identity", "a64", "w", &[]));
    let model = through(&[floats("b", &[2, 2], &[1.0; 4])], &nodes);
    assert!(
        refused(&model).reason.contains("operations"),
        "{:?}",
        refused(&model)
    );
}

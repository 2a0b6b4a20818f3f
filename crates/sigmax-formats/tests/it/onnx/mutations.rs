//! Random damage: the reader returns, whatever the bytes are.

use proptest::prelude::*;
use sigmax_formats::Model;

use super::graph;
use crate::proto::{Message, counting, f32s, int, ints, list, model, node, tensor, text, value};

/// Models that use most of the reader.
fn seeds() -> Vec<Vec<u8>> {
    let convs = graph(
        &[1, 2, 9, -1],
        &[
            counting("a", &[4, 2, 3, 3]),
            counting("b", &[4, 1, 2, 2]),
            list("pads", &[0, 0, 1, 1, 0, 0, 1, 1]),
        ],
        &[
            node("Pad", "x pads", "p", &[text("mode", "reflect")]),
            node("Conv", "p a", "u", &[ints("strides", &[2, 2])]),
            node(
                "MaxPool",
                "u",
                "v",
                &[ints("kernel_shape", &[2, 2]), int("ceil_mode", 1)],
            ),
            node(
                "ConvTranspose",
                "v b",
                "w",
                &[text("auto_pad", "SAME_UPPER"), int("group", 2)],
            ),
            node("Shape", "w", "s", &[]),
            node("Reshape", "w s", "y", &[]),
        ],
    );
    let dense = graph(
        &[3, 4],
        &[
            counting("a", &[2, 4]),
            tensor("b", 10, &[1, 1, 4, 1], &[0x3c; 8]),
            tensor("k", 1, &[1], &f32s(&[2.0])),
        ],
        &[
            node("Constant", "", "c", &[value("value", &counting("", &[8]))]),
            node("Constant", "", "s", &[ints("value_ints", &[4, -1])]),
            node("Reshape", "c s", "d", &[]),
            node("MatMul", "x d", "e", &[]),
            node("Cast", "b", "f", &[int("to", 1)]),
            node("Transpose", "a", "g", &[ints("perm", &[1, 0])]),
            node("Gemm", "x g", "h", &[int("transB", 0)]),
            node("MatMul", "x f", "i", &[]),
            node("Slice", "c k k", "j", &[]),
        ],
    );
    vec![model(17, &convs).0, model(12, &dense).0, whole().0]
}

/// A model that is a network.
fn whole() -> Message {
    let nodes = [
        node("Conv", "x a", "u", &[text("auto_pad", "SAME_LOWER")]),
        node("Sigmoid", "u", "s", &[]),
        node("Mul", "u s", "v", &[]),
        node("Pad", "v pads", "p", &[text("mode", "edge")]),
        node("AveragePool", "p", "q", &[ints("kernel_shape", &[2, 2])]),
        node("Resize", "q _ scales", "r", &[]),
        node("Split", "r", "b c", &[int("axis", 1)]),
        node("Sub", "b c", "d", &[]),
        node("Concat", "d b d", "e", &[int("axis", 3)]),
        node("Slice", "e cut ten cut", "f", &[]),
        node("Transpose", "f", "g", &[ints("perm", &[0, 2, 3, 1])]),
        node("Mul", "g k", "h", &[]),
        node("ReduceMax", "h", "i", &[ints("axes", &[3])]),
        node("Expand", "i to", "j", &[]),
        node("Reshape", "j shape", "l", &[]),
        node("Gather", "l cut", "m", &[int("axis", 1)]),
        node("Unsqueeze", "m cut", "o", &[]),
        node("Clip", "o k", "y", &[]),
    ];
    let initializers = [
        counting("a", &[4, 2, 2, 2]),
        list("pads", &[0, 1, 0, 0, 0, 1, 0, 1]),
        tensor("scales", 1, &[4], &f32s(&[1.0, 1.0, 2.0, 1.5])),
        tensor("k", 1, &[], &f32s(&[3.0])),
        list("cut", &[1]),
        list("ten", &[10]),
        list("to", &[1, 1, 1, 3]),
        list("shape", &[-1, 6, 81]),
    ];
    let graph = graph(&[-1, 2, 4, 6], &initializers, &nodes);
    model(17, &graph.message(12, &Message::new().text(1, "y")))
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(u8),
    Set(u8),
    Insert(u8),
    Delete,
    Cut,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        4 => (0u8..8).prop_map(Damage::Flip),
        4 => any::<u8>().prop_map(Damage::Set),
        2 => any::<u8>().prop_map(Damage::Insert),
        2 => Just(Damage::Delete),
        1 => Just(Damage::Cut),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_models(
        seed in 0usize..3,
        damages in prop::collection::vec((any::<prop::sample::Index>(), damage()), 1..6),
    ) {
        let mut bytes = seeds().swap_remove(seed);
        for (index, damage) in damages {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match damage {
                Damage::Flip(bit) => bytes[at] ^= 1 << bit,
                Damage::Set(value) => bytes[at] = value,
                Damage::Insert(value) => bytes.insert(at, value),
                Damage::Delete => drop(bytes.remove(at)),
                Damage::Cut => bytes.truncate(at),
            }
        }
        if let Ok(mut model) = Model::from_bytes("damaged.onnx", bytes) {
            for layer in &model.layers {
                let _ = model.read_kernel(layer);
            }
            let _ = model.network();
            let _ = model.set_input_size(&[9, 9]);
            let _ = model.network();
        }
    }
}

#[test]
fn the_seeds_are_valid() {
    for (seed, layers) in seeds().into_iter().zip([2, 3, 1]) {
        let model = Model::from_bytes("seed.onnx", seed).unwrap();
        assert_eq!(model.layers.len(), layers, "{:?}", model.skipped);
        for layer in &model.layers {
            model.read_kernel(layer).unwrap();
        }
    }
}

#[test]
fn the_last_seed_is_a_network() {
    let model = Model::from_bytes("seed.onnx", whole().0).unwrap();
    let found = model.network().unwrap();
    assert!(found.network.nodes().len() > 15);
}

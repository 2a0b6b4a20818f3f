//! In which floating-point types a graph is executed.

use super::{assert_constant, reason};
use crate::onnx::{graph, read};
use crate::proto::{Message, f32s, int, model, node, tensor};
use sigmax::network::Arithmetic;
use sigmax_formats::{NetworkModel, Precision};

/// An input called `x` of a type, of shape [-1, 2].
fn input(data_type: i64) -> Message {
    let open = Message::new().text(2, "n");
    let two = Message::new().int(1, 2);
    let shape = Message::new().message(1, &open).message(1, &two);
    let tensor = Message::new().int(1, data_type).message(2, &shape);
    Message::new()
        .text(1, "x")
        .message(2, &Message::new().message(1, &tensor))
}

/// The network of x·w (`w` the identity of a type), after and before some nodes.
fn network(data_type: i64, weight: i64, nodes: &[Message]) -> NetworkModel {
    let one: Vec<u8> = match weight {
        1 => f32s(&[1.0, 0.0, 0.0, 1.0]),
        10 => vec![0, 0x3c, 0, 0, 0, 0, 0, 0x3c],
        16 => vec![0x80, 0x3f, 0, 0, 0, 0, 0x80, 0x3f],
        _ => [1f64, 0.0, 0.0, 1.0]
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect(),
    };
    let graph = nodes
        .iter()
        .fold(
            Message::new().message(11, &input(data_type)),
            |graph, node| graph.message(1, node),
        )
        .message(5, &tensor("w", weight, &[2, 2], &one))
        .message(12, &Message::new().text(1, "y"));
    read(&model(17, &graph)).unwrap().network().unwrap()
}

fn cast(from: &str, to: &str, data_type: i64) -> Message {
    node("Cast", from, to, &[int("to", data_type)])
}

#[test]
fn sixteen_bits_are_not_executed_in_float32() {
    let product = [node("MatMul", "x w", "y", &[])];
    let then_wide = [node("MatMul", "x w", "v", &[]), cast("v", "y", 1)];
    // The input is rounded to 16 bits.
    let wide_at_once = [cast("x", "v", 1), node("MatMul", "v w", "y", &[])];
    for (found, weight) in [
        (network(10, 10, &product), 10),
        (network(16, 16, &product), 16),
        (network(10, 10, &then_wide), 10),
        (network(10, 1, &wide_at_once), 1),
        // The input has no type, or another one than the weight.
        (network(0, 10, &product), 10),
        (network(1, 16, &product), 16),
    ] {
        assert_eq!(found.precision, Precision::Sixteen, "{weight}");
        let reason = found.precision.check(Arithmetic::Float32).unwrap_err();
        assert!(
            reason.contains("16 bits") && reason.contains("--float32"),
            "{reason}"
        );
        found.precision.check(Arithmetic::Real).unwrap();
        assert!(
            found.notes[0].contains("real arithmetic"),
            "{:?}",
            found.notes
        );
        assert_constant(&found, 1.0);
    }
}

#[test]
fn weights_of_16_bits_that_are_widened_are_float32() {
    let nodes = [cast("w", "v", 1), node("MatMul", "x v", "y", &[])];
    for weight in [10, 16] {
        let found = network(1, weight, &nodes);
        assert_eq!(found.precision, Precision::Single);
        assert_eq!(found.notes, [""; 0]);
        found.precision.check(Arithmetic::Float32).unwrap();
    }
}

#[test]
fn float64() {
    let product = [node("MatMul", "x w", "y", &[])];
    let found = network(11, 11, &product);
    assert_eq!(found.precision, Precision::Double);
    found.precision.check(Arithmetic::Float32).unwrap();
    let narrow = [cast("x", "v", 1), node("MatMul", "v w", "y", &[])];
    let found = network(11, 1, &narrow);
    assert_eq!(found.precision, Precision::Mixed);
    let reason = found.precision.check(Arithmetic::Float32).unwrap_err();
    assert!(reason.contains("float64"), "{reason}");
}

/// A cast to 16 bits in the middle jumps.
#[test]
fn a_cast_to_16_bits_is_refused() {
    let nodes = [cast("x", "v", 10), cast("v", "y", 1)];
    let graph = graph(&[-1, 2], &[], &nodes).message(12, &Message::new().text(1, "y"));
    let found = read(&model(17, &graph)).unwrap().network();
    assert!(reason(found).contains("16 bits"));
}

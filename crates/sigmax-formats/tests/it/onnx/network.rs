//! Networks of graphs.

mod batch;
mod constants;
mod contractions;
mod folds;
mod integers;
mod normalisation;
mod operators;
mod precision;
mod products;
mod refusals;
mod resize;
mod shared;

use sigmax::Options;
use sigmax::network::{Forward, Network, lipschitz};
use sigmax_formats::{Model, NetworkError, NetworkModel, Refused};

use super::read;
use crate::proto::{Message, counting, info, model, node};

/// A graph whose outputs are those listed, of opset 17.
pub(crate) fn net(
    input: &[i64],
    initializers: &[Message],
    nodes: &[Message],
    outputs: &[&str],
) -> Model {
    at(17, input, initializers, nodes, outputs)
}

/// The same for another opset.
pub(crate) fn at(
    opset: i64,
    input: &[i64],
    initializers: &[Message],
    nodes: &[Message],
    outputs: &[&str],
) -> Model {
    let graph = super::graph(input, initializers, nodes);
    let graph = outputs.iter().fold(graph, |graph, name| {
        graph.message(12, &Message::new().text(1, name))
    });
    read(&model(opset, &graph)).unwrap()
}

/// The network of one node `y` of an input `x`.
pub(crate) fn one(
    input: &[i64],
    initializers: &[Message],
    op: &str,
    inputs: &str,
    attributes: &[Message],
) -> Result<NetworkModel, NetworkError> {
    let nodes = [node(op, inputs, "y", attributes)];
    net(input, initializers, &nodes, &["y"]).network()
}

/// The shape of the first output.
pub(crate) fn shape(found: &NetworkModel) -> Vec<usize> {
    let network = &found.network;
    network.node(network.outputs()[0]).shape.clone()
}

/// The first output at an input.
pub(crate) fn values(network: &Network, x: &[f64]) -> Vec<f64> {
    let bounds = lipschitz(network, &Options::default()).unwrap();
    let forward = Forward::new(&bounds).unwrap();
    forward.evaluate(x).unwrap()[0].values().to_vec()
}

/// A proved constant.
pub(crate) fn constant(network: &Network) -> f64 {
    lipschitz(network, &Options::default())
        .unwrap()
        .upper()
        .get()
}

/// Whether a proved constant is `expected`, not below it and hardly above.
#[track_caller]
pub(crate) fn assert_constant(found: &NetworkModel, expected: f64) {
    let upper = constant(&found.network);
    assert!(
        (expected..expected * 1.001 + 1e-300).contains(&upper),
        "{upper} for {expected}"
    );
}

/// What stands between a model and its network.
#[track_caller]
pub(crate) fn blockers(result: Result<NetworkModel, NetworkError>) -> Vec<Refused> {
    match result {
        Err(NetworkError::NoRule(none)) => none.blockers,
        other => panic!("{other:?}"),
    }
}

/// The one reason why there is no network.
#[track_caller]
pub(crate) fn reason(result: Result<NetworkModel, NetworkError>) -> String {
    let blockers = blockers(result);
    let [only] = &blockers[..] else {
        panic!("{blockers:?}");
    };
    only.reason.clone()
}

#[test]
fn the_example_is_a_network() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/mnist-cnn.onnx");
    let model = Model::open(path.as_ref()).unwrap();
    let found = model.network().unwrap();
    assert_eq!(found.network.input().shape, [1, 28, 28]);
    assert_eq!(shape(&found), [10]);
    assert_eq!(found.layers().count(), model.layers.len());
    for layer in &model.layers {
        let node = found.network.node(found.node(layer.id()).unwrap());
        assert_eq!(node.name, layer.name);
        let kernel = model.read_kernel(layer).unwrap();
        assert_eq!(found.kernel(layer.id()), Some(&kernel));
    }
    assert!(constant(&found.network) > 1.0);
}

#[test]
fn files_without_a_graph_have_none() {
    let bytes = [&2u64.to_le_bytes()[..], b"{}"].concat();
    let model = Model::from_bytes("a.safetensors", bytes).unwrap();
    let error = model.network().unwrap_err().to_string();
    assert!(error.contains("safetensors file has no graph"), "{error}");
}

#[test]
fn nodes_that_no_output_needs_are_left_out() {
    let nodes = [
        node("Exp", "x", "e", &[]),
        node("MatMul", "e w", "dead", &[]),
        node("MatMul", "x w", "m", &[]),
        node("Relu", "m", "y", &[]),
    ];
    let model = net(&[-1, 2], &[counting("w", &[2, 2])], &nodes, &["y", "m"]);
    let found = model.network().unwrap();
    let names: Vec<_> = found
        .network
        .nodes()
        .iter()
        .map(|n| n.name.as_str())
        .collect();
    assert_eq!(names, ["input", "m", "y"]);
    assert_eq!(found.network.outputs().len(), 2);
    let nodes = [0, 1].map(|i| found.node(model.layers[i].id()));
    let [None, Some(id)] = nodes else {
        panic!("{nodes:?}");
    };
    assert_eq!(found.network.node(id).name, "m");
}

#[test]
fn a_file_out_of_order() {
    let nodes = [node("Add", "x r", "y", &[]), node("Relu", "x", "r", &[])];
    let found = net(&[-1, 2], &[], &nodes, &["y"]).network().unwrap();
    assert_constant(&found, 2.0);
}

#[test]
fn an_input_that_is_the_output() {
    let found = net(&[-1, 2], &[], &[], &["x"]).network().unwrap();
    assert_eq!(found.network.nodes().len(), 1);
    let two = Message::new()
        .message(11, &info("x", &[1, 2]))
        .message(11, &info("z", &[1, 2]))
        .message(1, &node("Add", "x z", "y", &[]))
        .message(12, &Message::new().text(1, "y"));
    let two = read(&model(17, &two)).unwrap();
    assert!(reason(two.network()).contains("second input"));
}

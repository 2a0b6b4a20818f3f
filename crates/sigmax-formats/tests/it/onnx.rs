//! The ONNX reader.

mod computed;
mod constants;
mod external;
mod files;
mod geometry;
mod hostile;
mod layers;
mod mutations;
mod network;
mod padded;
mod sizes;

use sigmax_formats::{Error, LayerSpec, Model, Refused};

use crate::proto::{Message, info, model};

/// A graph with the input `x`.
pub(crate) fn graph(input: &[i64], initializers: &[Message], nodes: &[Message]) -> Message {
    let graph = Message::new().message(11, &info("x", input));
    let graph = initializers.iter().fold(graph, |g, i| g.message(5, i));
    nodes.iter().fold(graph, |g, n| g.message(1, n))
}

pub(crate) fn read(message: &Message) -> Result<Model, Error> {
    Model::from_bytes("test.onnx", message.0.clone())
}

/// A model of opset 17.
pub(crate) fn open(input: &[i64], initializers: &[Message], nodes: &[Message]) -> Model {
    read(&model(17, &graph(input, initializers, nodes))).unwrap()
}

/// The text of the error of a model of opset 17.
pub(crate) fn error(input: &[i64], initializers: &[Message], nodes: &[Message]) -> String {
    read(&model(17, &graph(input, initializers, nodes)))
        .unwrap_err()
        .to_string()
}

pub(crate) fn only(model: &Model) -> &LayerSpec {
    assert_eq!(model.skipped.refused, []);
    let [layer] = &model.layers[..] else {
        panic!("{} layers: {:?}", model.layers.len(), model.skipped);
    };
    layer
}

pub(crate) fn refused(model: &Model) -> &Refused {
    assert!(model.layers.is_empty(), "{:?}", model.layers);
    let [refused] = &model.skipped.refused[..] else {
        panic!("{:?}", model.skipped);
    };
    refused
}

/// The kernel as the core sees it, told by the entries of its four matrices: what a layer with the
/// same values and shape has.
pub(crate) fn assert_kernel(model: &Model, layer: &LayerSpec, values: &[f64]) {
    let kernel = model.read_kernel(layer).unwrap();
    let expected = sigmax::Kernel::new(&layer.shape, values.to_vec()).unwrap();
    assert_eq!(kernel, expected);
}

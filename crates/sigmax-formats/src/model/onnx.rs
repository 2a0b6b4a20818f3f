//! ONNX: a graph of operators, with weights that are read only when a layer's kernel is.
//!
//! The file is gone through once for its structure ([`proto`], [`literal`], [`attribute`]); then
//! every value gets a [`facts::Fact`] in topological order ([`infer`]): its shape as far as it
//! follows from the graph, its integers, and the tensor behind it where it is a constant that was
//! only moved. Layers ([`layers`]) and the network ([`lower`]) are read off these facts. Everything is linear in the size of the file, and what is
//! not understood is unknown or refused, never guessed.

mod arguments;
mod attribute;
mod broadcast;
mod computed;
mod contraction;
mod conv;
mod dense;
mod draft;
mod external;
mod facts;
mod infer;
mod integers;
mod layers;
mod limits;
mod literal;
mod lower;
mod numbers;
mod order;
mod padded;
mod parsed;
mod proto;
mod resize;
mod shapes;
mod size;
mod spatial;
mod state;
mod window;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::layer::LayerSpec;
use crate::model::network::{NetworkError, NetworkModel};
use crate::model::skipped::Skipped;

use attribute::Attribute;
use facts::{Context, Known};
use literal::Content;
use parsed::{Declared, Parsed};
use state::State;

/// The structure of an ONNX file.
#[derive(Clone, Debug)]
pub(crate) struct Graph {
    parsed: Arc<Parsed>,
    /// The spatial size that was set, and of which value.
    size: Option<(usize, Vec<usize>)>,
    /// Whether somebody says that axis 0 of the input is no batch.
    no_batch: bool,
    /// What follows from both, once [`layers`] has gone through the graph.
    known: Option<Arc<Known>>,
}

impl Graph {
    /// Reads the structure; external data is looked for in `folder`, and refused without one.
    pub(crate) fn read(source: &Source, folder: Option<&Path>) -> Result<Self, Error> {
        let parsed = proto::model(&mut State::new(source, folder))?;
        Ok(Self {
            parsed: Arc::new(parsed),
            size: None,
            no_batch: false,
            known: None,
        })
    }

    /// The files of external data: names in the model's folder, and paths.
    pub(crate) fn external(&self) -> Vec<(String, PathBuf)> {
        let mut graphs = vec![&*self.parsed];
        let mut literals = Vec::new();
        while let Some(graph) = graphs.pop() {
            literals.extend(graph.initializers.iter().map(|(_, literal)| literal));
            for node in &graph.nodes {
                graphs.extend(node.bodies.iter().map(|(_, body)| body));
                literals.extend(node.attributes.iter().filter_map(|(_, value)| match value {
                    Attribute::Tensor(literal) => Some(&**literal),
                    _ => None,
                }));
            }
            let functions = graph.functions.values();
            graphs.extend(functions.filter_map(|function| function.body.as_ref().ok()));
        }
        let mut files: Vec<(String, PathBuf)> = literals
            .into_iter()
            .filter_map(|literal| match &literal.content {
                Content::Float(tensor) => tensor.external(),
                Content::Codes(codes, _) => codes.external(),
                Content::Integers(_) | Content::Opaque(_) => None,
            })
            .map(|path| {
                let name = path.file_name().unwrap_or(path.as_os_str());
                (name.to_string_lossy().into_owned(), path.to_owned())
            })
            .collect();
        files.sort();
        files.dedup();
        files
    }

    /// Takes every axis of the input for one of the sample.
    pub(crate) fn set_no_batch(&mut self) {
        self.no_batch = true;
    }

    /// Sets the spatial size of the one graph input that has `size.len()` spatial axes.
    pub(crate) fn set_input_size(&mut self, size: &[usize]) -> Result<(), String> {
        let parsed = &self.parsed;
        if size.is_empty() || size.iter().any(|n| !(1..=limits::EXTENT).contains(n)) {
            return Err(format!("expected sizes from 1 to {}", limits::EXTENT));
        }
        let initialised: HashSet<_> = parsed.initializers.iter().map(|(value, _)| value).collect();
        let has_axes = |input: &&Declared| {
            input
                .dims
                .as_ref()
                .is_some_and(|dims| dims.len() == size.len() + 2)
                && !initialised.contains(&input.value)
        };
        let mut inputs: Vec<_> = parsed.inputs.iter().filter(has_axes).collect();
        if inputs.len() > 1 {
            inputs.retain(|input| spatial(input).any(|n| n.is_none()));
        }
        let [input] = inputs[..] else {
            return Err(format!(
                "expected one input of the graph with {} spatial axes whose size is not fixed, \
                 found {}",
                size.len(),
                inputs.len()
            ));
        };
        if spatial(input)
            .zip(size)
            .any(|(fixed, &n)| fixed.is_some_and(|fixed| fixed != n))
        {
            let fixed: Vec<_> = spatial(input)
                .map(|n| n.map_or_else(|| "?".to_owned(), |n| n.to_string()))
                .collect();
            return Err(format!(
                "the graph fixes the size of its input {:?} to {}",
                parsed.names[input.value],
                fixed.join("×")
            ));
        }
        self.size = Some((input.value, size.to_vec()));
        self.known = None;
        Ok(())
    }
}

fn spatial(input: &Declared) -> impl Iterator<Item = Option<usize>> {
    input.dims.iter().flatten().skip(2).copied()
}

/// The layers of the graph, in the order of the file, and what is not one.
pub(crate) fn layers(
    source: &Source,
    graph: &mut Graph,
) -> Result<(Vec<LayerSpec>, Skipped), Error> {
    let context = Context::new(source, &graph.parsed, graph.size.as_ref())?;
    let found = layers::layers(&context)?;
    graph.known = Some(Arc::new(context.known()));
    Ok(found)
}

/// The network of the graph.
pub(crate) fn network(source: &Source, graph: &Graph) -> Result<NetworkModel, NetworkError> {
    let parsed = &graph.parsed;
    let context = match &graph.known {
        Some(known) => Context::with(source, parsed, known),
        None => Context::new(source, parsed, graph.size.as_ref())?,
    };
    lower::network(context, graph.no_batch)
}

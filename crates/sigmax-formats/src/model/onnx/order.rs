//! Who makes each value, and an order in which every value is made before it is used.

use crate::bytes::source::Source;
use crate::error::Error;

use super::parsed::{Node, Parsed};

/// What a value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Producer {
    Nobody,
    Input,
    Initializer,
    /// An initializer that is a graph input too: a caller may replace it.
    Replaceable,
    Node(usize),
}

/// The links between nodes and values.
#[derive(Debug)]
pub(super) struct Links {
    /// Per value.
    pub(super) producers: Vec<Producer>,
    /// Per value, whether anything but input 0 of a Conv uses it.
    pub(super) used_elsewhere: Vec<bool>,
    /// All nodes, each after those that make its inputs.
    pub(super) order: Vec<usize>,
}

/// [`Error::Node`].
pub(super) fn node_error(source: &Source, node: &Node, label: &str, reason: String) -> Error {
    Error::Node {
        file: source.file().to_owned(),
        node: label.to_owned(),
        op: node.op.clone(),
        reason,
    }
}

/// What a node is called: its name, else that of its first output, else its place in the file.
pub(super) fn label(parsed: &Parsed, index: usize) -> String {
    let node = &parsed.nodes[index];
    if !node.name.is_empty() {
        return node.name.clone();
    }
    match node.outputs.iter().flatten().next() {
        Some(&output) => parsed.names[output].clone(),
        None => format!("node {index}"),
    }
}

/// Links the nodes.
///
/// # Errors
/// A value that is made twice, one that is used and made by nobody, or a cycle.
pub(super) fn link(source: &Source, parsed: &Parsed) -> Result<Links, Error> {
    let producers = producers(source, parsed)?;
    let mut used_elsewhere = vec![false; producers.len()];
    for &output in &parsed.outputs {
        used_elsewhere[output] = true;
    }
    for (index, node) in parsed.nodes.iter().enumerate() {
        for (place, &input) in node.inputs.iter().enumerate() {
            let Some(input) = input else { continue };
            if producers[input] == Producer::Nobody {
                let reason = format!(
                    "its input {:?} is made by no node, initializer or graph input",
                    parsed.names[input]
                );
                return Err(node_error(source, node, &label(parsed, index), reason));
            }
            used_elsewhere[input] |= place > 0 || node.op != "Conv" || !node.domain.is_empty();
        }
    }
    let order = order(source, parsed, &producers)?;
    Ok(Links {
        producers,
        used_elsewhere,
        order,
    })
}

fn producers(source: &Source, parsed: &Parsed) -> Result<Vec<Producer>, Error> {
    let mut producers = vec![Producer::Nobody; parsed.names.len()];
    for input in &parsed.inputs {
        if producers[input.value] != Producer::Nobody {
            return Err(source.malformed(
                0,
                format!(
                    "two graph inputs are called {:?}",
                    parsed.names[input.value]
                ),
            ));
        }
        producers[input.value] = Producer::Input;
    }
    let initialised = parsed.initializers.iter().map(|(value, _)| *value);
    for value in initialised.chain(parsed.sparse.iter().copied()) {
        producers[value] = match producers[value] {
            Producer::Nobody => Producer::Initializer,
            Producer::Input => Producer::Replaceable,
            _ => return Err(source.bad_tensor(&parsed.names[value], "it is initialised twice")),
        };
    }
    for &value in &parsed.captured {
        producers[value] = Producer::Input;
    }
    for (index, node) in parsed.nodes.iter().enumerate() {
        for &output in node.outputs.iter().flatten() {
            if producers[output] != Producer::Nobody {
                let reason = format!(
                    "its output {:?} is also made elsewhere in the graph",
                    parsed.names[output]
                );
                return Err(node_error(source, node, &label(parsed, index), reason));
            }
            producers[output] = Producer::Node(index);
        }
    }
    Ok(producers)
}

/// Kahn's algorithm.
fn order(source: &Source, parsed: &Parsed, producers: &[Producer]) -> Result<Vec<usize>, Error> {
    let made_by = |input: &Option<usize>| match input.map(|value| producers[value]) {
        Some(Producer::Node(index)) => Some(index),
        _ => None,
    };
    let mut waits_for = vec![0usize; parsed.nodes.len()];
    let mut users = vec![Vec::new(); parsed.nodes.len()];
    for (index, node) in parsed.nodes.iter().enumerate() {
        for before in node.inputs.iter().filter_map(made_by) {
            waits_for[index] += 1;
            users[before].push(index);
        }
    }
    let mut order: Vec<usize> = (0..parsed.nodes.len())
        .filter(|&index| waits_for[index] == 0)
        .collect();
    let mut next = 0;
    while let Some(&index) = order.get(next) {
        next += 1;
        for &user in &users[index] {
            waits_for[user] -= 1;
            if waits_for[user] == 0 {
                order.push(user);
            }
        }
    }
    let Some(mut stuck) = waits_for.iter().position(|&count| count > 0) else {
        return Ok(order);
    };
    // A node that waits has an input whose maker waits; that many steps back lies on a cycle.
    for _ in 0..parsed.nodes.len() {
        let inputs = &parsed.nodes[stuck].inputs;
        if let Some(before) = inputs
            .iter()
            .filter_map(made_by)
            .find(|&b| waits_for[b] > 0)
        {
            stuck = before;
        }
    }
    Err(node_error(
        source,
        &parsed.nodes[stuck],
        &label(parsed, stuck),
        "it depends on its own output: the graph has a cycle".to_owned(),
    ))
}

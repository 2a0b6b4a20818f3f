//! [`Plan`]: which nodes lie between the data input and the outputs.

use std::collections::{HashMap, HashSet};

use sigmax::PaddingMode;

use crate::model::network::NoNetwork;

use super::super::facts::Context;
use super::super::layers::draft;
use super::super::literal::{element, type_name};
use super::super::order::Producer;
use super::super::parsed::Node;
use super::super::size::Size;
use super::lowering::Sample;
use super::pattern::{Pattern, pattern};

/// The nodes to lower, each after those it reads.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) nodes: Vec<usize>,
    /// The data input.
    pub(super) input: usize,
    /// Products that are an activation function of one value.
    pub(super) patterns: HashMap<usize, Pattern>,
    /// Convolutions that a Pad node is part of, with that node's input.
    pub(super) folded: HashMap<usize, usize>,
    /// Values that are read.
    pub(super) read: HashSet<usize>,
}

impl Plan {
    /// Goes back from the outputs.
    pub(super) fn new(context: &Context<'_>) -> Result<Self, NoNetwork> {
        let parsed = context.parsed;
        let refuse = |value: usize, kind: &str, reason: &str| {
            NoNetwork::one(&parsed.names[value], kind, reason.to_owned())
        };
        let mut plan = Self {
            nodes: Vec::new(),
            input: 0,
            patterns: HashMap::new(),
            folded: HashMap::new(),
            read: HashSet::new(),
        };
        for &output in &parsed.outputs {
            if context.facts[output].is_constant() {
                let reason = "it does not depend on the input";
                return Err(refuse(output, "output", reason));
            }
        }
        let mut needed = vec![false; parsed.nodes.len()];
        let mut inputs = Vec::new();
        let mut stack: Vec<usize> = parsed.outputs.clone();
        while let Some(value) = stack.pop() {
            if !plan.read.insert(value) {
                continue;
            }
            match context.links.producers[value] {
                Producer::Node(index) if !needed[index] => {
                    needed[index] = true;
                    stack.extend(plan.sources(context, index));
                }
                Producer::Node(_) => {}
                Producer::Nobody => {
                    return Err(refuse(value, "output", "it is made by no node"));
                }
                _ => inputs.push(value),
            }
        }
        inputs.sort_unstable();
        match inputs[..] {
            [input] => plan.input = input,
            [] => {
                return Err(NoNetwork::one(
                    "outputs",
                    "output",
                    "there are none that depend on an input of the graph".to_owned(),
                ));
            }
            [_, ref more @ ..] => {
                let mut error = NoNetwork {
                    blockers: Vec::new(),
                };
                for &value in more {
                    let reason = "a second input of the graph that the outputs depend on; networks \
                                  of one input are covered";
                    error
                        .blockers
                        .append(&mut refuse(value, "input", reason).blockers);
                }
                return Err(error);
            }
        }
        plan.nodes = ordered(context, &needed);
        Ok(plan)
    }

    /// The values that a node reads, constants and what is folded into it left out.
    fn sources(&mut self, context: &Context<'_>, index: usize) -> Vec<usize> {
        let node = &context.parsed.nodes[index];
        if let Some(found) = pattern(context, node) {
            let input = found.input;
            self.patterns.insert(index, found);
            return vec![input];
        }
        let mut sources: Vec<usize> = (0..node.inputs.len())
            .filter_map(|place| context.varying(node, place))
            .collect();
        if let Some((border, input)) = padded(context, node) {
            self.folded.insert(index, input);
            sources.retain(|&value| value != border);
            sources.push(input);
        }
        sources
    }

    /// One sample of the input: without axis 0, or all of it (`whole`), a first axis of length 1 left out.
    pub(super) fn sample(&self, context: &Context<'_>, whole: bool) -> Result<Sample, NoNetwork> {
        let name = &context.parsed.names[self.input];
        let refuse = |reason: String| Err(NoNetwork::one(name, "input", reason));
        let declared = context
            .parsed
            .inputs
            .iter()
            .find(|input| input.value == self.input);
        let kind = declared.map_or(0, |input| input.element);
        if kind != 0 && element(kind).is_none() {
            return refuse(format!(
                "it holds {}; expected a float type",
                type_name(kind)
            ));
        }
        let Some(dims) = &context.facts[self.input].dims else {
            return refuse("the file does not state its shape".to_owned());
        };
        if dims.is_empty() {
            return refuse("it is a single number, without a batch axis".to_owned());
        }
        let hidden = match dims[..] {
            [Size::Known(1), _, ..] => 1,
            _ => usize::from(!whole),
        };
        let mut shape = Vec::new();
        for (axis, &n) in dims.iter().enumerate().skip(hidden) {
            let Some(n) = n.known() else {
                let advice = if axis < 2 {
                    "the file has to state it"
                } else {
                    "state it with --input-size"
                };
                return refuse(format!(
                    "the length of its axis {axis} is not known; {advice}"
                ));
            };
            shape.push(n);
        }
        Ok(Sample {
            shape,
            whole,
            hidden,
        })
    }

    /// Whether all axes of the input may be those of one sample: none is open, and they are one axis or the
    /// first is 1 long.
    pub(super) fn is_one(&self, context: &Context<'_>) -> bool {
        match context.facts[self.input].dims.as_deref() {
            Some([Size::Known(_)]) => true,
            Some([Size::Known(1), rest @ ..]) => rest.iter().all(|n| n.known().is_some()),
            _ => false,
        }
    }
}

/// The output and the input of the Pad node that is part of a convolution.
fn padded(context: &Context<'_>, node: &Node) -> Option<(usize, usize)> {
    if node.op != "Conv" || !node.domain.is_empty() {
        return None;
    }
    let layer = draft(context, node).ok()?;
    if layer.conv.padding_mode == PaddingMode::Zeros {
        return None;
    }
    let border = context.varying(node, 0)?;
    let Producer::Node(pad) = context.links.producers[border] else {
        return None;
    };
    let input = context.varying(&context.parsed.nodes[pad], 0)?;
    Some((border, input))
}

/// The needed nodes in the order of the file, if that is one in which they can run.
fn ordered(context: &Context<'_>, needed: &[bool]) -> Vec<usize> {
    let nodes = &context.parsed.nodes;
    let in_order = nodes.iter().enumerate().all(|(index, node)| {
        node.inputs.iter().flatten().all(|&value| {
            !matches!(context.links.producers[value], Producer::Node(before) if before >= index)
        })
    });
    let all: Vec<usize> = if in_order {
        (0..nodes.len()).collect()
    } else {
        context.links.order.clone()
    };
    all.into_iter().filter(|&index| needed[index]).collect()
}

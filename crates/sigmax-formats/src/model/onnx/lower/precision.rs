//! In which floating-point types a runtime executes the nodes of a network.

use std::collections::HashMap;

use crate::bytes::element::Element;
use crate::model::network::Precision;

use super::super::facts::{Constant, Context};
use super::super::parsed::Node;
use super::plan::Plan;

/// A floating-point type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Float {
    Sixteen,
    Single,
    Double,
}

impl Float {
    /// That of a TensorProto.DataType.
    fn of(data_type: u64) -> Option<Self> {
        match data_type {
            1 => Some(Self::Single),
            10 | 16 => Some(Self::Sixteen),
            11 => Some(Self::Double),
            _ => None,
        }
    }

    /// That of a constant.
    fn constant(constant: &Constant) -> Option<Self> {
        let Constant::Float(tensor, _) = constant else {
            return None;
        };
        match tensor.element() {
            Element::F16 | Element::Bf16 => Some(Self::Sixteen),
            Element::F64 => Some(Self::Double),
            _ => Some(Self::Single),
        }
    }
}

/// The types of the input, of what every node makes, and of the constants beside it: operators but
/// Cast give the type that they are given. A file that states no type of its input is told by its
/// constants.
pub(super) fn precision(context: &Context<'_>, plan: &Plan) -> Precision {
    let parsed = context.parsed;
    let mut types = HashMap::new();
    let mut found = Vec::new();
    let input = parsed.inputs.iter().find(|input| input.value == plan.input);
    if let Some(float) = input.and_then(|input| Float::of(input.element)) {
        types.insert(plan.input, float);
        found.push(float);
    }
    for &index in &plan.nodes {
        let node = &parsed.nodes[index];
        let read = node.inputs.iter().flatten();
        let same = match plan.patterns.get(&index) {
            Some(pattern) => types.get(&pattern.input).copied(),
            None => read.copied().find_map(|value| types.get(&value).copied()),
        };
        let made = match node.op.as_str() {
            "Cast" => node
                .int("to", 0)
                .ok()
                .and_then(|to| Float::of(to.cast_unsigned())),
            _ => {
                let beside = constants(context, node);
                found.extend(&beside);
                same.or_else(|| beside.first().copied())
            }
        };
        found.extend(made);
        for &output in node.outputs.iter().flatten() {
            types.extend(made.map(|made| (output, made)));
        }
    }
    if found.contains(&Float::Sixteen) {
        Precision::Sixteen
    } else if !found.contains(&Float::Double) {
        Precision::Single
    } else if found.contains(&Float::Single) {
        Precision::Mixed
    } else {
        Precision::Double
    }
}

/// The types of the constants of a node that are of the type of its data.
fn constants(context: &Context<'_>, node: &Node) -> Vec<Float> {
    if matches!(node.op.as_str(), "Resize" | "Upsample" | "Dropout") {
        return Vec::new();
    }
    let inputs = node.inputs.iter().flatten();
    inputs
        .filter_map(|&value| Float::constant(&context.facts[value].constant))
        .collect()
}

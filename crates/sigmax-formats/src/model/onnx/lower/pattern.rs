//! Products of two branches that are one activation function of one value.

use std::f64::consts::SQRT_2;

use sigmax::network::Activation;

use super::super::facts::Context;
use super::super::order::Producer;
use super::super::proto::Node;

/// Steps from a value to the product.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) input: usize,
    pub(super) steps: Vec<Step>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Activation(Activation),
    /// A factor that is off by so many roundings.
    Scale(f64, usize),
}

/// The activation function that a Mul node computes.
pub(super) fn pattern(context: &Context<'_>, node: &Node) -> Option<Pattern> {
    if node.op != "Mul" || !node.domain.is_empty() || context.is_function(node) {
        return None;
    }
    let (a, b) = (context.varying(node, 0)?, context.varying(node, 1)?);
    product(context, a, b).or_else(|| product(context, b, a))
}

/// x times a function of x.
fn product(context: &Context<'_>, x: usize, factor: usize) -> Option<Pattern> {
    let made = made_by(context, factor)?;
    let input = |node: &Node| context.varying(node, 0);
    let one = |activation| {
        Some(Pattern {
            input: x,
            steps: vec![Step::Activation(activation)],
        })
    };
    match made.op.as_str() {
        "Sigmoid" if input(made) == Some(x) => one(Activation::Silu),
        "Tanh" => {
            let before = made_by(context, input(made)?)?;
            (before.op == "Softplus" && input(before) == Some(x)).then_some(())?;
            one(Activation::Mish)
        }
        "Clip" => {
            hard_swish(context, made, x)?;
            Some(Pattern {
                input: x,
                steps: vec![Step::Activation(Activation::HardSwish), Step::Scale(6.0, 0)],
            })
        }
        "Div" => {
            let clip = made_by(context, input(made)?)?;
            let by = context.scalar(made.inputs.get(1).copied().flatten()?)?;
            (clip.op == "Clip" && same(by, 6.0)).then_some(())?;
            hard_swish(context, clip, x)?;
            one(Activation::HardSwish)
        }
        "Add" => gelu(context, x, made),
        _ => None,
    }
}

/// Whether a Clip node is x + 3 cut to [0, 6].
fn hard_swish(context: &Context<'_>, clip: &Node, x: usize) -> Option<()> {
    let bound = |name: &str, place: usize| match clip.attribute(name) {
        Some(_) => clip.float(name, 0.0).ok().map(f64::from),
        None => context.scalar(clip.inputs.get(place).copied().flatten()?),
    };
    let sum = made_by(context, context.varying(clip, 0)?)?;
    let (value, shift) = with_constant(context, sum, "Add")?;
    let fits = value == x
        && same(shift, 3.0)
        && same(bound("min", 1)?, 0.0)
        && same(bound("max", 2)?, 6.0);
    fits.then_some(())
}

/// h·x·(1 + erf(x/c)) = (2h/k)·gelu(kx), k = √2/c, whatever c is: exporters write a float next to
/// √2 or 1/√2.
fn gelu(context: &Context<'_>, factor: usize, sum: &Node) -> Option<Pattern> {
    let (erf, one) = with_constant(context, sum, "Add")?;
    let erf = made_by(context, erf)?;
    if erf.op != "Erf" || !same(one, 1.0) {
        return None;
    }
    let inner = made_by(context, context.varying(erf, 0)?)?;
    let (x, k) = match inner.op.as_str() {
        "Div" => {
            let by = context.scalar(inner.inputs.get(1).copied().flatten()?)?;
            (context.varying(inner, 0)?, SQRT_2 / by)
        }
        "Mul" => {
            let (x, by) = with_constant(context, inner, "Mul")?;
            (x, SQRT_2 * by)
        }
        _ => return None,
    };
    let half = if factor == x {
        1.0
    } else {
        let (value, half) = with_constant(context, made_by(context, factor)?, "Mul")?;
        (value == x).then_some(half)?
    };
    // √2 and the product or quotient are rounded, then this quotient; 2h is exact.
    let back = 2.0 * half / k;
    let sane = |factor: f64| (1e-100..1e100).contains(&factor.abs());
    (sane(k) && sane(back)).then(|| Pattern {
        input: x,
        steps: vec![
            Step::Scale(k, 2),
            Step::Activation(Activation::Gelu),
            Step::Scale(back, 3),
        ],
    })
}

/// The node of ONNX itself that makes a value.
fn made_by<'a>(context: &Context<'a>, value: usize) -> Option<&'a Node> {
    let Producer::Node(index) = context.links.producers[value] else {
        return None;
    };
    let node = &context.parsed.nodes[index];
    let own = node.domain.is_empty() && !context.is_function(node);
    (own && node.outputs.first() == Some(&Some(value))).then_some(node)
}

/// The value and the number that a node combines.
fn with_constant(context: &Context<'_>, node: &Node, op: &str) -> Option<(usize, f64)> {
    if node.op != op || node.inputs.len() != 2 {
        return None;
    }
    let (value, place) = match (context.varying(node, 0), context.varying(node, 1)) {
        (Some(value), None) => (value, 1),
        (None, Some(value)) => (value, 0),
        _ => return None,
    };
    let constant = node.inputs[place]?;
    // A number of a higher rank would raise that of the result.
    let rank = |value: usize| context.facts[value].dims.as_ref().map(Vec::len);
    (rank(constant)? <= rank(value)?).then_some(())?;
    Some((value, context.scalar(constant)?))
}

fn same(a: f64, b: f64) -> bool {
    (a - b).abs() <= 0.0
}

//! Nodes that are, with those before them, one function of one value.

use std::f64::consts::SQRT_2;

use sigmax::network::Activation;

use super::super::arguments::axis;
use super::super::facts::Context;
use super::super::order::Producer;
use super::super::parsed::Node;
use super::linear::product as exact_product;

/// Steps from a value to the product.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    pub(super) input: usize,
    pub(super) steps: Vec<Step>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Activation(Activation),
    /// A factor that is off by so many roundings.
    Scale(f64, usize),
    Normalisation(Spread),
    Fold(Folded),
    /// One of the parts along an axis, batch counted.
    Part {
        axis: i64,
        lengths: Lengths,
        /// Which one, from the end where it is negative.
        index: i64,
    },
}

/// The lengths of the parts of an axis.
#[derive(Clone, Debug)]
pub(super) enum Lengths {
    /// So many each; the last one may be shorter.
    Each(usize),
    Listed(Vec<usize>),
}

impl Lengths {
    /// The entries of a part of an axis of `n`.
    pub(super) fn part(&self, n: usize, index: i64) -> Option<std::ops::Range<usize>> {
        let range = match self {
            Self::Each(0) => return None,
            Self::Each(each) => {
                let at = axis(index, n.div_ceil(*each))?;
                at * each..((at + 1) * each).min(n)
            }
            Self::Listed(parts) => {
                let total = parts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
                let at = axis(index, parts.len()).filter(|_| total == Some(n))?;
                let start = parts[..at].iter().sum();
                start..start + parts[at]
            }
        };
        (!range.is_empty()).then_some(range)
    }
}

/// Axes that become one number.
#[derive(Clone, Debug)]
pub(super) struct Folded {
    /// The axes, batch counted.
    pub(super) axes: Vec<i64>,
    /// Whether they stay, 1 long.
    pub(super) keeps: bool,
    /// Whether it is the root of the sum of squares; else ln of the sum of exponentials.
    pub(super) norm: bool,
}

/// What a value is divided by: the root of a mean of squares and ε.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// The axes of the mean, batch counted.
    pub(super) axes: Vec<i64>,
    /// Whether the mean over them was subtracted before.
    pub(super) centred: bool,
    pub(super) epsilon: f64,
}

/// The function that a Mul or Div node computes.
pub(super) fn pattern(context: &Context<'_>, node: &Node) -> Option<Pattern> {
    if !node.domain.is_empty() || context.is_function(node) {
        return None;
    }
    let both = || Some((context.varying(node, 0)?, context.varying(node, 1)?));
    match node.op.as_str() {
        "Mul" => {
            let (a, b) = both()?;
            product(context, a, b)
                .or_else(|| product(context, b, a))
                .or_else(|| normalised(context, a, reciprocal_root(context, b)?))
                .or_else(|| normalised(context, b, reciprocal_root(context, a)?))
        }
        "Div" => {
            let (a, b) = both()?;
            normalised(context, a, root(context, b)?)
        }
        "Sqrt" => {
            let sum = context.varying(node, 0)?;
            let (input, axes, keeps) = reduced(context, sum, "ReduceSumSquare").or_else(|| {
                let (squares, axes, keeps) = reduced(context, sum, "ReduceSum")?;
                Some((square(context, squares)?, axes, keeps))
            })?;
            let norm = true;
            let folded = Folded { axes, keeps, norm };
            Some(Pattern::new(input, vec![Step::Fold(folded)]))
        }
        // ln σ(x) = −ln(1 + e^−x), and ln Σe^x.
        "Log" => {
            let of = context.varying(node, 0)?;
            if let Some((exponentials, axes, keeps)) = reduced(context, of, "ReduceSum") {
                let exp = made_by(context, exponentials).filter(|node| node.op == "Exp")?;
                let norm = false;
                let folded = Folded { axes, keeps, norm };
                return Some(Pattern::new(
                    context.varying(exp, 0)?,
                    vec![Step::Fold(folded)],
                ));
            }
            let sigmoid = made_by(context, of)?;
            (sigmoid.op == "Sigmoid").then_some(())?;
            let softplus = Step::Activation(Activation::Softplus);
            let steps = vec![Step::Scale(-1.0, 0), softplus, Step::Scale(-1.0, 0)];
            Some(Pattern::new(context.varying(sigmoid, 0)?, steps))
        }
        "Add" => {
            let (a, b) = both()?;
            log_sum_exp(context, a, b).or_else(|| log_sum_exp(context, b, a))
        }
        "Where" => chosen(context, node),
        "SequenceAt" => piece(context, node),
        _ => None,
    }
}

/// m + ln Σe^{x − m} with the largest entries m of x over the axes of the sum.
fn log_sum_exp(context: &Context<'_>, log: usize, largest: usize) -> Option<Pattern> {
    let log = made_by(context, log).filter(|node| node.op == "Log")?;
    let (exponentials, axes, keeps) = reduced(context, context.varying(log, 0)?, "ReduceSum")?;
    let exp = made_by(context, exponentials).filter(|node| node.op == "Exp")?;
    let shifted = made_by(context, context.varying(exp, 0)?).filter(|node| node.op == "Sub")?;
    let (x, shift) = (context.varying(shifted, 0)?, context.varying(shifted, 1)?);
    // Exporters may write the maximum twice, or without its axes.
    let is_largest = |value: usize, kept: bool| {
        reduced(context, value, "ReduceMax") == Some((x, axes.clone(), kept))
    };
    let squeezed = || {
        let node = made_by(context, largest).filter(|node| node.op == "Squeeze")?;
        let from = context.varying(node, 0)?;
        let rank = context.facts[x].dims.as_ref()?.len();
        (is_largest(from, true) && sorted(context.list(node, "axes", 1).ok()??, rank)? == axes)
            .then_some(())
    };
    (is_largest(shift, true) && (is_largest(largest, keeps) || !keeps && squeezed().is_some()))
        .then_some(())?;
    let norm = false;
    let folded = Folded { axes, keeps, norm };
    Some(Pattern::new(x, vec![Step::Fold(folded)]))
}

/// A part of what SplitToSequence has cut.
fn piece(context: &Context<'_>, node: &Node) -> Option<Pattern> {
    let split = made_by(context, context.varying(node, 0)?)?;
    let &[index] = &context.numbers(node, 1)?[..] else {
        return None;
    };
    (split.op == "SplitToSequence").then_some(())?;
    let lengths = match split.inputs.get(1).copied().flatten() {
        // In parts of 1, which may lose the axis.
        None => {
            (split.int("keepdims", 1).ok()? != 0).then_some(())?;
            Lengths::Each(1)
        }
        Some(_) => {
            let integers = context.integers(split, 1)?;
            let known = integers
                .known()?
                .into_iter()
                .map(|n| usize::try_from(n).ok());
            let known = known.collect::<Option<Vec<usize>>>()?;
            match (&integers.dims[..], &known[..]) {
                ([], &[each]) => Lengths::Each(each),
                ([_], _) => Lengths::Listed(known),
                _ => return None,
            }
        }
    };
    let part = Step::Part {
        axis: split.int("axis", 0).ok()?,
        lengths,
        index,
    };
    Some(Pattern::new(context.varying(split, 0)?, vec![part]))
}

/// x where it is positive, else αx.
fn chosen(context: &Context<'_>, node: &Node) -> Option<Pattern> {
    let &[Some(condition), Some(yes), Some(no)] = &node.inputs[..] else {
        return None;
    };
    let condition = made_by(context, condition)?;
    let (above, below) = match condition.op.as_str() {
        "Greater" | "GreaterOrEqual" => (yes, no),
        "Less" | "LessOrEqual" => (no, yes),
        _ => return None,
    };
    let (x, limit) = with_constant(context, condition, &condition.op)?;
    (context.varying(condition, 0) == Some(x) && same(limit, 0.0) && above == x).then_some(())?;
    let alpha = if context.facts[below].is_constant() {
        let rank = |value: usize| context.facts[value].dims.as_ref().map(Vec::len);
        (rank(below)? <= rank(x)?).then_some(())?;
        same(context.scalar(below)?, 0.0).then_some(0.0)?
    } else {
        let (alpha, roundings) = multiple(context, below, x)?;
        (roundings == 0).then_some(alpha)?
    };
    let activation = Activation::LeakyRelu { alpha };
    Some(Pattern::new(x, vec![Step::Activation(activation)]))
}

/// A value divided by the root of `sum`, the mean of its squares and ε.
fn normalised(context: &Context<'_>, value: usize, sum: usize) -> Option<Pattern> {
    let (mean, epsilon) = with_constant(context, made_by(context, sum)?, "Add")?;
    let (squares, axes) = reduced_mean(context, mean)?;
    let squared = square(context, squares)?;
    let difference = |value| {
        let node = made_by(context, value).filter(|node| node.op == "Sub")?;
        Some((context.varying(node, 0)?, context.varying(node, 1)?))
    };
    // Exporters may write one difference twice.
    let same = squared == value
        || difference(squared).is_some() && difference(squared) == difference(value);
    same.then_some(())?;
    let centre = difference(value).filter(|&(x, mean)| {
        reduced_mean(context, mean).is_some_and(|(of, over)| of == x && over == axes)
    });
    let spread = Spread {
        axes,
        centred: centre.is_some(),
        epsilon,
    };
    let input = centre.map_or(value, |(x, _)| x);
    Some(Pattern::new(input, vec![Step::Normalisation(spread)]))
}

/// What a value is the square of.
fn square(context: &Context<'_>, value: usize) -> Option<usize> {
    let node = made_by(context, value)?;
    match node.op.as_str() {
        "Mul" if context.varying(node, 0) == context.varying(node, 1) => context.varying(node, 0),
        "Pow" => power(context, value, 2.0),
        _ => None,
    }
}

/// What a ReduceMean node that keeps its axes is the mean of, and the axes in order, from the front.
fn reduced_mean(context: &Context<'_>, value: usize) -> Option<(usize, Vec<i64>)> {
    let (input, axes, keeps) = reduced(context, value, "ReduceMean")?;
    keeps.then_some((input, axes))
}

/// What a node reduces, over which axes in order, from the front, and whether it keeps them.
fn reduced(context: &Context<'_>, value: usize, op: &str) -> Option<(usize, Vec<i64>, bool)> {
    let node = made_by(context, value).filter(|node| node.op == op)?;
    let keeps = node.int("keepdims", 1).ok()? != 0;
    let input = context.varying(node, 0)?;
    let rank = context.facts[input].dims.as_ref()?.len();
    let axes = sorted(context.list(node, "axes", 1).ok()??, rank)?;
    (!axes.is_empty()).then_some((input, axes, keeps))
}

/// Axes in order, from the front, each once.
fn sorted(stated: Vec<i64>, rank: usize) -> Option<Vec<i64>> {
    let front = |stated| i64::try_from(axis(stated, rank)?).ok();
    let mut axes = stated.into_iter().map(front).collect::<Option<Vec<_>>>()?;
    axes.sort_unstable();
    axes.dedup();
    Some(axes)
}

/// What a value is this power of.
fn power(context: &Context<'_>, value: usize, exponent: f64) -> Option<usize> {
    let (base, stated) = with_constant(context, made_by(context, value)?, "Pow")?;
    let node = made_by(context, value)?;
    (context.varying(node, 0) == Some(base) && same(stated, exponent)).then_some(base)
}

/// What a value is the root of.
fn root(context: &Context<'_>, value: usize) -> Option<usize> {
    let node = made_by(context, value)?;
    match node.op.as_str() {
        "Sqrt" => context.varying(node, 0),
        _ => power(context, value, 0.5),
    }
}

/// What a value is one over the root of.
fn reciprocal_root(context: &Context<'_>, value: usize) -> Option<usize> {
    let node = made_by(context, value)?;
    match node.op.as_str() {
        "Reciprocal" => root(context, context.varying(node, 0)?),
        "Div" => {
            let (below, above) = with_constant(context, node, "Div")?;
            (context.varying(node, 1) == Some(below) && same(above, 1.0)).then_some(())?;
            root(context, below)
        }
        _ => power(context, value, -0.5),
    }
}

/// x times a function of x.
fn product(context: &Context<'_>, x: usize, factor: usize) -> Option<Pattern> {
    let made = made_by(context, factor)?;
    let input = |node: &Node| context.varying(node, 0);
    let one = |activation| Some(Pattern::new(x, vec![Step::Activation(activation)]));
    match made.op.as_str() {
        "Sigmoid" => {
            let (beta, roundings) = multiple(context, input(made)?, x)?;
            Pattern::swish(x, beta, roundings)
        }
        "Tanh" => {
            let before = made_by(context, input(made)?)?;
            (before.op == "Softplus" && input(before) == Some(x)).then_some(())?;
            one(Activation::Mish)
        }
        "HardSigmoid" if input(made) == Some(x) => {
            let parameter = |name, default| made.float(name, default).ok().map(f64::from);
            // x·(αx + ½ cut to [0, 1]) = hard_swish(6αx)/(6α), and 6α is exact: α is an f32.
            let k = 6.0 * parameter("alpha", 0.2)?;
            same(parameter("beta", 0.5)?, 0.5).then_some(())?;
            Pattern::within(x, Activation::HardSwish, k, 0)
        }
        "Clip" => {
            hard_swish(context, made, x)?;
            let steps = vec![Step::Activation(Activation::HardSwish), Step::Scale(6.0, 0)];
            Some(Pattern::new(x, steps))
        }
        "Div" => {
            let clip = made_by(context, input(made)?)?;
            let by = context.scalar(made.inputs.get(1).copied().flatten()?)?;
            (clip.op == "Clip" && same(by, 6.0)).then_some(())?;
            hard_swish(context, clip, x)?;
            one(Activation::HardSwish)
        }
        "Add" => {
            let (input, half) = half(context, x);
            gate(context, x, made, 1.0).or_else(|| gate(context, input, made, half))
        }
        "Mul" => {
            let (sum, half) = with_constant(context, made, "Mul")?;
            let sum = made_by(context, sum)?;
            (sum.op == "Add").then_some(())?;
            gate(context, x, sum, half)
        }
        _ => None,
    }
}

impl Pattern {
    fn new(input: usize, steps: Vec<Step>) -> Self {
        Self { input, steps }
    }

    /// x·σ(βx) for β that is off by so many roundings: silu(βx)/β, and x/2 for β = 0.
    pub(super) fn swish(x: usize, beta: f64, roundings: usize) -> Option<Self> {
        match beta.abs() <= 0.0 {
            true => Some(Self::new(x, vec![Step::Scale(0.5, 0)])),
            false => Self::within(x, Activation::Silu, beta, roundings),
        }
    }

    /// f(kx)/k.
    fn within(x: usize, activation: Activation, k: f64, roundings: usize) -> Option<Self> {
        let activation = Step::Activation(activation);
        if same(k, 1.0) && roundings == 0 {
            return Some(Self::new(x, vec![activation]));
        }
        let steps = vec![
            Step::Scale(k, roundings),
            activation,
            Step::Scale(1.0 / k, roundings + 1),
        ];
        sane(k).then(|| Self::new(x, steps))
    }
}

/// Whether neither a factor nor its reciprocal comes near the ends of f64.
fn sane(factor: f64) -> bool {
    (1e-100..1e100).contains(&factor.abs())
}

/// By what number x is multiplied to give a value, and how many roundings that is off.
fn multiple(context: &Context<'_>, value: usize, x: usize) -> Option<(f64, usize)> {
    if value == x {
        return Some((1.0, 0));
    }
    let node = made_by(context, value)?;
    if node.op == "Div" {
        let by = divisor(context, node)?;
        return (context.varying(node, 0) == Some(x) && sane(by)).then_some((1.0 / by, 1));
    }
    let (from, by) = with_constant(context, node, "Mul")?;
    (from == x).then_some((by, 0))
}

/// The number that a Div node divides by.
fn divisor(context: &Context<'_>, node: &Node) -> Option<f64> {
    let constant = node.inputs.get(1).copied().flatten()?;
    let rank = |value: usize| context.facts[value].dims.as_ref().map(Vec::len);
    (rank(constant)? <= rank(context.varying(node, 0)?)?).then_some(())?;
    context.scalar(constant)
}

/// The value that a constant multiplies, and that; the value itself and 1 where none does.
fn half(context: &Context<'_>, value: usize) -> (usize, f64) {
    made_by(context, value)
        .and_then(|node| with_constant(context, node, "Mul"))
        .unwrap_or((value, 1.0))
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

/// h·x·(1 + erf(x/c)) or h·x·(1 + tanh(αx + βx³)).
fn gate(context: &Context<'_>, x: usize, sum: &Node, half: f64) -> Option<Pattern> {
    let (function, one) = with_constant(context, sum, "Add")?;
    let function = made_by(context, function)?;
    same(one, 1.0).then_some(())?;
    let inner = context.varying(function, 0)?;
    match function.op.as_str() {
        // (2h/k)·gelu(kx), k = √2/c, whatever c is: exporters write a float next to √2 or 1/√2.
        "Erf" => {
            let node = made_by(context, inner)?;
            let k = match node.op.as_str() {
                "Div" if context.varying(node, 0) == Some(x) => SQRT_2 / divisor(context, node)?,
                _ => {
                    let (from, by) = with_constant(context, node, "Mul")?;
                    (from == x).then_some(SQRT_2 * by)?
                }
            };
            // √2 and the product or quotient are rounded, then this quotient; 2h is exact.
            let back = 2.0 * half / k;
            let steps = vec![
                Step::Scale(k, 2),
                Step::Activation(Activation::Gelu),
                Step::Scale(back, 3),
            ];
            (sane(k) && sane(back)).then(|| Pattern::new(x, steps))
        }
        "Tanh" => {
            let [zero, linear, square, cubic] = polynomial(context, inner, x, DEPTH)?;
            let activation = Activation::GeluTanhNear { linear, cubic };
            let fits = same(zero, 0.0) && same(square, 0.0) && activation.check().is_ok();
            let mut steps = vec![Step::Activation(activation)];
            if !same(half, 0.5) {
                steps.push(Step::Scale(2.0 * half, 0));
            }
            (fits && sane(half)).then(|| Pattern::new(x, steps))
        }
        _ => None,
    }
}

/// Deepest polynomial that is followed.
const DEPTH: usize = 8;

/// The coefficients of a value that is a polynomial of x, where no coefficient is rounded.
fn polynomial(context: &Context<'_>, value: usize, x: usize, depth: usize) -> Option<[f64; 4]> {
    if value == x {
        return Some([0.0, 1.0, 0.0, 0.0]);
    }
    let rank = |value: usize| context.facts[value].dims.as_ref().map(Vec::len);
    if context.facts[value].is_constant() {
        // A number of a higher rank would raise that of the result.
        (rank(value)? <= rank(x)?).then_some(())?;
        return Some([context.scalar(value)?, 0.0, 0.0, 0.0]);
    }
    let node = made_by(context, value).filter(|_| depth > 0)?;
    let &[Some(a), Some(b)] = &node.inputs[..] else {
        return None;
    };
    let of = |value| polynomial(context, value, x, depth - 1);
    match node.op.as_str() {
        "Add" => {
            let (a, b) = (of(a)?, of(b)?);
            let mut sum = [0.0; 4];
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                (same(a, 0.0) || same(b, 0.0)).then_some(())?;
                *sum = a + b;
            }
            Some(sum)
        }
        "Mul" => multiplied(of(a)?, of(b)?),
        "Pow" => {
            let base = of(a)?;
            let exponent = context.scalar(b)?;
            let square = multiplied(base, base)?;
            match exponent {
                _ if same(exponent, 2.0) => Some(square),
                _ if same(exponent, 3.0) => multiplied(square, base),
                _ => None,
            }
        }
        _ => None,
    }
}

/// The product of two polynomials, if it is one of degree 3 without roundings.
fn multiplied(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut result = [0.0; 4];
    for (i, a) in a.into_iter().enumerate() {
        for (j, &b) in b.iter().enumerate() {
            if same(a, 0.0) || same(b, 0.0) {
                continue;
            }
            let entry = result.get_mut(i + j)?;
            same(*entry, 0.0).then_some(())?;
            *entry = exact_product(a, b)?;
        }
    }
    Some(result)
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

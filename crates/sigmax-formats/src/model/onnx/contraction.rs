//! [`Contraction`]: a product with a constant along any axes, as `Einsum` and `MatMul` with a batch of
//! matrices are.

use std::collections::HashMap;

use sigmax::Conv;

use crate::model::layer::LayerKind;
use crate::model::tensor::{Tensor, count};

use super::draft::{Draft, NoLayer};
use super::facts::{Constant, Context};
use super::parsed::Node;
use super::size::{self, Dims, Size};

/// An axis: what has the same one has the same length, and is summed over or kept together.
pub(super) type Label = u32;

/// The labels of the axes that `...` stands for, counted from the last one.
const ELLIPSIS: Label = 1 << 16;

/// Which axes the data, the constant and the result of a product share.
#[derive(Clone, Debug)]
pub(super) struct Contraction {
    /// Which input is the data, and which the constant.
    pub(super) places: [usize; 2],
    pub(super) data: Vec<Label>,
    pub(super) weight: Vec<Label>,
    pub(super) output: Vec<Label>,
    /// The shape of the constant.
    lengths: Vec<usize>,
}

impl Contraction {
    /// The product that a node is, if one of its inputs is constant.
    pub(super) fn einsum(context: &Context<'_>, node: &Node) -> Result<Self, NoLayer> {
        let places = places(context, node)?;
        let terms = Equation::parse(node.text("equation", "")?)?;
        if terms.inputs.len() != node.inputs.len() {
            return Err(NoLayer::Fail(format!(
                "its equation has {} terms for {} inputs",
                terms.inputs.len(),
                node.inputs.len()
            )));
        }
        let mut labels = Vec::new();
        for (place, term) in terms.inputs.iter().enumerate() {
            let dims = context
                .input(node, place)
                .and_then(|fact| fact.dims.as_ref());
            let dims = dims.ok_or_else(|| unknown(place))?;
            labels.push(term.labels(dims.len())?);
        }
        let output = terms.output(&labels)?;
        Self::new(context, node, places, labels, output)
    }

    /// `MatMul` with a constant of more than two axes.
    pub(super) fn matmul(context: &Context<'_>, node: &Node) -> Result<Self, NoLayer> {
        let places = places(context, node)?;
        let rank = |place: usize| {
            let dims = context
                .input(node, place)
                .and_then(|fact| fact.dims.as_ref());
            dims.map(Vec::len).ok_or_else(|| unknown(place))
        };
        let ranks = [rank(0)?, rank(1)?];
        if ranks[places[1]] > ranks[places[0]] {
            return refuse("its matrices have more axes than its input: the batch axis moves");
        }
        // Rows 0, what is summed over 1, columns 2, and the axes before them from the right.
        let before = |rank: usize| (3..=rank as Label).rev().collect::<Vec<_>>();
        let labels = [
            [before(ranks[0]), vec![0, 1]].concat(),
            [before(ranks[1]), vec![1, 2]].concat(),
        ];
        let output = [before(ranks[places[0]]), vec![0, 2]].concat();
        Self::new(context, node, places, labels.to_vec(), output)
    }

    fn new(
        context: &Context<'_>,
        node: &Node,
        places: [usize; 2],
        labels: Vec<Vec<Label>>,
        output: Vec<Label>,
    ) -> Result<Self, NoLayer> {
        let dims = |place: usize| {
            let dims = context
                .input(node, place)
                .and_then(|fact| fact.dims.clone());
            dims.ok_or_else(|| unknown(place))
        };
        let (stated, lengths) = (dims(places[0])?, size::lengths(&dims(places[1])?));
        let mut lengths = lengths.ok_or_else(|| unknown(places[1]))?;
        let (data, mut weight) = (labels[places[0]].clone(), labels[places[1]].clone());
        // An axis of length 1 in front of matrices is none.
        if node.op == "MatMul" {
            let axes = weight.into_iter().zip(lengths);
            (weight, lengths) = axes.filter(|&(label, n)| label < 3 || n != 1).unzip();
        }
        for (at, label) in weight.iter().enumerate() {
            let both = data.contains(label);
            if !both && !output.contains(label) {
                return refuse("it sums the constant alone over an axis, which is not followed");
            }
            let Some(axis) = data.iter().position(|other| other == label) else {
                continue;
            };
            match stated[axis].known() {
                Some(n) if n == lengths[at] => {}
                Some(n) => {
                    return refuse(format!(
                        "axis {axis} of its data has {n} entries, where its constant of shape {lengths:?} has {}",
                        lengths[at]
                    ));
                }
                None => {
                    return refuse(format!(
                        "the length of axis {axis} of its data is not known, and its constant of shape {lengths:?} \
                         has the same axis"
                    ));
                }
            }
        }
        if data
            .iter()
            .any(|label| !weight.contains(label) && !output.contains(label))
        {
            return refuse(
                "it sums its data over an axis that the constant does not have, which is not followed",
            );
        }
        Ok(Self {
            places,
            data,
            weight,
            output,
            lengths,
        })
    }

    /// Axes of all three.
    pub(super) fn groups(&self) -> Vec<Label> {
        let all = |label: &Label| self.data.contains(label) && self.output.contains(label);
        self.weight.iter().copied().filter(all).collect()
    }

    /// Axes that are summed over.
    pub(super) fn inner(&self) -> Vec<Label> {
        let summed = |label: &Label| !self.output.contains(label);
        self.weight.iter().copied().filter(summed).collect()
    }

    /// Axes of the result that the data does not have.
    pub(super) fn new_axes(&self) -> Vec<Label> {
        let new = |label: &Label| !self.data.contains(label);
        self.weight.iter().copied().filter(new).collect()
    }

    /// The length of an axis of the constant.
    pub(super) fn length(&self, label: Label) -> Option<usize> {
        let at = self.weight.iter().position(|&other| other == label)?;
        Some(self.lengths[at])
    }

    /// The layer: a dense one, or with axes of all three a convolution of one pixel with as many groups.
    pub(super) fn draft(&self, context: &Context<'_>, node: &Node) -> Result<Draft, NoLayer> {
        let mut notes = Vec::new();
        let [data, place] = self.places;
        let weight = context.weight(node, place, data, &mut notes)?;
        let overflow = || NoLayer::Fail("the size of its weight overflows".to_owned());
        let sizes = |labels: &[Label]| {
            labels
                .iter()
                .map(|&label| self.length(label).unwrap_or(1))
                .collect::<Vec<_>>()
        };
        let product = |labels: &[Label]| count(&sizes(labels)).ok_or_else(overflow);
        let (groups, new, inner) = (self.groups(), self.new_axes(), self.inner());
        let order: Vec<usize> = [&groups[..], &new, &inner]
            .concat()
            .iter()
            .filter_map(|label| self.weight.iter().position(|other| other == label))
            .collect();
        let ordered = weight
            .reshaped(self.lengths.clone())
            .and_then(|weight| weight.permuted(&order));
        let (count, rows, columns) = (product(&groups)?, product(&new)?, product(&inner)?);
        let all = count.checked_mul(rows).ok_or_else(overflow)?;
        let (op, conv, shape) = match groups.is_empty() {
            true => (LayerKind::Dense, Conv::new(0), vec![all, columns]),
            false => {
                notes.push(format!("{count} matrices of {rows} rows and {columns} columns, each for entries of its own: a convolution of one pixel with {count} groups"));
                let conv = Conv {
                    groups: count,
                    ..Conv::new(1)
                };
                (LayerKind::Conv, conv, vec![all, columns, 1])
            }
        };
        let weight: Tensor = ordered
            .and_then(|weight| weight.reshaped(shape))
            .ok_or_else(overflow)?;
        Ok(Draft {
            op,
            conv,
            scale: 1.0,
            notes,
            weight,
        })
    }
}

/// The shape of what Einsum makes.
pub(super) fn infer(context: &Context<'_>, node: &Node) -> Option<Dims> {
    let equation = Equation::parse(node.text("equation", "").ok()?).ok()?;
    let mut known: HashMap<Label, Size> = HashMap::new();
    let mut labels = Vec::new();
    for (place, term) in equation.inputs.iter().enumerate() {
        let dims = context.input(node, place)?.dims.as_ref()?;
        let own = term.labels(dims.len()).ok()?;
        for (&label, &n) in own.iter().zip(dims) {
            known
                .entry(label)
                .and_modify(|size| *size = size.or(n))
                .or_insert(n);
        }
        labels.push(own);
    }
    let output = equation.output(&labels).ok()?;
    output
        .iter()
        .map(|label| known.get(label).copied())
        .collect()
}

/// The data and the constant of two inputs.
fn places(context: &Context<'_>, node: &Node) -> Result<[usize; 2], NoLayer> {
    if node.inputs.len() != 2 {
        return match (0..node.inputs.len()).any(|place| is_weight(context, node, place)) {
            true => refuse(format!(
                "a product of {} inputs is not followed",
                node.inputs.len()
            )),
            false => Err(NoLayer::Other),
        };
    }
    let data = |place: usize| {
        let fact = context.input(node, place);
        fact.is_none_or(|fact| context.is_data(fact))
    };
    match [0, 1].map(|place| is_weight(context, node, place)) {
        [false, true] => Ok([0, 1]),
        [true, false] => Ok([1, 0]),
        // Where both are constant and one may be replaced, that one is the data.
        [true, true] if data(0) => Ok([0, 1]),
        [true, true] if data(1) => Ok([1, 0]),
        [true, true] => Err(NoLayer::Other),
        [false, false] => {
            refuse("no constant weight: both factors are computed while the model runs")
        }
    }
}

fn is_weight(context: &Context<'_>, node: &Node, place: usize) -> bool {
    context
        .input(node, place)
        .is_some_and(|fact| !matches!(fact.constant, Constant::No))
}

fn unknown(place: usize) -> NoLayer {
    NoLayer::Refuse(format!("the shape of its input {place} is not known"))
}

fn refuse<T>(reason: impl Into<String>) -> Result<T, NoLayer> {
    Err(NoLayer::Refuse(reason.into()))
}

/// One term of an equation: letters before and after `...`.
#[derive(Clone, Debug)]
struct Term {
    before: Vec<Label>,
    /// `None` without `...`.
    after: Option<Vec<Label>>,
}

/// An equation of Einsum.
#[derive(Clone, Debug)]
pub(super) struct Equation {
    inputs: Vec<Term>,
    /// `None` where it is left out.
    output: Option<Term>,
}

impl Equation {
    pub(super) fn parse(text: &str) -> Result<Self, NoLayer> {
        let (left, right) = match text.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (text, None),
        };
        let term = |text: &str| {
            Term::parse(text).ok_or_else(|| {
                NoLayer::Fail(format!(
                    "its equation is {text:?}; expected letters, with ... once"
                ))
            })
        };
        Ok(Self {
            inputs: left.split(',').map(term).collect::<Result<_, _>>()?,
            output: right.map(term).transpose()?,
        })
    }

    /// The axes of the result of inputs with these axes.
    pub(super) fn output(&self, inputs: &[Vec<Label>]) -> Result<Vec<Label>, NoLayer> {
        let all: Vec<Label> = inputs.concat();
        let mut spread: Vec<Label> = all
            .iter()
            .copied()
            .filter(|&label| label >= ELLIPSIS)
            .collect();
        spread.sort_unstable_by(|a, b| b.cmp(a));
        spread.dedup();
        let labels = match &self.output {
            Some(term) => match &term.after {
                Some(after) => [&term.before[..], &spread, after].concat(),
                None => term.before.clone(),
            },
            // Without an output, what occurs once, in the order of the alphabet.
            None => {
                let once = |&label: &Label| {
                    label < ELLIPSIS && all.iter().filter(|&&other| other == label).count() == 1
                };
                let mut letters: Vec<Label> = all.iter().copied().filter(once).collect();
                letters.sort_unstable();
                [spread, letters].concat()
            }
        };
        match labels.iter().find(|label| !all.contains(label)) {
            Some(_) => Err(NoLayer::Fail(
                "the result of its equation has an axis that no input has".to_owned(),
            )),
            None => distinct(labels),
        }
    }

    /// The axes of the only input, of this rank, and those of the result.
    pub(super) fn single(&self, rank: usize) -> Result<(Vec<Label>, Vec<Label>), NoLayer> {
        let [term] = &self.inputs[..] else {
            return refuse("its equation has several terms for one input");
        };
        let labels = term.labels(rank)?;
        let output = self.output(std::slice::from_ref(&labels))?;
        Ok((labels, output))
    }
}

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let letters = |text: &str| {
            let kept = text.chars().filter(|c| !c.is_ascii_whitespace());
            kept.map(|c| c.is_ascii_alphabetic().then_some(c as Label))
                .collect::<Option<Vec<_>>>()
        };
        Some(match text.split_once("...") {
            Some((before, after)) => Self {
                before: letters(before)?,
                after: Some(letters(after)?),
            },
            None => Self {
                before: letters(text)?,
                after: None,
            },
        })
    }

    /// The label of every axis of an input of this rank.
    fn labels(&self, rank: usize) -> Result<Vec<Label>, NoLayer> {
        let after = self.after.as_deref().unwrap_or_default();
        let rest = rank.checked_sub(self.before.len() + after.len());
        let fits = rest.filter(|&rest| rest == 0 || self.after.is_some());
        let Some(rest) = fits else {
            return Err(NoLayer::Fail(format!(
                "its equation does not fit an input of {rank} axes"
            )));
        };
        let spread: Vec<Label> = (0..rest as Label).rev().map(|i| ELLIPSIS + i).collect();
        distinct([&self.before[..], &spread, after].concat())
    }
}

/// No axis twice: a diagonal is not followed.
fn distinct(labels: Vec<Label>) -> Result<Vec<Label>, NoLayer> {
    match (1..labels.len()).any(|i| labels[..i].contains(&labels[i])) {
        true => refuse("its equation takes a diagonal, which is not followed"),
        false => Ok(labels),
    }
}

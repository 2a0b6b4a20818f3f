//! [`Expression`]: a constant that is computed from others, evaluated in real arithmetic with an error
//! bound (T40).

use std::sync::Arc;

use sigmax::enclosed::Enclosed;

use crate::bytes::element::Element;
use crate::bytes::source::Source;
use crate::error::Error;
use crate::model::codes::Codes;
use crate::model::tensor::{Tensor, count};

/// Most operations of one constant, those of what it is computed from counted at every use.
const WORK: u64 = 1 << 32;
/// Most nodes one behind the other.
const DEPTH: u32 = 128;
/// Most entries of a constant, unless a tensor of the file has a quarter of that.
const ENTRIES: usize = 1 << 22;

/// What a constant is computed from.
#[derive(Clone, Debug)]
pub(crate) enum Operand {
    /// Floats of the file, or computed ones.
    Floats(Arc<Tensor>),
    /// Integers or 8-bit floats of the file.
    Codes(Arc<Codes>),
    /// Codes that were moved.
    Moved(Arc<Expression>),
    /// A few known numbers.
    Values(Vec<usize>, Vec<f64>),
}

/// A constant that is computed.
#[derive(Clone, Debug)]
pub(crate) struct Expression {
    operation: Operation,
    inputs: Vec<Operand>,
    shape: Vec<usize>,
    /// The node that computes it: "node … (…)".
    node: String,
    work: u64,
    depth: u32,
    rounds: bool,
    /// Entries of the largest tensor of the file that it is computed from.
    largest: usize,
}

/// How it is computed.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    /// (q − z)·s with one s and z for all entries, per entry of `axis`, or per block of it.
    Dequantize {
        axis: usize,
        block: usize,
    },
    /// A conversion that has to be exact.
    Cast(Element),
    Unary(Unary),
    Binary(Binary),
    /// x to a power.
    Power,
    Reduce(Reduction, Vec<usize>),
    /// A product of matrices.
    Product,
    Reshape,
    Transpose(Vec<usize>),
    /// Along every axis the entries with these indices; `None` for all of them.
    Select(Vec<Option<Vec<usize>>>),
    Expand,
    Concat(usize),
    /// So many entries before, on every axis; negative ones are cut off.
    Pad(Vec<isize>, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unary {
    Negate,
    Magnitude,
    Root,
    Reciprocal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reduction {
    Sum,
    Mean,
    SumSquare,
    L1,
    L2,
    Max,
    Min,
}

/// Entries, each with its error.
#[derive(Clone, Debug)]
pub(crate) struct Entries {
    shape: Vec<usize>,
    values: Vec<f64>,
    /// Empty where all are exact.
    errors: Vec<f64>,
}

impl Entries {
    pub(crate) fn new(shape: Vec<usize>, values: Vec<f64>, errors: Vec<f64>) -> Self {
        Self {
            shape,
            values,
            errors,
        }
    }

    /// Entries that are made one after the other.
    fn make(shape: &[usize], entries: impl Iterator<Item = Enclosed>) -> Self {
        let mut made = Self::new(shape.to_vec(), Vec::new(), Vec::new());
        for entry in entries {
            if entry.error() > 0.0 && made.errors.is_empty() {
                made.errors.resize(made.values.len(), 0.0);
            }
            // Once there are errors there is one for every entry.
            if entry.error() > 0.0 || made.errors.len() == made.values.len() && made.has_errors() {
                made.errors.push(entry.error());
            }
            made.values.push(entry.value());
        }
        made
    }

    fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    fn at(&self, i: usize) -> Enclosed {
        match self.errors.get(i) {
            Some(&error) => Enclosed::new(self.values[i], error),
            None => Enclosed::exact(self.values[i]),
        }
    }

    /// The values and their errors; none of those where all are exact.
    pub(crate) fn parts(self) -> (Vec<f64>, Vec<f64>) {
        (self.values, self.errors)
    }

    /// The entries with these indices.
    fn picked(&self, shape: &[usize], indices: impl Iterator<Item = usize> + Clone) -> Self {
        let errors = match self.has_errors() {
            true => indices.clone().map(|i| self.errors[i]).collect(),
            false => Vec::new(),
        };
        let values = indices.map(|i| self.values[i]).collect();
        Self::new(shape.to_vec(), values, errors)
    }
}

impl Operand {
    pub(crate) fn shape(&self) -> &[usize] {
        match self {
            Self::Floats(tensor) => tensor.shape(),
            Self::Codes(codes) => &codes.shape,
            Self::Moved(expression) => expression.shape(),
            Self::Values(shape, _) => shape,
        }
    }

    /// The expression behind it.
    fn expression(&self) -> Option<&Expression> {
        match self {
            Self::Floats(tensor) => tensor.expression(),
            Self::Moved(expression) => Some(expression),
            Self::Codes(_) | Self::Values(..) => None,
        }
    }

    /// Entries of the largest tensor of the file.
    fn largest(&self) -> usize {
        match self.expression() {
            Some(expression) => expression.largest,
            None => count(self.shape()).unwrap_or(usize::MAX),
        }
    }

    fn read(&self, source: &Source) -> Result<Entries, Error> {
        let (values, errors) = match self {
            Self::Floats(tensor) => tensor.read_enclosed(source)?,
            Self::Codes(codes) => (codes.read(source)?, Vec::new()),
            Self::Moved(expression) => return expression.evaluate(source),
            Self::Values(_, values) => (values.clone(), Vec::new()),
        };
        Ok(Entries::new(self.shape().to_vec(), values, errors))
    }

    /// The one number that it is, where it is exact and cheap to read.
    pub(crate) fn number(&self, source: &Source) -> Option<f64> {
        if count(self.shape()) != Some(1) || self.expression().is_some() {
            return None;
        }
        self.read(source).ok()?.values.first().copied()
    }
}

impl Operation {
    /// Whether a runtime rounds here.
    fn rounds(&self) -> bool {
        match self {
            Self::Dequantize { .. } | Self::Cast(_) => false,
            Self::Reshape | Self::Transpose(_) | Self::Select(_) => false,
            Self::Expand | Self::Concat(_) | Self::Pad(..) => false,
            Self::Unary(unary) => !matches!(unary, Unary::Negate | Unary::Magnitude),
            Self::Binary(binary) => !matches!(binary, Binary::Max | Binary::Min),
            Self::Reduce(by, _) => !matches!(by, Reduction::Max | Reduction::Min),
            Self::Power | Self::Product => true,
        }
    }
}

impl Expression {
    /// What a node computes; `Err` is why it is not followed: "it …".
    pub(crate) fn new(
        node: String,
        operation: Operation,
        inputs: Vec<Operand>,
        shape: Vec<usize>,
    ) -> Result<Self, String> {
        let largest = inputs.iter().map(Operand::largest).max().unwrap_or(0);
        let entries = count(&shape).unwrap_or(usize::MAX);
        let most = ENTRIES.max(largest.saturating_mul(4));
        if entries > most {
            return Err(format!(
                "is computed by {node} with {entries} entries; at most {most} are computed"
            ));
        }
        let sizes = || {
            inputs
                .iter()
                .map(|input| count(input.shape()).unwrap_or(0) as u64)
        };
        let own = match &operation {
            // Rows times columns times what is summed over.
            Operation::Product => {
                let inner = inputs[0].shape().last().copied().unwrap_or(1) as u64;
                (entries as u64).saturating_mul(inner)
            }
            _ => entries as u64,
        };
        let before = inputs.iter().filter_map(Operand::expression);
        let work = before
            .clone()
            .map(|expression| expression.work)
            .chain(sizes())
            .fold(own.max(1), u64::saturating_add);
        if work > WORK {
            return Err(format!(
                "is computed by {node} with {work} operations; at most 2^32 are carried out"
            ));
        }
        let depth = 1 + before
            .clone()
            .map(|expression| expression.depth)
            .max()
            .unwrap_or(0);
        if depth > DEPTH {
            return Err(format!(
                "is computed by more than {DEPTH} nodes ({node} is one too many)"
            ));
        }
        let rounds = operation.rounds() || before.clone().any(Self::rounds);
        Ok(Self {
            rounds,
            operation,
            inputs,
            shape,
            node,
            work,
            depth,
            largest,
        })
    }

    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Whether a runtime rounds on the way, beyond once per entry of a quantised weight.
    pub(crate) fn rounds(&self) -> bool {
        self.rounds
    }

    /// Operations that its evaluation takes.
    pub(crate) fn work(&self) -> u64 {
        self.work
    }

    /// Its entries.
    ///
    /// # Errors
    /// What cannot be read, and what is computed with no number as the result.
    pub(crate) fn evaluate(&self, source: &Source) -> Result<Entries, Error> {
        let inputs = self
            .inputs
            .iter()
            .map(|input| input.read(source))
            .collect::<Result<Vec<_>, _>>()?;
        let wrong = |reason: String| source.bad_tensor(&self.node, reason);
        let result = self.apply(&inputs).map_err(wrong)?;
        if Some(result.values.len()) != count(&self.shape) {
            return Err(wrong("its inputs do not fit one another".to_owned()));
        }
        let wild = |&i: &usize| !result.at(i).is_finite();
        match (0..result.values.len()).find(wild) {
            None => Ok(result),
            Some(i) => Err(wrong(format!(
                "computes a constant with an entry that is no finite number ({} at {i})",
                result.values[i]
            ))),
        }
    }

    fn apply(&self, inputs: &[Entries]) -> Result<Entries, String> {
        let shape = &self.shape;
        let first = &inputs[0];
        Ok(match &self.operation {
            Operation::Dequantize { axis, block } => self.dequantized(inputs, *axis, *block)?,
            Operation::Cast(to) => {
                let kept = |v: f64| (to.round(v) - v).abs() <= 0.0;
                if let Some(&value) = first.values.iter().find(|&&v| !kept(v)) {
                    return Err(format!(
                        "rounds a constant, as {value}, to a narrower type: store the weight in the \
                         type that it is used in"
                    ));
                }
                first.clone()
            }
            Operation::Unary(unary) => {
                let unary = |i: usize| {
                    let x = first.at(i);
                    let found = match unary {
                        Unary::Negate => Some(x.negated()),
                        Unary::Magnitude => Some(x.magnitude()),
                        Unary::Root => x.root(),
                        Unary::Reciprocal => Enclosed::exact(1.0).over(x),
                    };
                    found.ok_or_else(|| match unary {
                        Unary::Root => format!("takes the root of {}, or nearly that", x.value()),
                        _ => zero(x),
                    })
                };
                made(shape, (0..first.values.len()).map(unary))?
            }
            Operation::Binary(binary) => {
                let (a, b) = (&inputs[0], &inputs[1]);
                let (at_a, at_b) = (broadcast(&a.shape, shape), broadcast(&b.shape, shape));
                let one = |(i, j): (usize, usize)| {
                    let (x, y) = (a.at(i), b.at(j));
                    Ok(match binary {
                        Binary::Add => x.plus(y),
                        Binary::Sub => x.minus(y),
                        Binary::Mul => x.times(y),
                        Binary::Div => return x.over(y).ok_or_else(|| zero(y)),
                        Binary::Max => x.larger(y),
                        Binary::Min => x.negated().larger(y.negated()).negated(),
                    })
                };
                made(shape, at_a.zip(at_b).map(one))?
            }
            Operation::Power => {
                let [power] = inputs[1].values[..] else {
                    return Err("takes several powers; one is followed".to_owned());
                };
                let is = |p: f64| (power - p).abs() <= 0.0 && !inputs[1].has_errors();
                let one = |i: usize| {
                    let x = first.at(i);
                    let found = match () {
                        () if is(1.0) => Some(x),
                        () if is(2.0) => Some(square(x)),
                        () if is(3.0) => Some(square(x).times(x)),
                        () if is(0.5) => x.root(),
                        () if is(-1.0) => Enclosed::exact(1.0).over(x),
                        () if is(-2.0) => Enclosed::exact(1.0).over(square(x)),
                        () if is(-0.5) => x.root().and_then(|r| Enclosed::exact(1.0).over(r)),
                        () => {
                            return Err(format!("takes the power {power}, which is not followed"));
                        }
                    };
                    found.ok_or_else(|| format!("takes the power {power} of {}", x.value()))
                };
                made(shape, (0..first.values.len()).map(one))?
            }
            Operation::Reduce(reduction, axes) => self.reduced(first, *reduction, axes)?,
            Operation::Product => self.product(&inputs[0], &inputs[1])?,
            Operation::Reshape => {
                Entries::new(shape.clone(), first.values.clone(), first.errors.clone())
            }
            Operation::Transpose(axes) => {
                let strides = strides(&first.shape);
                let moved: Vec<usize> = axes.iter().map(|&axis| strides[axis]).collect();
                first.picked(shape, Odometer::new(shape, &moved))
            }
            Operation::Select(along) => {
                let strides = strides(&first.shape);
                let pick = |i: usize| {
                    let (mut left, mut from) = (i, 0);
                    for axis in (0..shape.len()).rev() {
                        let at = left % shape[axis];
                        left /= shape[axis];
                        let at = along[axis].as_ref().map_or(at, |list| list[at]);
                        from += at * strides[axis];
                    }
                    from
                };
                first.picked(shape, (0..count(shape).unwrap_or(0)).map(pick))
            }
            Operation::Expand => first.picked(shape, broadcast(&first.shape, shape)),
            Operation::Concat(axis) => concatenated(inputs, shape, *axis),
            Operation::Pad(before, fill) => {
                let from = strides(&first.shape);
                let source = |i: usize| {
                    let (mut left, mut at) = (i, 0);
                    for axis in (0..shape.len()).rev() {
                        let place = (left % shape[axis]).checked_add_signed(-before[axis]);
                        left /= shape[axis];
                        at += place.filter(|&p| p < first.shape[axis])? * from[axis];
                    }
                    Some(at)
                };
                let entry = |i: usize| match source(i) {
                    Some(at) => first.at(at),
                    None => Enclosed::exact(*fill),
                };
                Entries::make(shape, (0..count(shape).unwrap_or(0)).map(entry))
            }
        })
    }

    fn dequantized(
        &self,
        inputs: &[Entries],
        axis: usize,
        block: usize,
    ) -> Result<Entries, String> {
        let (q, s) = (&inputs[0], &inputs[1]);
        let parameter = |of: &Entries, i: usize| {
            if of.values.len() == 1 {
                return of.at(0);
            }
            let inner: usize = self.shape[axis + 1..].iter().product();
            let at = i / inner % self.shape[axis] / block;
            if of.shape.len() == 1 {
                return of.at(at);
            }
            // Blocks: the other axes as they are.
            let outer = i / inner / self.shape[axis];
            of.at((outer * of.shape[axis] + at) * inner + i % inner)
        };
        let one = |i: usize| {
            let difference = match inputs.get(2) {
                Some(z) => q.at(i).minus(parameter(z, i)),
                None => q.at(i),
            };
            Ok(difference.times(parameter(s, i)))
        };
        made(&self.shape, (0..q.values.len()).map(one))
    }

    fn reduced(
        &self,
        x: &Entries,
        reduction: Reduction,
        axes: &[usize],
    ) -> Result<Entries, String> {
        // Strides in the result, 0 along what is reduced.
        let kept: Vec<usize> = (0..x.shape.len())
            .map(|axis| {
                if axes.contains(&axis) {
                    1
                } else {
                    x.shape[axis]
                }
            })
            .collect();
        let mut into = strides(&kept);
        axes.iter().for_each(|&axis| into[axis] = 0);
        let mut sums: Vec<Option<Enclosed>> = vec![None; count(&kept).unwrap_or(0)];
        for (i, at) in Odometer::new(&x.shape, &into).enumerate() {
            let entry = match reduction {
                Reduction::SumSquare | Reduction::L2 => square(x.at(i)),
                Reduction::L1 => x.at(i).magnitude(),
                Reduction::Min => x.at(i).negated(),
                Reduction::Sum | Reduction::Mean | Reduction::Max => x.at(i),
            };
            sums[at] = Some(match (sums[at], reduction) {
                (None, _) => entry,
                (Some(sum), Reduction::Max | Reduction::Min) => sum.larger(entry),
                (Some(sum), _) => sum.plus(entry),
            });
        }
        let terms: usize = axes.iter().map(|&axis| x.shape[axis]).product();
        let finish = |sum: &Option<Enclosed>| {
            let sum = sum.ok_or_else(|| "reduces no entries at all".to_owned())?;
            Ok(match reduction {
                Reduction::Mean => {
                    let terms = Enclosed::exact(terms as f64);
                    sum.over(terms).ok_or_else(|| zero(terms))?
                }
                // A sum of squares is none that is negative, whatever its error says.
                Reduction::L2 => match sum.root() {
                    Some(root) => root,
                    None => {
                        Enclosed::new(0.0, 2.0 * (2.0 * (sum.value().abs() + sum.error())).sqrt())
                    }
                },
                Reduction::Min => sum.negated(),
                _ => sum,
            })
        };
        made(&self.shape, sums.iter().map(finish))
    }

    fn product(&self, a: &Entries, b: &Entries) -> Result<Entries, String> {
        let inner = a.shape.last().copied().unwrap_or(1);
        let columns = if b.shape.len() > 1 { b.shape[1] } else { 1 };
        let one = |i: usize| {
            let (row, column) = (i / columns, i % columns);
            let term = |k: usize| a.at(row * inner + k).times(b.at(k * columns + column));
            Ok((0..inner).fold(Enclosed::exact(0.0), |sum, k| sum.plus(term(k))))
        };
        made(&self.shape, (0..count(&self.shape).unwrap_or(0)).map(one))
    }
}

fn square(x: Enclosed) -> Enclosed {
    x.times(x)
}

fn zero(x: Enclosed) -> String {
    format!("divides by {} ± {:e}, which may be 0", x.value(), x.error())
}

/// Entries that may not be there.
fn made(
    shape: &[usize],
    entries: impl Iterator<Item = Result<Enclosed, String>>,
) -> Result<Entries, String> {
    let mut failed = None;
    let entries = entries.map_while(|entry| entry.map_err(|reason| failed = Some(reason)).ok());
    let made = Entries::make(shape, entries);
    match failed {
        Some(reason) => Err(reason),
        None => Ok(made),
    }
}

fn concatenated(inputs: &[Entries], shape: &[usize], axis: usize) -> Entries {
    let inner: usize = shape[axis + 1..].iter().product();
    let outer: usize = shape[..axis].iter().product();
    let entries = (0..outer).flat_map(|row| {
        inputs.iter().flat_map(move |part| {
            let own = part.shape[axis] * inner;
            (row * own..(row + 1) * own).map(move |i| part.at(i))
        })
    });
    Entries::make(shape, entries)
}

fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// The entry of a tensor of shape `from` behind every entry of one of shape `to`.
fn broadcast(from: &[usize], to: &[usize]) -> Odometer {
    let missing = to.len().saturating_sub(from.len());
    let own = strides(from);
    let along = (0..to.len()).map(|axis| match axis.checked_sub(missing) {
        Some(i) if from[i] > 1 => own[i],
        _ => 0,
    });
    Odometer::new(to, &along.collect::<Vec<_>>())
}

/// Σ iₐ·strideₐ over all indices of a shape, row-major.
#[derive(Clone, Debug)]
struct Odometer {
    shape: Vec<usize>,
    strides: Vec<usize>,
    index: Vec<usize>,
    at: usize,
    left: usize,
}

impl Odometer {
    fn new(shape: &[usize], strides: &[usize]) -> Self {
        Self {
            shape: shape.to_vec(),
            strides: strides.to_vec(),
            index: vec![0; shape.len()],
            at: 0,
            left: count(shape).unwrap_or(0),
        }
    }
}

impl Iterator for Odometer {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        self.left = self.left.checked_sub(1)?;
        let at = self.at;
        for axis in (0..self.shape.len()).rev() {
            self.index[axis] += 1;
            self.at += self.strides[axis];
            if self.index[axis] < self.shape[axis] {
                break;
            }
            self.at -= self.shape[axis] * self.strides[axis];
            self.index[axis] = 0;
        }
        Some(at)
    }
}

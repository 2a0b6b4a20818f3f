//! Constants that nodes compute from constants: what is computed, not its values.
//!
//! Only what a file holds takes part: floats, codes, and integers that are known before the model runs. What
//! depends on the batch, or on a shape that is only stated, is open and refused before.

use std::sync::Arc;

use crate::bytes::element::Element;
use crate::model::computed::{Binary, Expression, Operand, Operation, Reduction, Unary};
use crate::model::tensor::Tensor;

use super::arguments::{axis, cuts, pad_amounts, permutation};
use super::facts::{Constant, Context, Fact};
use super::integers::slice;
use super::literal::{element, type_name};
use super::order::label;
use super::parsed::Node;
use super::size;

/// What an output of a node is.
#[derive(Debug)]
pub(super) enum Computation {
    Floats(Tensor),
    Codes(Expression),
    /// No constant that is followed, and why: "it …".
    No(String),
}

/// Why nothing is computed: a reason, or none that is better than that the operator is not followed.
type Stop = Option<String>;

impl Computation {
    /// Enters what is computed into what is known.
    pub(super) fn enter(self, fact: &mut Fact) {
        let shape = match &self {
            Self::Floats(tensor) => tensor.shape(),
            Self::Codes(expression) => expression.shape(),
            Self::No(reason) => {
                fact.constant = Constant::Opaque(reason.as_str().into());
                return;
            }
        };
        let dims = size::dims(shape);
        let stated = fact.dims.as_ref();
        let fits = stated.is_none_or(|stated| {
            let pairs = || stated.iter().zip(shape);
            stated.len() == shape.len() && pairs().all(|(s, &n)| s.known().is_none_or(|s| s == n))
        });
        if !fits {
            return;
        }
        if fact.replaceable.is_none() {
            fact.dims = Some(dims);
        }
        match self {
            Self::Floats(tensor) => fact.constant = Constant::Float(Arc::new(tensor), 0),
            Self::Codes(expression) => fact.codes = Some(Operand::Moved(Arc::new(expression))),
            Self::No(_) => {}
        }
    }
}

/// A node all of whose inputs are constant.
struct Build<'a> {
    context: &'a Context<'a>,
    node: &'a Node,
    /// "node … (…)".
    label: String,
    /// The name of its first output.
    name: &'a str,
    dims: Option<Vec<usize>>,
}

impl Context<'_> {
    /// What the outputs of a node of ONNX's own domain are, all of whose inputs are constant.
    pub(super) fn computation(&self, index: usize, facts: &[Fact]) -> Vec<Computation> {
        let node = &self.parsed.nodes[index];
        let Some(Some(output)) = node.outputs.first() else {
            return Vec::new();
        };
        let build = Build {
            context: self,
            node,
            label: format!("node {:?} ({})", label(self.parsed, index), node.op),
            name: &self.parsed.names[*output],
            dims: facts
                .first()
                .and_then(|fact| size::lengths(fact.dims.as_ref()?)),
        };
        match build.outputs() {
            Ok(outputs) => outputs,
            Err(Some(reason)) => vec![Computation::No(reason)],
            Err(None) => Vec::new(),
        }
    }
}

impl Build<'_> {
    fn outputs(&self) -> Result<Vec<Computation>, Stop> {
        let one = |tensor| Ok(vec![Computation::Floats(tensor)]);
        let unary = |unary| {
            let x = self.floats(0)?;
            let shape = x.shape().to_vec();
            one(self.tensor(Operation::Unary(unary), vec![x], shape)?)
        };
        let reduce = |reduction| one(self.reduced(reduction)?);
        match self.node.op.as_str() {
            "DequantizeLinear" => one(self.dequantized()?),
            "Cast" | "CastLike" => one(self.cast()?),
            "Neg" => unary(Unary::Negate),
            "Abs" => unary(Unary::Magnitude),
            "Sqrt" => unary(Unary::Root),
            "Reciprocal" => unary(Unary::Reciprocal),
            "Add" | "Sum" => one(self.folded(Binary::Add)?),
            "Sub" => one(self.folded(Binary::Sub)?),
            "Mul" => one(self.folded(Binary::Mul)?),
            "Div" => one(self.folded(Binary::Div)?),
            "Max" => one(self.folded(Binary::Max)?),
            "Min" => one(self.folded(Binary::Min)?),
            "Pow" => {
                let (x, power) = (self.floats(0)?, self.number(1)?);
                let shape = x.shape().to_vec();
                let power = Operand::Values(Vec::new(), vec![power]);
                one(self.tensor(Operation::Power, vec![x, power], shape)?)
            }
            "ReduceSum" => reduce(Reduction::Sum),
            "ReduceMean" => reduce(Reduction::Mean),
            "ReduceSumSquare" => reduce(Reduction::SumSquare),
            "ReduceL1" => reduce(Reduction::L1),
            "ReduceL2" => reduce(Reduction::L2),
            "ReduceMax" => reduce(Reduction::Max),
            "ReduceMin" => reduce(Reduction::Min),
            "MatMul" => one(self.product(self.floats(0)?, self.floats(1)?)?),
            "Gemm" => one(self.gemm()?),
            "BatchNormalization" => one(self.normalised()?),
            "Split" => self.split(),
            _ => {
                let (operation, inputs, shape) = self.moved()?;
                Ok(vec![match &inputs[0] {
                    Operand::Codes(_) | Operand::Moved(_) => {
                        Computation::Codes(self.expression(operation, inputs, shape)?)
                    }
                    Operand::Floats(_) | Operand::Values(..) => {
                        Computation::Floats(self.tensor(operation, inputs, shape)?)
                    }
                }])
            }
        }
    }

    /// What only moves entries, of floats or of codes.
    fn moved(&self) -> Result<(Operation, Vec<Operand>, Vec<usize>), Stop> {
        // Integers are folded elsewhere, as integers.
        let data = || match self.value(0)?.codes.clone() {
            Some(codes) => Ok(codes),
            None => self.floats(0),
        };
        match self.node.op.as_str() {
            "Identity" | "Reshape" | "Squeeze" | "Unsqueeze" | "Flatten" => {
                let x = data()?;
                let shape = match self.node.op.as_str() {
                    "Identity" => x.shape().to_vec(),
                    _ => self.dims.clone().ok_or(None)?,
                };
                let same = count(&shape).is_some() && count(&shape) == count(x.shape());
                let shape = same.then_some(shape).ok_or(None)?;
                Ok((Operation::Reshape, vec![x], shape))
            }
            "Transpose" => {
                let x = data()?;
                let axes = permutation(self.node, x.shape().len()).ok_or(None)?;
                let shape = axes.iter().map(|&axis| x.shape()[axis]).collect();
                Ok((Operation::Transpose(axes), vec![x], shape))
            }
            "Slice" => {
                let x = data()?;
                let cuts = cuts(self.context, self.node, x.shape().len()).ok_or(None)?;
                let mut along = vec![None; x.shape().len()];
                for (axis, start, end, step) in cuts {
                    if along[axis].is_some() {
                        return Err(None);
                    }
                    let (first, count, step) =
                        slice(x.shape()[axis], start, end, step).ok_or(None)?;
                    let at = |i: usize| {
                        let offset = i64::try_from(i).ok()?.checked_mul(step)?;
                        usize::try_from(first.checked_add(offset)?).ok()
                    };
                    let list: Option<Vec<usize>> = (0..count).map(at).collect();
                    along[axis] = Some(list.ok_or(None)?);
                }
                Ok(selected(x, along))
            }
            "Gather" => {
                let x = data()?;
                let along = axis(self.node.int("axis", 0)?, x.shape().len()).ok_or(None)?;
                let indices = self.context.integers(self.node, 1).ok_or(None)?;
                let n = x.shape()[along];
                let list = indices.known().ok_or(None)?;
                let list: Option<Vec<usize>> = list.iter().map(|&i| axis(i, n)).collect();
                let mut lists = vec![None; x.shape().len()];
                lists[along] = Some(list.ok_or(None)?);
                let (operation, inputs, shape) = selected(x, lists);
                let full = [&shape[..along], &indices.dims, &shape[along + 1..]].concat();
                if full == shape {
                    return Ok((operation, inputs, shape));
                }
                let codes = matches!(inputs[0], Operand::Codes(_) | Operand::Moved(_));
                let picked = if codes {
                    Operand::Moved(Arc::new(self.expression(operation, inputs, shape)?))
                } else {
                    Operand::Floats(Arc::new(self.tensor(operation, inputs, shape)?))
                };
                Ok((Operation::Reshape, vec![picked], full))
            }
            "Expand" => {
                let (x, to) = (data()?, self.context.numbers(self.node, 1).ok_or(None)?);
                let to: Option<Vec<usize>> = to.iter().map(|&n| usize::try_from(n).ok()).collect();
                let shape = broadcast(x.shape(), &to.ok_or(None)?).ok_or(None)?;
                Ok((Operation::Expand, vec![x], shape))
            }
            "Concat" => {
                let parts = (0..self.node.inputs.len())
                    .map(|place| self.floats(place))
                    .collect::<Result<Vec<_>, _>>()?;
                let mut shape = parts.first().ok_or(None)?.shape().to_vec();
                let along = axis(self.node.int("axis", 1)?, shape.len()).ok_or(None)?;
                for part in &parts[1..] {
                    let other = part.shape();
                    let fits = other.len() == shape.len()
                        && (0..shape.len()).all(|a| a == along || other[a] == shape[a]);
                    let sum = fits.then(|| shape[along].checked_add(other[along]));
                    shape[along] = sum.flatten().ok_or(None)?;
                }
                Ok((Operation::Concat(along), parts, shape))
            }
            "Pad" => {
                let x = self.floats(0)?;
                if self.node.text("mode", "constant")? != "constant" {
                    return Err(None);
                }
                let pads = pad_amounts(self.context, self.node, x.shape().len()).ok_or(None)?;
                let fill = match self.node.inputs.get(2).copied().flatten() {
                    Some(_) => self.number(2)?,
                    None => f64::from(self.node.float("value", 0.0)?),
                };
                let lengths = x.shape().iter().zip(&pads).map(|(n, &(before, after))| {
                    n.checked_add_signed(before)?.checked_add_signed(after)
                });
                let shape = lengths.collect::<Option<Vec<_>>>().ok_or(None)?;
                let before = pads.iter().map(|&(before, _)| before).collect();
                Ok((Operation::Pad(before, fill), vec![x], shape))
            }
            _ => Err(None),
        }
    }

    fn split(&self) -> Result<Vec<Computation>, Stop> {
        let x = self.floats(0)?;
        let along = axis(self.node.int("axis", 0)?, x.shape().len()).ok_or(None)?;
        let (n, outputs) = (x.shape()[along], self.node.outputs.len());
        let parts: Vec<usize> = match self.context.list(self.node, "split", 1) {
            Ok(Some(parts)) => {
                let parts = parts.iter().map(|&n| usize::try_from(n).ok());
                parts.collect::<Option<_>>().ok_or(None)?
            }
            Ok(None) if n.is_multiple_of(outputs) => vec![n / outputs; outputs],
            _ => return Err(None),
        };
        let total = parts.iter().try_fold(0usize, |sum, &n| sum.checked_add(n));
        if parts.len() != outputs || total != Some(n) {
            return Err(None);
        }
        let mut start = 0;
        let piece = |part: usize| {
            let mut lists = vec![None; x.shape().len()];
            lists[along] = Some((start..start + part).collect());
            start += part;
            let (operation, inputs, shape) = selected(x.clone(), lists);
            Ok(Computation::Floats(self.tensor(operation, inputs, shape)?))
        };
        parts.into_iter().map(piece).collect()
    }

    fn dequantized(&self) -> Result<Tensor, Stop> {
        let (q, scale) = (self.codes(0)?, self.floats(1)?);
        let mut inputs = vec![q.clone(), scale.clone()];
        if self.node.inputs.get(2).copied().flatten().is_some() {
            let zero = self.codes(2)?;
            if zero.shape() != scale.shape()
                && [&zero, &scale].iter().any(|x| count(x.shape()) != Some(1))
            {
                return Err(Some(format!(
                    "is quantised with scales of shape {:?} and zero points of shape {:?} ({})",
                    scale.shape(),
                    zero.shape(),
                    self.label
                )));
            }
            inputs.push(zero);
        }
        let (shape, rank) = (q.shape().to_vec(), q.shape().len());
        let block = usize::try_from(self.node.int("block_size", 0)?).map_err(|_| None)?;
        let wrong = || {
            Some(format!(
                "is quantised with scales of shape {:?}, axis {:?} and block_size {block}, which do not \
                 fit its shape {shape:?} ({})",
                scale.shape(),
                self.node.int("axis", 1).unwrap_or(1),
                self.label
            ))
        };
        let single = count(scale.shape()) == Some(1) && scale.shape().len() < 2 && block == 0;
        let mut along = 0;
        if !single {
            along = axis(self.node.int("axis", 1)?, rank).ok_or_else(wrong)?;
            let n = shape[along];
            let fits = match (scale.shape(), block) {
                ([length], 0) => *length == n,
                (blocks, 1..) => {
                    blocks.len() == rank
                        && (0..rank).all(|a| match a == along {
                            true => blocks[a] == n.div_ceil(block),
                            false => blocks[a] == shape[a],
                        })
                }
                _ => false,
            };
            if !fits {
                return Err(wrong());
            }
        }
        let operation = Operation::Dequantize {
            axis: along,
            block: block.max(1),
        };
        self.tensor(operation, inputs, shape)
    }

    fn cast(&self) -> Result<Tensor, Stop> {
        let to = match self.node.op.as_str() {
            "CastLike" => match self.floats(1)? {
                Operand::Floats(tensor) => tensor.element(),
                _ => Element::F32,
            },
            _ => {
                let to = u64::try_from(self.node.int("to", 0)?).map_err(|_| None)?;
                element(to).ok_or_else(|| {
                    Some(format!("is cast to {}, not a float type", type_name(to)))
                })?
            }
        };
        let x = self.codes(0).or_else(|_| self.floats(0))?;
        let Operand::Floats(tensor) = x else {
            let shape = x.shape().to_vec();
            let expression = self.expression(Operation::Cast(to), vec![x], shape)?;
            return Tensor::computed(self.name, to, expression).ok_or(None);
        };
        let computed = tensor.expression().is_some();
        let cast = Tensor::clone(&tensor).cast(to);
        cast.ok_or_else(|| {
            computed.then(|| {
                format!(
                    "is computed and then rounded to a narrower type by {}, as every execution does and \
                     real arithmetic does not; fold the constants of the model first (onnxsim, or the \
                     optimised model that onnxruntime saves)",
                    self.label
                )
            })
        })
    }

    /// All inputs, one after the other.
    fn folded(&self, binary: Binary) -> Result<Tensor, Stop> {
        let mut result = self.floats(0)?;
        let most = match binary {
            Binary::Add | Binary::Max | Binary::Min => self.node.inputs.len(),
            Binary::Sub | Binary::Mul | Binary::Div => 2,
        };
        if most < 2 || self.node.inputs.len() != most {
            return Err(None);
        }
        for place in 1..most {
            result = Operand::Floats(Arc::new(self.binary(
                binary,
                result,
                self.floats(place)?,
            )?));
        }
        match result {
            Operand::Floats(tensor) => Ok(Tensor::clone(&tensor)),
            _ => Err(None),
        }
    }

    fn binary(&self, binary: Binary, a: Operand, b: Operand) -> Result<Tensor, Stop> {
        let shape = broadcast(a.shape(), b.shape()).ok_or(None)?;
        self.tensor(Operation::Binary(binary), vec![a, b], shape)
    }

    fn reduced(&self, reduction: Reduction) -> Result<Tensor, Stop> {
        let x = self.floats(0)?;
        let rank = x.shape().len();
        let axes = match self.context.list(self.node, "axes", 1) {
            Ok(Some(axes)) if !axes.is_empty() => axes
                .iter()
                .map(|&a| axis(a, rank))
                .collect::<Option<Vec<_>>>()
                .ok_or(None)?,
            Ok(_) if self.node.int("noop_with_empty_axes", 0)? == 0 => (0..rank).collect(),
            _ => return Err(None),
        };
        if (1..axes.len()).any(|i| axes[..i].contains(&axes[i])) {
            return Err(None);
        }
        let keep = self.node.int("keepdims", 1)? != 0;
        let shape = (0..rank).filter_map(|a| match (axes.contains(&a), keep) {
            (false, _) => Some(x.shape()[a]),
            (true, true) => Some(1),
            (true, false) => None,
        });
        let shape = shape.collect();
        self.tensor(Operation::Reduce(reduction, axes), vec![x], shape)
    }

    /// (x − μ)/√(σ² + ε)·γ + β per entry of axis 1, with the statistics of x itself in training mode.
    fn normalised(&self) -> Result<Tensor, Stop> {
        let x = self.floats(0)?;
        let &[_, channels, ref rest @ ..] = x.shape() else {
            return Err(None);
        };
        let shape = [&[channels][..], &vec![1; rest.len()]].concat();
        let kept = [&[1][..], &shape].concat();
        let others: Vec<usize> = (0..kept.len()).filter(|&axis| axis != 1).collect();
        let float = |tensor| Operand::Floats(Arc::new(tensor));
        let parameter = |place: usize| {
            let value = self.floats(place)?;
            if value.shape() != [channels] {
                return Err(Stop::None);
            }
            Ok(float(self.tensor(
                Operation::Reshape,
                vec![value],
                shape.clone(),
            )?))
        };
        let mean = |x: &Operand| {
            let mean = Operation::Reduce(Reduction::Mean, others.clone());
            Ok::<_, Stop>(float(self.tensor(mean, vec![x.clone()], kept.clone())?))
        };
        let pair = |by, a: &Operand, b: &Operand| {
            Ok::<_, Stop>(float(self.binary(by, a.clone(), b.clone())?))
        };
        // Before opset 14 further outputs say that it trains.
        let more = self.node.outputs.iter().skip(1).any(Option::is_some);
        let trains = match self.context.parsed.opset {
            ..14 => more,
            _ => self.node.int("training_mode", 0)? != 0,
        };
        let (centred, variance) = if trains {
            let centred = pair(Binary::Sub, &x, &mean(&x)?)?;
            let variance = mean(&pair(Binary::Mul, &centred, &centred)?)?;
            (centred, variance)
        } else {
            (pair(Binary::Sub, &x, &parameter(3)?)?, parameter(4)?)
        };
        let epsilon = f64::from(self.node.float("epsilon", 1e-5)?);
        let sum = pair(
            Binary::Add,
            &variance,
            &Operand::Values(Vec::new(), vec![epsilon]),
        )?;
        let shape = sum.shape().to_vec();
        let root = float(self.tensor(Operation::Unary(Unary::Root), vec![sum], shape)?);
        let scaled = pair(
            Binary::Mul,
            &pair(Binary::Div, &centred, &root)?,
            &parameter(1)?,
        )?;
        self.binary(Binary::Add, scaled, parameter(2)?)
    }

    /// A product of matrices or vectors.
    fn product(&self, a: Operand, b: Operand) -> Result<Tensor, Stop> {
        let (left, right) = (a.shape().to_vec(), b.shape().to_vec());
        let (rows, inner) = match left[..] {
            [n] => (None, n),
            [m, n] => (Some(m), n),
            _ => return Err(None),
        };
        let (other, columns) = match right[..] {
            [n] => (n, None),
            [n, m] => (n, Some(m)),
            _ => return Err(None),
        };
        if inner != other {
            return Err(None);
        }
        let shape = rows.into_iter().chain(columns).collect();
        self.tensor(Operation::Product, vec![a, b], shape)
    }

    fn gemm(&self) -> Result<Tensor, Stop> {
        let turned = |place: usize, flag: &str| {
            let x = self.floats(place)?;
            match (x.shape(), self.node.int(flag, 0)?) {
                ([_, _], 0) => Ok(x),
                (&[rows, columns], 1) => {
                    let shape = vec![columns, rows];
                    let turn = Operation::Transpose(vec![1, 0]);
                    Ok(Operand::Floats(Arc::new(self.tensor(
                        turn,
                        vec![x],
                        shape,
                    )?)))
                }
                _ => Err(Stop::None),
            }
        };
        let times = |x: Operand, factor: f32| {
            let factor = Operand::Values(Vec::new(), vec![f64::from(factor)]);
            self.binary(Binary::Mul, x, factor)
        };
        let product = self.product(turned(0, "transA")?, turned(1, "transB")?)?;
        let product = Operand::Floats(Arc::new(product));
        let product = times(product, self.node.float("alpha", 1.0)?)?;
        if self.node.inputs.get(2).copied().flatten().is_none() {
            return Ok(product);
        }
        let shape = product.shape().to_vec();
        let added = times(self.floats(2)?, self.node.float("beta", 1.0)?)?;
        let [product, added] = [product, added].map(|x| Operand::Floats(Arc::new(x)));
        let sum = self.binary(Binary::Add, product, added)?;
        (sum.shape() == shape).then_some(sum).ok_or(None)
    }

    /// What is known of an input.
    fn value(&self, place: usize) -> Result<&Fact, Stop> {
        self.context.input(self.node, place).ok_or(None)
    }

    /// The floats in an input.
    fn floats(&self, place: usize) -> Result<Operand, Stop> {
        let value = self.node.inputs.get(place).copied().flatten().ok_or(None)?;
        let fact = self.value(place)?;
        match &fact.constant {
            Constant::Float(tensor, _) => Ok(Operand::Floats(tensor.clone())),
            Constant::Opaque(reason) => match self.context.small_values(value) {
                Some((shape, values)) => Ok(Operand::Values(shape, values)),
                // Why that is no constant is worth more than that it was computed with.
                None if fact.codes.is_none() && fact.integers.is_none() => {
                    Err(Some(reason.to_string()))
                }
                None => Err(None),
            },
            Constant::No => Err(None),
        }
    }

    /// The integers or 8-bit floats in an input.
    fn codes(&self, place: usize) -> Result<Operand, Stop> {
        let fact = self.value(place)?;
        if let Some(codes) = &fact.codes {
            return Ok(codes.clone());
        }
        let integers = fact.integers.as_ref().ok_or(None)?;
        let exact = |&n: &i64| i32::try_from(n).ok().map(f64::from);
        let values = integers.known().ok_or(None)?;
        let values: Option<Vec<f64>> = values.iter().map(exact).collect();
        Ok(Operand::Values(integers.dims.clone(), values.ok_or(None)?))
    }

    /// The one exact number in an input.
    fn number(&self, place: usize) -> Result<f64, Stop> {
        let operand = self.floats(place).or_else(|_| self.codes(place))?;
        operand.number(self.context.source).ok_or(None)
    }

    fn expression(
        &self,
        operation: Operation,
        inputs: Vec<Operand>,
        shape: Vec<usize>,
    ) -> Result<Expression, Stop> {
        Expression::new(self.label.clone(), operation, inputs, shape).map_err(Some)
    }

    /// What is computed, of the type of the first input that has one.
    fn tensor(
        &self,
        operation: Operation,
        inputs: Vec<Operand>,
        shape: Vec<usize>,
    ) -> Result<Tensor, Stop> {
        let typed = inputs.iter().find_map(|input| match input {
            Operand::Floats(tensor) => Some(tensor.element()),
            Operand::Codes(_) | Operand::Moved(_) | Operand::Values(..) => None,
        });
        let expression = self.expression(operation, inputs, shape)?;
        Tensor::computed(self.name, typed.unwrap_or(Element::F32), expression).ok_or(None)
    }
}

fn count(shape: &[usize]) -> Option<usize> {
    crate::model::tensor::count(shape)
}

fn selected(x: Operand, along: Vec<Option<Vec<usize>>>) -> (Operation, Vec<Operand>, Vec<usize>) {
    let lengths = along.iter().zip(x.shape());
    let shape = lengths
        .map(|(list, &n)| list.as_ref().map_or(n, Vec::len))
        .collect();
    (Operation::Select(along), vec![x], shape)
}

/// The broadcast shape of two.
pub(super) fn broadcast(a: &[usize], b: &[usize]) -> Option<Vec<usize>> {
    let rank = a.len().max(b.len());
    let at = |shape: &[usize], i: usize| match (i + shape.len()).checked_sub(rank) {
        Some(i) => shape[i],
        None => 1,
    };
    let axes = (0..rank).map(|i| match (at(a, i), at(b, i)) {
        (1, n) | (n, 1) => Some(n),
        (n, m) => (n == m).then_some(n),
    });
    axes.collect()
}
